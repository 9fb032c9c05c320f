"""Schedules: the forward process `x_t = mu(t) x_0 + sigma(t) eps`, t in [0, 1], and the level grids on it.

    lam(t) = sigma(t)^2 / mu(t)^2

In the clean-space variable u = x / mu every schedule reads `u = x_0 + sqrt(lam) eps`: only lam matters there.

| schedule   | mu(t)                     | lam(t)                                                        |
|------------|---------------------------|---------------------------------------------------------------|
| VE         | 1                         | (s_min (s_max / s_min)^t)^2                                   |
| LinearVP   | exp(-B(t) / 2)            | exp(B(t)) - 1,  B = b_min t + (b_max - b_min) t^2 / 2         |
| Cosine     | cos(a(t)) / cos(a(0))     | 1 / mu^2 - 1,  a = (t + s) / (1 + s) pi / 2                   |
| log_linear | 1                         | exp(a t - b)                                                  |
| ddpm(T)    | sqrt(prod_i (1 - beta_i)) | 1 / mu^2 - 1,  log mu^2 interpolated between the T steps      |

Sources: Song et al., ICLR 2021 (VE, LinearVP); Nichol and Dhariwal, ICML 2021 (Cosine); Ho et al., NeurIPS 2020
(ddpm); PGM, arXiv 2605.13278 (log_linear).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pgm_jax.tracing import is_traced
from pgm_jax.types import Scalar, Scalars, Schedule, pytree


class _Process:
    """What follows from mu and lam alone."""

    def mu(self, t: Scalars) -> Array:
        """The signal scale at time t in [0, 1], mu(t); here 1, as in every variance-exploding process."""
        return jnp.ones_like(jnp.asarray(t, float))

    def lam(self, t: Scalars) -> Array:
        """The level at time t in [0, 1], lam(t); increasing in t."""
        raise NotImplementedError

    def time_of_lam(self, lam: Scalars) -> Array:
        """The time at which the level is lam, positive, or 0 where the process starts there: the inverse of lam(t)."""
        raise NotImplementedError

    def sigma(self, t: Scalars) -> Array:
        """The noise at time t in [0, 1], `sigma(t) = mu(t) sqrt(lam(t))`."""
        return self.mu(t) * jnp.sqrt(self.lam(t))


@pytree
class VE(_Process):
    """Variance exploding: `mu = 1`, `lam(t) = (s_min (s_max / s_min)^t)^2`; log lam is uniform.

    Attributes:
        sigma_min: noise at t = 0, in the units of the images.
        sigma_max: noise at t = 1.
    """

    sigma_min: Scalar = 0.01
    sigma_max: Scalar = 10.0

    def lam(self, t: Scalars) -> Array:
        return (self.sigma_min * (self.sigma_max / self.sigma_min) ** jnp.asarray(t, float)) ** 2

    def time_of_lam(self, lam: Scalars) -> Array:
        """The inverse of lam, `t = log(lam / s_min^2) / log(s_max^2 / s_min^2)`."""
        return jnp.log(jnp.sqrt(lam) / self.sigma_min) / jnp.log(jnp.asarray(self.sigma_max) / self.sigma_min)


@pytree
class LinearVP(_Process):
    """Variance preserving with a linear rate: `mu = exp(-B / 2)`, `B = b_min t + (b_max - b_min) t^2 / 2`.

    Attributes:
        beta_min: rate at t = 0.
        beta_max: rate at t = 1.
    """

    beta_min: Scalar = 0.1
    beta_max: Scalar = 20.0

    def _integral(self, t: Scalars) -> Array:
        return self.beta_min * jnp.asarray(t, float) + 0.5 * (self.beta_max - self.beta_min) * jnp.asarray(t) ** 2

    def mu(self, t: Scalars) -> Array:
        return jnp.exp(-0.5 * self._integral(t))

    def lam(self, t: Scalars) -> Array:
        """The level, `lam(t) = exp(B(t)) - 1`."""
        return jnp.expm1(self._integral(t))

    def time_of_lam(self, lam: Scalars) -> Array:
        """The inverse of lam, `t = 2 B / (b_min + sqrt(b_min^2 + 2 (b_max - b_min) B))`, `B = log(1 + lam)`."""
        integral = jnp.log1p(lam)
        root = jnp.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * integral)
        return 2 * integral / (self.beta_min + root)


@pytree
class Cosine(_Process):
    """Variance preserving along a cosine: `mu = cos(a(t)) / cos(a(0))`, `a = (e t + s) / (1 + s) pi / 2`.

    Attributes:
        offset: s, which keeps the first steps from being too small.
        end: e, slightly below 1, where mu would be 0 and lam infinite.
    """

    offset: Scalar = 0.008
    end: Scalar = 0.999

    def _angle(self, t: Scalars) -> Array:
        return (self.end * jnp.asarray(t, float) + self.offset) / (1.0 + self.offset) * (jnp.pi / 2)

    def mu(self, t: Scalars) -> Array:
        return jnp.cos(self._angle(t)) / jnp.cos(self._angle(0.0))

    def lam(self, t: Scalars) -> Array:
        """The level, `lam(t) = 1 / mu^2 - 1 = sin(a(t) + a(0)) sin(a(t) - a(0)) / cos(a(t))^2`."""
        # The product, with its small factor from t itself, keeps the digits that 1 / mu^2 - 1 loses at small t.
        first, turn = self._angle(0.0), self.end * jnp.asarray(t, float) / (1.0 + self.offset) * (jnp.pi / 2)
        return jnp.sin(2 * first + turn) * jnp.sin(turn) / jnp.cos(self._angle(t)) ** 2

    def time_of_lam(self, lam: Scalars) -> Array:
        """The inverse of lam, `a = atan sqrt((lam + sin(a(0))^2) / cos(a(0))^2)`, then t from a."""
        first = self._angle(0.0)
        angle = jnp.arctan(jnp.sqrt(lam + jnp.sin(first) ** 2) / jnp.cos(first))
        return ((1.0 + self.offset) * angle * (2 / jnp.pi) - self.offset) / self.end


@pytree
class DDPM(_Process):
    """The discrete process of DDPM, `mu = sqrt(prod_i (1 - beta_i))`, log-linear in t between its T steps.

    Attributes:
        decay: `-log(mu^2)` at t = 0, 1 / T, ..., 1, shape `[T + 1]`, from 0 upwards.
    """

    decay: Float[Array, " n"]

    def _decay(self, t: Scalars) -> Array:
        return jnp.interp(jnp.asarray(t, float), jnp.linspace(0.0, 1.0, self.decay.shape[0]), self.decay)

    def mu(self, t: Scalars) -> Array:
        """The signal, `mu(t) = exp(-decay(t) / 2)`."""
        return jnp.exp(-0.5 * self._decay(t))

    def lam(self, t: Scalars) -> Array:
        """The level, `lam(t) = exp(decay(t)) - 1`."""
        return jnp.expm1(self._decay(t))

    def time_of_lam(self, lam: Scalars) -> Array:
        """The inverse of lam, by interpolation of log(1 + lam)."""
        return jnp.interp(jnp.log1p(lam), self.decay, jnp.linspace(0.0, 1.0, self.decay.shape[0]))


def log_linear(slope: Scalar = 10.0, offset: Scalar = 8.0) -> VE:
    """The schedule of PGM, `mu = 1`, `lam(t) = exp(a t - b)`, which is of the kind `VE`.

    Args:
        slope: a, the number of e-folds of lam over the whole time.
        offset: b, minus the logarithm of the smallest lam.
    """
    return VE(jnp.exp(-0.5 * offset), jnp.exp(0.5 * (slope - offset)))


def ddpm(steps: int = 1000, beta_first: float = 1e-4, beta_last: float = 0.02) -> DDPM:
    """The discrete process of public checkpoints, `mu^2 = prod_i (1 - beta_i)` with a linear beta.

    Args:
        steps: number of steps T.
        beta_first, beta_last: beta of the first and of the last step.
    """
    # Summed in double precision, since a thousand small terms are added up.
    decay = -np.cumsum(np.log1p(-np.linspace(beta_first, beta_last, steps, dtype=np.float64)))
    return DDPM(jnp.asarray(np.concatenate([[0.0], decay])))


class Levels(NamedTuple):
    """The nodes of a level grid, from the noisiest down to lam = 0: n + 1 nodes for n levels.

    Attributes:
        mu: signal at the nodes, `[n + 1]`; 1 at the last.
        lam: sigma^2 / mu^2 at the nodes, a variance in the squared units of the images; 0 at the last.
    """

    mu: Float[Array, " n"]
    lam: Float[Array, " n"]


def _closed(mu: Array, lam: Array) -> Levels:
    # lam = 0 closes every grid, also of a schedule whose lam(0) is positive: there the prox itself is returned.
    return Levels(jnp.append(mu, jnp.ones((), mu.dtype)), jnp.append(lam, jnp.zeros((), lam.dtype)))


def uniform_levels(schedule: Schedule, count: int) -> Levels:
    """A grid that is uniform in time: `t_i = 1 - i / n` for i = 0 ... n - 1, then lam = 0.

    Args:
        schedule: forward process.
        count: number of levels n, at least 1.

    Raises:
        ValueError: if `count` is below 1.
    """
    _check_count(count)
    t = 1.0 - jnp.arange(count) / count
    return _closed(schedule.mu(t), schedule.lam(t))


def geometric_levels(lam_max: Scalar, lam_min: Scalar, count: int, schedule: Schedule | None = None) -> Levels:
    """A grid that is geometric in lam: `lam_i = lam_max (lam_min / lam_max)^(i / (n - 1))`, then lam = 0.

    Args:
        lam_max: first level, a variance in the squared units of the images.
        lam_min: last level before 0, positive.
        count: number of levels n, at least 1; a single level is lam_max.
        schedule: forward process, between whose lam(0) and lam(1) the levels lie; by default mu = 1.

    Raises:
        ValueError: if `count` is below 1, or the levels do not fall to a positive one.
    """
    _check_count(count)
    _check_fall(lam_max, lam_min, count)
    log_max, log_min = jnp.log(jnp.asarray(lam_max, float)), jnp.log(jnp.asarray(lam_min, float))
    lam = jnp.exp(log_max + jnp.arange(count) / max(count - 1, 1) * (log_min - log_max))
    return _closed(jnp.ones_like(lam) if schedule is None else schedule.mu(schedule.time_of_lam(lam)), lam)


def karras_levels(lam_max: Scalar, lam_min: Scalar, count: int, rho: Scalar = 7.0) -> Levels:
    """A grid that is uniform in `sigma^(1 / rho)`, `sigma = sqrt(lam)`, then lam = 0; mu = 1, the grid of EDM.

    Source: Karras et al., NeurIPS 2022, eq. 5.

    Args:
        lam_max: first level, a variance in the squared units of the images.
        lam_min: last level before 0, positive.
        count: number of levels n, at least 1; a single level is lam_max.
        rho: how much the small levels are favoured; infinity would be `geometric_levels`.

    Raises:
        ValueError: if `count` is below 1, or the levels do not fall to a positive one.
    """
    _check_count(count)
    _check_fall(lam_max, lam_min, count)
    first, last = (jnp.asarray(lam, float) ** (0.5 / rho) for lam in (lam_max, lam_min))
    lam = (first + jnp.arange(count) / max(count - 1, 1) * (last - first)) ** (2 * rho)
    return _closed(jnp.ones_like(lam), lam)


def _check_count(count: int) -> None:
    if count < 1:
        raise ValueError(f"A grid of {count} levels was asked for; it needs at least 1.")


def _check_fall(lam_max: Scalar, lam_min: Scalar, count: int) -> None:
    if is_traced((lam_max, lam_min)):
        return
    # As the arrays will hold them: too small a number is 0 there, and too large a one infinite.
    with np.errstate(over="ignore"):
        most, least = (np.asarray(lam).astype(jnp.result_type(float)) for lam in (lam_max, lam_min))
    # A single level is lam_max, and may be given as both.
    if not 0 < least < np.inf or not least <= most < np.inf or (count > 1 and least == most):
        raise ValueError(
            f"The levels go from lam_max = {lam_max} to lam_min = {lam_min}; they are to fall, from a finite one down "
            "to a positive one."
        )
