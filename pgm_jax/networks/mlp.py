"""A network for points instead of images: dense residual blocks that are conditioned on one scalar.

A point of d numbers comes as an image of shape (1, 1, d), so that it goes where a U-Net goes.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from pgm_jax.networks.layers import fourier_features


class MLP(nn.Module):
    """Residual blocks `h + W2 silu(scale * norm(W1 h) + shift)`, scale and shift from the embedded condition.

    Attributes:
        width: number of features of each block.
        blocks: number of blocks.
        embedding: width of the embedding of the condition, even.
    """

    width: int = 64
    blocks: int = 2
    embedding: int = 32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], c: Float[Array, "n *k"]) -> Float[Array, "b h w c"]:
        """Map images and their condition to images; every number of an image meets every other.

        Args:
            x: images `[B, H, W, C]`, of a fixed H W C.
            c: condition, of the order of 1, `[B]`, or `[B, k]` for k of them; a batch of 1 serves all images.
        """
        condition = nn.silu(nn.Dense(self.embedding)(fourier_features(c, self.embedding)))
        points = x.reshape(x.shape[0], -1)
        h = nn.Dense(self.width)(points)
        for _ in range(self.blocks):
            scale, shift = jnp.split(nn.Dense(2 * self.width)(condition), 2, axis=-1)
            # Normalised features stay bounded, so that far points do not blow up the correction.
            features = nn.LayerNorm(use_bias=False, use_scale=False)(nn.Dense(self.width)(h))
            h = h + nn.Dense(self.width)(nn.silu(features * (1 + scale) + shift))
        # The wrapped network starts as the prox of a Gaussian, see `Preconditioned`.
        out = nn.Dense(points.shape[-1], kernel_init=nn.initializers.zeros)(nn.silu(h))
        return out.reshape(x.shape)
