"""Priors under noise: the potentials `-log p_t` of `x_t = mu(t) x_0 + sigma(t) eps`, at every time t.

A prior g = -log p_0 that knows its own noisy versions has a method `diffused(s)`, the potential of `x_0 + sqrt(s) eps`.
A schedule then makes of it the marginals of its process: with s = lam(t) and mu = mu(t),

    -log p_t(x)             = g_s(x / mu)                              up to a number that depends on t
    prox_{-lam ln p_t}(y)   = mu Prox_{g_s}^{lam / mu^2}(y / mu)

so that what was learned or computed in clean space serves every schedule. The prox of PGM is the slice t = 0.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.potentials.base import ByAutodiff
from pgm_jax.types import Diffusible, Scalar, Scalars, Schedule, pytree

_TAIL = 5.0  # standard deviations, from where a continued fraction of twenty terms has all digits
_ROUNDS = 100  # a bisection needs 52 in double precision; Newton's steps take most of them away


@pytree
class Scaled(ByAutodiff):
    """The potential of mu x: `g(x / mu)`.

    Attributes:
        potential, mu: g, the potential of x, and the factor, positive.
    """

    potential: Any
    mu: Scalar

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """The value, `g(x / mu)`."""
        return self.potential.value(x / self.mu)

    def grad(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The gradient, `grad g(x / mu) / mu`."""
        return self.potential.grad(x / self.mu) / self.mu

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox, `mu Prox_g^{lam / mu^2}(v / mu)`."""
        return self.mu * self.potential.prox(v / self.mu, lam / self.mu**2)


@pytree
class Marginals:
    """The distributions of a process at all times; build it with `marginals`.

    Attributes:
        prior: distribution of x_0, with `diffused(s)`.
        schedule: forward process.
    """

    prior: Any
    schedule: Any

    def at(self, t: Scalar) -> Scaled:
        """The potential `-log p_t`, with value, gradient (minus the score) and prox; of points, at t = 0, a prox alone.

        Args:
            t: time in [0, 1].
        """
        return Scaled(self.prior.diffused(self.schedule.lam(t)), self.schedule.mu(t))

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox of the prior itself, the slice t = 0.

        Args:
            v, lam: point, and step of the prox, a variance in squared units of v, positive.
        """
        return self.prior.prox(v, lam)

    def denoise(self, u: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The mean of x_0 given `x_0 + sqrt(lam) eps = u`, as `Denoiser(prior).prox` has it.

        Args:
            u, lam: noisy point in clean space, and its level, positive.
        """
        return Denoiser(self.prior).prox(u, lam)


@pytree
class Denoiser:
    """An exact denoiser as a prior: `prox(v, lam) = E[x | x + sqrt(lam) eps = v]`, a mean in place of a mode.

    It stands where a network that was trained by squares would.

    Attributes:
        prior: distribution of x, with `diffused(s)`, and with `denoise_metric` for the exact step: a `Gaussian` or a
            `Mixture`.
    """

    prior: Any

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The mean of x given `x + sqrt(lam) eps = v`, by Tweedie's formula: `v - lam grad g_lam(v)`.

        Args:
            v, lam: noisy point, and its level, positive.
        """
        return v - lam * self.prior.diffused(lam).grad(v)

    @property
    def prox_metric(self) -> Any:
        """`(mu, Sigma)` to the mean of x given `x + N(0, Sigma) = mu`, where the prior knows it."""
        return self.prior.denoise_metric


def marginals(prior: Any, schedule: Schedule) -> Marginals:
    """The distributions of `x_t = mu(t) x_0 + sigma(t) eps` with x_0 from a prior whose noisy versions are known.

    Args:
        prior: distribution of x_0: a `Gaussian`, `Laplace` or `Mixture`, also one of points, or any other potential
            with a method `diffused(s)`, the potential of `x_0 + sqrt(s) eps`.
        schedule: forward process.

    Raises:
        TypeError: if the prior has no `diffused`.
    """
    if not isinstance(prior, Diffusible):
        raise TypeError(
            f"{type(prior).__name__} has no `diffused(s)`, the potential of x_0 + sqrt(s) eps; Gaussian, Laplace and "
            "Mixture have one. A network that was trained with a time as well has its marginals itself."
        )
    return Marginals(prior, schedule)


@pytree
class SmoothedLaplace(ByAutodiff):
    """Independent entries of Laplace and normal noise, `x = l + sqrt(s) eps`: convex, smooth, linear far out.

    Formula: `g(x) = -sum_i log [exp(-x_i / b) Phi(x_i / r - r / b) + exp(x_i / b) Phi(-x_i / r - r / b)]`, up to a
    constant, with `r = sqrt s`.

    Attributes:
        scale: b of the Laplace distribution, positive.
        variance: s of the noise; 0 leaves `|x|_1 / b`.
    """

    scale: Scalar
    variance: Scalar

    def _branches(self, x: Array) -> tuple[Array, Array]:
        """The logarithms of the two terms, l above 0 and l below, each plus `s / (2 b^2)`."""
        # With no noise at all the terms have steps, which a root of rounding's size stands for.
        root = jnp.sqrt(jnp.maximum(self.variance, (jnp.finfo(x.dtype).eps * jnp.asarray(self.scale, x.dtype)) ** 2))

        def branch(x: Array) -> Array:
            z = root / self.scale - x / root
            near = -x / self.scale + jax.scipy.special.log_ndtr(-z) + (root / self.scale) ** 2 / 2
            # Under much noise both terms are tiny, and only what tells them apart is kept.
            return jnp.where(z < _TAIL, near, _log_mills(z) - (x / root) ** 2 / 2)

        return branch(x), branch(-x)

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        return -jnp.sum(jnp.logaddexp(*self._branches(x)))

    def grad(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The gradient, `tanh((log of the first term - log of the second) / 2) / b`."""
        above, below = self._branches(x)
        return jnp.tanh((above - below) / 2) / self.scale

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox, by Newton's method within a shrinking bracket; soft thresholding where the variance is 0."""
        variance = jnp.asarray(self.variance, v.dtype)
        lam, noisy = jnp.asarray(lam, v.dtype), variance > 0
        smooth = SmoothedLaplace(self.scale, jnp.where(noisy, variance, jnp.ones_like(variance)))
        return jnp.where(noisy, smooth._root(v, lam), soft_threshold(v, lam / self.scale))

    def _root(self, v: Array, lam: Array) -> Array:
        """The root of `u - v + lam g'(u)`, whose slope is at least 1."""

        def excess(u: Array) -> tuple[Array, Array]:
            slope, bend = jax.jvp(self.grad, (u,), (jnp.ones_like(u),))
            return u - v + lam * slope, 1 + lam * bend

        def narrow(state: tuple[Array, ...]) -> tuple[Array, ...]:
            low, high, u, _, rounds = state
            value, bend = excess(u)
            low, high = jnp.where(value < 0, u, low), jnp.where(value < 0, high, u)
            newton = u - value / bend
            following = jnp.where((newton > low) & (newton < high), newton, (low + high) / 2)
            return low, high, following, jnp.abs(following - u), rounds + 1

        def moving(state: tuple[Array, ...]) -> Array:
            *_, u, step, rounds = state
            return (rounds < _ROUNDS) & jnp.any(step > 2 * jnp.finfo(v.dtype).eps * (jnp.abs(v) + reach))

        # |g'| <= 1 / b, so the root is within lam / b of v.
        reach = lam / self.scale
        start = (v - reach, v + reach, v, jnp.full_like(v, jnp.inf), jnp.array(0))
        u = jax.lax.stop_gradient(jax.lax.while_loop(moving, narrow, jax.lax.stop_gradient(start))[2])
        # One more step from the root: its derivatives are those of the implicit function theorem.
        value, bend = excess(u)
        return u - value / jax.lax.stop_gradient(bend)


def soft_threshold(v: Array, threshold: Scalars) -> Array:
    """The prox of the absolute values, `sign(v) max(|v| - threshold, 0)`."""
    return jnp.sign(v) * jnp.maximum(jnp.abs(v) - threshold, 0.0)


def _log_mills(z: Array) -> Array:
    """`log [Phi(-z) exp(z^2 / 2)]` for a large z, by the continued fraction `1 / (z + 1 / (z + 2 / (z + ...)))`."""
    z = jnp.maximum(z, _TAIL)
    fraction = jax.lax.fori_loop(0, 20, lambda i, below: z + (20 - i) / below, z)
    return -jnp.log(fraction) - jnp.log(2 * jnp.pi) / 2
