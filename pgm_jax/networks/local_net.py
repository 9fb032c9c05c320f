"""A prior for pictures of any size, under noise of any covariance Sigma.

    phi(mu, Sigma) = m + w + c_out F(c_in (mu - m), log(level) / 4, maps)

with w, c_in, c_out and the maps of `metric_net`, but for the level, which is lam, or the greatest variance of a pixel
where Sigma is diagonal, in place of the mean of the variances, which a crop has another one of; the map of variances is
log(v / level) / 4.
F is a `LocalUNet`, of which the answer at a pixel depends on those around it: pictures are reflected to the multiple
that it needs, cut back, and, where they are large, evaluated tile by tile.
"""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pgm_jax.networks.local_unet import LocalUNet
from pgm_jax.networks.metric_net import MetricNetwork
from pgm_jax.types import Scalars


@dataclasses.dataclass(frozen=True)
class LocalNetwork(MetricNetwork):
    """A `LocalUNet` with its preconditioning: `init` and `apply` are pure functions of a plain dict of parameters.

    Attributes:
        module: maps (images `[B, H, W, C]`, condition `[B]`, maps `[B, H, W, 3 C]`) to images.
        image_shape: (None, None, C), for pictures of any height and width.
        mean, std, period: see `MetricNetwork`.
        tile: side in pixels of the tiles in which a larger picture is evaluated, or None, for one pass.
    """

    module: LocalUNet
    image_shape: tuple[None, None, int] = (None, None, 3)
    tile: int | None = None

    def __post_init__(self):
        if self.tile is not None and (self.tile < 1 or self.tile % self.module.multiple):
            raise ValueError(f"The tile is {self.tile}; give a positive multiple of {self.module.multiple} pixels.")

    def conditions(self, mu: Float[Array, "h w c"], metric: Any) -> tuple[Array, ...]:
        """What the network is told beside mu: variances, comb and w, see `MetricNetwork`, and the level.

        Args:
            mu, metric: one image, in [-1, 1] plus noise, and Sigma.
        """
        variances, *others = super().conditions(mu, metric)
        # A picture that is seen everywhere, by a mask, is one under noise that is the same everywhere.
        level = jnp.max(variances) if metric.entrywise else metric.lam
        return variances, *others, jnp.asarray(level, mu.dtype)

    def isotropic(self, mu: Float[Array, "*b h w c"], lam: Scalars) -> tuple[Array, ...]:
        """`conditions` for Sigma = lam I, of one image or of a batch.

        Args:
            mu, lam: images, and the variance, one or `[B]`.
        """
        return *super().isotropic(mu, lam), jnp.broadcast_to(jnp.asarray(lam, mu.dtype), mu.shape[:-3])

    def apply(
        self,
        params: PyTree,
        mu: Float[Array, "*b h w c"],
        variances: Array,
        coupling: Array,
        believed: Array,
        lam: Array,
    ) -> Array:
        """Evaluate phi(mu, Sigma), for a batch or for one image.

        Args:
            params: what `init` returned, or trained from it.
            mu: `[B, H, W, C]` or `[H, W, C]`, in [-1, 1] plus noise.
            variances, coupling, believed, lam: what `conditions` says, of the shape of mu, and the level.

        Raises:
            ValueError: if mu has other channels.
        """
        return self._evaluate(params, mu, variances, coupling, believed, lam)

    def _learned(self, params: PyTree, x: Array, condition: Array, maps: Array) -> Array:
        height, width, channels = x.shape[1:]
        inputs = jnp.concatenate([x, maps], axis=-1)
        missing = [-side % self.module.multiple for side in (height, width)]
        inputs = jnp.pad(inputs, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")

        def module(inputs: Array) -> Array:
            of_image, maps = inputs[..., :channels], inputs[..., channels:]
            return cast(Array, self.module.apply({"params": params}, of_image, condition, maps))

        out = module(inputs) if self.tile is None else in_tiles(module, inputs, self.tile, self.halo)
        return out[:, :height, :width]

    @property
    def halo(self) -> int:
        """How far tiles overlap, in pixels: the radius of the receptive field, up to the next multiple."""
        return -(-self.module.radius // self.module.multiple) * self.module.multiple


def in_tiles(function: Any, x: Float[Array, "b h w c"], tile: int, halo: int) -> Float[Array, "b h w d"]:
    """A local function of images, evaluated tile by tile, in the memory of one of them.

    Args:
        function: maps `[B, h, w, C]` to `[B, h, w, D]`; an answer depends on inputs no farther than `halo`.
        x: images, whose sides are multiples of what the function needs, as are `tile` and `halo`.
        tile, halo: side of a tile, and how far its window reaches beyond it, in pixels.
    """
    batch, height, width, _ = x.shape
    # A window that would reach beyond the image begins or ends at its edge, as the function of all of it does.
    windows = [min(side, tile + 2 * halo) for side in (height, width)]
    sides = [min(side, tile) for side in (height, width)]
    corners = [np.minimum(np.arange(0, s, t), s - t) for s, t in zip((height, width), sides, strict=True)]
    places = np.stack(np.meshgrid(*corners, indexing="ij"), axis=-1).reshape(-1, 2)
    starts = np.clip(places - halo, 0, np.array([height, width]) - windows)

    def one(place: tuple[Array, Array]) -> Array:
        corner, start = place
        window = jax.lax.dynamic_slice(x, (0, *start, 0), (batch, *windows, x.shape[3]))
        inside = corner - start
        answer = function(window)
        return jax.lax.dynamic_slice(answer, (0, *inside, 0), (batch, *sides, answer.shape[3]))

    tiles = jax.lax.map(one, (jnp.asarray(places), jnp.asarray(starts)))
    out = jnp.zeros((batch, height, width, tiles.shape[-1]), tiles.dtype)

    def put(out: Array, each: tuple[Array, Array]) -> tuple[Array, None]:
        tile_of, corner = each
        return jax.lax.dynamic_update_slice(out, tile_of, (0, *corner, 0)), None

    return jax.lax.scan(put, out, (tiles, jnp.asarray(places)))[0]
