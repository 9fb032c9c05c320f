"""Wrappers of samplers that enforce a constraint by projection.

Projected diffusion is what constrained sampling by proximal maps is compared with: a diffusion that does not know the
constraint, and whose states are projected at every step, or whose result alone is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array
from jax.tree_util import Partial

from pgm_jax.samplers.base import Row, Sampler, State
from pgm_jax.tracing import as_partial
from pgm_jax.types import Key


class ProjectedState(NamedTuple):
    """A projected point beside its chain.

    Attributes:
        x: projected point.
        free: state of the chain that runs on without projection.
    """

    x: Array
    free: Any


def project_each(sampler: Sampler, project: Callable[[Array], Array]) -> Sampler:
    """Project the state after every step: `x <- Pi(x)`.

    Args:
        sampler: pair whose state is a NamedTuple with a field `x`.
        project: x -> Pi(x), for instance `lambda x: ball.prox(x, 1.0)`.
    """
    project = as_partial(project)
    return Sampler(Partial(_init_each, sampler, project), Partial(_step_each, sampler, project))


def _init_each(sampler: Sampler, project: Callable, key: Key, x: Array, row: Row) -> State:
    state = sampler.init(key, x, row)
    return state._replace(x=project(state.x))


def _step_each(sampler: Sampler, project: Callable, key: Key, state: State, row: Row) -> tuple[State, Any]:
    state, info = sampler.step(key, state, row)
    return state._replace(x=project(state.x)), info


def project_last(sampler: Sampler, project: Callable[[Array], Array]) -> Sampler:
    """Project only the result: `Pi(x)` of the last state, while the chain itself is not projected.

    Args:
        sampler, project: pair whose state has a field `x`, and x -> Pi(x).
    """
    project = as_partial(project)
    return Sampler(Partial(_init_last, sampler, project), Partial(_step_last, sampler, project))


def _init_last(sampler: Sampler, project: Callable, key: Key, x: Array, row: Row) -> ProjectedState:
    state = sampler.init(key, x, row)
    return ProjectedState(project(state.x), state)


def _step_last(
    sampler: Sampler, project: Callable, key: Key, state: ProjectedState, row: Row
) -> tuple[ProjectedState, Any]:
    free, info = sampler.step(key, state.free, row)
    return ProjectedState(project(free.x), free), info
