"""Exact posteriors of one number, whose densities are piecewise normal.

    pi(x) ~ exp(h_k - (a_k t + t^2 / 2)),  t = (x - c_k) / s_k,  a_k = (c_k - m_k) / s_k,   low_k <= x <= high_k

for k Gaussians N(m_k, s_k^2) on adjoining intervals; c_k = clip(m_k, low_k, high_k) is the mode of a piece, h_k its
log-density there. Moments and probabilities are Gauss-Legendre sums over the t within 40 of the mode in log-density:
the integrand is entire, so that 48 nodes are exact to rounding, and no far tail is a difference of large numbers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pgm_jax.potentials import Laplace
from pgm_jax.types import Key, Scalar, Scalars, pytree

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)
_DEPTH = 40.0  # exp(-40) is below the rounding of double precision.


class _Pieces(NamedTuple):
    """Gaussians on adjoining intervals, `[k]` each."""

    mean: Array
    std: Array
    low: Array
    high: Array
    height: Array

    @property
    def mode(self) -> Array:
        return jnp.clip(self.mean, self.low, self.high)

    @property
    def slope(self) -> Array:
        return (self.mode - self.mean) / self.std

    def ends(self) -> tuple[Array, Array]:
        """The least and the greatest t that count."""
        reach = jnp.sqrt(self.slope**2 + 2 * _DEPTH)
        left = jnp.maximum((self.low - self.mode) / self.std, -2 * _DEPTH / (reach - self.slope))
        return left, jnp.minimum((self.high - self.mode) / self.std, 2 * _DEPTH / (reach + self.slope))

    def exponent(self, t: Array) -> Array:
        """The log-density, below 0, at one t or at a row of them for each piece."""
        height, slope = (a.reshape(-1, *[1] * (t.ndim - 1)) for a in (self.height - jnp.max(self.height), self.slope))
        return height - t * (slope + t / 2)

    def masses(self, below: Array | float = jnp.inf) -> tuple[Array, Array]:
        """Points `[k, n]` up to `below`, and their masses, which add up to an integral of exp(exponent)."""
        left, right = self.ends()
        width = jnp.clip((below - self.mode) / self.std, left, right) - left
        t = left[:, None] + width[:, None] * jnp.asarray((1 + _NODES) / 2, width.dtype)[None, :]
        weights = (self.std * width)[:, None] * jnp.asarray(_WEIGHTS / 2, width.dtype)[None, :]
        return self.mode[:, None] + self.std[:, None] * t, weights * jnp.exp(self.exponent(t))

    def mean_and_variance(self) -> tuple[Array, Array]:
        points, masses = self.masses()
        shares = masses / jnp.sum(masses)
        mean = jnp.sum(shares * points)
        return mean, jnp.sum(shares * (points - mean) ** 2)

    def log_density(self, x: Array) -> Array:
        exponents = self.exponent((x - self.mode) / self.std)
        inside = (self.low <= x) & (x <= self.high)
        return jnp.max(jnp.where(inside, exponents, -jnp.inf)) - jnp.log(jnp.sum(self.masses()[1]))

    def cdf(self, x: Array) -> Array:
        return jnp.sum(self.masses(x)[1]) / jnp.sum(self.masses()[1])

    def quantile(self, p: Array) -> Array:
        """The root of cdf(x) = p, by bisection down to rounding."""
        first, last = (self.mode + self.std * end for end in self.ends())
        target = p * jnp.sum(self.masses()[1])

        def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds
            middle = (low + high) / 2
            below = jnp.sum(self.masses(middle)[1]) < target
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        low, high = jax.lax.fori_loop(0, jnp.finfo(first.dtype).nmant + 8, halve, (jnp.min(first), jnp.max(last)))
        return (low + high) / 2


class _OnTheLine:
    """What follows from the pieces: all methods act entry by entry."""

    def _quadratic(self) -> tuple[Scalar, Scalar]:
        """Mean and variance of the Gaussian factor of the posterior."""
        raise NotImplementedError

    def _pieces(self, mean: Scalar, variance: Scalar) -> _Pieces:
        """The posterior if its Gaussian factor were `N(mean, variance)`."""
        raise NotImplementedError

    @property
    def mean(self) -> Float[Array, ""]:
        """The mean of the posterior."""
        return self._pieces(*self._quadratic()).mean_and_variance()[0]

    @property
    def variance(self) -> Float[Array, ""]:
        """The variance of the posterior."""
        return self._pieces(*self._quadratic()).mean_and_variance()[1]

    def log_density(self, x: Scalars) -> Float[Array, "..."]:
        """The logarithm of the normalised density at points x; minus infinity outside the support."""
        return jnp.vectorize(self._pieces(*self._quadratic()).log_density)(x)

    def cdf(self, x: Scalars) -> Float[Array, "..."]:
        """The probability of values up to x, for points x."""
        return jnp.vectorize(self._pieces(*self._quadratic()).cdf)(x)

    def quantile(self, p: Scalars) -> Float[Array, "..."]:
        """The x with `cdf(x) = p`, for probabilities p, between 0 and 1, by bisection down to rounding."""
        return jnp.vectorize(self._pieces(*self._quadratic()).quantile)(p)

    def sample(self, key: Key, count: int) -> Float[Array, " n"]:
        """Independent samples, quantiles of uniform numbers, `[count]`."""
        pieces = self._pieces(*self._quadratic())
        uniform = jax.random.uniform(key, (count,), pieces.slope.dtype)
        # The middle of a cell of the uniform grid is never 0, where the quantile is the end of the support.
        return jax.vmap(pieces.quantile)(uniform + jnp.finfo(uniform.dtype).eps / 2)

    def denoise(self, v: Scalars, lam: Scalar) -> Float[Array, "..."]:
        """The mean of x given `x + sqrt(lam) eps = v`.

        The kernel `N(v; x, lam)` joins the Gaussian factor: given v, x has a posterior of the same kind.
        """

        def one(v: Array) -> Array:
            return self._pieces(*_times_kernel(*self._quadratic(), v, lam)).mean_and_variance()[0]

        return jnp.vectorize(one)(v)


@pytree
class LaplacePosterior(_OnTheLine):
    """The posterior of a Laplace prior: `U(x) = |x| / b + (x - y)^2 / (2 sigma^2)`, two pieces that meet at 0.

    Attributes:
        scale: b of the prior, in the units of x, positive.
        y, sigma: measurement `y = x + N(0, sigma^2)`, and standard deviation of its noise, positive.
    """

    scale: Scalar
    y: Scalar
    sigma: Scalar

    def _quadratic(self) -> tuple[Scalar, Scalar]:
        return self.y, self.sigma**2

    def _pieces(self, mean: Scalar, variance: Scalar) -> _Pieces:
        shift = variance / self.scale
        means = jnp.array([mean + shift, mean - shift])
        low, high = jnp.array([-jnp.inf, 0.0], means.dtype), jnp.array([0.0, jnp.inf], means.dtype)
        modes = jnp.clip(means, low, high)
        # The log-density above that at 0, which both pieces share.
        height = modes * (2 * means - modes) / (2 * variance)
        return _Pieces(means, jnp.full_like(means, jnp.sqrt(variance)), low, high, height)

    def prox(self, v: Scalars, lam: Scalar) -> Float[Array, "..."]:
        """The prox, `soft(c, s / b)` with `1 / s = 1 / sigma^2 + 1 / lam` and `c = s (y / sigma^2 + v / lam)`."""
        centre, variance = _times_kernel(*self._quadratic(), v, lam)
        return Laplace(self.scale).prox(jnp.asarray(centre), variance)


@pytree
class TruncatedNormal(_OnTheLine):
    """A truncated normal distribution: `U(x) = (x - m)^2 / (2 s^2)` for `low <= x <= high`.

    It is the posterior of a uniform prior on the interval and a Gaussian likelihood, or of a Gaussian prior and the
    knowledge of the bounds. `mean` and `variance` are those after truncation.

    Attributes:
        low, high: bounds, high above low; they may be infinite.
        location, scale: m, anywhere, and s, positive: mean and deviation of the normal before it is truncated.
    """

    low: Scalar
    high: Scalar
    location: Scalar = 0.0
    scale: Scalar = 1.0

    def _quadratic(self) -> tuple[Scalar, Scalar]:
        return self.location, self.scale**2

    def _pieces(self, mean: Scalar, variance: Scalar) -> _Pieces:
        mean, std, low, high = (jnp.array([a]) for a in (mean, jnp.sqrt(variance), self.low, self.high))
        return _Pieces(mean, std, low, high, jnp.zeros_like(std))

    def prox(self, v: Scalars, lam: Scalar) -> Float[Array, "..."]:
        """The prox, `clip((lam m + s^2 v) / (s^2 + lam), low, high)`."""
        return jnp.clip(_times_kernel(*self._quadratic(), v, lam)[0], self.low, self.high)


def _times_kernel(mean: Scalar, variance: Scalar, v: Scalars, lam: Scalar) -> tuple[Scalars, Scalar]:
    """Mean and variance of the product of `N(x; mean, variance)` and `N(x; v, lam)`, normalised."""
    return (lam * mean + variance * v) / (variance + lam), variance * lam / (variance + lam)
