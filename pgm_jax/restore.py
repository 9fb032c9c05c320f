"""From a measurement to samples of the posterior, and their summary.

    y = A(x) + noise            ->    x_1, ..., x_S ~ pi(x | y)    ->    mean, standard deviation, quantiles

One program per shape: images, operators, noise, grid and weights are its arguments, so another mask, another level grid
or another set of weights never compiles again. Chains are `vmap`ped inside measurements, each with a key of its own:
the result for one measurement does not depend on its neighbours, on padding or on the number of devices.
"""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Inexact, Int

from pgm_jax.operators import QUICK, NonlinearOperator, Stop
from pgm_jax.potentials import GaussianLikelihood, estimate_sigma
from pgm_jax.proximal import Splitting, data_first, explicit, forward_backward, parallel, prior_first
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
    y: Inexact[Array, "b *measurement"],
    key: Key,
    *,
    sigma: Scalar | None = None,
    likelihood: Callable[[Operator, Array], Any] | None = None,
    samples: int = 8,
    rows: Rows | None = None,
    split: Splitting | None = None,
    step: Scalar | None = None,
    stop: Stop = QUICK,
    beta: Scalar = 1.0,
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
    operator_axis: int | None = None,
    indices: Int[Array, " b"] | None = None,
) -> Restoration:
    """Draw samples of the posterior of every measurement and summarise them.

    Formula: `pi(x | y) ~ exp(-[beta |y - A(x)|^2 / (2 sigma^2) + g(x)])`.

    Args:
        prior: g, by its prox; learned or exact.
        operator: A. One for all measurements, or, with `operator_axis=0`, a stack whose arrays have a leading axis B.
        y: measurements `[B, ...]`, in the units of the images ([-1, 1]).
        key: root key; chain s of measurement i draws from `fold_in(fold_in(key, indices[i]), s)`.
        sigma: standard deviation of the noise of y, positive. If None it is estimated from y, one for all, with a
            warning that says the number; see `pgm_jax.potentials.estimate_sigma`. Only for measurements that are
            pictures: not for magnitudes of frequencies, say.
        likelihood: another noise than Gaussian: (operator, one measurement) -> f, for instance
            `jax.tree_util.Partial(PoissonLikelihood, gain=100.0, background=1.0, stop=QUICK)`; sigma, step and stop
            are of no account then.
        samples: number S of samples of each measurement, at least 1.
        rows: level grid; 100 rows of `default_rows` if None.
        split: how the prox of the posterior is put together, see `pgm_jax.proximal`. If None, `data_first` for a linear
            operator. A nonlinear one is linearised where its data step starts, which should be an image and not an
            image with the noise of the level: `prior_first`.
        step: cap of the gradient step of `forward_backward`, below 2 / L with L = |A|^2 / sigma^2; 1 / L if None.
        stop: when the data step of an operator without a closed form ends.
        beta: inverse temperature of the likelihood.
        quantiles: which quantiles to compute, numbers in [0, 1].
        operator_axis: as `in_axes` of `vmap` for the operator: None (one for all) or 0 (one for each measurement).
        indices: number of each measurement in its data set, `[B]`; 0 ... B - 1 if None. Give it when a data set is
            worked off in batches, and the result will not depend on their size.

    Returns:
        The samples, their mean, standard deviation and quantiles.

    Raises:
        ValueError: if y does not fit the operator or holds NaNs, if sigma is not positive or cannot be estimated, if no
            sample is asked for, or if an explicit step lies beyond its limit 2 / L.
        TypeError: if y is not of a floating type, or complex where the operator's measurements are not.
    """
    y = jnp.asarray(y)
    _check(operator, y, sigma, samples, operator_axis, quantiles)
    rows = default_rows(100) if rows is None else rows
    split = split or (prior_first if isinstance(operator, NonlinearOperator) else data_first)
    indices = jnp.arange(y.shape[0]) if indices is None else indices
    real = y.real.dtype
    if likelihood is None:
        sigma = _estimated(operator, y, operator_axis) if sigma is None else sigma
        _check_step(operator, rows, split, step, sigma, beta, operator_axis)
        likelihood = Partial(GaussianLikelihood, sigma=jnp.asarray(sigma, real), max_step=step, stop=stop)
    return _restore(
        prior,
        operator,
        y,
        key,
        rows,
        indices,
        jnp.asarray(quantiles, real),
        likelihood if isinstance(likelihood, Partial) else Partial(likelihood),
        jnp.asarray(beta, real),
        samples=samples,
        split=split,
        operator_axis=operator_axis,
    )


@functools.partial(jax.jit, static_argnames=("samples", "split", "operator_axis"))
def _restore(prior, operator, y, key, rows, indices, quantiles, likelihood, beta, *, samples, split, operator_axis):
    def chain(f: Any, key: Key) -> Array:
        sampler = pgm(prior, f, split, beta)
        state, _ = run(sampler, key, jnp.zeros(operator.image_shape, y.real.dtype), rows)
        return state.x

    def chains(operator: Operator, y: Array, index: Array) -> Array:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, index), jnp.arange(samples))
        f = likelihood(operator, y)
        if isinstance(f, GaussianLikelihood):
            # Once, since |A| may take an iteration; the compiler drops what no splitting asks for.
            f = dataclasses.replace(f, max_step=f.step_limit)
        return jax.vmap(chain, (None, 0))(f, keys)

    drawn = jax.vmap(chains, (operator_axis, 0, 0))(operator, y, indices)
    std = jnp.std(drawn, axis=1, ddof=min(samples - 1, 1))
    return Restoration(drawn, jnp.mean(drawn, axis=1), std, jnp.quantile(drawn, quantiles, axis=1))


def _estimated(operator, y, operator_axis) -> Array:
    if jnp.iscomplexobj(y) or y.ndim != 4 or y.shape[-1] != operator.image_shape[-1]:
        raise ValueError(
            f"sigma was not given, and measurements of the type {y.dtype} and shape {y.shape} are no images "
            "(B, H, W, C), whose noise could be told from them: give sigma."
        )
    observed = jax.vmap(lambda a, y: jnp.where(a.observed > 0, y, jnp.nan), (operator_axis, 0))(operator, y)
    sigma = estimate_sigma(observed)
    if not float(sigma) > 0:
        raise ValueError("sigma was not given, and its estimate is 0, as for clipped or rounded values: give sigma.")
    warnings.warn(
        f"sigma was not given; its estimate from the measurements is {float(sigma):.4g}, in their units.", stacklevel=3
    )
    return sigma


def _check_step(operator, rows, split, step, sigma, beta, operator_axis) -> None:
    """Refuse explicit steps that diverge; what they are is known for the splittings of `pgm_jax.proximal`."""
    if split in (parallel, explicit):
        # Of a row: x <- (keep - pull beta lam L / mu) x + ..., in the steepest direction and where the prior has a say.
        steps = beta * rows.pull * rows.lam * rows.weight / rows.mu
        taken = float(jnp.max(2 * steps / (1 + rows.keep) if split is parallel else steps))
        mend = "take rows with smaller steps, or a splitting with a prox of the data: data_first, prior_first"
    elif step is not None and split is forward_backward:
        taken, mend = float(step), ""
    else:
        return
    norms = jax.vmap(lambda a: a.norm(), operator_axis, axis_size=1 if operator_axis is None else None)(operator)
    limit = 2 * float(sigma) ** 2 / float(jnp.max(norms)) ** 2
    if not 0 < taken < limit:
        raise ValueError(
            f"The explicit step on the data is {taken:.4g}; it must be positive and below 2 / L = {limit:.4g}, where "
            f"L = |A|^2 / sigma^2: {mend or f'take {limit / 2:.4g}, which is 1 / L, or leave `step` out for that'}."
        )


def _check(operator, y, sigma, samples, operator_axis, quantiles) -> None:
    if samples < 1:
        raise ValueError(f"{samples} samples were asked for; a restoration needs at least 1.")
    if not jnp.issubdtype(y.dtype, jnp.inexact):
        raise TypeError(f"The measurement has the type {y.dtype}; give floating point numbers on the scale of [-1, 1].")
    if operator_axis not in (None, 0):
        raise ValueError(f"operator_axis is {operator_axis}; it is None (one operator for all) or 0 (one for each).")
    if not all(0 <= q <= 1 for q in quantiles):
        raise ValueError(f"The quantiles {tuple(quantiles)} were asked for; each must lie in [0, 1].")
    x = jax.ShapeDtypeStruct(operator.image_shape, y.real.dtype)
    forward = jax.vmap(lambda a, x: a.forward(x), (operator_axis, None), axis_size=y.shape[0] if y.ndim else 1)
    try:
        measured = jax.eval_shape(forward, operator, x)
    except ValueError as error:
        if operator_axis is None:
            raise
        raise ValueError(
            f"The operator's arrays do not have a leading axis of {y.shape[0]}, one for each measurement, as "
            "operator_axis=0 says; stack one operator for each, or leave operator_axis out to share one."
        ) from error
    expected = measured.shape
    if y.shape != expected:
        raise ValueError(
            f"The measurements have the shape {y.shape}, but the operator measures images of {operator.image_shape} as "
            f"{expected[1:]}; give an array of shape (B, {', '.join(map(str, expected[1:]))})."
        )
    if not bool(jnp.all(jnp.isfinite(y))):
        raise ValueError(f"The measurements hold {int(jnp.sum(~jnp.isfinite(y)))} values that are NaN or infinite.")
    if jnp.iscomplexobj(y) != jnp.issubdtype(measured.dtype, jnp.complexfloating):
        raise TypeError(
            f"The measurements are of the type {y.dtype}, and the operator measures {measured.dtype}: give them "
            "as such, or take the operator that made them."
        )
    if sigma is not None and not float(sigma) > 0:
        raise ValueError(f"The noise level sigma is {float(sigma)}; it must be positive.")
