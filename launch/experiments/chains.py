"""Many chains of one sampler at once, in one compiled program for each kind of sampler."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from pgm_jax.samplers import Rows, Sampler, run
from pgm_jax.types import Key, Shape

# (prior, likelihood) -> Sampler; a function of its own for each kind, since programs are kept by it
Build = Callable[[Any, Any], Sampler]


class Method(NamedTuple):
    """A sampler of a toy: what to build, on which rows, with which prior, and what a row costs."""

    build: Build
    rows: Any
    prior: Any
    likelihood: Any
    calls: int = 1  # evaluations of the prior's prox, or of a score, in each row

    @property
    def total(self) -> int:
        """Evaluations in a run."""
        return self.calls * jax.tree.leaves(self.rows)[0].shape[0]


def draw(method: Method, key: Key, count: int, shape: Shape = ()) -> Array:
    """`count` independent chains from a start at 0 and the noise of the first row: `[count, *shape]`."""
    return _draw(method.build, method.rows, method.prior, method.likelihood, key, count, shape)


@functools.partial(jax.jit, static_argnames=("build", "count", "shape"))
def _draw(build: Build, rows: Rows, prior: Any, likelihood: Any, key: Key, count: int, shape: Shape) -> Array:
    def chain(key: Key) -> Array:
        return run(build(prior, likelihood), key, jnp.zeros(shape), rows)[0].x

    return jax.vmap(chain)(jax.random.split(key, count))
