"""Features of images from a small classifier, and the distance of two sets of images in them.

    d^2 = |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^(1/2) C_b C_a^(1/2))^(1/2))

with the means and covariances of the features. It is the Fréchet distance of FID with other features: those of a
classifier of three convolutions that is trained here in a minute, on the labels of the data. Its numbers compare with
each other alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import PyTree

from pgm_jax.metrics import gelbrich_of_sets
from pgm_jax.training.data import open_source
from pgm_jax.training.images import read_npz, to_float
from pgm_jax.types import Key, Shape

WIDTHS, FEATURES = (32, 64, 64), 64
_OPTIMIZER = optax.adam(1e-3)
Features = Callable[[Array], Array]  # images [N, H, W, C] to [N, d]


class Labelled(NamedTuple):
    """Images `[N, H, W, C]` in [-1, 1], and the number of the class of each."""

    images: np.ndarray
    labels: np.ndarray


def read_labelled(source: str, split: str, image_shape: Shape) -> Labelled:
    """A split of an .npz with `<split>_label`, or of a prepared TFDS set with the feature "label".

    Raises:
        FileNotFoundError: if there is no such file or set.
        ValueError: if it has no labels, or other images.
    """
    opened = open_source(source, split, image_shape)
    images = to_float(np.stack([opened[i] for i in range(len(opened))]))
    if Path(source).suffix == ".npz":
        labels = read_npz(source, split)[1]
    else:
        from pgm_jax.training.image_sets import open_set

        records = open_set(source, split)
        labels = np.array([record["label"] for record in records]) if "label" in records[0] else None
    if labels is None:
        raise ValueError(f"{source} has no labels of {split!r}; the classifier learns its features from them.")
    return Labelled(images, np.asarray(labels, np.int32))


@jax.jit
def features(params: PyTree, images: Array) -> Array:
    """The last layer but one, `[N, 64]`, of images `[N, H, W, C]`."""
    z = images
    for weights, bias in params["convolutions"]:
        z = jax.lax.conv_general_dilated(z, weights, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        z = jax.nn.relu(z + bias[None, None, None])
    weights, bias = params["dense"]
    return jax.nn.relu(z.reshape(z.shape[0], -1) @ weights + bias[None])


def logits(params: PyTree, images: Array) -> Array:
    """The logarithms of the probabilities of the classes, up to a constant, `[N, classes]`."""
    weights, bias = params["last"]
    return features(params, images) @ weights + bias[None]


def classifier(key: Key, data: Labelled, steps: int, batch_size: int) -> PyTree:
    """The parameters of a classifier that has seen so many batches."""
    key_init, key_run = jax.random.split(key)
    params = _init(key_init, data.images.shape[1:], int(data.labels.max()) + 1)
    opt_state = _OPTIMIZER.init(params)
    for chosen in np.asarray(jax.random.randint(key_run, (steps, batch_size), 0, len(data.labels))):
        params, opt_state = _step(params, opt_state, data.images[chosen], data.labels[chosen])
    return params


def accuracy(params: PyTree, data: Labelled) -> float:
    """The share of images whose class the classifier finds."""
    guessed = jax.jit(lambda p, x: jnp.argmax(logits(p, x), axis=1))(params, jnp.asarray(data.images))
    return float(np.mean(np.asarray(guessed) == data.labels))


@jax.jit
def distance(a: Array, b: Array) -> Array:
    """The squared Fréchet distance of two sets of features, `[N, d]` and `[M, d]`; 0 for equal ones."""
    return gelbrich_of_sets(a, b) ** 2


def _init(key: Key, shape: Shape, classes: int) -> PyTree:
    keys = iter(jax.random.split(key, len(WIDTHS) + 2))

    def layer(*shape: int) -> tuple[Array, Array]:
        fan_in = int(np.prod(shape[:-1]))
        return jax.random.normal(next(keys), shape) * (2 / fan_in) ** 0.5, jnp.zeros(shape[-1])

    channels = (shape[2], *WIDTHS)
    factor = 2 ** len(WIDTHS)
    flat = -(-shape[0] // factor) * -(-shape[1] // factor) * WIDTHS[-1]
    return dict(
        convolutions=[layer(3, 3, *pair) for pair in zip(channels[:-1], channels[1:], strict=True)],
        dense=layer(flat, FEATURES),
        last=layer(FEATURES, classes),
    )


def _loss(params: PyTree, images: Array, labels: Array) -> Array:
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits(params, images), labels))


# Not in a scan, where XLA's convolutions on a CPU take many times as long.
@jax.jit
def _step(params: PyTree, opt_state: PyTree, images: Array, labels: Array) -> tuple[PyTree, PyTree]:
    updates, opt_state = _OPTIMIZER.update(jax.grad(_loss)(params, images, labels), opt_state)
    return optax.apply_updates(params, updates), opt_state
