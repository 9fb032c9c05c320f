"""Features of the Inception network of FID, from weights that the user brings.

The network is Inception-v3 (Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, CVPR 2016) with the pools of the TensorFlow
graph that FID is defined by (Heusel et al., NeurIPS 2017): averages exclude the padding, and the last block has a
maximum in place of an average. The weights are those of the file pt_inception-2015-12-05-6726825d.pth.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pgm_jax.networks import read_state_dict

SIDE, FEATURES = 299, 2048
_BLOCK = 16  # images at once
Params = Mapping[str, Any]


def read_inception(file: str) -> dict[str, Array]:
    """The weights of a file of torch.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, or of another network.
    """
    tensors = read_state_dict(file)
    try:
        shape = jax.eval_shape(inception_features, tensors, jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32)).shape
    except KeyError as error:
        raise ValueError(f"{file} has no {error.args[0]}; give pt_inception-2015-12-05-6726825d.pth.") from None
    # That of torchvision has the same names and shapes but for its 1000 classes.
    classes = np.shape(tensors.get("fc.weight", 0.0))
    if shape[1] != FEATURES or classes != (1008, FEATURES):
        raise ValueError(
            f"{file} has {shape[1]} features and a last layer of {classes}; the network of FID has {FEATURES} and "
            f"(1008, {FEATURES}): give pt_inception-2015-12-05-6726825d.pth."
        )
    return {name: jnp.asarray(tensor) for name, tensor in tensors.items()}


@jax.jit
def inception_features(params: Params, images: Array) -> Array:
    """The features that FID compares, `[N, 2048]`.

    Args:
        params: weights, by their names in torch.
        images: `[N, H, W, C]` in [-1, 1]; grey images are repeated over three channels, and all are
            resized to 299 x 299.
    """

    def one(image: Array) -> Array:
        large = jax.image.resize(image, (SIDE, SIDE, image.shape[-1]), "bilinear", antialias=False)
        return _pooled(params, jnp.broadcast_to(large, (SIDE, SIDE, 3))[None])[0]

    return lax.map(one, images, batch_size=_BLOCK)


def _pooled(params: Params, x: Array) -> Array:
    """The mean over the pixels of the last block."""
    conv = functools.partial(_convolution, params)
    x = conv("Conv2d_1a_3x3", x, 2, "VALID")
    x = conv("Conv2d_2b_3x3", conv("Conv2d_2a_3x3", x, padding="VALID"))
    x = conv("Conv2d_4a_3x3", conv("Conv2d_3b_1x1", _maximum(x, 2)), padding="VALID")
    x = _maximum(x, 2)
    for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        chain = functools.partial(_chain, params, name)
        branches = conv(f"{name}.branch1x1", x), chain("branch5x5", x, 2), chain("branch3x3dbl", x, 3)
        x = _joined(*branches, conv(f"{name}.branch_pool", _average(x)))
    chain = functools.partial(_chain, params, "Mixed_6a")
    x = _joined(conv("Mixed_6a.branch3x3", x, 2, "VALID"), chain("branch3x3dbl", x, 3, stride=2), _maximum(x, 2))
    for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        chain = functools.partial(_chain, params, name)
        branches = conv(f"{name}.branch1x1", x), chain("branch7x7", x, 3), chain("branch7x7dbl", x, 5)
        x = _joined(*branches, conv(f"{name}.branch_pool", _average(x)))
    chain = functools.partial(_chain, params, "Mixed_7a")
    x = _joined(chain("branch3x3", x, 2, stride=2), chain("branch7x7x3", x, 4, stride=2), _maximum(x, 2))
    for name, pool in (("Mixed_7b", _average), ("Mixed_7c", _maximum)):
        chain = functools.partial(_chain, params, name)
        wide, deep = conv(f"{name}.branch3x3_1", x), chain("branch3x3dbl", x, 2)
        halves = [conv(f"{name}.branch3x3_2{half}", wide) for half in "ab"]
        halves += [conv(f"{name}.branch3x3dbl_3{half}", deep) for half in "ab"]
        x = _joined(conv(f"{name}.branch1x1", x), *halves, conv(f"{name}.branch_pool", pool(x)))
    return jnp.mean(x, axis=(1, 2))


def _convolution(params: Params, name: str, x: Array, stride: int = 1, padding: str = "SAME") -> Array:
    """A convolution, batch-normalised with the running statistics, and a ReLU."""
    kernel = jnp.transpose(params[f"{name}.conv.weight"], (2, 3, 1, 0))
    z = lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    scale = params[f"{name}.bn.weight"] / jnp.sqrt(params[f"{name}.bn.running_var"] + 1e-3)
    shift = params[f"{name}.bn.bias"] - params[f"{name}.bn.running_mean"] * scale
    return jax.nn.relu(z * scale[None, None, None] + shift[None, None, None])


def _chain(params: Params, block: str, branch: str, x: Array, count: int, stride: int = 1) -> Array:
    """The convolutions `branch_1`, `branch_2`, ... of a block; the last may have a stride, and then no padding."""
    for place in range(1, count):
        x = _convolution(params, f"{block}.{branch}_{place}", x)
    return _convolution(params, f"{block}.{branch}_{count}", x, stride, "VALID" if stride > 1 else "SAME")


def _maximum(x: Array, stride: int = 1) -> Array:
    """Maxima of 3 x 3 pixels."""
    sizes = (1, 3, 3, 1), (1, stride, stride, 1), "VALID" if stride > 1 else "SAME"
    return lax.reduce_window(x, -jnp.inf, lax.max, *sizes)


def _average(x: Array) -> Array:
    """Means of 3 x 3 pixels, of those within the image alone."""
    sizes = (1, 3, 3, 1), (1, 1, 1, 1), "SAME"
    count = lax.reduce_window(jnp.ones_like(x[:1, ..., :1]), 0.0, lax.add, *sizes)
    return lax.reduce_window(x, 0.0, lax.add, *sizes) / count


def _joined(*branches: Array) -> Array:
    return jnp.concatenate(branches, axis=-1)
