"""Calibration of posteriors, and diagnostics of chains.

A simulation draws a truth from the prior and a measurement of it, and S samples of the posterior given the measurement.
If the sampler is exact, the truth is one more sample: its rank among the S, in any order of the points that does not
look at the truth, is uniform on 0, ..., S. All tests of calibration here are tests of such ranks:

    sbc_ranks, rank_scores   rank of each coordinate: z-scores of its mean, its spread and its histogram
    interval_coverage        rank of each coordinate: is it in the central share of 0, ..., S?
    tarp                     rank of the distance to a reference point: is it in the lowest share of 0, ..., S?

Coverage is exact at finite S: the nominal level that is returned is the share of the ranks that count as covered, not
the level that was asked for. Where the truth ties with t samples it has t + 1 ranks, all as likely: `sbc_ranks` draws
one, the others average over them. A sample that is not a number gives NaN.

Sources: Talts et al., arXiv 1804.06788 (ranks); Lemos et al., ICML 2023, arXiv 2302.03026 (TARP); Vehtari, Gelman,
Simpson, Carpenter and Buerkner, Bayesian Analysis 16, 2021, arXiv 1903.08008 (chains).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pgm_jax.types import Key, Scalar


class Coverage(NamedTuple):
    """How often credible regions contain the truth, simulation by simulation.

    Attributes:
        nominal: what an exact sampler would cover, `[L]`: shares of the S + 1 ranks, next to the levels asked for.
        hits: what is covered, `[N, L]`: in each simulation, the share of coordinates (1 or 0 where there is but one).
    """

    nominal: Float[Array, " l"]
    hits: Float[Array, "n l"]

    @property
    def empirical(self) -> Float[Array, " l"]:
        """The covered share over all simulations, `[L]`."""
        return jnp.mean(self.hits, axis=0)

    @property
    def deviation(self) -> Float[Array, ""]:
        """The largest `|empirical - nominal|` over the levels."""
        return jnp.max(jnp.abs(self.empirical - self.nominal))


class Band(NamedTuple):
    """A band about a curve, with a lower edge `low` and an upper edge `high`, `[L]`."""

    low: Float[Array, " l"]
    high: Float[Array, " l"]


class Bands(NamedTuple):
    """The bands of a coverage curve.

    Attributes:
        pointwise: holds the expected curve at any one level with the wanted probability; over many levels it is left
            somewhere much more often.
        simultaneous: holds the expected curve at all levels at once with this probability; the one to test against.
    """

    pointwise: Band
    simultaneous: Band


class RankScores(NamedTuple):
    """Standard normal scores of uniform ranks, one for each coordinate.

    Attributes:
        bias: of the mean rank; above 0 where the samples are too low.
        spread: of the mean squared distance of the ranks from their middle; above 0 for overconfident samples.
        histogram: of chi-squared over the histogram of the ranks; above 0 for any other distribution than the uniform.
    """

    bias: Float[Array, "..."]
    spread: Float[Array, "..."]
    histogram: Float[Array, "..."]


def interval_coverage(
    samples: Float[Array, "n s ..."], truths: Float[Array, "_ ..."], levels: Float[Array, " l"]
) -> Coverage:
    """The coverage of central credible intervals of each coordinate, between equal tails of the samples.

        covered: q <= rank <= S - q, q = round((1 - level) (S + 1) / 2)       nominal: 1 - 2 q / (S + 1)

    This is the interval from the q-th smallest to the q-th largest sample, and the whole line for q = 0. Below the
    diagonal, the sampler is overconfident (or biased); above, underconfident.

    Args:
        samples, truths: S posterior samples `[N, S, ...]` for each of N truths, `[N, ...]`, in the same units.
        levels: credible levels in (0, 1), `[L]`.

    Raises:
        ValueError: if the shapes are not these.
    """
    count = _samples_of_each(samples, truths)
    tail = jnp.clip(jnp.round((1 - levels) * (count + 1) / 2), 0, count // 2)
    return _coverage(*_ranks(samples, truths), 1 - 2 * tail / (count + 1), tail, count - tail)


def tarp(
    key: Key,
    samples: Float[Array, "n s ..."],
    truths: Float[Array, "_ ..."],
    levels: Float[Array, " l"],
    references: Float[Array, "_ ..."] | None = None,
) -> Coverage:
    """The expected coverage of balls about reference points (TARP), a test of all coordinates together.

        covered: rank < q, q = round(level (S + 1))       nominal: q / (S + 1)

    The rank is the number of samples that are nearer to the reference point than the truth is. Each coordinate is
    scaled by the range of the truths of all other simulations; with that of all truths, an exact sampler would be off
    by the order of 1 / N. Overconfident samples give a curve above the diagonal at low levels and below it at high
    ones; underconfident samples the opposite.

    With references that do not depend on the measurement, samples of the prior pass too: they are calibrated, and
    ignore the data. To see that, give references that do depend on it, such as rough estimates.
    Lemos et al. (arXiv 2302.03026).

    Args:
        key: key of the reference points.
        samples, truths: S posterior samples `[N, S, ...]` for each of N truths, `[N, ...]`, in the same units.
        levels: credible levels in (0, 1), `[L]`.
        references: a point for each simulation, `[N, ...]`, in the units of the samples; uniform in the box that the
            other truths span if None.

    Raises:
        ValueError: if the shapes are not these, or N is 1.
    """
    count = _samples_of_each(samples, truths)
    if truths.shape[0] < 2:
        raise ValueError("TARP takes the scale of a truth from the others; give two simulations or more.")
    ordered = jnp.sort(truths, axis=0)
    low = jnp.where(truths == ordered[:1], ordered[1:2], ordered[:1])
    high = jnp.where(truths == ordered[-1:], ordered[-2:-1], ordered[-1:])
    if references is None:
        references = low + (high - low) * jax.random.uniform(key, truths.shape, truths.dtype)
    if references.shape != truths.shape:
        raise ValueError(
            f"The references have shape {references.shape} and the truths {truths.shape}; give one reference point for "
            "each simulation."
        )
    scale = jnp.where(high > low, high - low, 1)  # a coordinate that never changes

    def distances(gaps: Array) -> Array:  # [N, *, ...] -> [N, *]
        return jnp.sum((gaps / scale[:, None]) ** 2, axis=tuple(range(2, gaps.ndim)))

    centres = references[:, None]
    ranks = _ranks(distances(samples - centres), distances(truths[:, None] - centres)[:, 0])
    covered = jnp.clip(jnp.round(levels * (count + 1)), 0, count + 1)
    return _coverage(*ranks, covered / (count + 1), jnp.zeros_like(covered), covered - 1)


def bootstrap_bands(key: Key, coverage: Coverage, level: Scalar = 0.95, resamples: int = 1000) -> Bands:
    """Bootstrap bands of a coverage curve, from the N simulations resampled with replacement.

        pointwise       the (1 - level) / 2 and (1 + level) / 2 quantiles of the redrawn curves, at each credible level
        simultaneous    curve +- c, c the `level` quantile of max_l |redrawn curve - curve|

    Coordinates and levels of one simulation stay together, so that their dependence is accounted for. An exact sampler
    stays inside the simultaneous band with probability `level`, about, for N of 100 and more.

    Args:
        key: key of the redrawing.
        coverage: of N simulations.
        level, resamples: probability of the bands, and number of redrawn curves.
    """
    n, curve = coverage.hits.shape[0], coverage.empirical

    def redrawn(key: Key) -> Array:
        return jnp.mean(coverage.hits[jax.random.randint(key, (n,), 0, n)], axis=0)

    curves = jax.lax.map(redrawn, jax.random.split(key, resamples), batch_size=min(16, resamples))
    reach = jnp.quantile(jnp.max(jnp.abs(curves - curve[None]), axis=1), level)
    pointwise = Band(*(jnp.quantile(curves, q, axis=0) for q in ((1 - level) / 2, (1 + level) / 2)))
    return Bands(pointwise, Band(curve - reach, curve + reach))


def inside(nominal: Float[Array, " l"], band: Band) -> Bool[Array, ""]:
    """Whether the curve `nominal` lies inside a `band` at all levels; take the simultaneous band for a test."""
    return jnp.all((band.low <= nominal) & (nominal <= band.high))


def sbc_ranks(key: Key, samples: Float[Array, "n s ..."], truths: Float[Array, "_ ..."]) -> Float[Array, "n ..."]:
    """The ranks of the truths among their samples, `#{samples < truth}`, whole numbers in 0, ..., S.

    For an exact sampler they are uniform. Talts et al. (arXiv 1804.06788).

    Args:
        key: key that breaks ties.
        samples: S independent posterior samples for each of N simulations, `[N, S, ...]`; of chains, take one sample
            in so many steps that they are (`effective_sample_size`).
        truths: their truths, `[N, ...]`, in the units of the samples.

    Raises:
        ValueError: if the shapes are not these.
    """
    _samples_of_each(samples, truths)
    below, ties = _ranks(samples, truths)
    drawn = jnp.floor(jax.random.uniform(key, ties.shape, ties.dtype) * (ties + 1))
    return below + jnp.minimum(drawn, ties)  # rounding may draw one too many


def rank_scores(ranks: Float[Array, "n ..."], count: int, bins: int = 10) -> RankScores:
    """How far ranks are from uniform, as z-scores: the mean, the spread and the histogram.

        bias, spread    (mean_i f(r_i) - m) / sqrt(v / N), f = r - S / 2 and (r - S / 2)^2 of exact mean m, variance v
        histogram       ((chi^2 / k)^(1/3) - 1 + h) / sqrt(h), h = 2 / (9 k), of chi-squared with k = bins - 1

    The last is the approximation of Wilson and Hilferty (PNAS 17, 1931) to a normal score; only large values speak
    against the sampler. Of many coordinates, some exceed any threshold by chance.

    Args:
        ranks: from `sbc_ranks`, `[N, ...]`.
        count: S, the number of samples that they are ranks among, 2 or more.
        bins: of the histogram, from 2 to S + 1; N should be 5 bins or more.

    Raises:
        ValueError: if there are fewer than 2 bins or more than ranks.
    """
    if not 2 <= bins <= count + 1:
        raise ValueError(f"{bins} bins were asked for; ranks among {count} samples fill 2 to {count + 1}.")
    n, offsets = ranks.shape[0], np.arange(count + 1) - count / 2

    def score(power: int) -> Array:
        mean, std = float(np.mean(offsets**power)), float(np.std(offsets**power))
        return (jnp.mean((ranks - count / 2) ** power, axis=0) - mean) / (std / n**0.5)

    def excess(start: Array, end: Array) -> Array:
        expected = n * (end - start) / (count + 1)
        return (jnp.sum((start <= ranks) & (ranks < end), axis=0) - expected) ** 2 / expected

    edges = jnp.asarray(-(-np.arange(bins + 1) * (count + 1) // bins), ranks.dtype)  # rounded up
    chi_squared = jnp.sum(jax.vmap(excess)(edges[:-1], edges[1:]), axis=0)
    k, h = bins - 1, 2 / (9 * (bins - 1))
    histogram = ((chi_squared / k) ** (1 / 3) - 1 + h) / h**0.5
    bias = score(1)
    return RankScores(bias, score(2), jnp.where(jnp.isnan(bias), jnp.nan, histogram))


def effective_sample_size(chains: Float[Array, "c t ..."]) -> Float[Array, "..."]:
    """How many independent draws have a mean as accurate as that of the chains, `C T / (1 + 2 sum_t rho_t)`.

    The autocorrelations rho_t are those of all chains together, about their common mean (arXiv 1903.08008, section
    3.2), so that chains that disagree are worth little; each chain is split in halves first, so that drifts count as
    well. The sum is Geyer's initial monotone sequence (Statistical Science 7, 1992): pairs rho_2k + rho_2k+1 until one
    is not positive, none above the one before. Antithetic chains are worth more than C T draws, up to the cap
    `C T log10(C T)`.

    Args:
        chains: C chains of T steps, `[C, T, ...]`; coordinates are judged one by one.

    Raises:
        ValueError: if there are fewer than 4 steps.
    """
    halves = _halves(chains)
    draws, t = halves.shape[0] * halves.shape[1], halves.shape[1]
    within, total = _variances(halves)
    spectrum = jnp.fft.rfft(halves - jnp.mean(halves, axis=1, keepdims=True), n=2 * t, axis=1)
    covariances = jnp.fft.irfft(jnp.abs(spectrum) ** 2, n=2 * t, axis=1)[:, :t] / (t - 1)
    rho = 1 - (within[None] - jnp.mean(covariances, axis=0)) / total[None]
    pairs = rho[0 : t - 1 : 2] + rho[1::2]
    monotone = jnp.maximum(jax.lax.cummin(pairs), 0)
    return draws / jnp.maximum(2 * jnp.sum(monotone, axis=0) - 1, 1 / math.log10(draws))


def split_rhat(chains: Float[Array, "c t ..."]) -> Float[Array, "..."]:
    """Whether chains agree, `R = (V / W)^(1/2)`: 1 if they do, above 1.01 if they need more steps.

    W is the variance within the halves of the chains, V = W (n - 1) / n + B / n that of all together, n = T / 2 steps
    in each half and B / n the variance of their means (arXiv 1903.08008, but without ranks, so that the second moments
    have to exist). It is infinite for chains that are stuck, or NaN where they are all at one point.

    Args:
        chains: C chains of T steps, `[C, T, ...]`; coordinates are judged one by one.

    Raises:
        ValueError: if there are fewer than 4 steps.
    """
    within, total = _variances(_halves(chains))
    return jnp.sqrt(total / within)


def _samples_of_each(samples: Array, truths: Array) -> int:
    """The number S of samples of each truth."""
    if samples.ndim < 2 or not samples.size or samples.shape[:1] + samples.shape[2:] != truths.shape:
        raise ValueError(
            f"The samples have shape {samples.shape} and the truths {truths.shape}; give [N, S, ...] and [N, ...], S "
            "samples for each of N truths of one shape. Where S comes first, swap the axes by jnp.swapaxes(s, 0, 1)."
        )
    return samples.shape[1]


def _ranks(samples: Array, truths: Array) -> tuple[Array, Array]:
    """How many samples [N, S, ...] are below the truths [N, ...], and how many are equal to them."""
    signs = jnp.sign(truths[:, None] - samples)  # in floats, so that NaN stays NaN
    ties = jnp.sum(1 - jnp.abs(signs), axis=1)
    return (samples.shape[1] - ties + jnp.sum(signs, axis=1)) / 2, ties


def _coverage(below: Array, ties: Array, nominal: Array, first: Array, last: Array) -> Coverage:
    """The coverage by the ranks from `first` to `last`, at each of L levels; a tied truth has all of its ranks."""

    def hit(limits: tuple[Array, Array]) -> Array:
        first, last = limits
        common = jnp.minimum(below + ties, last) - jnp.maximum(below, first) + 1
        return jnp.mean(jnp.clip(common, 0) / (ties + 1), axis=tuple(range(1, below.ndim)))

    return Coverage(nominal, jax.lax.map(hit, (first, last)).T)


def _halves(chains: Array) -> Array:
    """Both halves of each chain, [2 C, T // 2, ...], without the middle step of an odd number."""
    if chains.ndim < 2 or chains.shape[1] < 4:
        raise ValueError(
            f"The chains have shape {chains.shape}; give [C, T, ...] with T of 4 or more, C chains of T steps: of one "
            "chain, chain[None]."
        )
    half = chains.shape[1] // 2
    return jnp.concatenate([chains[:, :half], chains[:, -half:]])


def _variances(chains: Array) -> tuple[Array, Array]:
    """The variance within chains [C, T, ...], and that of all together."""
    t = chains.shape[1]
    within = jnp.mean(jnp.var(chains, axis=1, ddof=1), axis=0)
    return within, within * (t - 1) / t + jnp.var(jnp.mean(chains, axis=1), axis=0, ddof=1)
