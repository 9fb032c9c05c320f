"""Total variation of images, and its prox by an accelerated gradient method on the dual.

With D the forward differences of an image, 0 across its last row and column, and the radius t = lam * weight,

    Prox(v) = v - D^T q*,   q* = argmin |v - D^T q|^2 / 2   over |q_i| <= t at every pixel i

Beck and Teboulle, "Fast gradient-based algorithms for constrained total variation image denoising and deblurring
problems", IEEE Trans. Image Processing 18 (2009): their FGP, with its dual variable times t, so that t = 0 needs no
division, and restarted where it turns back (O'Donoghue and Candes, Foundations of Computational Mathematics 15, 2015).
Its start is the gradient field q whose divergence is v less its mean, cut to the bound: the solution where t is large.

Accuracy: for p = v - D^T q the gap of primal and dual bounds the error,

    |p - Prox(v)|^2 <= gap(q) = sum_i (t |(D p)_i| - <q_i, (D p)_i>)

For images in [-1, 1] of 64 x 64 pixels, noisy with the variance lam, weight 8 and 200 iterations, sqrt(gap / pixels) is
below 1e-4 at t = 0.03, 1e-3 at t = 0.1 and 5e-3 at t = 0.3, and the error itself about a tenth of that.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.potentials.base import ByAutodiff
from pgm_jax.types import Image, Scalar, pytree

_NORM = 8.0  # no smaller than |D|^2


@pytree
class TotalVariation(ByAutodiff):
    """The isotropic total variation, `g(x) = w sum_i sqrt((D_1 x)_i^2 + (D_2 x)_i^2)`, summed over the channels.

    Attributes:
        weight: w, not negative, in inverse units of x.
        iterations: steps of the dual method, the same for every lam; `prox_with_gap` says what they reach.
    """

    weight: Scalar
    iterations: int = dataclasses.field(default=200, metadata=dict(static=True))

    def value(self, x: Image) -> Float[Array, ""]:
        """The value, the length of the two differences of every pixel and channel."""
        return self.weight * jnp.sum(self._length(_differences(x)))

    def prox(self, v: Image, lam: Scalar) -> Image:
        """The prox to within the root of the gap that `prox_with_gap` returns with it."""
        return self.prox_with_gap(v, lam)[0]

    def prox_with_gap(self, v: Image, lam: Scalar) -> tuple[Image, Float[Array, ""]]:
        """The prox p and its duality gap, which bounds `|p - Prox(v)|^2` and `lam g(p) + |p - v|^2 / 2 - min`.

        Args:
            v, lam: image, and step of the prox.
        """
        radius = lam * self.weight
        dual = self._dual(v, radius)
        p = v - _adjoint(dual)
        slopes = _differences(p)
        return p, jnp.sum(radius * self._length(slopes) - jnp.sum(dual * slopes, axis=0))

    def _dual(self, v: Array, radius: Scalar) -> Array:
        """The argument q of the minimum."""

        def step(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            q, ahead, inertia = state
            following = self._shorten(ahead + _differences(v - _adjoint(ahead)) / _NORM, radius)
            turned = jnp.sum((ahead - following) * (following - q)) > 0
            grown = jnp.where(turned, 1.0, (1 + jnp.sqrt(1 + 4 * inertia**2)) / 2)
            momentum = jnp.where(turned, 0.0, (inertia - 1) / grown)
            return following, following + momentum * (following - q), grown

        start = self._shorten(_differences(_inverse_laplacian(v)), radius)
        return jax.lax.fori_loop(0, self.iterations, step, (start, start, jnp.ones((), v.dtype)))[0]

    def _length(self, field: Array) -> Array:
        """The length of a field `[2, H, W, C]` at every pixel, with the derivative 0 where it is 0."""
        square = jnp.sum(field**2, axis=0)
        return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)

    def _shorten(self, field: Array, radius: Scalar) -> Array:
        """The nearest field whose dual length is at most the radius at every pixel."""
        length = self._length(field)
        return field * jnp.where(length > radius, radius / jnp.where(length > radius, length, 1.0), 1.0)[None]


@pytree
class AnisotropicTotalVariation(TotalVariation):
    """The anisotropic total variation, `g(x) = w sum_i (|(D_1 x)_i| + |(D_2 x)_i|)`, summed over the channels."""

    def _length(self, field: Array) -> Array:
        return jnp.sum(jnp.abs(field), axis=0)

    def _shorten(self, field: Array, radius: Scalar) -> Array:
        return jnp.clip(field, -radius, radius)


def _differences(x: Array) -> Array:
    """D x, `[2, H, W, C]`: the differences to the next row and to the next column."""
    down = jnp.pad(jnp.diff(x, axis=0), ((0, 1), (0, 0), (0, 0)))
    right = jnp.pad(jnp.diff(x, axis=1), ((0, 0), (0, 1), (0, 0)))
    return jnp.stack([down, right])


def _adjoint(field: Array) -> Array:
    """D^T q, less the divergence of q."""
    down, right = field[0, :-1], field[1, :, :-1]
    rows = -jnp.diff(jnp.pad(down, ((1, 1), (0, 0), (0, 0))), axis=0)
    return rows - jnp.diff(jnp.pad(right, ((0, 0), (1, 1), (0, 0))), axis=1)


def _inverse_laplacian(v: Array) -> Array:
    """The x of mean 0 with `D^T D x = v - mean v`: the cosine transform makes `D^T D` diagonal."""
    rows, cols = (4 * jnp.sin(jnp.pi * jnp.arange(n, dtype=v.dtype) / (2 * n)) ** 2 for n in v.shape[:2])
    gains = (rows[:, None] + cols[None, :]).at[0, 0].set(jnp.inf)
    return jax.scipy.fft.idctn(jax.scipy.fft.dctn(v, axes=(0, 1)) / gains[..., None], axes=(0, 1))
