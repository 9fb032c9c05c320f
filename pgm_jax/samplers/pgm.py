"""Proximal-based generative modelling: the reverse process, driven by the prox of the posterior.

Freeze `P = Prox_U^lam(x_t / mu_t)` over the step from t to s < t. The reverse SDE is then linear, and its solution is
the Gaussian bridge to P (PGM, arXiv 2605.13278, with the coefficients for every schedule and noise share eta):

    x_s = a x_t + p P + n xi
    n^2 = eta^2 mu_s^2 lam_s (1 - lam_s / lam_t)
    a   = (mu_s / mu_t) sqrt((lam_s - eta^2 lam_s (1 - lam_s / lam_t)) / lam_t)
    p   = mu_s - a mu_t

eta = 1 is the reverse SDE, eta = 0 the probability flow. At lam_s = 0 the step returns P itself: no early stopping is
needed, and a hard constraint in the prior holds exactly.

A Moreau-Langevin step at a fixed level, `du = (P - u) / lam dtau + sqrt(2) dB` with u = x / mu and P frozen over the
time delta = c lam, is a line of the same form:

    a = e^{-c}    p = mu (1 - e^{-c})    n = mu sqrt(lam (1 - e^{-2c}))

So a grid of rows (mu, lam, a, p, n) is the whole method, the correctors are rows as well, and one evaluation of the
prox, the only costly thing, serves each row.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.proximal import Splitting, data_first
from pgm_jax.samplers.base import Sampler
from pgm_jax.schedules import Levels
from pgm_jax.types import Key, Potential, Prior, Scalar


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """The steps of a run, `x <- keep x + pull P + noise xi` with `P = Prox^lam(x / mu)`; all of shape `[n]`.

    Attributes:
        mu: signal at the level where the prox is taken.
        lam: level of the prox.
        keep: weight of the present point.
        pull: weight of the prox.
        noise: standard deviation of the fresh noise.
    """

    mu: Float[Array, " n"]
    lam: Float[Array, " n"]
    keep: Float[Array, " n"]
    pull: Float[Array, " n"]
    noise: Float[Array, " n"]


class PGMState(NamedTuple):
    """What a run carries: x, one example, at the level of the next row."""

    x: Array


class PGMInfo(NamedTuple):
    """What a row reports: the clean estimate P, and the lam at which it was taken."""

    estimate: Array
    lam: Array


def bridge(levels: Levels, eta: Scalar = 1.0) -> Rows:
    """The rows of the exponential integrator, one for each level; the last one returns the prox.

    Formula: see the head of this file; `keep mu_t + pull = mu_s`.

    Args:
        levels: nodes of the grid, n + 1 of them, ending at lam = 0.
        eta: share of fresh noise in [0, 1]: 1 for the reverse SDE, 0 for the probability flow.
    """
    mu, mu_next = levels.mu[:-1], levels.mu[1:]
    lam, lam_next = levels.lam[:-1], levels.lam[1:]
    fresh = eta**2 * lam_next * (1.0 - lam_next / lam)
    keep = (mu_next / mu) * jnp.sqrt((lam_next - fresh) / lam)
    return Rows(mu, lam, keep, mu_next - keep * mu, mu_next * jnp.sqrt(fresh))


def with_corrector(rows: Rows, steps: int, rate: Scalar = 0.5) -> Rows:
    """Put Moreau-Langevin steps before each row, at its level: n rows become n (steps + 1).

    Formula: `u <- e^{-c} u + (1 - e^{-c}) P + sqrt(lam (1 - e^{-2c})) xi` for u = x / mu.

    The integrator alone does not converge to the posterior where the potential is not quadratic; with these steps it
    does, as the rate and the gaps between the levels shrink. At a finite rate the spread of directions in which P
    follows u comes out too small, by the factor sqrt((1 + e^{-c}) / 2), because P is frozen during a step.

    Args:
        rows: rows of a predictor, from `bridge`.
        steps: corrector steps at each level, 0 or more.
        rate: step c = delta / lam of the Langevin process; infinity noises the prox afresh. Small rates are exact and
            slow, large ones under-dispersed and fast.

    Raises:
        ValueError: if `steps` is negative.
    """
    if steps < 0:
        raise ValueError(f"{steps} corrector steps at each level were asked for; give 0 or more.")
    decay = jnp.exp(-jnp.asarray(rate, rows.lam.dtype))
    corrector = Rows(
        rows.mu,
        rows.lam,
        jnp.full_like(rows.lam, decay),
        rows.mu * (1.0 - decay),
        rows.mu * jnp.sqrt(rows.lam * (1.0 - decay**2)),
    )

    def interleave(c: Array, p: Array) -> Array:
        return jnp.concatenate([jnp.repeat(c[:, None], steps, axis=1), p[:, None]], axis=1).reshape(-1)

    return jax.tree.map(interleave, corrector, rows)


def pgm(prior: Prior, likelihood: Potential, split: Splitting = data_first, beta: Scalar = 1.0) -> Sampler:
    """The sampler of the posterior `pi ~ exp(-[beta f + g])` that is driven by proximal maps.

    Each row takes one prox of the prior and one of the likelihood, and no gradient of either.

    Args:
        prior: g, exact or learned.
        likelihood: f.
        split: how the prox of the posterior is put together, see `pgm_jax.proximal`.
        beta: inverse temperature of the likelihood; 1 for Bayes' posterior.
    """
    prox = split(prior, likelihood, beta)

    def init(key: Key, x: Array, row: Rows) -> PGMState:
        return PGMState(row.mu * (x + jnp.sqrt(row.lam) * jax.random.normal(key, x.shape, x.dtype)))

    def step(key: Key, state: PGMState, row: Rows) -> tuple[PGMState, PGMInfo]:
        estimate = prox(state.x / row.mu, row.lam)
        noise = jax.random.normal(key, state.x.shape, state.x.dtype)
        x = row.keep * state.x + row.pull * estimate + row.noise * noise
        return PGMState(x), PGMInfo(estimate, row.lam)

    return Sampler(init, step)
