"""From a measurement to samples of the posterior, and their summary.

    y = A(x) + N(0, sigma^2)    ->    x_1, ..., x_S ~ pi(x | y)    ->    mean, standard deviation, quantiles

One program per shape: images, operators, noise, grid and weights are its arguments, so another mask, another level grid
or another set of weights never compiles again. Chains are `vmap`ped inside measurements, each with a key of its own:
the result for one measurement does not depend on its neighbours, on padding or on the number of devices.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pgm_jax.potentials import GaussianLikelihood
from pgm_jax.proximal import Splitting, data_first
from pgm_jax.samplers import Rows, bridge, leimkuhler_matthews, pgm, run, with_corrector
from pgm_jax.samplers.rows import Scheme
from pgm_jax.schedules import geometric_levels, ve
from pgm_jax.types import Key, Operator, Prior, Scalar


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Restoration:
    """Posterior samples of B measurements, and their summary.

    Attributes:
        samples: `[B, S, H, W, C]`, in [-1, 1] up to the spread of the posterior.
        mean: mean over the samples, `[B, H, W, C]`.
        std: standard deviation over the samples (S - 1 in the denominator; 0 for one sample), `[B, H, W, C]`.
        quantiles: the chosen quantiles over the samples, `[Q, B, H, W, C]`.
    """

    samples: Float[Array, "b s h w c"]
    mean: Float[Array, "b h w c"]
    std: Float[Array, "b h w c"]
    quantiles: Float[Array, "q b h w c"]


def default_rows(
    calls: int, lam_max: Scalar = 25.0, lam_min: Scalar = 4e-4, rate: Scalar = 1.0, scheme: Scheme = leimkuhler_matthews
) -> Rows:
    """The default grid: ten rows a level, nine correctors and one predictor, over a geometric grid of levels.

    What does not divide evenly goes to the last level; below twenty calls the predictor runs alone.

    Args:
        calls: number of evaluations of the prior's prox, at least 1.
        lam_max: highest level at which the prox is taken, a variance in the squared units of the images.
        lam_min: lowest one.
        rate: step of the correctors in units of lam.
        scheme: their coefficients: `leimkuhler_matthews` for the right spread; `exponential`, with a rate of 1, for
            sharper single samples that are too sure of themselves.

    Raises:
        ValueError: if `calls` is below 1.
    """
    if calls < 1:
        raise ValueError(f"{calls} network calls were asked for; a restoration needs at least 1.")
    schedule = ve(jnp.sqrt(lam_min), jnp.sqrt(lam_max))
    if calls < 20:
        return bridge(geometric_levels(schedule, calls, lam_max, lam_min))
    count, rest = divmod(calls, 10)
    # The chain stands below the level that its probes see, which is not to be above lam_max.
    top = lam_max * (1.0 - scheme(1.0, rate).probe ** 2)
    steps = [9] * (count - 1) + [9 + rest]
    return with_corrector(bridge(geometric_levels(schedule, count, top, lam_min)), steps, rate, scheme)


def restore(
    prior: Prior,
    operator: Operator,
    y: Float[Array, "b *measurement"],
    key: Key,
    *,
    sigma: Scalar,
    samples: int = 8,
    rows: Rows | None = None,
    split: Splitting = data_first,
    beta: Scalar = 1.0,
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
    operator_axis: int | None = None,
    indices: Int[Array, " b"] | None = None,
) -> Restoration:
    """Draw samples of the posterior of every measurement and summarise them.

    Formula: `pi(x | y) ~ exp(-[beta |y - A x|^2 / (2 sigma^2) + g(x)])`.

    Args:
        prior: g, by its prox; learned or exact.
        operator: A. One for all measurements, or, with `operator_axis=0`, a stack whose arrays have a leading axis B.
        y: measurements `[B, ...]`, in the units of the images ([-1, 1]).
        key: root key; chain s of measurement i draws from `fold_in(fold_in(key, indices[i]), s)`.
        sigma: standard deviation of the noise of y, positive.
        samples: number S of samples of each measurement, at least 1.
        rows: level grid; 100 rows of `default_rows` if None.
        split: how the prox of the posterior is put together, see `pgm_jax.proximal`.
        beta: inverse temperature of the likelihood.
        quantiles: which quantiles to compute, numbers in [0, 1].
        operator_axis: as `in_axes` of `vmap` for the operator: None (one for all) or 0 (one for each measurement).
        indices: number of each measurement in its data set, `[B]`; 0 ... B - 1 if None. Give it when a data set is
            worked off in batches, and the result will not depend on their size.

    Returns:
        The samples, their mean, standard deviation and quantiles.

    Raises:
        ValueError: if y does not fit the operator or holds NaNs, if sigma is not positive, if no sample is asked for.
        TypeError: if y is not of a floating type.
    """
    y = jnp.asarray(y)
    _check(operator, y, sigma, samples, operator_axis, quantiles)
    rows = default_rows(100) if rows is None else rows
    indices = jnp.arange(y.shape[0]) if indices is None else indices
    chosen = jnp.asarray(quantiles, y.dtype)
    numbers = [jnp.asarray(number, y.dtype) for number in (sigma, beta)]
    return _restore(
        prior,
        operator,
        y,
        key,
        rows,
        indices,
        chosen,
        *numbers,
        samples=samples,
        split=split,
        operator_axis=operator_axis,
    )


@functools.partial(jax.jit, static_argnames=("samples", "split", "operator_axis"))
def _restore(prior, operator, y, key, rows, indices, quantiles, sigma, beta, *, samples, split, operator_axis):
    def chain(operator: Operator, y: Array, key: Key) -> Array:
        sampler = pgm(prior, GaussianLikelihood(operator, y, sigma), split, beta)
        state, _ = run(sampler, key, jnp.zeros(operator.image_shape, y.dtype), rows)
        return state.x

    def chains(operator: Operator, y: Array, index: Array) -> Array:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, index), jnp.arange(samples))
        return jax.vmap(chain, (None, None, 0))(operator, y, keys)

    drawn = jax.vmap(chains, (operator_axis, 0, 0))(operator, y, indices)
    std = jnp.std(drawn, axis=1, ddof=min(samples - 1, 1))
    return Restoration(drawn, jnp.mean(drawn, axis=1), std, jnp.quantile(drawn, quantiles, axis=1))


def _check(operator, y, sigma, samples, operator_axis, quantiles) -> None:
    if samples < 1:
        raise ValueError(f"{samples} samples were asked for; a restoration needs at least 1.")
    if not jnp.issubdtype(y.dtype, jnp.floating):
        raise TypeError(f"The measurement has the type {y.dtype}; give floating point numbers on the scale of [-1, 1].")
    if operator_axis not in (None, 0):
        raise ValueError(f"operator_axis is {operator_axis}; it is None (one operator for all) or 0 (one for each).")
    if not all(0 <= q <= 1 for q in quantiles):
        raise ValueError(f"The quantiles {tuple(quantiles)} were asked for; each must lie in [0, 1].")
    x = jax.ShapeDtypeStruct(operator.image_shape, y.dtype)
    forward = jax.vmap(lambda a, x: a.forward(x), (operator_axis, None), axis_size=y.shape[0] if y.ndim else 1)
    try:
        expected = jax.eval_shape(forward, operator, x).shape
    except ValueError as error:
        raise ValueError(
            f"The operator's arrays do not have a leading axis of {y.shape[0]}, one for each measurement, as "
            "operator_axis=0 says; stack one operator for each, or leave operator_axis out to share one."
        ) from error
    if y.shape != expected:
        raise ValueError(
            f"The measurements have the shape {y.shape}, but the operator measures images of {operator.image_shape} as "
            f"{expected[1:]}; give an array of shape (B, {', '.join(map(str, expected[1:]))})."
        )
    if not bool(jnp.all(jnp.isfinite(y))):
        raise ValueError(f"The measurements hold {int(jnp.sum(~jnp.isfinite(y)))} values that are NaN or infinite.")
    if not float(sigma) > 0:
        raise ValueError(f"The noise level sigma is {float(sigma)}; it must be positive.")
