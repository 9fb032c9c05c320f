"""A sampler is two pure functions, `run` is the only loop over rows, and `mean_and_std` the one over groups of chains.

    state = init(key, x, rows[0])
    state, info = step(key_i, state, rows[i])       i = 0 ... n - 1

A sampler knows one example, without a batch axis: chains and measurements come from `vmap`, so that the result for one
measurement cannot depend on its neighbours. Stages and their inner iterations are flattened into one grid of rows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from pgm_jax.operators.checks import check_whole
from pgm_jax.tracing import compiled
from pgm_jax.types import Key, Scalar, as_key

State = Any
Info = Any
Row = Any


class Sampler(NamedTuple):
    """An algorithm as a pair of pure functions.

    Those of the library are pytrees: the arrays of their priors and likelihoods are arguments of `sample`.

    Attributes:
        init: (key, starting image, first row) -> state.
        step: (key, state, row) -> (state, info); what is in the info is reported, never carried.
    """

    init: Callable[[Key, Array, Row], State]
    step: Callable[[Key, State, Row], tuple[State, Info]]


def run(
    key: Key,
    sampler: Sampler,
    x: Array,
    rows: PyTree,
    collect: Callable[[State, Info], PyTree] = lambda state, info: None,
) -> tuple[State, PyTree]:
    """Run a sampler over all rows of a level grid, by one `lax.scan`.

    Args:
        key: key of this example and chain; row i draws from `fold_in(key, i)`, the start from `fold_in(key, n)`.
        sampler: pair (init, step).
        x: starting image, one example; zeros where nothing is known.
        rows: level grid, a pytree whose leaves share their first axis n.
        collect: (state, info) -> what is stacked over the rows; nothing by default.

    Returns:
        The last state, and what `collect` gave at each row, stacked.
    """
    count = jax.tree.leaves(rows)[0].shape[0]
    first = jax.tree.map(lambda leaf: leaf[0], rows)

    def step(state: State, indexed_row: tuple[Array, Row]) -> tuple[State, PyTree]:
        index, row = indexed_row
        state, info = sampler.step(jax.random.fold_in(key, index), state, row)
        return state, collect(state, info)

    state = sampler.init(jax.random.fold_in(key, count), x, first)
    return jax.lax.scan(step, state, (jnp.arange(count), rows))


def sample(key: Key, sampler: Sampler, x: Array, rows: PyTree, count: int) -> Array:
    """Independent chains of a sampler, `[count, ...]`, in one program that new arrays do not recompile.

    Args:
        key: root key; chain i draws from `fold_in(key, i)`, so that more chains do not change the first ones.
        sampler: pair (init, step) whose state has a field `x`.
        x: starting point of every chain, one example; zeros where nothing is known.
        rows: level grid, see `run`.
        count: number of chains, at least 1.

    Raises:
        ValueError: if `count` is below 1.
    """
    count = check_whole("count is the number of chains", count, 1)
    return _sample(as_key(key), sampler, jnp.asarray(x, float), rows, count)


@compiled
def _sample(key, sampler, x, rows, count):
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(count))
    return jax.vmap(lambda key: run(key, sampler, x, rows)[0].x)(keys)


def mean_and_std(
    chain: Callable[[Int[Array, ""]], tuple[Array, PyTree]], start: Array, numbers: Int[Array, " s"], at_once: int
) -> tuple[Array, Array, PyTree]:
    """Mean and standard deviation over S chains, with a few of them in memory at a time.

    With the mean m and the sum of squares q of n samples, and those of k more (Chan, Golub and LeVeque 1983),

        m <- m + k (m_k - m) / (n + k),    q <- q + q_k + n k (m_k - m)^2 / (n + k).

    Args:
        chain: number of a chain -> (its sample, a report).
        start: zeros of the shape and type of a sample.
        numbers: numbers of the S chains.
        at_once: largest number of chains side by side.

    Returns:
        Mean, standard deviation (S - 1 in the denominator; 0 for one sample), and the reports, stacked.
    """

    def add(found: tuple[Array, Array, Array], group: Array) -> tuple[tuple[Array, Array, Array], PyTree]:
        count, mean, squares = found
        drawn, report = jax.vmap(chain)(group)
        own = jnp.mean(drawn, axis=0)
        shift, share = own - mean, len(group) / (count + len(group))
        squares = squares + jnp.sum(jnp.square(drawn - own[None]), axis=0) + count * share * jnp.square(shift)
        return (count + len(group), mean + share * shift, squares), report

    whole = len(numbers) // at_once * at_once
    found, reports = jax.lax.scan(add, (jnp.zeros((), start.dtype), start, start), numbers[:whole].reshape(-1, at_once))
    reports = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), reports)
    if whole < len(numbers):
        found, rest = add(found, numbers[whole:])
        reports = jax.tree.map(lambda *parts: jnp.concatenate(parts), reports, rest)
    _, mean, squares = found
    return mean, jnp.sqrt(squares / max(len(numbers) - 1, 1)), reports


def converged(residuals: Float[Array, " n"], tolerance: Scalar) -> tuple[Bool[Array, ""], Int[Array, ""]]:
    """Whether a run converged, and the first row from which on no residual exceeds the tolerance; n where it did not.

    A residual that is NaN exceeds every tolerance. Many runs at once, `[b, n]`, by `jax.vmap`.

    Args:
        residuals: residual of every row, as `run` collects it from the info of an optimiser.
        tolerance: the largest residual that is accepted, in units of the residuals; for a relative one
            `1e-6 * residuals[0]`.
    """
    count = residuals.shape[0]
    row = jnp.max(jnp.where(residuals <= tolerance, 0, jnp.arange(1, count + 1)))
    return row < count, row
