"""From a measurement to samples of the posterior, and their summary.

    y = A(x) + noise            ->    x_1, ..., x_S ~ pi(x | y)    ->    mean, standard deviation, quantiles

One program per shape: images, operators, noise, grid and weights are its arguments, so changing the mask, the grid or
the weights does not trigger recompilation. Chains are `vmap`ped inside measurements, each with a key of its own:
the result for one measurement does not depend on its neighbours, on padding or on the number of devices.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Inexact, Int

from pgm_jax.metrics import data_misfit
from pgm_jax.noise import GaussianNoise, checked_indices, measurement_like, per_measurement
from pgm_jax.operators import ACCURATE, LinearOperator, NonlinearOperator
from pgm_jax.operators.checks import check_whole, fits
from pgm_jax.potentials.base import check_largest_step
from pgm_jax.proximal import Splitting, data_first, exact, explicit, parallel, prior_first
from pgm_jax.samplers import Rows, default_rows, exact_rows, pgm, run
from pgm_jax.samplers.base import mean_and_std
from pgm_jax.tracing import as_partial, compiled, is_traced
from pgm_jax.types import Key, Noise, Operator, as_key, pytree

_OF_EACH = ("samples", "mean", "std", "failed", "calls")  # of a `Restoration`, with the axis of the batch first
_NO_CHAIN = 2**32 - 1
_CHAINS_AT_ONCE, _PIXELS_AT_ONCE = 512, 2**19  # whose memory a laptop has
_CALLS, _EXACT_CALLS = 100, 20
_QUANTILES = (0.05, 0.5, 0.95)
# The means of a network that knows an operator explain a measurement so much worse than chance lets a posterior mean.
_SLACK, _SCORES = 1.2, 3.0
_QUIET = 0.06  # noise over signal, at which an operator that is misjudged shows it


@pytree
class Restoration:
    """Posterior samples of B measurements, and their summary; of a single measurement without the axis B.

    Attributes:
        samples: `[B, S, H, W, C]`, in [-1, 1] up to the spread of the posterior; `[B, 0, H, W, C]` of a summary.
        mean: mean over the samples, `[B, H, W, C]`.
        std: standard deviation over the samples (S - 1 in the denominator; 0 for one sample), `[B, H, W, C]`.
        quantiles: the chosen quantiles over the samples, `[Q, B, H, W, C]`; Q = 0 of a summary.
        failed: share of the steps of each sample that were left out since they were not finite, `[B, S]`; 0 is right.
        calls: number of evaluations of the prior for each sample, `[B]`, without the seven of the test.
    """

    samples: Float[Array, "*b k h w c"]
    mean: Float[Array, "*b h w c"]
    std: Float[Array, "*b h w c"]
    quantiles: Float[Array, "q *b h w c"]
    failed: Float[Array, "*b s"]
    calls: Int[Array, "*b"]


def restore(
    key: Key,
    prior: Any,
    operator: Operator,
    y: Inexact[Array, "..."],
    noise: Noise,
    *,
    samples: int = 8,
    calls: int | None = None,
    setting: str | None = None,
    rows: Rows | None = None,
    split: Splitting | None = None,
    quantiles: Sequence[float] | float | None = None,
    keep: str = "samples",
    operator_axis: int | None = None,
    indices: Int[Array, " b"] | None = None,
    at_once: int | None = None,
) -> Restoration:
    """Draw samples of the posterior of every measurement and summarise them.

    Formula: `pi(x | y) ~ exp(-[f(x) + g(x)])`, `f(x) = -log p(y | x)`.

    A prior with `every_metric` is tested on each measurement before its exact step is taken. The mean of a posterior
    leaves `E |y - A E[x_0 | y]|^2 <= n sigma^2` of the n numbers of a measurement, since `y - A E[x_0 | y]` is the mean
    of the noise. Of the mean that the prior gives for y, and of the one that it gives for a second measurement, of a
    quick sample with noise of at most 6 % of its root mean square, the square is to be at most
    `1.2^2 (1 + 3 sqrt(2 / n)) n sigma^2`. `data_first` restores the measurements for which it is not.

    Args:
        key: root key; chain s of measurement i draws from `fold_in(fold_in(key, indices[i]), s)`.
        prior: g, by its prox: an object with `prox(v, lam)`, learned or exact, or a function `(v, lam) -> Prox`.
        operator: A. One for all measurements, or, with `operator_axis=0`, a stack whose arrays have a leading axis B.
        y: one measurement, a batch of one without its axis, or `[B, ...]`; entries that A does not observe may be NaN.
        noise: `GaussianNoise(sigma)` or `PoissonNoise(gain, background)`; sigma in the units of y, for images [-1, 1].
        samples: number S of samples of each measurement, at least 1.
        calls: number of evaluations of the prior's prox for each sample; if None 20 on `exact_rows`, and 100 elsewhere.
            The samples of a single call are estimates of the mean, and their spread is no uncertainty.
        setting: "calibrated" or "sharp", see `pgm_jax.samplers.default_rows`. If None, `exact_rows` for the exact step
            of a prior with `every_metric`, and "calibrated" otherwise.
        rows: level grid, in place of `calls` and `setting`; an exact step is then taken without the test above.
        split: how the prox of the posterior is put together, see `pgm_jax.proximal`. If None, `data_first`; `exact` for
            a linear operator, Gaussian noise and a prior with `every_metric`, as a `MetricProxNet` has it, where the
            prior passes the test above, which is left out under `jit` and with `rows`; `prior_first` for every
            nonlinear operator, which should be linearised at an image and not at one with the noise of the level.
        quantiles: which quantiles to compute, numbers in [0, 1]; by default 0.05, 0.5 and 0.95, and none of a summary.
        keep: "samples" returns every sample; "summary" only their mean and standard deviation, which are updated as
            chains finish, so that the memory does not grow with S. It allows no quantiles.
        operator_axis: as `in_axes` of `vmap` for the operator: None (one for all) or 0 (one for each measurement).
        indices: number of each measurement in its data set, `[B]`; 0 ... B - 1 if None. Give it when a data set is
            processed in batches, and the result will not depend on their size.
        at_once: largest number of chains that run side by side, at least B of them; fewer need less memory. By default
            512, or fewer of large images, so that they hold half a million pixels together.

    Returns:
        The samples, their mean, standard deviation and quantiles, with a warning where steps failed, or `data_first`
        took the place of the exact step. A batch in which only some measurements fail the test is restored by both.

    Raises:
        ValueError: if y does not fit the operator, the prior or the noise, holds NaNs where A observes, if a number is
            out of its range, if a summary is to have quantiles, if `rows` are not finite or come with `calls` or
            `setting`, if an explicit step lies beyond its limit 2 / L, or a level beyond the prior's `largest_step`.
        TypeError: if y is not of a floating type, or complex where the operator's measurements are not, or if the key,
            the prior, the operator or the splitting is not one.
    """
    key, y, prior = as_key(key), jnp.asarray(y), _checked_prior(prior, operator)
    y, batched = _checked_measurements(operator, y, operator_axis)
    samples = check_whole("samples is the number of posterior samples of each measurement", samples, 1)
    most = min(_CHAINS_AT_ONCE, max(1, _PIXELS_AT_ONCE // math.prod(operator.image_shape[:2])))
    if at_once is not None:
        most = check_whole("at_once is the number of chains that run side by side", at_once, 1)
    if keep not in ("samples", "summary"):
        raise ValueError(f'keep is {keep!r}; give "samples" or "summary".')
    if not len(y):
        raise ValueError(f"The batch of measurements is empty, of shape {y.shape}; give at least one measurement.")
    if quantiles is None:
        quantiles = _QUANTILES if keep == "samples" else ()
    quantiles = (quantiles,) if isinstance(quantiles, int | float) else tuple(quantiles)
    if quantiles and keep == "summary":
        raise ValueError(f'The quantiles {quantiles} need all samples: leave keep="summary" out, or the quantiles.')
    if not all(0 <= q <= 1 for q in quantiles):
        raise ValueError(f"The quantiles are {quantiles}; each must lie in [0, 1].")
    if rows is not None and not isinstance(rows, Rows):
        raise TypeError(f"rows is {rows!r} and no grid: give calls={rows!r}, or rows of pgm_jax.samplers.")
    if rows is not None and not (calls is None and setting is None):
        raise ValueError("rows are the grid that calls and setting describe; give the one or the others.")
    if split is not None and not callable(split):
        raise TypeError(f"split is {split!r}; give a function of pgm_jax.proximal, such as data_first or exact.")
    indices = checked_indices(indices, len(y))
    chunk = min(samples, max(1, most // len(y)))
    levels = jnp.asarray(quantiles, y.real.dtype)
    taken = split or _usual_splitting(prior, operator, noise)
    noise = per_measurement(noise, y.shape)

    def restored(split: Splitting) -> Restoration:
        grid = _usual_rows(prior, split, calls, setting) if rows is None else rows
        _check_finite(grid)
        instead = "take a prior of all levels, such as a ProxNet, or for this one admm on plug_and_play_rows."
        check_largest_step(prior, grid.lam, "The levels of the rows go up to", instead)
        _check_step(split, grid, operator, y, noise, operator_axis)
        given = (key, prior, operator, y, noise, grid, indices, levels)
        return _restore(*given, split, samples, keep == "samples", chunk, operator_axis)

    if split is None and rows is None and taken is exact:
        # Before the test runs, since this refuses calls and settings that cannot be.
        in_stead = _usual_rows(prior, data_first, calls, setting).lam.shape[0]
        excess = _excess_of_means(key, prior, operator, y, noise, indices, operator_axis)
        result = _where_known(excess, restored, in_stead)
    else:
        result = restored(taken)
    _warn(result.failed)
    if batched:
        return result
    of_first = {name: getattr(result, name)[0] for name in _OF_EACH}
    return Restoration(quantiles=result.quantiles[:, 0], **of_first)


@compiled
def _restore(key, prior, operator, y, noise, rows, indices, quantiles, split, samples, kept, chunk, operator_axis):
    real = y.real.dtype
    rows, noise = jax.tree.map(lambda a: a.astype(real), (rows, noise))

    def chains(operator: Operator, y: Array, noise: Noise, index: Array) -> tuple[Array, ...]:
        of_measurement = jax.random.fold_in(key, index)
        y = jnp.where(operator.observed > 0, y, jnp.zeros_like(y))
        sampler = pgm(split(prior, noise.likelihood(operator, y)))

        def chain(number: Array) -> tuple[Array, Array]:
            start = jnp.zeros(operator.image_shape, real)
            of_chain = jax.random.fold_in(of_measurement, number)
            state, failed = run(of_chain, sampler, start, rows, lambda state, info: info.failed)
            return state.x, jnp.mean(failed.astype(real))

        numbers = jnp.arange(samples)
        if not kept:
            start = jnp.zeros(operator.image_shape, real)
            mean, std, failed = mean_and_std(chain, start, numbers, chunk)
            return jnp.zeros((0, *mean.shape), real), mean, std, failed
        drawn, failed = jax.vmap(chain)(numbers) if chunk == samples else jax.lax.map(chain, numbers, batch_size=chunk)
        return drawn, jnp.mean(drawn, axis=0), jnp.std(drawn, axis=0, ddof=min(samples - 1, 1)), failed

    drawn, mean, std, failed = jax.vmap(chains, (operator_axis, 0, 0, 0))(operator, y, noise, indices)
    found = jnp.quantile(drawn, quantiles, axis=1) if kept else jnp.zeros((0, *mean.shape), real)
    return Restoration(drawn, mean, std, found, failed, jnp.full(len(y), rows.lam.shape[0]))


@compiled
def _excess_of_means(key, prior, operator, y, noise, indices, operator_axis):
    """How far the prior's means are from measurements, over the most that a posterior mean may be, `[B]`.

    Noise hides what a prior misjudges, so that a second, quiet measurement is simulated. It is one of a sample, since
    with the truth replaced by a sample of the posterior a measurement has the same distribution.
    """
    noise = jax.tree.map(lambda a: a.astype(y.real.dtype), noise)

    def of_one(operator: Operator, y: Array, noise: GaussianNoise, index: Array) -> Array:
        # Chains have the small numbers.
        keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, index), _NO_CHAIN), 4)
        seen = jnp.broadcast_to(operator.observed > 0, y.shape)
        start = jnp.zeros(operator.image_shape, y.real.dtype)

        def drawn(key: Key, y: Array, noise: GaussianNoise, calls: int) -> Array:
            likelihood = noise.likelihood(operator, jnp.where(seen, y, jnp.zeros_like(y)))
            # What a quick data step leaves undone is not to count as misjudged.
            step = exact(prior, dataclasses.replace(likelihood, solver=ACCURATE))
            rows = jax.tree.map(lambda a: a.astype(start.dtype), exact_rows(calls))
            return run(key, pgm(step), start, rows)[0].x

        own = data_misfit(operator, drawn(keys[0], y, noise, 1), y, noise)
        sample = drawn(keys[1], y, noise, 5)
        signal = data_misfit(operator, sample, jnp.zeros_like(y), GaussianNoise(1.0))
        quiet = GaussianNoise(jnp.minimum(noise.sigma, _QUIET * signal).astype(start.dtype))
        again = quiet.sample(keys[2], operator.forward(sample))
        misfit = jnp.maximum(own, data_misfit(operator, drawn(keys[3], again, quiet, 1), again, quiet))
        count = jnp.sum(seen) * (2 if jnp.iscomplexobj(y) else 1)
        return misfit / (_SLACK * jnp.sqrt(1 + _SCORES * jnp.sqrt(2 / count)))

    return jax.vmap(of_one, (operator_axis, 0, 0, 0))(operator, y, noise, indices)


def _where_known(excess: Float[Array, " b"], restored: Callable[[Splitting], Restoration], calls: int) -> Restoration:
    """The exact step where the prior's means explain a measurement, and `data_first`, of so many calls, elsewhere."""
    # NaN is that of a broken network, of which `failed` tells, or of an operator that sees nothing.
    unknown = excess > 1
    count = 0 if is_traced(excess) else int(jnp.sum(unknown))
    if not count:
        return restored(exact)
    warnings.warn(
        f"{count} of {len(unknown)} measurements are restored by `data_first`, in {calls} calls: the means that the "
        "prior gives in the exact step do not explain them. The operator or the image is unlike those that the prior "
        f"knows, or sigma is too small.{f' It needs about {_CALLS} calls.' if calls < _CALLS else ''} In Python "
        "`split=exact` or `split=data_first` chooses one of the two without a test.",
        stacklevel=3,
    )
    plain = restored(data_first)
    if count == len(unknown):
        return plain
    known = restored(exact)

    def chosen(name: str, axis: int = 0) -> Array:
        a, b = getattr(plain, name), getattr(known, name)
        return jnp.where(jnp.expand_dims(unknown, [i for i in range(a.ndim) if i != axis]), a, b)

    return Restoration(**{name: chosen(name) for name in _OF_EACH}, quantiles=chosen("quantiles", 1))


def _usual_rows(prior: Any, split: Splitting, calls: int | None, setting: str | None) -> Rows:
    # Of a prior that answers with modes the integrator alone is no sampler.
    if split is exact and setting is None and getattr(prior, "every_metric", False):
        return exact_rows(_EXACT_CALLS if calls is None else calls)
    return default_rows(_CALLS if calls is None else calls, setting or "calibrated")


def _usual_splitting(prior: Any, operator: Operator, noise: Noise) -> Splitting:
    if isinstance(operator, NonlinearOperator):
        return prior_first
    # A likelihood of another noise, or by an operator that states no more than it must, has no metric.
    known = isinstance(operator, LinearOperator) and isinstance(noise, GaussianNoise)
    return exact if known and getattr(prior, "every_metric", False) else data_first


@pytree
class _FunctionPrior:
    """A prior of which no more is known than its prox, a function."""

    prox: Partial


def _checked_prior(prior: Any, operator: Any) -> Any:
    if not all(hasattr(operator, part) for part in ("image_shape", "forward", "solve", "observed")):
        raise TypeError(
            f"The operator is a {type(operator).__name__}, without image_shape, forward, solve or observed: derive it "
            "from pgm_jax.operators.LinearOperator, or make it by pgm_jax.operators.from_function(f, image_shape)."
        )
    if not hasattr(prior, "prox"):
        if not callable(prior):
            raise TypeError(
                f"The prior is a {type(prior).__name__} without `prox`: give an object with prox(v, lam), or a "
                "function (v, lam) -> Prox_g^lam(v)."
            )
        prior = _FunctionPrior(as_partial(prior))
    known, shape = getattr(prior, "image_shape", None), tuple(operator.image_shape)
    if known is not None and not fits(shape, known):
        raise ValueError(
            f"The prior knows images of shape {tuple(known)} and the operator measures images of shape {shape}: build "
            "the operator for the prior's, or take another prior."
        )
    return prior


def _checked_measurements(operator: Operator, y: Array, operator_axis: int | None) -> tuple[Array, bool]:
    """The measurements as a batch, and whether they were one."""
    if not jnp.issubdtype(y.dtype, jnp.inexact):
        raise TypeError(
            f"The measurement has the type {y.dtype}; give floating point numbers: counts as y.astype(float), images "
            "as x / 127.5 - 1."
        )
    one = measurement_like(operator, operator_axis, y.shape[0] if operator_axis == 0 and y.ndim else 1, y.real.dtype)
    batched = y.ndim == len(one.shape)
    if y.shape[1 if batched else 0 :] != one.shape[1:] or (operator_axis == 0 and not batched):
        raise ValueError(
            f"The measurements have the shape {y.shape}, but the operator measures images of "
            f"{tuple(operator.image_shape)} as {one.shape[1:]}; give an array of that shape, or of "
            f"(B, {', '.join(map(str, one.shape[1:]))})."
        )
    if jnp.iscomplexobj(y) != jnp.issubdtype(one.dtype, jnp.complexfloating):
        raise TypeError(
            f"The measurements are of the type {y.dtype}, and the operator measures {one.dtype}: give them "
            "as such, or take the operator that made them."
        )
    y = y if batched else y[None]
    if not is_traced((operator, y)):
        seen = jax.vmap(lambda a, y: jnp.where(a.observed > 0, y, jnp.zeros_like(y)), (operator_axis, 0))(operator, y)
        if not bool(jnp.all(jnp.isfinite(seen))):
            raise ValueError(
                f"The measurements hold {int(jnp.sum(~jnp.isfinite(seen)))} values that are NaN or infinite where the "
                "operator observes them; of pixels that were not measured, a mask says so: "
                "pgm_jax.operators.mask(image_shape, jnp.isfinite(y))."
            )
    return y, batched


def _check_finite(rows: Rows) -> None:
    each = {} if is_traced(rows) else vars(rows)
    bad = {name: int(np.sum(~np.isfinite(np.asarray(a)))) for name, a in each.items()}
    if any(bad.values()):
        holding = ", ".join(f"{count} of {name}" for name, count in bad.items() if count)
        raise ValueError(
            f"The rows hold values that are NaN or infinite, {holding}: look at the levels they come from."
        )


def _check_step(split, rows, operator, y, noise, operator_axis) -> None:
    """Refuse explicit steps that diverge; what they are is known for two splittings of `pgm_jax.proximal`."""
    if split not in (parallel, explicit) or is_traced((rows, operator, y, noise)):
        return
    # Of a row: x <- (keep - pull lam L / mu) x + ..., in the steepest direction and where the prior has a say.
    steps = rows.pull * rows.lam / rows.mu
    taken = float(jnp.max(2 * steps / (1 + rows.keep) if split is parallel else steps))

    def bound(operator: Operator, y: Array, noise: Noise) -> Array:
        return jnp.asarray(getattr(noise.likelihood(operator, y), "step_limit", jnp.inf))

    limit = 2 * float(jnp.min(jax.vmap(bound, (operator_axis, 0, 0))(operator, y, noise)))
    if not 0 < taken < limit:
        raise ValueError(
            f"The explicit step on the data is {taken:.4g}; it must be positive and below 2 / L = {limit:.4g}, where "
            "L is the Lipschitz constant of the likelihood's gradient, |A|^2 / sigma^2: take rows with smaller steps, "
            "or a splitting with a prox of the data: data_first, prior_first."
        )


def _warn(failed: Array) -> None:
    if is_traced(failed) or not float(jnp.max(failed)) > 0:
        return
    warnings.warn(
        f"{float(jnp.mean(failed)):.2%} of the steps, in {float(jnp.mean(failed > 0)):.0%} of the chains, were not "
        "finite and left out, and these samples are not to be trusted. The operator, its derivative or the prior is "
        "NaN or infinite somewhere beyond [-1, 1], where samplers go (a root or a logarithm: clip what goes into it), "
        "or the network overflows (compute in float32). `result.failed` says which chains.",
        stacklevel=3,
    )
