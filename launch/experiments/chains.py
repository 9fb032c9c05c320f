"""A sampler of a toy with what it costs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from pgm_jax.samplers import Sampler, sample
from pgm_jax.types import Key, Shape


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
