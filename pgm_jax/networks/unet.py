"""A U-Net over images that is conditioned on one scalar per image.

Resolutions change by folding squares of pixels into channels and back, which is exact and, unlike strided
convolutions, a dense product; the skip connections add. The first fold (`patch`) makes small networks wide enough
to keep a processor busy.
"""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from pgm_jax.networks.layers import (
    Attention,
    ResidualBlock,
    convolution,
    depth_to_space,
    fourier_features,
    space_to_depth,
)


class UNet(nn.Module):
    """Residual blocks on the way down and up, attention at chosen levels, one scalar condition.

    Attributes:
        channels: width of each level, finest first.
        blocks: residual blocks of each level on each way.
        attention: for each level, whether its blocks are followed by attention.
        patch: side of the squares of pixels that are folded into channels at the door.
        head_channels: channels of one attention head.
        embedding: width of the embedding of the condition.
        dtype: type of the computation; parameters and the result stay float32. In bfloat16 it has reverse-mode
            derivatives alone.
    """

    channels: tuple[int, ...] = (64, 128)
    blocks: tuple[int, ...] = (1, 2)
    attention: tuple[bool, ...] = (False, False)
    patch: int = 2
    head_channels: int = 64
    embedding: int = 128
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], c: Float[Array, "n *k"], maps: Float[Array, "b h w m"] | None = None
    ) -> Float[Array, "b h w c"]:
        """Map images and their condition to images.

        Args:
            x: images `[B, H, W, C]`; H and W are multiples of `patch * 2^(levels - 1)`.
            c: condition, of the order of 1, `[B]`, or `[B, k]` for k of them; a batch of 1 serves all images.
            maps: conditions of every pixel, of the order of 1; they have no say before the first step of training.
        """
        image_channels = x.shape[-1]
        condition = nn.Dense(self.embedding)(fourier_features(c, self.embedding))
        condition = nn.silu(nn.Dense(self.embedding)(nn.silu(condition)))
        x = convolution(self.channels[0], self.dtype)(space_to_depth(x, self.patch).astype(self.dtype))
        if maps is not None:
            folded = space_to_depth(maps, self.patch).astype(self.dtype)
            silent = nn.initializers.zeros
            told = convolution(self.channels[0], self.dtype, use_bias=False, kernel_init=silent, name="maps")
            x = x + told(folded)

        skips = []
        for level, width in enumerate(self.channels):
            if level:
                x = nn.Dense(width, dtype=self.dtype)(space_to_depth(x, 2))
            x = self._stage(x, condition, level)
            skips.append(x)
        for level, width in reversed(list(enumerate(self.channels))):
            if level < len(self.channels) - 1:
                x = depth_to_space(nn.Dense(4 * width, dtype=self.dtype)(x), 2) + skips[level]
            x = self._stage(x, condition, level)

        x = nn.silu(nn.GroupNorm(num_groups=max(1, self.channels[0] // 16), dtype=self.dtype)(x)).astype(jnp.float32)
        x = nn.Conv(image_channels * self.patch**2, (3, 3), kernel_init=nn.initializers.zeros)(x)
        return depth_to_space(x, self.patch)

    def _stage(self, x: Array, condition: Array, level: int) -> Array:
        for _ in range(self.blocks[level]):
            x = ResidualBlock(self.channels[level], dtype=self.dtype)(x, condition)
        return Attention(self.head_channels, dtype=self.dtype)(x) if self.attention[level] else x
