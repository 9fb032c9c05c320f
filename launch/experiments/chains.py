"""Samplers with what they cost, and the rows that several experiments share."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree

from pgm_jax.samplers import Rows, Sampler, apportion, bridge, sample, with_corrector
from pgm_jax.schedules import geometric_levels, log_linear, uniform_levels
from pgm_jax.types import Key, Schedule, Shape


class Method(NamedTuple):
    """A way to draw samples, and its cost.

    Attributes:
        draw: (key, count) -> independent samples `[count, ...]`.
        calls: evaluations of the prior's prox, or of a score, for one sample.
    """

    draw: Callable[[Key, int], Array]
    calls: int = 0


def chains(sampler: Sampler, rows: PyTree, shape: Shape = (), each: int = 1) -> Method:
    """Chains of a sampler that start at 0 with the noise of the first row; `each` row makes so many calls."""
    calls = each * jax.tree.leaves(rows)[0].shape[0]
    return Method(lambda key, count: sample(key, sampler, jnp.zeros(shape), rows, count), calls)


def corrected(
    calls: int, lam_max: float, lam_min: float, levels: int, rate: float, power: float, schedule: Schedule | None = None
) -> Rows:
    """The integrator with corrector steps in proportion to lam^-power at each level, `calls` rows in all."""
    levels = min(levels, calls // 2)
    grid = geometric_levels(lam_max, lam_min, levels, schedule)
    return with_corrector(bridge(grid), apportion(calls - levels, np.asarray(grid.lam[:-1]) ** -power), rate)


def paper_rows(calls: int) -> Rows:
    """The integrator on the grid of the paper (arXiv 2605.13278), uniform in the time of its schedule."""
    return bridge(uniform_levels(log_linear(), calls))
