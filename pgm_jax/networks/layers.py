"""The parts of a U-Net that is conditioned on a vector: features, residual block, attention, exact resampling."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from pgm_jax.networks.convolutions import convolve_half


def fourier_features(c: Float[Array, "b *k"], count: int) -> Float[Array, "b count"]:
    """Sines and cosines of scalars, `sin(c w_k)` and `cos(c w_k)`, w_k geometric from 1/4 to 16.

    Args:
        c: one scalar per example, `[B]`, or k of them, `[B, k]`, which share the features; of the order of 1, no unit.
        count: number of features, a multiple of 2 k.
    """
    if c.ndim == 2:
        each = count // c.shape[1]
        return jnp.concatenate([fourier_features(c[:, i], each) for i in range(c.shape[1])], axis=-1)
    frequencies = 0.25 * 64.0 ** (jnp.arange(count // 2) / max(count // 2 - 1, 1))
    angles = c[:, None] * frequencies[None, :].astype(c.dtype)
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def space_to_depth(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c2"]:
    """Fold squares of `factor` x `factor` pixels into channels, `[B, H, W, C]` to `[B, H/f, W/f, f f C]`; lossless.

    Args:
        x, factor: features whose H and W are multiples of `factor`, and that, the side of a square in pixels.
    """
    b, h, w, c = x.shape
    x = x.reshape(b, h // factor, factor, w // factor, factor, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // factor, w // factor, factor * factor * c)


def depth_to_space(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c2"]:
    """The inverse of `space_to_depth`, for an x whose channels are a multiple of `factor`^2."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, factor, factor, c // factor**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h * factor, w * factor, c // factor**2)


def convolution(channels: int, dtype: DTypeLike, **options: Any) -> nn.Conv:
    """A layer that convolves with 3 x 3 weights and adds a bias.

    Args:
        channels, dtype: width of the result, and type of the computation; parameters stay float32.
        options: `use_bias`, `kernel_init` and `name`, as of `flax.linen.Conv`.
    """
    product = convolve_half if jnp.dtype(dtype) == jnp.bfloat16 else None
    return nn.Conv(channels, (3, 3), dtype=dtype, conv_general_dilated=product, **options)


def _norm(channels: int, dtype: DTypeLike, name: str | None = None) -> nn.GroupNorm:
    return nn.GroupNorm(num_groups=max(1, channels // 16), dtype=dtype, name=name)


class ResidualBlock(nn.Module):
    """`x + conv(silu(scale * norm(conv(silu(norm(x)))) + shift))`, scale and shift from the condition.

    Attributes:
        channels: width of the result.
        dtype: type of the computation; parameters stay float32.
    """

    channels: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], condition: Float[Array, "n e"]) -> Float[Array, "b h w d"]:
        """Apply the block to features x; `condition` embeds the level, its batch may be 1, then it serves all of x."""
        h = nn.silu(_norm(x.shape[-1], self.dtype)(x))
        h = convolution(self.channels, self.dtype)(h)
        modulation = nn.Dense(2 * self.channels, dtype=self.dtype)(condition)
        scale, shift = jnp.split(modulation[:, None, None, :], 2, axis=-1)
        h = nn.silu(_norm(self.channels, self.dtype)(h) * (1 + scale) + shift)
        # The block starts as the identity, which lets deep networks train from the first step.
        h = convolution(self.channels, self.dtype, kernel_init=nn.initializers.zeros)(h)
        if x.shape[-1] != self.channels:
            x = nn.Dense(self.channels, dtype=self.dtype)(x)
        return x + h


class Attention(nn.Module):
    """Self-attention over all pixels, `x + W softmax(q k^T / sqrt(d)) v`.

    Attributes:
        head_channels: width d of a head; it divides the width of the features.
        dtype: type of the computation; parameters stay float32.
    """

    head_channels: int = 64
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Apply attention to all pixels of each image of features x, their channels a multiple of `head_channels`."""
        b, h, w, c = x.shape
        tokens = _norm(c, self.dtype)(x).reshape(b, h * w, c)
        shape = (b, h * w, 3, c // self.head_channels, self.head_channels)
        qkv = nn.Dense(3 * c, dtype=self.dtype)(tokens).reshape(shape)
        mixed = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]).reshape(b, h, w, c)
        return x + nn.Dense(c, dtype=self.dtype, kernel_init=nn.initializers.zeros)(mixed)
