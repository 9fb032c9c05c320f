"""The nonlinear blur network of the literature: it maps a sharp image and a code of the blur to a blurred image.

    features    down to 1/4 of the image                convolutions, then residual blocks
    adapter     a U-Net, at its bottom 1/128            takes the code z there
    trunk       back to full size, added to the image   residual blocks, then pixel shuffles

As a measurement, with images in [-1, 1] and the code z ~ N(0, 1.2^2) drawn once and kept,

    A(x) = clip(2 F((x + 1) / 2, z) - 1, -1, 1)

Source: Tran, Tran, Phung and Hoai, Explore image deblurring via encoded blur kernel space, CVPR 2021. The network that
encodes blurs is not needed to blur. Layers are called as in the published weights, so that these can be read.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from pgm_jax.networks.layers import depth_to_space
from pgm_jax.operators import NonlinearOperator
from pgm_jax.types import Key, Shape, pytree

# The features are at 1/4 of the image and the adapter halves them five times.
_SIDE = 128
_WIDTHS = (1, 2, 4, 8, 8)
# A measurement of fewer bits than its derivative would be another measurement.
_EXACT = jax.lax.Precision.HIGHEST

_FEATURES, _ADAPTER, _TRUNK = "feature_extractor", "adapter.model", "recon_trunk"
_LEVELS = tuple(_ADAPTER + ".submodule" * depth for depth in range(len(_WIDTHS)))
_LAYER = re.compile(rf"(?:.*\.)?((?:{_FEATURES}|{re.escape(_ADAPTER)}|{_TRUNK})\..+)\.(weight|bias)")


class _BlurNet(nn.Module):
    """Features, an adapter that takes the code, and a trunk whose output is added to the image.

    Attributes:
        features: width of the features; the adapter is up to 8 times as wide.
        front_blocks, back_blocks: residual blocks before and after the adapter.
    """

    features: int = 64
    front_blocks: int = 10
    back_blocks: int = 20

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], code: Float[Array, "b h2 w2 k"]) -> Float[Array, "b h w c"]:
        """Blur images `[B, H, W, C]` in [0, 1], H and W multiples of 128.

        The code says what blur it is, `[B, H / 128, W / 128, kernel_dim]`.
        """
        x = image
        for index, stride in ((0, 1), (2, 2), (4, 2)):
            x = nn.leaky_relu(_conv(f"{_FEATURES}.{index}", self.features, stride)(x), 0.1)
        for index in range(self.front_blocks):
            x = _residual(f"{_FEATURES}.{6 + index}", x)

        x = self._adapt(x, code)

        for index in range(self.back_blocks):
            x = _residual(f"{_TRUNK}.{index}", x)
        last = self.back_blocks
        x = nn.leaky_relu(_pixel_shuffle(_conv(f"{_TRUNK}.{last}", 4 * self.features)(x)), 0.1)
        x = nn.leaky_relu(_pixel_shuffle(_conv(f"{_TRUNK}.{last + 3}", 256)(x)), 0.1)
        x = nn.leaky_relu(_conv(f"{_TRUNK}.{last + 6}", 64)(x), 0.1)
        return image + _conv(f"{_TRUNK}.{last + 8}", image.shape[-1])(x)

    def _adapt(self, x: Array, code: Array) -> Array:
        skips = []
        for depth, level in enumerate(_LEVELS):
            if depth:
                # The published network activates in place: what skips is the activated x.
                x = nn.leaky_relu(x, 0.2)
                skips.append(x)
            width = self.features * _WIDTHS[depth]
            x = _conv(f"{level}.down.{min(depth, 1)}", width, stride=2, side=4, use_bias=False)(x)
        x = jnp.concatenate([x, code], axis=-1)
        for depth, level in reversed(list(enumerate(_LEVELS))):
            width = self.features * (_WIDTHS[depth - 1] if depth else 1)
            up = nn.ConvTranspose(width, (4, 4), (2, 2), use_bias=not depth, precision=_EXACT, name=f"{level}.up.1")
            x = up(nn.relu(x))
            if depth:
                x = jnp.concatenate([x, skips[depth - 1]], axis=-1)
        return jnp.tanh(x)


def _conv(name: str, width: int, stride: int = 1, side: int = 3, use_bias: bool = True) -> nn.Conv:
    return nn.Conv(width, (side, side), (stride, stride), 1, use_bias=use_bias, precision=_EXACT, name=name)


def _residual(name: str, x: Array) -> Array:
    width = x.shape[-1]
    return x + _conv(f"{name}.conv2", width)(nn.relu(_conv(f"{name}.conv1", width)(x)))


def _pixel_shuffle(x: Array) -> Array:
    """Channels (c, i, j) to squares of 2 x 2 pixels."""
    b, h, w, c = x.shape
    return depth_to_space(x.reshape(b, h, w, c // 4, 4).swapaxes(3, 4).reshape(b, h, w, c), 2)


def blur_params(state_dict: Mapping[str, np.ndarray]) -> PyTree:
    """The parameters of the network from published weights: a kernel (i, j, in, out) and a bias for every layer.

    Widths and numbers of blocks are those of the weights. Prefixes of the names, such as "module.", and entries of
    other parts of the published model are skipped.

    Args:
        state_dict: name to array, as `read_state_dict` returns it; convolutions are (out, in, i, j).

    Raises:
        ValueError: if weights are missing, are there twice or have shapes that do not fit together.
    """
    params: dict[str, dict[str, Array]] = {}
    for name, array in state_dict.items():
        match = _LAYER.fullmatch(name)
        if match is None or "kernel_extractor." in name:
            continue
        layer, kind = match.groups()
        leaf = "bias" if kind == "bias" else "kernel"
        if leaf in params.setdefault(layer, {}):
            raise ValueError(
                f"the weights {layer}.{kind} are there twice, the second time as {name!r}: keep one copy of the "
                "network in the dict"
            )
        params[layer][leaf] = jnp.asarray(_kernel(layer, np.asarray(array)) if leaf == "kernel" else array, float)

    ends = f"{_FEATURES}.0", f"{_LEVELS[-1]}.down.1", f"{_LEVELS[-1]}.up.1"
    missing = [f"{layer}.weight" for layer in ends if "kernel" not in params.get(layer, {})]
    expected: PyTree = {} if missing else _expected(params)
    for layer, leaves in expected.items():
        for leaf, like in leaves.items():
            given = params.get(layer, {}).get(leaf)
            name = f"{layer}.{'weight' if leaf == 'kernel' else leaf}"
            if given is None:
                missing.append(name)
            elif given.shape != like.shape:
                raise ValueError(
                    f"{name} has shape {given.shape}, with the axes (i, j, in, out) if it is a convolution, and a "
                    f"network of these weights has {like.shape} there: the weights are of another network"
                )
    if missing:
        raise ValueError(
            f"the weights of a blur network lack {', '.join(missing)}; there are {len(state_dict)} entries, such as "
            f"{sorted(state_dict)[:3]}: take the file of the network that blurs, with its generator"
        )
    return {layer: {leaf: params[layer][leaf] for leaf in leaves} for layer, leaves in expected.items()}


def _kernel(layer: str, weight: np.ndarray) -> np.ndarray:
    if weight.ndim != 4:
        raise ValueError(f"{layer}.weight has shape {weight.shape}; a convolution has four axes, (out, in, i, j)")
    if ".up." in layer:
        # A transposed convolution is stored as (in, out, i, j) and acts mirrored.
        return weight.transpose(2, 3, 0, 1)[::-1, ::-1]
    return weight.transpose(2, 3, 1, 0)


def _network(params: PyTree) -> _BlurNet:
    def blocks(part: str) -> int:
        return sum(layer.startswith(part) and layer.endswith(".conv1") for layer in params)

    features = params[f"{_FEATURES}.0"]["kernel"].shape[3]
    return _BlurNet(features, blocks(_FEATURES), blocks(_TRUNK))


def _channels(params: PyTree) -> int:
    return params[f"{_FEATURES}.0"]["kernel"].shape[2]


def _kernel_dim(params: PyTree) -> int:
    bottom = _LEVELS[-1]
    return params[f"{bottom}.up.1"]["kernel"].shape[2] - params[f"{bottom}.down.1"]["kernel"].shape[3]


def _expected(params: PyTree) -> PyTree:
    image = jax.ShapeDtypeStruct((1, _SIDE, _SIDE, _channels(params)), jnp.float32)
    code = jax.ShapeDtypeStruct((1, 1, 1, _kernel_dim(params)), jnp.float32)
    return jax.eval_shape(_network(params).init, jax.random.key(0), image, code)["params"]


@pytree
class BlurNetwork(NonlinearOperator):
    """y = clip(2 F((x + 1) / 2, z) - 1, -1, 1); build it with `blur_network` or `blur_network_of_code`.

    Attributes:
        params: parameters of F; they fix its widths and numbers of blocks.
        code: z, (H / 128, W / 128, kernel_dim), without unit.
        image_shape: (H, W, C), in pixels.
    """

    params: PyTree
    code: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def forward(self, x: jax.Array) -> jax.Array:
        variables = {"params": self.params}
        y = cast(Array, _network(self.params).apply(variables, 0.5 * (x + 1)[None], self.code[None]))[0]
        return jnp.clip(2 * y - 1, -1, 1)


def blur_network(key: Key, image_shape: Shape, params: PyTree, deviation: float = 1.2) -> BlurNetwork:
    """A nonlinear blur with a random code, `z = deviation n` with n ~ N(0, I), drawn here and kept.

    Args:
        key: random key of the code.
        image_shape: (H, W, C), H and W multiples of 128.
        params: parameters of the network, as `blur_params` returns them.
        deviation: standard deviation of the code, without unit; 1.2 in the literature.

    Raises:
        ValueError: if a side is not a multiple of 128, or the channels are not those of the weights.
    """
    code = deviation * jax.random.normal(key, _code_shape(image_shape, params))
    return blur_network_of_code(code, image_shape, params)


def blur_network_of_code(code: Float[Array, "h w k"], image_shape: Shape, params: PyTree) -> BlurNetwork:
    """A nonlinear blur whose code is known, such as a recorded one; otherwise as `blur_network`.

    Args:
        code: z, `[H / 128, W / 128, kernel_dim]`, without unit.
        image_shape, params: as for `blur_network`.

    Raises:
        ValueError: as for `blur_network`, or if the code has another shape.
    """
    expected = _code_shape(image_shape, params)
    if code.shape != expected:
        raise ValueError(
            f"the code has shape {code.shape}, and the blur of an image {tuple(image_shape)} by these weights takes "
            f"one of {expected}: one vector for every {_SIDE} x {_SIDE} pixels"
        )
    return BlurNetwork(params, code, tuple(image_shape))


def _code_shape(image_shape: Shape, params: PyTree) -> Shape:
    shape = tuple(image_shape)
    channels = _channels(params)
    if len(shape) != 3 or min(shape) < 1 or shape[0] % _SIDE or shape[1] % _SIDE or shape[2] != channels:
        raise ValueError(
            f"image_shape is {shape}; the blur network halves images seven times and takes (height, width, {channels}) "
            f"with both sides multiples of {_SIDE}: crop, pad or resize the images"
        )
    return shape[0] // _SIDE, shape[1] // _SIDE, _kernel_dim(params)
