"""A sampler of a toy with what it costs, and what samplers of one level need."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from pgm_jax.samplers import Rows, Sampler, langevin, sample
from pgm_jax.types import Key, Potential, Shape


class Method(NamedTuple):
    """A sampler on its rows, and how many evaluations of the prior's prox, or of a score, a row costs."""

    sampler: Sampler
    rows: Any
    calls: int = 1

    @property
    def total(self) -> int:
        """Evaluations in a run."""
        return self.calls * jax.tree.leaves(self.rows)[0].shape[0]

    def draw(self, key: Key, count: int, shape: Shape = ()) -> Array:
        """`count` independent chains from a start at 0 and the noise of the first row: `[count, *shape]`."""
        return sample(key, self.sampler, jnp.zeros(shape), self.rows, count)


def at_one_level(lam: float, delta: float, count: int) -> Rows:
    """The rows of a plain Langevin process."""
    return langevin(jnp.full(1, lam), jnp.full(1, delta), count)


def energy(prior: Potential, likelihood: Potential) -> Partial:
    """U = f + g as a function of x."""
    return Partial(_energy, prior, likelihood)


def _energy(prior: Potential, likelihood: Potential, x: Array) -> Array:
    return likelihood.value(x) + prior.value(x)
