"""Distributions on the line with a closed-form prox and a posterior mean by quadrature; the W1 of two Gaussians.

    U(x) = w (x - c)^2 / 2 + r max(x, 0) + l max(-x, 0)     on [low, high], infinite outside

is Gaussian, Laplace, one-sided exponential, uniform, truncated normal, or Laplace times Gaussian. Use float64, by
`jax.enable_x64(True)`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf
from jaxtyping import Array, Float

from pgm_jax.types import Scalar, Scalars

NODES = 24  # of Gauss-Legendre on each piece, where the exponent is a quadratic and falls by at most DEPTH
DEPTH = 40.0


class Distribution(NamedTuple):
    """The density exp(-U): weight w and centre c of the quadratic, slopes l and r at its kink 0, and its support."""

    weight: Scalar = 0.0
    centre: Scalar = 0.0
    left: Scalar = 0.0
    right: Scalar = 0.0
    low: Scalar = -np.inf
    high: Scalar = np.inf

    @jax.jit
    def prox(self, v: Array, lam: Scalars) -> Array:
        """Prox_U^lam(v): the mode of p(x_0 | x = v), elementwise."""
        k, c = self._joined(v, lam)
        u = jnp.maximum(c - self.right / k, 0.0) + jnp.minimum(c + self.left / k, 0.0)
        return jnp.clip(u, self.low, self.high)

    @jax.jit
    def mean_less_mode(self, v: Array, lam: Scalars) -> Array:
        """E[x_0 | x = v] - Prox_U^lam(v), by Gauss-Legendre on each piece, without cancellation."""
        k, c = self._joined(v, lam)
        mode = self.prox(v, lam)

        def exponent(u: Array) -> Array:
            return k / 2 * (u - c) ** 2 + self.right * jnp.maximum(u, 0.0) + self.left * jnp.maximum(-u, 0.0)

        x, w = np.polynomial.legendre.leggauss(NODES)
        t, w = (jnp.asarray(a).reshape((NODES,) + (1,) * v.ndim) for a in ((x + 1) / 2, w / 2))
        mass = moment = jnp.zeros_like(v)
        kink = jnp.clip(0.0, self.low, self.high)
        for start, end, slope in ((self.low, kink, -self.left), (kink, self.high, self.right)):
            top = jnp.clip(c - slope / k, start, end)
            steepness = k * (top - c) + slope
            height = jnp.exp(exponent(mode) - exponent(top))
            for sign, room in ((1.0, end - top), (-1.0, top - start)):
                fall = jnp.maximum(sign * steepness, 0.0)
                length = jnp.minimum(room, 2 * DEPTH / (fall + jnp.sqrt(fall**2 + 2 * DEPTH * k)))
                step = t * length[None]
                share = w * (height * length)[None] * jnp.exp(-fall[None] * step - (k / 2)[None] * step**2)
                mass += share.sum(axis=0)
                moment += (share * ((top - mode)[None] + sign * step)).sum(axis=0)
        return moment / mass

    @jax.jit
    def denoise(self, v: Array, lam: Scalars) -> Array:
        """E[x_0 | x = v], elementwise."""
        return self.prox(v, lam) + self.mean_less_mode(v, lam)

    def quantiles(self, count: int) -> np.ndarray:
        """The quantiles at (i + 1/2) / count, by the trapezoidal rule on a fine grid."""
        tail = np.log(count) + 12  # in nats: the mass beyond it is far below 1 / count
        slope = max(self.left, self.right)
        reach = np.sqrt(2 * tail / self.weight) + slope / self.weight if self.weight else tail / max(slope, 1e-300)
        x = np.linspace(max(self.low, self.centre - reach), min(self.high, self.centre + reach), 400_001)
        u = self.weight / 2 * (x - self.centre) ** 2 + self.right * np.maximum(x, 0) + self.left * np.maximum(-x, 0)
        p = np.exp(u.min() - u)
        cdf = np.concatenate([[0.0], np.cumsum((p[1:] + p[:-1]) / 2)])
        return np.interp((np.arange(count) + 0.5) / count, cdf / cdf[-1], x)

    def probes(self, lam: Float[Array, " n"], count: int = 65, widths: float = 8.0) -> Float[Array, "n m"]:
        """Points x for each level at which p(x_0 | x) is centred within `widths` of a kink or an end, and near 0."""
        k = (self.weight + 1 / lam)[:, None, None]
        # The kink replaces an end at infinity.
        ends = [jnp.where(jnp.isfinite(end), end, 0.0) + 0.0 * k for end in (self.low, self.high)]
        anchors = jnp.concatenate([*ends, -self.left / k, self.right / k, self.weight * self.centre / k], axis=1)
        c = anchors + jnp.linspace(-widths, widths, count)[None, None, :] / jnp.sqrt(k)
        return (lam[:, None, None] * (k * c - self.weight * self.centre)).reshape(len(lam), -1)

    def _joined(self, v: Array, lam: Scalars) -> tuple[Array, Array]:
        # U's quadratic and |u - v|^2 / (2 lam) as one.
        lam = lam * jnp.ones_like(v)
        return self.weight + 1 / lam, (lam * self.weight * self.centre + v) / (lam * self.weight + 1)


def folded(mean: Float[Array, "..."], std: Float[Array, "..."]) -> Float[Array, "..."]:
    """E|mean + std z|, the W1 of two Gaussians whose means and standard deviations differ by `mean` and `std`."""
    s = jnp.maximum(jnp.abs(std), jnp.finfo(std.dtype).tiny)
    return mean * erf(mean / s / np.sqrt(2)) + s * np.sqrt(2 / np.pi) * jnp.exp(-((mean / s) ** 2) / 2)
