"""Down-sampling of a blurred image: y is every f-th pixel of a `CircularBlur`, the first one included.

A = D B with B = F^-1 K F and D x = x[::f, ::f]. Decimation adds up the f f frequencies of x that look the same on the
coarse grid (aliases), hence A A^T is diagonal in the discrete Fourier basis of y,

    A A^T = F^-1 G F,   G = mean of |K|^2 over the aliases
    solve(v, y, rho) = v + A^T F^-1 [ 1 / (G + rho) * F (y - A v) ]
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from pgm_jax.operators.base import ClosedForm, check_image_shape
from pgm_jax.operators.blur import CircularBlur, circular_blur
from pgm_jax.operators.resize import check_factor
from pgm_jax.operators.solvers import ACCURATE, Solver
from pgm_jax.types import Scalar, Shape, pytree


@pytree
class BlurDownsampling(ClosedForm):
    """y = (B x)[::factor, ::factor]; build it with `blur_downsampling`.

    Attributes:
        blur: B.
        factor: f, divides H and W.
        image_shape: (H, W, C); y is (H / f, W / f, C).
    """

    blur: CircularBlur
    factor: int = dataclasses.field(metadata=dict(static=True))
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    @property
    def folded(self) -> jax.Array:
        """G, the gain of A A^T at every frequency of y: (H / f, W / f)."""
        height, width, _ = self.image_shape
        f = self.factor
        power = jnp.abs(self.blur.spectrum) ** 2
        return jnp.mean(power.reshape(f, height // f, f, width // f), axis=(0, 2))

    def forward(self, x: jax.Array) -> jax.Array:
        """A x = (B x)[::f, ::f]."""
        return self.blur.forward(x)[:: self.factor, :: self.factor]

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r: B^T of r with f - 1 zeros after every pixel."""
        between = (0, self.factor - 1, self.factor - 1)
        return self.blur.adjoint(jax.lax.pad(r, jnp.zeros((), r.dtype), (between, between, (0, 0, 0))))

    def solve(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> jax.Array:
        """v + A^T F^-1 [ 1 / (G + rho) * F (y - A v) ], 0 in place of 1 / 0."""
        residual = y - self.forward(v)
        folded = self.folded[:, : residual.shape[1] // 2 + 1]
        weights = jnp.where(folded > 0, 1 / jnp.where(folded > 0, folded + rho, 1), 0)
        spectrum = weights[..., None] * jnp.fft.rfft2(residual, axes=(0, 1))
        return v + self.adjoint(jnp.fft.irfft2(spectrum, s=residual.shape[:2], axes=(0, 1)))

    def norm(self) -> jax.Array:
        """sqrt(max G)."""
        return jnp.sqrt(jnp.max(self.folded))


def blur_downsampling(image_shape: Shape, kernel: ArrayLike, factor: int) -> BlurDownsampling:
    """Convolve every channel with `kernel` on the torus, and keep every factor-th pixel of every factor-th row.

    Args:
        image_shape: (H, W, C); y is (H / factor, W / factor, C).
        kernel: (k, l), odd sides, as for `circular_blur`.
        factor: whole and positive; pixel (0, 0) is kept.
    """
    image_shape = check_image_shape(image_shape)
    return BlurDownsampling(circular_blur(image_shape, kernel), check_factor(image_shape, factor), image_shape)
