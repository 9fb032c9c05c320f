"""Calibration: exact posteriors pass; those that are too sure, not sure enough or off fail, and say in which way.

The simulations are x ~ N(0, I), y = x + N(0, I), whose posterior is N(y / 2, I / 2); a sampler under test draws from
N(y / 2 + bias, spread^2 I / 2).
"""

import functools
import inspect
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pgm_jax import metrics
from pgm_jax.metrics import calibration
from pgm_jax.metrics.calibration import Bands, Coverage, RankScores

LEVELS = np.linspace(0.05, 0.95, 19, dtype=np.float32)
SAMPLES = 50

interval_coverage, tarp, sbc_ranks = map(jax.jit, (metrics.interval_coverage, metrics.tarp, metrics.sbc_ranks))
bootstrap_bands = jax.jit(metrics.bootstrap_bands, static_argnames="resamples")
rank_scores = jax.jit(metrics.rank_scores, static_argnums=(1, 2))
effective_sample_size, split_rhat = map(jax.jit, (metrics.effective_sample_size, metrics.split_rhat))


@functools.partial(jax.jit, static_argnames="simulations")
def simulate(key, spread=1.0, bias=0.0, simulations=400):
    """Samples, truths and measurements of two coordinates."""
    key_x, key_y, key_z = jax.random.split(key, 3)
    x = jax.random.normal(key_x, (simulations, 2))
    y = x + jax.random.normal(key_y, x.shape)
    z = jax.random.normal(key_z, (simulations, SAMPLES, 2))
    return y[:, None] / 2 + bias + spread * z / jnp.sqrt(2), x, y


class Verdict(NamedTuple):
    """What the tests say of a sampler."""

    intervals: Coverage
    interval_bands: Bands
    balls: Coverage
    ball_bands: Bands
    scores: RankScores


@jax.jit
def judge(key, spread, bias):
    samples, truths, _ = simulate(key, spread, bias)
    intervals = interval_coverage(samples, truths, LEVELS)
    balls = tarp(key, samples, truths, LEVELS)
    bands = [bootstrap_bands(key, coverage, resamples=400) for coverage in (intervals, balls)]
    scores = rank_scores(sbc_ranks(key, samples, truths), SAMPLES)
    return Verdict(intervals, bands[0], balls, bands[1], scores)


@functools.cache
def verdict(spread, bias):
    return jax.tree.map(np.asarray, judge(jax.random.key(7), spread, bias))


@functools.cache
def drawn(seed):
    """Samples, truths and measurements, in numpy."""
    return tuple(map(np.asarray, simulate(jax.random.key(seed))))


class Row(NamedTuple):
    """A sampler, and the signs of what is wrong with it."""

    name: str
    spread: float = 1.0
    bias: float = 0.0
    narrow: int = 0  # 1 if its intervals cover too little
    scores: tuple[int, int] = (0, 0)  # of bias and spread

    @property
    def verdict(self):
        return verdict(self.spread, self.bias)


ROWS = [
    Row("exact"),
    Row("too sure", spread=0.7, narrow=1, scores=(0, 1)),
    Row("not sure enough", spread=1.4, narrow=-1, scores=(0, -1)),
    Row("too low", bias=-0.8, narrow=1, scores=(1, 1)),
    Row("too high", bias=0.8, narrow=1, scores=(-1, 1)),
]


def inside_the_bands_only_if_exact(row):
    verdict = row.verdict
    for coverage, bands in ((verdict.intervals, verdict.interval_bands), (verdict.balls, verdict.ball_bands)):
        nominal, band = jax.tree.map(jnp.asarray, (coverage.nominal, bands.simultaneous))
        assert metrics.inside(nominal, band) == (row.name == "exact")


def intervals_are_off_in_this_direction(row):
    intervals = row.verdict.intervals
    np.testing.assert_allclose(intervals.empirical, np.mean(intervals.hits, axis=0), rtol=1e-6)
    gaps = intervals.empirical - intervals.nominal
    assert intervals.deviation == np.max(np.abs(gaps))
    if row.narrow:
        assert np.all(row.narrow * gaps[3:] < 0)
    assert (intervals.deviation > 0.07) == bool(row.narrow)


def balls_bend_in_this_direction(row):
    """Too sure: above the diagonal at low levels, below at high ones."""
    balls = row.verdict.balls
    if row.spread != 1.0:
        gaps = row.narrow * (balls.empirical - balls.nominal)
        assert gaps[1] > 0 > gaps[-2]


def scores_have_these_signs(row):
    scores = row.verdict.scores
    for sign, score in zip((*row.scores, abs(row.narrow)), scores, strict=True):
        assert score.shape == (2,)
        assert np.all(sign * score > 4) if sign else np.all(np.abs(score) < 4)


LAWS = (
    inside_the_bands_only_if_exact,
    intervals_are_off_in_this_direction,
    balls_bend_in_this_direction,
    scores_have_these_signs,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_law(row, law):
    law(row)


def test_bands_hold_as_often_as_they_say():
    """The simultaneous band at all levels in 95 % of all exact runs, the pointwise one only at each level."""
    replicas = 100

    @jax.jit
    def run(key):
        samples, truths, y = simulate(key, simulations=200)
        results = []
        for coverage in (
            interval_coverage(samples, truths, LEVELS),
            tarp(key, samples, truths, LEVELS),
            tarp(key, samples, truths, LEVELS, references=y),
        ):
            bands, nominal = bootstrap_bands(key, coverage, resamples=200), coverage.nominal
            at_levels = (bands.pointwise.low <= nominal) & (nominal <= bands.pointwise.high)
            everywhere = [metrics.inside(nominal, band) for band in bands]
            results.append((*everywhere, jnp.mean(at_levels), coverage.empirical - nominal))
        return results

    for pointwise, simultaneous, at_levels, gaps in jax.lax.map(run, jax.random.split(jax.random.key(1), replicas)):
        assert abs(np.mean(simultaneous) - 0.95) / np.sqrt(0.95 * 0.05 / replicas) < 4
        assert np.mean(pointwise) < 0.8
        assert abs(np.mean(at_levels) - 0.95) < 0.03
        assert np.all(np.abs(np.mean(gaps, 0)) < 4 * np.std(gaps, 0) / np.sqrt(replicas))


@pytest.mark.parametrize("count", [1, 4, 5])
def test_coverage_is_exact_at_any_number_of_samples(count):
    """One truth for each rank is what an exact sampler gives on average."""
    samples = np.broadcast_to(np.arange(count, dtype=np.float32), (count + 1, count))
    truths = np.arange(count + 1, dtype=np.float32) - 0.5
    intervals = interval_coverage(samples, truths, LEVELS)
    far = np.full_like(truths, -1e3)
    balls = tarp(jax.random.key(0), samples, truths, LEVELS, references=far)
    for coverage, step in ((intervals, 2), (balls, 1)):
        assert coverage.hits.shape == (count + 1, 19)
        np.testing.assert_allclose(coverage.empirical, coverage.nominal, atol=1e-6)
        reachable = coverage.nominal.min() <= LEVELS
        assert np.all(np.abs(np.asarray(coverage.nominal) - LEVELS)[reachable] <= step / 2 / (count + 1) + 1e-6)
    np.testing.assert_array_equal(sbc_ranks(jax.random.key(0), samples, truths), np.arange(count + 1))


def test_intervals_are_those_between_samples():
    """Of 19 samples, the 90 % interval is from the smallest to the largest: 18 of 20 gaps."""
    samples, truths, _ = drawn(2)
    samples = samples[:, :19]
    coverage = interval_coverage(samples, truths, np.float32([0.5, 0.9, 0.92, 0.99]))
    np.testing.assert_allclose(coverage.nominal, [0.5, 0.9, 0.9, 1.0], rtol=1e-6)
    within = (samples.min(1) <= truths) & (truths <= samples.max(1))
    np.testing.assert_allclose(coverage.hits[:, 1], np.mean(within, axis=1))
    ordered = np.sort(samples, axis=1)
    within = (ordered[:, 4] <= truths) & (truths <= ordered[:, 14])
    np.testing.assert_allclose(coverage.hits[:, 0], np.mean(within, axis=1))


def test_ties_count_as_exact():
    samples, truths = np.zeros((400, 9), np.float32), np.zeros(400, np.float32)
    far = np.ones(400, np.float32)
    for coverage in (
        interval_coverage(samples, truths, LEVELS),
        tarp(jax.random.key(0), samples, truths, LEVELS, references=far),
    ):
        np.testing.assert_allclose(coverage.hits, np.broadcast_to(coverage.nominal, (400, 19)), rtol=1e-6)
    ranks = sbc_ranks(jax.random.key(0), samples, truths)
    assert set(np.unique(ranks)) == set(range(10))
    assert np.all(np.abs(np.array(rank_scores(ranks, 9))) < 4)


def test_rounded_posteriors_are_exact_too():
    samples, truths, _ = drawn(3)
    ranks = sbc_ranks(jax.random.key(4), np.round(samples), np.round(truths))
    assert np.all(np.abs(np.array(rank_scores(ranks, SAMPLES))) < 4)


def test_nan_is_seen():
    samples, truths, _ = drawn(2)
    broken = samples.copy()
    broken[3, 4, 0] = np.nan
    coverage = interval_coverage(broken, truths, LEVELS)
    bands = bootstrap_bands(jax.random.key(0), coverage, resamples=16)
    assert np.isnan(coverage.deviation) and not metrics.inside(coverage.nominal, bands.simultaneous)
    assert np.isnan(tarp(jax.random.key(0), broken, truths, LEVELS).deviation)
    ranks = sbc_ranks(jax.random.key(0), broken, truths)
    for score in rank_scores(ranks, SAMPLES):
        np.testing.assert_array_equal(np.isnan(score), [True, False])


def test_coordinates_of_any_shape():
    samples, truths, y = drawn(2)
    images = samples[..., None], truths[..., None]
    whole = interval_coverage(*images, LEVELS)
    apart = [interval_coverage(samples[..., i], truths[..., i], LEVELS).hits for i in range(2)]
    np.testing.assert_allclose(whole.hits, np.mean(apart, axis=0))
    key = jax.random.key(0)
    for references in (None, y):
        expected = tarp(key, samples, truths, LEVELS, references)
        found = tarp(key, *images, LEVELS, None if references is None else references[..., None])
        np.testing.assert_array_equal(found.hits, expected.hits)


def test_balls_are_those_of_the_definition():
    samples, truths, references = drawn(2)
    hits = tarp(jax.random.key(0), samples, truths, LEVELS, references).hits
    for i in range(20):
        scale = np.ptp(np.delete(truths, i, axis=0), axis=0)
        nearer = np.sum(
            np.linalg.norm((samples[i] - references[i]) / scale, axis=1)
            < np.linalg.norm((truths[i] - references[i]) / scale)
        )
        np.testing.assert_array_equal(hits[i], nearer < np.round(LEVELS * 51))


def test_balls_do_not_depend_on_units():
    key, (samples, truths, _) = jax.random.key(0), drawn(2)
    expected = tarp(key, samples, truths, LEVELS)
    units, origin = np.float32([[4.0, 0.25]]), np.float32([[2.0, -1.0]])
    scaled = tarp(key, units[None] * samples, units * truths, LEVELS)
    np.testing.assert_array_equal(scaled.hits, expected.hits)
    moved = tarp(key, samples + origin[None], truths + origin, LEVELS)
    np.testing.assert_allclose(moved.empirical, expected.empirical, atol=0.005)  # a rank or two turns on rounding
    one = tarp(key, samples[..., :1], truths[..., :1], LEVELS, truths[::-1, :1])
    constant = [np.concatenate([x[..., :1], np.ones_like(x[..., :1])], -1) for x in (samples, truths, truths[::-1])]
    np.testing.assert_array_equal(tarp(key, *constant[:2], LEVELS, constant[2]).hits, one.hits)


def test_references_that_know_the_measurement_unmask_the_prior():
    """That exact samples pass with such references is among the runs above."""
    key, (samples, truths, y) = jax.random.key(0), drawn(2)
    of_prior = np.float32(np.random.default_rng(9).standard_normal(samples.shape))
    for references, passes in ((None, True), (y, False)):
        coverage = tarp(key, of_prior, truths, LEVELS, references)
        bands = bootstrap_bands(key, coverage, resamples=200)
        assert metrics.inside(coverage.nominal, bands.simultaneous) == passes


@pytest.mark.parametrize("count", [9, 24, 29])
def test_scores_of_every_rank_once_are_zero(count):
    """The bins need not be of one size: of 25 ranks, some of 10 bins hold two and some three."""
    scores = rank_scores(np.arange(count + 1, dtype=np.float32), count)
    np.testing.assert_allclose([scores.bias, scores.spread], 0.0, atol=1e-5)
    h = 2 / (9 * 9)
    np.testing.assert_allclose(scores.histogram, (h - 1) / np.sqrt(h), atol=0.01)


def test_scores_of_uniform_ranks_are_normal():
    ranks = np.random.default_rng(0).integers(0, 25, (300, 500)).astype(np.float32)
    for score in rank_scores(ranks, 24):
        assert abs(np.mean(score)) * np.sqrt(500) < 4
        assert abs(np.var(score) - 1) / np.sqrt(2 / 500) < 4
    histogram = rank_scores(ranks[:, 0], 24, 25).histogram
    p = stats.chisquare(np.bincount(ranks[:, 0].astype(int), minlength=25)).pvalue
    np.testing.assert_allclose(histogram, stats.norm.isf(p), atol=0.02)


@jax.jit
def everything(samples, truths, levels):
    key = jax.random.key(0)
    coverage, ranks = tarp(key, samples, truths, levels), sbc_ranks(key, samples, truths)
    bands = bootstrap_bands(key, coverage, resamples=16)
    return coverage, bands, rank_scores(ranks, SAMPLES), split_rhat(samples), effective_sample_size(samples)


def test_double_precision_is_kept():
    arguments = *drawn(2)[:2], LEVELS
    single = everything(*arguments)
    with jax.enable_x64(True):
        double = everything(*map(np.float64, arguments))
    assert {leaf.dtype for leaf in jax.tree.leaves(single)} == {np.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(double)} == {np.dtype("float64")}
    for one, two in zip(single[-2:], double[-2:], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4)


@pytest.mark.parametrize("truths", [(7, 4), (4, 6), (4,), (4, 7, 1)])
def test_samples_and_truths_that_do_not_fit_are_refused(truths):
    key, samples, truths = jax.random.key(0), jnp.zeros((4, 5, 7)), jnp.zeros(truths)
    expected = r"samples have shape \(4, 5, 7\) and the truths .* give \[N, S, ...\] and \[N, ...\]"
    with pytest.raises(ValueError, match=expected):
        interval_coverage(samples, truths, LEVELS)
    with pytest.raises(ValueError, match=expected):
        tarp(key, samples, truths, LEVELS)
    with pytest.raises(ValueError, match=expected):
        sbc_ranks(key, samples, truths)


def test_references_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"references have shape \(3, 2\) and the truths \(4, 2\)"):
        tarp(jax.random.key(0), jnp.zeros((4, 5, 2)), jnp.zeros((4, 2)), LEVELS, jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match="two simulations or more"):
        tarp(jax.random.key(0), jnp.zeros((1, 5, 2)), jnp.zeros((1, 2)), LEVELS)


@pytest.mark.parametrize("bins", [1, 12])
def test_bins_that_cannot_be_filled_are_refused(bins):
    with pytest.raises(ValueError, match=f"{bins} bins were asked for; ranks among 10 samples fill 2 to 11"):
        rank_scores(jnp.zeros(4), 10, bins)


def test_everything_public_is_exported_and_tested():
    functions = dict(inspect.getmembers(calibration, inspect.isfunction))
    here = {name for name, function in functions.items() if function.__module__ == calibration.__name__}
    defined_here = {name for name in here if not name.startswith("_")}
    assert defined_here <= set(metrics.__all__)
    source = inspect.getsource(inspect.getmodule(test_everything_public_is_exported_and_tested))
    assert not {name for name in defined_here if f"metrics.{name}" not in source}
