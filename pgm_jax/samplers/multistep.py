"""The second-order solvers of the probability flow: Heun's method as in EDM, and DPM-Solver++(2M).

    x <- keep a + pull P + past P'        P = denoise(x, lam),  P' that of the row before

in clean space, `x = x_0 + sigma eps` with `sigma = sqrt(lam)`. a is the point that the present step started from: a
solver of one evaluation a step advances it at every row, Heun's method, of two, at every second one. One call a row.

    Euler, from s to t    x <- (t / s) a + (1 - t / s) P
    Heun's second row     x <- a + (t - s) / 2 ((a - P') / s + (x - P) / t)          x Euler's point
    DPM-Solver++(2M)      x <- (t / s) a + (1 - t / s) (P + (P - P') / (2 r))        r = log(s' / s) / log(s / t)

with s' the node before s. The step to 0 is Euler's, which returns P, and so is the first one of DPM-Solver++.

Sources: Karras et al., NeurIPS 2022, algorithm 1 (Heun); Lu et al., arXiv 2211.01095, algorithm 2 (DPM-Solver++(2M)).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Float

from pgm_jax.samplers.base import Sampler
from pgm_jax.samplers.pgm import ChainInfo
from pgm_jax.schedules import Levels
from pgm_jax.tracing import as_partial
from pgm_jax.types import Key, Prox, pytree


@pytree
class MultistepRows:
    """The grid of a run: steps `x <- keep a + pull P + past P'`; all `[n]`.

    Attributes:
        lam: level of the denoiser, a variance in the squared units of x.
        keep, pull, past: weights of a, P and P'.
        advance: 1 where a becomes the new x, 0 where it stays.
    """

    lam: Float[Array, " n"]
    keep: Float[Array, " n"]
    pull: Float[Array, " n"]
    past: Float[Array, " n"]
    advance: Float[Array, " n"]


class MultistepState(NamedTuple):
    """What a solver remembers.

    Attributes:
        x: present point.
        anchor: a, the point where the present step started.
        past: P', the estimate of the row before; zeros at the first.
    """

    x: Array
    anchor: Array
    past: Array


def multistep(denoise: Prox) -> Sampler:
    """A solver of the probability flow that remembers; it starts at `x + sqrt(lam) xi` and draws nothing else.

    Args:
        denoise: `(u, lam) -> E[x_0 | u = x_0 + sqrt(lam) eps]`, as for `diffusion`.
    """
    return Sampler(Partial(_init), Partial(_step, as_partial(denoise)))


def _init(key: Key, x: Array, row: Any) -> MultistepState:
    if not isinstance(row, MultistepRows):
        raise TypeError(
            f"multistep runs on `heun_rows` or `dpm_solver_rows`, and was given {type(row).__name__}; those of "
            "`bridge` are for `diffusion`."
        )
    x = x + jnp.sqrt(row.lam) * jax.random.normal(key, x.shape, x.dtype)
    return MultistepState(x, x, jnp.zeros_like(x))


def _step(denoise: Prox, key: Key, state: MultistepState, row: MultistepRows) -> tuple[MultistepState, ChainInfo]:
    estimate = denoise(state.x, row.lam)
    failed = ~jnp.all(jnp.isfinite(estimate))
    x = row.keep * state.anchor + row.pull * estimate + row.past * state.past
    moved = MultistepState(x, jnp.where(row.advance > 0, x, state.anchor), estimate)
    return jax.tree.map(lambda old, new: jnp.where(failed, old, new), state, moved), ChainInfo(
        estimate, row.lam, failed
    )


def heun_rows(levels: Levels) -> MultistepRows:
    """The rows of Heun's method, `2 n - 1` for n levels: two calls a step, one for the last.

    Args:
        levels: nodes of the grid, n + 1 of them, ending at lam = 0; only their lam counts. The grid of EDM is
            `karras_levels(80**2, 0.002**2, n)`, of variances.
    """
    s, t = jnp.sqrt(levels.lam[:-2]), jnp.sqrt(levels.lam[1:-1])
    ratio, half = t / s, (t - s) / 2
    nothing, one = jnp.zeros_like(s), jnp.ones_like(s)
    first = MultistepRows(s**2, ratio, 1 - ratio, nothing, nothing)
    # Euler's point in Heun's formula, so that a, P and P' remain.
    second = MultistepRows(t**2, ratio, -half / t, half * ((1 - ratio) / t - 1 / s), one)
    pairs = jax.tree.map(lambda a, b: jnp.stack([a, b], axis=1).ravel(), first, second)
    return _ending(pairs, levels)


def dpm_solver_rows(levels: Levels) -> MultistepRows:
    """The rows of DPM-Solver++(2M), one for each level.

    Args:
        levels: nodes of the grid, n + 1 of them, ending at lam = 0; only their lam counts. The authors' grid is
            `geometric_levels`, uniform in log lam.
    """
    s, t = jnp.sqrt(levels.lam[:-2]), jnp.sqrt(levels.lam[1:-1])
    ratio, step = t / s, jnp.log(s / t)
    # 1 / (2 r); nothing at the first step, which has no past.
    bend = jnp.concatenate([jnp.zeros((1,), s.dtype), step[1:] / step[:-1]])[: s.shape[0]] / 2
    towards = 1 - ratio
    rows = MultistepRows(s**2, ratio, towards * (1 + bend), -towards * bend, jnp.ones_like(s))
    return _ending(rows, levels)


def _ending(rows: MultistepRows, levels: Levels) -> MultistepRows:
    """The rows, and Euler's step from the last level to 0."""
    dtype = levels.lam.dtype
    last = MultistepRows(levels.lam[-2:-1], *(jnp.full((1,), number, dtype) for number in (0.0, 1.0, 0.0, 1.0)))
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), rows, last)
