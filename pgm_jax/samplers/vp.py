"""Euler steps of a variance-preserving diffusion in its own time, the baselines of proximal diffusion models.

    x <- (1 + gamma / 2) x + (1 + eta^2) / 2 gamma s(x, t) + eta sqrt(gamma) xi        s = (mu E[x_0 | x] - x) / sigma^2

They are `Rows` of `diffusion(denoise)`, one call a row. Variants differ in the grid and in gamma, the integral of the
rate beta over a step: the integral itself, `rate_integral`, or `beta(t) dt` at the old time, `left_point`, which is
what most score codes take. `euler` has the same process in clean space, with lam as its clock.

Source: Song et al., ICLR 2021.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.operators.checks import check_number, check_whole
from pgm_jax.samplers.rows import Rows
from pgm_jax.tracing import is_traced
from pgm_jax.types import Scalar, Schedule

_PRESERVED = 1e-3  # how far mu^2 + sigma^2 may be from 1, in single precision


def vp_euler(
    schedule: Schedule,
    times: Float[Array, " m"],
    gamma: Float[Array, " n"] | None = None,
    eta: Scalar = 1.0,
    last_noise: Scalar = 0.0,
) -> Rows:
    """The rows of Euler-Maruyama, `eta = 1`, and of Euler's method for the probability flow, `eta = 0`; see the head.

    Args:
        schedule: variance-preserving forward process, `sigma^2 = 1 - mu^2`.
        times: nodes of the grid in [0, 1], falling, n + 1 of them; only the last may be 0. `ended_times` stops early.
        gamma: integral of beta over each step, `[n]`; by default `rate_integral(schedule, times)`.
        eta: share of fresh noise in [0, 1].
        last_noise: share of its noise that the last step adds: 0 as in every practical sampler, or 1.

    Raises:
        ValueError: if the schedule does not preserve the variance, the times do not fall, or gamma does not fit them.
    """
    _check(schedule, times)
    gamma = rate_integral(schedule, times) if gamma is None else gamma
    if gamma.shape != (len(times) - 1,):
        raise ValueError(f"{len(times)} times make {len(times) - 1} steps, and gamma has the shape {gamma.shape}.")
    mu, lam = schedule.mu(times[:-1]), schedule.lam(times[:-1])
    pull = (1 + eta**2) / 2 * gamma / (mu**2 * lam)
    noise = (eta * jnp.sqrt(gamma)).at[-1].multiply(last_noise)
    return Rows(mu, lam, 1 + gamma / 2 - pull, pull * mu, noise, jnp.zeros_like(lam))


def ended_times(count: int, end: float = 1e-3) -> Float[Array, " m"]:
    """The times `1 ... end`, `count` of them and equally spaced, then 0: a grid of `count` steps, the last of size end.

    Args:
        count: number of steps, at least 2.
        end: the last time at which the score is taken, in (0, 1).

    Raises:
        ValueError: if `count` is below 2, or `end` is not between 0 and 1.
        TypeError: if `count` is not a whole number.
    """
    count = check_whole("count is the number of steps", count, 2)
    end = check_number("end is the last time of the score", end, above=0, below=1)
    return jnp.append(jnp.linspace(1.0, end, count), 0.0)


def rate_integral(schedule: Schedule, times: Float[Array, " m"]) -> Float[Array, " n"]:
    """The integral of beta over each step, `log(1 + lam(s)) - log(1 + lam(t))` from s down to t.

    Args:
        schedule: variance-preserving forward process.
        times: nodes in [0, 1], falling, n + 1 of them.

    Raises:
        ValueError: if the schedule does not preserve the variance, or the times do not fall.
    """
    _check(schedule, times)
    log = jnp.log1p(schedule.lam(times))
    return log[:-1] - log[1:]


def left_point(schedule: Schedule, times: Float[Array, " m"]) -> Float[Array, " n"]:
    """The same integral by the rule of the old time, `beta(s) (s - t)` with `beta = -2 d log(mu) / dt`.

    Args:
        schedule: variance-preserving forward process whose mu is differentiable in t.
        times: nodes in [0, 1], falling, n + 1 of them.

    Raises:
        ValueError: if the schedule does not preserve the variance, or the times do not fall.
    """
    _check(schedule, times)
    beta = jax.vmap(jax.grad(lambda t: -2 * jnp.log(schedule.mu(t))))(times[:-1])
    return beta * (times[:-1] - times[1:])


def _check(schedule: Schedule, times: Array) -> None:
    """Refuse another process than a variance-preserving one, and times that do not fall."""
    lam, mu = schedule.lam(times), schedule.mu(times)
    if is_traced((lam, mu, times)):
        return
    if not bool(jnp.all(times[1:] < times[:-1])):
        raise ValueError(f"The times are {times}; they are to fall, from 1 towards 0.")
    if bool(jnp.any(jnp.abs(mu**2 * (1 + lam) - 1) > _PRESERVED)):
        raise ValueError(
            f"{type(schedule).__name__} does not preserve the variance, mu^2 + sigma^2 = 1; these steps are those of "
            "such a process: LinearVP, Cosine or ddpm()."
        )
