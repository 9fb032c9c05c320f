"""What the network of the exact step has to be told: the same small network with one of its inputs silenced.

    phi(mu, Sigma) = m + w + c_out F(c_in (mu - m), log(mean v) / 4, maps),   maps: w / s, log(v / mean v) / 4, comb

Images are those of 32 x 32 pixels, averaged to 16 x 16; an answer is one call at a level, for a measurement of held-out
images. With no maps at all Sigma enters by w, by the scaling of every pixel, and by the mean level alone.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from matplotlib.axes import Axes

from launch.config import known
from launch.experiments.features import read_labelled
from launch.experiments.findings import Findings, Table, mean_and_deviation
from launch.experiments.learning import fit_by_squares
from launch.experiments.plots import lines, panelled
from launch.families import read_families
from launch.operators import cartesian_sampling
from pgm_jax.metrics import psnr
from pgm_jax.networks import MetricNetwork, MetricProxNet, UNet
from pgm_jax.noise import GaussianNoise
from pgm_jax.operators import average_downsampling, gaussian_blur, random_mask
from pgm_jax.schedules import VE
from pgm_jax.training.metric_draws import metric_draws
from pgm_jax.types import Key, Operator, Shape

INPUTS = ("w / s", "variances", "comb")
TOLD = {"all": ()} | {f"without {name}": (place,) for place, name in enumerate(INPUTS)} | {"none": (0, 1, 2)}
SHAPE = (16, 16, 1)


class Silenced(nn.Module):
    """A U-Net some of whose maps are zero."""

    unet: UNet
    silent: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array, c: Array, maps: Array) -> Array:
        """Map images, levels and maps to images."""
        each = jnp.split(maps, len(INPUTS), axis=-1)
        heard = [jnp.zeros_like(part) if place in self.silent else part for place, part in enumerate(each)]
        return self.unet(x, c, jnp.concatenate(heard, axis=-1))


def run(config: Any, key: Key) -> Findings:
    """PSNR of one call by task and level, for the network with all inputs, with one less, and with none.

    Raises:
        ValueError: if a setting of config.told is unknown.
    """
    c = config
    for name in c.told:
        known(name, TOLD, "setting of config.told")
    train, test = (halved(read_labelled(c.source, split, (32, 32, 1)).images) for split in ("train", "test"))
    key_learn, key_tasks = jax.random.split(key)
    families, shares = read_families(c.families, 0, SHAPE)
    found = {}
    for name in c.told:
        prior = learn(key_learn, jnp.asarray(train), TOLD[name], families, shares, c)
        found[name] = answers(key_tasks, prior, jnp.asarray(test[: c.images]), c)
    tasks = next(iter(found.values()))
    panels = [curves(task, c, found) for task in tasks]
    return Findings([table(task, c, found) for task in tasks], {"exact_inputs": panelled(panels, len(panels))})


def halved(images: np.ndarray) -> np.ndarray:
    """Images of 32 x 32 pixels, averaged to 16 x 16."""
    return images.reshape(len(images), 16, 2, 16, 2, 1).mean(axis=(2, 4))


def learn(key: Key, examples: Array, silent: tuple[int, ...], families: Any, shares: Any, c: Any) -> MetricProxNet:
    """The network with some inputs silenced; all variants see the same batches."""
    module = Silenced(UNet(**c.unet), silent)
    network = MetricNetwork(module, SHAPE, float(examples.mean()), float(examples.std()), c.period)
    draws = metric_draws(network, VE(c.sigma_min, c.sigma_max), families, shares, c.noise_min, c.noise_max)
    return fit_by_squares(key, network, draws, examples, c)


def tasks_of(key: Key, shape: Shape, count: int) -> dict[str, tuple[Operator, int | None]]:
    """The operators, and the axis of their arrays along the images."""
    key_masks, key_lines = jax.random.split(key)
    masks = jax.vmap(lambda key: random_mask(key, shape, 0.7))(jax.random.split(key_masks, count))
    return {
        "inpainting": (masks, 0),
        "super-resolution": (average_downsampling(shape, 2), None),
        "deblurring": (gaussian_blur(shape, 1.0, radius=5), None),
        "Fourier samples": (cartesian_sampling(key_lines, shape, 3.0), None),
    }


Answers = Mapping[str, list[tuple[float, float]]]


def answers(key: Key, prior: MetricProxNet, images: Array, c: Any) -> Answers:
    """PSNR of one call at every level, mean and deviation over the images, by task."""
    key_tasks, key_noise = jax.random.split(key)
    noise, keys = GaussianNoise(c.sigma), jax.random.split(key_noise, len(images))

    def answer(operator: Operator, key: Key, x: Array, lam: Array) -> Array:
        key_y, key_u = jax.random.split(key)
        f = noise.likelihood(operator, noise.sample(key_y, operator.forward(x)))
        mu = f.prox(x + jnp.sqrt(lam) * jax.random.normal(key_u, x.shape), lam)
        return prior.prox_metric(mu, f.metric(mu, lam))

    tasks = tasks_of(key_tasks, images.shape[1:], len(images))
    of = {name: jax.jit(jax.vmap(answer, (axis, 0, 0, None))) for name, (_, axis) in tasks.items()}
    return {
        name: [mean_and_deviation(psnr(of[name](operator, keys, images, jnp.asarray(lam)), images)) for lam in c.levels]
        for name, (operator, _) in tasks.items()
    }


def table(task: str, c: Any, found: Mapping[str, Answers]) -> Table:
    """PSNR of one task by level."""
    rows = [(name, *each[task]) for name, each in found.items()]
    caption = (
        f"PSNR (dB) of one call at level λ, mean ± deviation over {c.images} held-out images of 16 × 16 pixels, "
        f"σ = {c.sigma:g}. Each network saw {c.steps:,} batches of {c.batch_size}."
    )
    return Table(f"What the network is told: {task}", ("told", *(f"λ {lam:g}" for lam in c.levels)), rows, caption)


def curves(task: str, c: Any, found: Mapping[str, Answers]) -> Callable[[Axes], None]:
    """PSNR against the level."""

    def panel(axis: Axes) -> None:
        points = {name: (list(c.levels), [mean for mean, _ in each[task]]) for name, each in found.items()}
        lines(axis, points, title=task, xlabel="λ", ylabel="PSNR of one call (dB)")
        axis.set(yscale="linear")

    return panel
