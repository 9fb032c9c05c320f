"""A U-Net whose answer at a pixel depends on the pixels around it alone, for pictures of any size.

No layer takes a statistic over the image and none attends to all of it, so that what the network says of a crop is what
it says of the whole picture, away from the edges of the crop by the radius of its receptive field. The shape of the
network (residual blocks without normalisation, additive skips) is that of DRUNet (Zhang et al., TPAMI 2021,
arXiv 2008.13751), with resolutions that change by folding pixels.
"""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from pgm_jax.networks.layers import convolution, depth_to_space, fourier_features, space_to_depth


class LocalUNet(nn.Module):
    """Residual blocks on the way down and up, without normalisation and without attention, one scalar condition.

    Attributes:
        channels: width of each level, finest first.
        blocks: residual blocks of each level on each way; those of the coarsest level come once.
        patch: side of the squares of pixels that are folded into channels at the door.
        embedding: width of the embedding of the condition.
        dtype: type of the computation; parameters and the result stay float32. In bfloat16 it has reverse-mode
            derivatives alone.
    """

    channels: tuple[int, ...] = (64, 128, 128)
    blocks: tuple[int, ...] = (1, 2, 3)
    patch: int = 2
    embedding: int = 128
    dtype: DTypeLike = jnp.float32

    @property
    def multiple(self) -> int:
        """What the sides of an image are to be multiples of, in pixels."""
        return self.patch * 2 ** (len(self.channels) - 1)

    @property
    def radius(self) -> int:
        """How far, in pixels along either axis, a pixel may be that has a say in an answer."""
        farthest, levels = 0, len(self.channels)
        for pixel in range(self.multiple):
            # Cells that have a say, from the answer back to the image: each 3 x 3 convolution adds one on either side.
            low = high = pixel // self.patch
            low, high = low - 1, high + 1
            for level in range(levels - 1):
                reach = 2 * self.blocks[level]
                low, high = (low - reach) // 2, (high + reach) // 2
            for level in reversed(range(levels)):
                reach = 2 * self.blocks[level]
                low, high = low - reach, high + reach
                if level:
                    low, high = 2 * low, 2 * high + 1
            low, high = self.patch * (low - 1), self.patch * (high + 2) - 1
            farthest = max(farthest, pixel - low, high - pixel)
        return farthest

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], c: Float[Array, " n"], maps: Float[Array, "b h w m"] | None = None
    ) -> Float[Array, "b h w c"]:
        """Map images and their condition to images.

        Args:
            x: images `[B, H, W, C]`; H and W are multiples of `multiple`.
            c: condition, of the order of 1, `[B]`; a batch of 1 serves all images.
            maps: conditions of every pixel, of the order of 1.
        """
        image_channels = x.shape[-1]
        condition = nn.silu(nn.Dense(self.embedding)(fourier_features(c, self.embedding)))
        x = x if maps is None else jnp.concatenate([x, maps], axis=-1)
        x = convolution(self.channels[0], self.dtype)(space_to_depth(x, self.patch).astype(self.dtype))
        skips = []
        for level, width in enumerate(self.channels):
            if level:
                skips.append(x)
                x = nn.Dense(width, dtype=self.dtype)(space_to_depth(x, 2))
            x = self._stage(x, condition, level)
        for level, width in reversed(list(enumerate(self.channels[:-1]))):
            x = depth_to_space(nn.Dense(4 * width, dtype=self.dtype)(x), 2) + skips[level]
            x = self._stage(x, condition, level)
        x = nn.Conv(image_channels * self.patch**2, (3, 3), kernel_init=nn.initializers.zeros)(x.astype(jnp.float32))
        return depth_to_space(x, self.patch)

    def _stage(self, x: Array, condition: Array, level: int) -> Array:
        for _ in range(self.blocks[level]):
            x = LocalBlock(self.channels[level], self.dtype)(x, condition)
        return x


class LocalBlock(nn.Module):
    """`x + conv(silu(scale * conv(x) + shift))`, scale and shift from the condition.

    Attributes:
        channels: width of x and of the result.
        dtype: type of the computation; parameters stay float32.
    """

    channels: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], condition: Float[Array, "n e"]) -> Float[Array, "b h w c"]:
        """Apply the block to features x; `condition` embeds the level, its batch may be 1, then it serves all of x."""
        h = convolution(self.channels, self.dtype)(x)
        modulation = nn.Dense(2 * self.channels, dtype=self.dtype)(condition)
        scale, shift = jnp.split(modulation[:, None, None, :], 2, axis=-1)
        h = nn.silu(h * (1 + scale) + shift)
        # The block starts as the identity, which lets deep networks train from the first step.
        return x + convolution(self.channels, self.dtype, kernel_init=nn.initializers.zeros)(h)
