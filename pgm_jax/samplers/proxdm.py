"""ProxDM: reverse diffusion by backward steps, with the prox of the noisy density at every time.

    y <- gain x + noise xi        x <- f(y; t, lam) = prox_{-lam ln p_t}(y)

The reverse SDE of a variance-preserving process, taken over `gamma = 2 log(mu(t) / mu(s))` from s down to t with the
score at its *new* end, `x' = x + gamma (x~ / 2 + grad ln p_t(x')) + sqrt(gamma) xi`, is a prox. With x~ = x' it is the
backward step, with x~ = x the hybrid one:

| rows            | gain                | noise                           | lam, eta = 1            | bound     |
|-----------------|---------------------|---------------------------------|-------------------------|-----------|
| `backward_rows` | `1 / (1 - gamma/2)` | `eta sqrt(gamma) / (1-gamma/2)` | `gamma / (1 - gamma/2)` | gamma < 2 |
| `hybrid_rows`   | `1 + gamma / 2`     | `eta sqrt(gamma)`               | `gamma`                 | none      |

eta = 0 is the probability flow: no noise, and half of lam. The last step ends at t = 0 on the prox of the prior itself:
a hard constraint holds exactly, and no early stopping is needed.

Source: ProxDM (arXiv 2507.08956), whose noise schedule is `LinearVP(0.1, 20)` on a uniform grid; eta is ours.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Float

from pgm_jax.operators.checks import check_number, check_whole
from pgm_jax.samplers.base import Sampler
from pgm_jax.samplers.pgm import ChainInfo, ChainState
from pgm_jax.samplers.vp import rate_integral
from pgm_jax.tracing import is_traced
from pgm_jax.types import DiffusedPrior, Key, Scalar, Schedule, pytree


@pytree
class ProxDMRows:
    """The grid of a run: steps `y = gain x + noise xi`, `x <- f(y; time, lam)`; all `[n]`.

    Attributes:
        mu: signal of the point that a row starts from.
        gain: weight of the present point.
        noise: factor on xi, standard normal.
        time: time in [0, 1] at which the prox is taken, the one that the row leads to.
        lam: step of the prox, a variance in the squared units of x.
    """

    mu: Float[Array, " n"]
    gain: Float[Array, " n"]
    noise: Float[Array, " n"]
    time: Float[Array, " n"]
    lam: Float[Array, " n"]


def proxdm(prior: Any) -> Sampler:
    """The sampler of proximal diffusion models; it starts at `mu x + sqrt(1 - mu^2) xi`, thus from pure noise at t = 1.

    Each row takes one prox. Its info has x_t itself as the estimate, which is clean only at the last row, and the step
    of the prox as lam. Few steps narrow a density of some width, since the last prox goes to a mode: data of
    N(0.5, 0.3^2) come out with a deviation of 0.244 after 20 hybrid steps, and of 0.287 after 100.

    Args:
        prior: anything whose `at(t).prox(y, lam)` is `prox_{-lam ln p_t}(y)`: `marginals(prior, schedule)`, exact, or a
            network that was trained with t and lam. Its schedule is that of the rows.

    Raises:
        TypeError: if the prior has no `at`, as one that was trained for a single level has not.
    """
    if not isinstance(prior, DiffusedPrior):
        raise TypeError(
            f"{type(prior).__name__} has no `at(t)`: proxdm needs the prox of the noisy density at every time t, not "
            "that of the prior alone. Give `marginals(prior, schedule)`, or a network of two conditions, t and lam; a "
            "prior of one condition is sampled by `pgm`."
        )
    return Sampler(Partial(_init), Partial(_step, prior))


def _init(key: Key, x: Array, row: Any) -> ChainState:
    if not isinstance(row, ProxDMRows):
        raise TypeError(
            f"proxdm runs on `hybrid_rows` or `backward_rows`, and was given {type(row).__name__}; those of `bridge`, "
            "`euler` and `vp_euler` are for `diffusion`."
        )
    return ChainState(row.mu * x + jnp.sqrt(1 - row.mu**2) * jax.random.normal(key, x.shape, x.dtype))


def _step(prior: Any, key: Key, state: ChainState, row: ProxDMRows) -> tuple[ChainState, ChainInfo]:
    noise = jax.random.normal(key, state.x.shape, state.x.dtype)
    x = prior.at(row.time).prox(row.gain * state.x + row.noise * noise, row.lam)
    failed = ~jnp.all(jnp.isfinite(x))
    return ChainState(jnp.where(failed, state.x, x)), ChainInfo(x, row.lam, failed)


def backward_rows(schedule: Schedule, count: int, eta: Scalar = 1.0) -> ProxDMRows:
    """The rows of backward steps on a uniform grid in time, `lam = (1 + eta^2) / 2 gamma / (1 - gamma / 2)`.

    Args:
        schedule: variance-preserving forward process, `sigma^2 = 1 - mu^2`.
        count: number of steps, each one prox; 10 at least for `LinearVP(0.1, 20)`.
        eta: share of fresh noise in [0, 1]: 1 for the reverse SDE, 0 for the probability flow.

    Raises:
        ValueError: if a gamma is 2 or more, with the number of steps that avoids it; if the schedule does not
            preserve the variance; if `count` is below 1, or eta outside of [0, 1]. Of a schedule that is traced, the
            rows are NaN there.
        TypeError: if `count` is not a whole number.
    """
    mu, end, gamma, eta = _uniform(schedule, count, eta)
    if not is_traced(gamma) and bool(jnp.any(gamma >= 2)):
        raise ValueError(
            f"With {count} steps the longest has gamma = {float(jnp.max(gamma)):.4g}; a backward step needs gamma < 2. "
            f"{_enough(schedule, count)} or `hybrid_rows`, which have no bound."
        )
    shrink = jnp.where(gamma < 2, 1 - gamma / 2, jnp.nan)
    return ProxDMRows(mu, 1 / shrink, eta * jnp.sqrt(gamma) / shrink, end, (1 + eta**2) / 2 * gamma / shrink)


def hybrid_rows(schedule: Schedule, count: int, eta: Scalar = 1.0) -> ProxDMRows:
    """The rows of hybrid steps on a uniform grid in time, `lam = (1 + eta^2) / 2 gamma`.

    The drift is taken at the old point and the score at the new one, so that no step is too long.

    Args:
        schedule: variance-preserving forward process, `sigma^2 = 1 - mu^2`.
        count: number of steps, each one prox, at least 1.
        eta: share of fresh noise in [0, 1]: 1 for the reverse SDE, 0 for the probability flow.

    Raises:
        ValueError: if the schedule does not preserve the variance; if `count` is below 1, or eta outside of [0, 1].
        TypeError: if `count` is not a whole number.
    """
    mu, end, gamma, eta = _uniform(schedule, count, eta)
    return ProxDMRows(mu, 1 + gamma / 2, eta * jnp.sqrt(gamma), end, (1 + eta**2) / 2 * gamma)


def _uniform(schedule: Schedule, count: int, eta: Scalar) -> tuple[Array, Array, Array, Scalar]:
    """The signal at the start of each step of the uniform grid from t = 1 to 0, the time of its end, gamma, and eta."""
    count = check_whole("count is the number of steps", count, 1)
    times = 1.0 - jnp.arange(count + 1) / count
    gamma = rate_integral(schedule, times)
    return (
        schedule.mu(times[:-1]),
        times[1:],
        gamma,
        check_number("eta is the share of fresh noise", eta, least=0, most=1),
    )


def _enough(schedule: Schedule, count: int) -> str:
    """A sentence on how many steps would do, for a rate that grows with time."""

    def does(count: int) -> bool:
        return bool(rate_integral(schedule, jnp.array([1.0, 1.0 - 1.0 / count]))[0] < 2)

    most = next((2**power for power in range(1, 15) if 2**power > count and does(2**power)), None)
    if most is None:
        return "No number of steps up to 16,384 does; take a schedule that ends with more signal,"
    few = count
    while most - few > 1:
        middle = (few + most) // 2
        few, most = (few, middle) if does(middle) else (middle, most)
    return f"Take {most} steps or more,"
