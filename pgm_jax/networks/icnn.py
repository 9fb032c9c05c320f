"""Input-convex networks: a number psi(y) that is convex in y whatever was learned, as no inner weight is negative.

    z_0 = act(V_0 y + b_0)      z_{j+1} = act(W_{j+1} z_j + V_{j+1} y + b_{j+1})      psi = w z + v y + alpha |y|^2

with W >= 0 and w >= 0, and `act(u) = softplus(beta u) / beta`, convex, increasing and of class C^2. The Hessian of psi
is at least 2 alpha. Non-negative weights are kept by projection, `nonnegative` at the start and `keep_nonnegative` in
the optimizer, or by writing them as softplus of free ones.

Source: Amos, Xu and Kolter, ICML 2017; the C^2 activation and alpha from LPN (Fang, Buchanan and Sulam, ICLR 2024).
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from pgm_jax.networks.convolutions import convolve

INNER = "inner"  # leaves of this name are the weights that must not be negative
WAYS = ("projection", "softplus")


@jax.custom_jvp
def softplus(u: Float[Array, "..."]) -> Float[Array, "..."]:
    """`log(1 + exp(u))`, whose derivative is written as a sigmoid: half the time of `jax.nn.softplus` in a gradient."""
    return jnp.maximum(u, 0) + jnp.log1p(jnp.exp(-jnp.abs(u)))


@softplus.defjvp
def _slope(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return softplus(primals[0]), jax.nn.sigmoid(primals[0]) * tangents[0]


def nonnegative(params: PyTree) -> PyTree:
    """The parameters with their inner weights cut off at 0; what is already there stays, and the rest is not touched.

    Args:
        params: parameters of an input-convex network.
    """
    return jax.tree_util.tree_map_with_path(lambda path, leaf: jnp.maximum(leaf, 0) if is_inner(path) else leaf, params)


def is_inner(path: tuple) -> bool:
    """Whether the leaf at a `path` of the parameters is one of the weights that must not be negative."""
    return str(getattr(path[-1], "key", path[-1])).startswith(INNER)


class _Convex(nn.Module):
    """What the dense and the convolutional network share.

    Attributes:
        beta: sharpness of the softplus.
        alpha: weight of |y|^2; the Hessian is at least twice this.
        way: how inner weights are kept from being negative, "projection" or "softplus".
        activation: convex and increasing function of class C^2, scaled by beta.
    """

    beta: float = 10.0
    alpha: float = 0.0
    way: str = "projection"
    activation: Callable[[Array], Array] = softplus

    def act(self, u: Array) -> Array:
        """The scaled activation, `activation(beta u) / beta`."""
        return self.activation(self.beta * u) / self.beta

    def inner(self, place: int, shape: tuple[int, ...]) -> Array:
        """Non-negative weights, `[..., in, out]`, which average what comes in at the start."""
        fan_in = math.prod(shape[:-1])
        if self.way == "softplus":
            # softplus(free) is about exp(free) here.
            return jax.nn.softplus(self.param(f"free_{place}", _around(math.log(1 / fan_in)), shape))
        return self.param(f"{INNER}_{place}", lambda key, shape: jax.random.uniform(key, shape) * 2 / fan_in, shape)


def _spread(fan_in: int) -> dict[str, Any]:
    """Initial weights and biases of one size, so that the bends of the units lie all over the data and not at 0."""
    bound = fan_in**-0.5
    uniform = lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)  # noqa: E731
    return dict(kernel_init=uniform, bias_init=uniform)


def _around(mean: float) -> Callable:
    return lambda key, shape: mean + 0.1 * jax.random.normal(key, shape)


class ICNN(_Convex):
    """A dense input-convex network.

    Attributes:
        widths: features of each layer.
        beta: sharpness of the softplus.
        alpha: weight of |y|^2; the Hessian is at least 2 alpha. At 0 psi is linear far out, so that its gradient has a
            bounded range, outside of which the prior is infinite.
        way: how inner weights are kept from being negative, "projection" or "softplus".
        activation: convex and increasing function of class C^2.
    """

    widths: tuple[int, ...] = (50, 50, 50, 50, 50)

    @nn.compact
    def __call__(self, y: Float[Array, "b h w c"]) -> Float[Array, " b"]:
        """The value psi(y) of each image, `[B]`.

        Args:
            y: images `[B, H, W, C]`, of a fixed H W C.
        """
        points = y.reshape(y.shape[0], -1)
        z = self.act(nn.Dense(self.widths[0], **_spread(points.shape[1]))(points))
        for place, width in enumerate(self.widths[1:], 1):
            skip = nn.Dense(width, **_spread(points.shape[1]))(points)
            z = self.act(z @ self.inner(place, (z.shape[1], width)) + skip)
        out = z @ self.inner(len(self.widths), (z.shape[1], 1)) + nn.Dense(1, use_bias=False)(points)
        return out[:, 0] + self.alpha * jnp.sum(points**2, axis=1)


class _Conv(nn.Module):
    """A convolution with a bias, by `convolve`."""

    features: int
    size: int
    stride: int = 1

    @nn.compact
    def __call__(self, y: Array) -> Array:
        shape = self.size, self.size, y.shape[-1], self.features
        spread = _spread(self.size**2 * y.shape[-1])
        kernel = self.param("kernel", spread["kernel_init"], shape)
        bias = self.param("bias", spread["bias_init"], shape[-1:])
        return convolve(y, kernel, self.stride) + bias[None, None, None]


class ConvICNN(_Convex):
    """A convolutional input-convex network for images of every size, the sum of local ones.

    Attributes:
        channels: width of every layer.
        strides: stride of each layer; the sides of an image are multiples of their product.
        size: side of the convolution kernels.
        beta, alpha, way, activation: as for `ICNN`.
    """

    channels: int = 64
    strides: tuple[int, ...] = (1, 2, 1, 2)
    size: int = 3

    @nn.compact
    def __call__(self, y: Float[Array, "b h w c"]) -> Float[Array, " b"]:
        """The value psi(y) of each image, `[B]`.

        Args:
            y: images `[B, H, W, C]`.

        Raises:
            ValueError: if a side is no multiple of the product of the strides.
        """
        factor, sides = math.prod(self.strides), y.shape[1:3]
        if any(side % factor for side in sides):
            raise ValueError(
                f"The images are {sides[0]} x {sides[1]}; the strides {self.strides} take sides that are multiples of "
                f"{factor}: crop or pad the images, or evaluate patches."
            )
        z = self.act(_Conv(self.channels, self.size, self.strides[0], name="Conv_0")(y))
        for place, stride in enumerate(self.strides[1:], 1):
            z = convolve(z, self.inner(place, (self.size, self.size, self.channels, self.channels)), stride)
            seen = _averaged(y, math.prod(self.strides[: place + 1]))
            z = self.act(z + _Conv(self.channels, self.size, name=f"Conv_{place}")(seen))
        local = jnp.sum(z, axis=(1, 2)) @ self.inner(len(self.strides), (self.channels, 1))
        return local[:, 0] + self.alpha * jnp.sum(y**2, axis=(1, 2, 3))


class Patched(nn.Module):
    """A convex network of patches as one of whole images: the mean over the patches that cover a pixel.

    `psi(y) = sum_k (stride / patch)^2 psi_patch(y_k)` over all patches of a periodic image. Every pixel is in as many
    of them, so that the gradient, the mean of the patches' own, is a prox again; where coverage differs, the mean is no
    prox.

    Attributes:
        module: convex network of patches, such as `ICNN` or `ConvICNN`.
        patch: side of a patch, in pixels.
        stride: distance of neighbouring patches; it divides `patch` and the sides of an image.
    """

    module: Any
    patch: int
    stride: int

    @property
    def alpha(self) -> float:
        """Weight of |y|^2, that of the module, since every pixel is covered as often."""
        return self.module.alpha

    @property
    def way(self) -> str:
        """How the module keeps its inner weights from being negative."""
        return self.module.way

    @property
    def activation(self) -> Callable[[Array], Array]:
        """The activation of the module."""
        return self.module.activation

    @nn.compact
    def __call__(self, y: Float[Array, "b h w c"]) -> Float[Array, " b"]:
        """The value psi(y) of each image, `[B]`.

        Args:
            y: images `[B, H, W, C]`.

        Raises:
            ValueError: if the patches do not cover every pixel equally often.
        """
        b, h, w, c = y.shape
        if self.patch % self.stride or h % self.stride or w % self.stride or self.patch > min(h, w):
            raise ValueError(
                f"Patches of {self.patch} at distances of {self.stride} do not cover the pixels of {h} x {w} images "
                "equally; take a stride that divides the patch and both sides, and a patch no larger than the image."
            )
        rows, columns = (
            (jnp.arange(0, side, self.stride)[:, None] + jnp.arange(self.patch)[None, :]) % side for side in (h, w)
        )
        # [b, rows of patches, patch, columns of patches, patch, c]
        patches = y[:, rows][:, :, :, columns].transpose(0, 1, 3, 2, 4, 5)
        values = self.module(patches.reshape(-1, self.patch, self.patch, c)).reshape(b, -1)
        return (self.stride / self.patch) ** 2 * jnp.sum(values, axis=1)


def _averaged(y: Array, factor: int) -> Array:
    b, h, w, c = y.shape
    return jnp.mean(y.reshape(b, h // factor, factor, w // factor, factor, c), axis=(2, 4))
