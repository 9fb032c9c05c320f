"""Restorations: a posterior in closed form, independence of neighbours, batches and devices, and what is refused."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tracing import Counted

import pgm_jax as pgm
from pgm_jax.noise import GaussianNoise, measure
from pgm_jax.operators import average_downsampling, from_function, gaussian_blur, mask, random_mask
from pgm_jax.potentials import Gaussian, tempered
from pgm_jax.proximal import data_first, prior_first
from pgm_jax.restoration import Restoration, restore
from pgm_jax.samplers import bridge, corrected_rows, default_rows
from pgm_jax.schedules import LinearVP, geometric_levels

SHAPE, SIGMA, KEY = (4, 6, 1), 0.1, jax.random.key(7)
MEAN = np.linspace(-0.6, 0.6, 24).reshape(SHAPE).astype(np.float32)
PRIOR = Gaussian(jnp.asarray(MEAN), 0.3)
NOISE = GaussianNoise(SIGMA)
ROWS = corrected_rows(2)


@functools.cache
def masks(count=8):
    keys = jax.random.split(jax.random.key(0), count)
    return jax.jit(jax.vmap(lambda key: random_mask(key, SHAPE, 0.5)))(keys)


@pytest.fixture(scope="module")
def y():
    """Eight measurements of eight images, for the eight masks."""
    images = MEAN[None] + 0.3 * np.random.default_rng(1).standard_normal((8, *SHAPE))
    return measure(KEY, masks(), jnp.asarray(images, jnp.float32), NOISE, operator_axis=0)


def of_all(y, **options):
    return restore(KEY, PRIOR, masks(), y, NOISE, **(dict(samples=3, rows=ROWS, operator_axis=0) | options))


@pytest.fixture(scope="module")
def together(y):
    return of_all(y)


def assert_same(one, other):
    for name in ("samples", "mean", "std", "quantiles"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-5, atol=1e-6, err_msg=name)


def part(restoration, which):
    """The measurements `which` of a restoration."""
    which = np.asarray(which)
    of_each = {name: getattr(restoration, name)[which] for name in ("samples", "mean", "std", "failed", "calls")}
    return Restoration(**of_each, quantiles=restoration.quantiles[:, which])


SEEN = (np.arange(24) % 2 == 0).reshape(SHAPE)
PRECISION = 1 / 0.3**2 + SEEN / SIGMA**2


def measurement_of_half():
    truth = MEAN + 0.3 * np.random.default_rng(3).standard_normal(SHAPE)
    return measure(KEY, mask(SHAPE, SEEN), jnp.asarray(truth, jnp.float32), NOISE)


def closed_form(y):
    """The posterior, N((y / sigma^2 + m / s^2) / precision, 1 / precision) where seen; the prior where hidden."""
    return (MEAN / 0.3**2 + SEEN * y / SIGMA**2) / PRECISION, PRECISION**-0.5


def recursion(y, rows):
    """Mean and standard deviation of a sample, from the rows by hand: each step is affine and mu = 1."""
    mean, variance = 0.0, float(rows.lam[0])
    columns = np.float64([rows.lam, rows.keep, rows.pull, rows.noise, rows.probe])
    for lam, keep, pull, noise, probe in zip(*columns, strict=True):
        trust = SEEN * lam / (SIGMA**2 + lam)  # the data step moves a pixel by this share of its way to y
        slope = (1 - trust) * 0.3**2 / (0.3**2 + lam)
        start = (0.3**2 * trust * y + lam * MEAN) / (0.3**2 + lam)
        mean = keep * mean + pull * (start + slope * mean)
        variance = (keep + pull * slope) ** 2 * variance + (noise + pull * slope * probe) ** 2
    return mean, np.sqrt(variance)


# All of a hundred rows, which share a program.
LEVELS = geometric_levels(4.0, 1e-3, 100)
GRIDS = {"integrator alone": bridge(LEVELS), "corrected": corrected_rows(10), "sharp": default_rows(100, "sharp")}


@pytest.mark.parametrize("name", GRIDS)
def test_samples_of_a_gaussian_posterior_have_the_distribution_of_their_rows(name):
    y, rows, count = measurement_of_half(), GRIDS[name], 400
    restoration = restore(KEY, PRIOR, mask(SHAPE, SEEN), y, NOISE, samples=count, rows=rows)
    mean, std = recursion(np.asarray(y), rows)
    assert np.max(np.abs(restoration.mean - mean) / std) < 4 / np.sqrt(count)
    assert np.max(np.abs(restoration.std / std - 1)) < 4 / np.sqrt(2 * count)


def test_that_distribution_tends_to_the_posterior():
    """With more levels and smaller steps of the corrector; in units of the posterior's standard deviation."""
    y, errors = np.asarray(measurement_of_half()), []
    mean, std = closed_form(y)
    for levels, rate in ((10, 1.0), (100, 0.5)):
        by_rows = recursion(y, corrected_rows(levels, rate=rate, lam_min=1e-5))
        errors.append(max(np.max(np.abs(by_rows[0] - mean) / std), np.max(np.abs(by_rows[1] / std - 1))))
    assert errors[0] < 0.3 and errors[1] < 0.06


def test_the_posterior_mean_is_in_closed_form():
    y, count = measurement_of_half(), 200
    rows = corrected_rows(100, lam_min=1e-5)
    restoration = restore(KEY, PRIOR, mask(SHAPE, SEEN), y, NOISE, samples=count, rows=rows)
    mean, std = closed_form(np.asarray(y))
    assert np.max(np.abs(restoration.mean - mean) / std) < 4 / np.sqrt(count)


def test_the_summary_is_that_of_the_samples(y, together):
    samples = np.asarray(together.samples)
    assert samples.shape == (8, 3, *SHAPE) and samples.dtype == np.float32
    np.testing.assert_allclose(together.mean, samples.mean(1), atol=1e-6)
    np.testing.assert_allclose(together.std, samples.std(1, ddof=1), atol=1e-6)
    np.testing.assert_allclose(together.quantiles, np.quantile(samples, (0.05, 0.5, 0.95), axis=1), atol=1e-6)


def test_one_sample_is_the_first_of_many(y, together):
    one = of_all(y, samples=1, quantiles=())
    np.testing.assert_allclose(one.samples[:, 0], together.samples[:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(one.std, 0)
    assert one.quantiles.shape == (0, 8, *SHAPE)


def these(operators, which):
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[which]), operators)


@pytest.mark.parametrize("batches", [([5],), ([0, 1, 2, 3], [4, 5, 6, 7])], ids=["alone", "4 + 4"])
def test_a_measurement_is_the_same_in_every_batch(y, together, batches):
    for numbers in map(np.array, batches):
        options = dict(samples=3, rows=ROWS, operator_axis=0, indices=jnp.asarray(numbers))
        batch = restore(KEY, PRIOR, these(masks(), numbers), y[numbers], NOISE, **options)
        assert_same(batch, part(together, numbers))


def test_stacked_operators_are_the_loop_over_them(y, together):
    """And one operator without a stack is that operator for each measurement."""
    for i in (2, 6):
        shared = restore(KEY, PRIOR, these(masks(), i), y, NOISE, samples=3, rows=ROWS)
        assert_same(part(shared, [i]), part(together, [i]))


def test_eight_devices_are_one_bitwise(y, together):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spread = NamedSharding(mesh, PartitionSpec("data"))
    operators, measurements = jax.device_put((masks(), y), spread)
    sharded = restore(KEY, PRIOR, operators, measurements, NOISE, samples=3, rows=ROWS, operator_axis=0)
    assert len(sharded.samples.sharding.device_set) == 8 and not sharded.samples.is_fully_replicated
    for name in ("samples", "mean", "std", "quantiles"):
        np.testing.assert_array_equal(getattr(sharded, name), getattr(together, name), err_msg=name)


def test_operators_grids_noise_and_weights_share_a_program(y):
    def restored(operator, rows, sigma, prior_mean):
        noise = GaussianNoise(sigma)
        return restore(KEY, Counted(prior_mean, 0.3), operator, y, noise, samples=1, rows=rows, quantiles=0.5)

    Counted.calls = 0
    restored(random_mask(KEY, SHAPE), bridge(geometric_levels(9.0, 0.01, 5)), 0.1, 0.0)
    traced = Counted.calls
    assert 0 < traced < 4
    vp = bridge(geometric_levels(4.0, 0.02, 5, LinearVP()), 0.5)
    restored(random_mask(jax.random.key(1), SHAPE), vp, 0.2, 0.1)
    assert Counted.calls == traced


def test_the_splitting_and_the_temperature_are_those_asked_for(y):
    """After the data step with hardly any noise, seen pixels are the measurement; at beta = 0 they are the prior's."""
    operator, hardly = random_mask(KEY, SHAPE, 0.5), GaussianNoise(1e-4)
    seen = np.asarray(operator.mask) == 1
    y = operator.forward(y[0] + 1)
    options = dict(samples=3, rows=ROWS)
    exact = restore(KEY, PRIOR, operator, y, hardly, split=prior_first, **options)
    np.testing.assert_allclose(exact.mean[seen], y[seen], atol=1e-3)
    cold = restore(KEY, PRIOR, operator, y, hardly, split=lambda g, f: data_first(g, tempered(f, 0.0)), **options)
    blind = restore(KEY, PRIOR, mask(SHAPE, np.zeros(SHAPE)), 0 * y, hardly, **options)
    np.testing.assert_allclose(cold.samples, blind.samples, atol=1e-5)


def test_the_default_is_a_hundred_calibrated_calls(y):
    default = restore(KEY, PRIOR, masks(), y, NOISE, samples=1, operator_axis=0)
    for options in (dict(rows=default_rows(100)), dict(calls=100, setting="calibrated")):
        assert_same(default, restore(KEY, PRIOR, masks(), y, NOISE, samples=1, operator_axis=0, **options))


@pytest.mark.parametrize("setting", ["calibrated", "sharp"])
@pytest.mark.parametrize("calls", [1, 2, 9, 10, 19, 20, 27, 100])
def test_default_rows_are_as_many_as_the_calls(calls, setting):
    rows = default_rows(calls, setting)
    assert all(leaf.shape == (calls,) for leaf in jax.tree.leaves(rows))
    assert np.all(np.diff(rows.lam) <= 1e-6) and len(np.unique(np.round(np.log(rows.lam), 4))) >= min(calls, 2)
    np.testing.assert_array_equal([rows.keep[-1], rows.pull[-1], rows.noise[-1]], [0, 1, 0])


@pytest.mark.parametrize("calls", [0, -5])
def test_no_calls_are_refused(calls):
    with pytest.raises(ValueError, match=f"number of network calls .* at least 1, and is {calls}"):
        default_rows(calls)


def test_a_measurement_alone_is_a_batch_of_one(y):
    operator = these(masks(), 0)
    alone = restore(KEY, PRIOR, operator, y[0], NOISE, samples=3, rows=ROWS)
    batch = restore(KEY, PRIOR, operator, y[:1], NOISE, samples=3, rows=ROWS)
    assert alone.samples.shape == (3, *SHAPE) and alone.quantiles.shape == (3, *SHAPE)
    assert_same(
        Restoration(*(a[None] for a in (alone.samples, alone.mean, alone.std)), alone.quantiles[:, None], 0, 0), batch
    )


def test_chains_in_chunks_are_the_same(y, together):
    """Also where a chunk does not divide them."""
    for at_once in (16, 1):
        assert_same(of_all(y, at_once=at_once), together)


@pytest.mark.parametrize("at_once", [None, 16])
def test_a_summary_is_that_of_the_samples(y, together, at_once):
    """Of three chains together, and in groups of two and one."""
    summary = of_all(y, at_once=at_once, keep="summary")
    for name in ("mean", "std", "failed", "calls"):
        np.testing.assert_allclose(getattr(summary, name), getattr(together, name), rtol=1e-5, atol=1e-6, err_msg=name)
    assert summary.samples.shape == (8, 0, *SHAPE) and summary.quantiles.shape == (0, 8, *SHAPE)


def test_a_summary_needs_no_memory_for_samples():
    """64 chains, one by one, of a measurement of 4096 pixels: in images of that size."""
    shape = (64, 64, 1)
    operator = mask(shape, jnp.ones(shape))

    def images_of(keep):
        def mean(y):
            prior = Gaussian(jnp.zeros(shape), 1.0)
            return restore(KEY, prior, operator, y, NOISE, samples=64, rows=ROWS, keep=keep, at_once=1).mean

        found = jax.jit(mean).lower(jnp.ones(shape)).compile().memory_analysis()
        return found.temp_size_in_bytes / (4 * 64 * 64)

    assert images_of("summary") < 24 and images_of("samples") > 64


def test_keys_of_every_kind_make_the_promise(y, together):
    assert_same(
        restore(jax.random.PRNGKey(7), PRIOR, masks(), y, NOISE, samples=3, rows=ROWS, operator_axis=0), together
    )
    rbg = jax.random.key(7, impl="rbg")
    alone, among = (restore(rbg, PRIOR, these(masks(), 0), z, NOISE, samples=3, rows=ROWS) for z in (y[0], y))
    np.testing.assert_allclose(alone.samples, among.samples[0], atol=1e-5)


class Unregistered:
    """A prior that jax knows nothing of."""

    def prox(self, v, lam):
        return PRIOR.prox(v, lam)


def test_a_prior_may_be_any_object_with_a_prox_or_a_function(y, together):
    for prior in (Unregistered(), lambda v, lam: PRIOR.prox(v, lam), PRIOR.prox):
        assert_same(restore(KEY, prior, masks(), y, NOISE, samples=3, rows=ROWS, operator_axis=0), together)


def test_an_operator_may_be_any_object_of_its_protocol(y):
    class Double(pgm.operators.LinearOperator):
        image_shape = SHAPE

        def forward(self, x):
            return 2 * x

    one = restore(KEY, PRIOR, Double(), y[0], NOISE, samples=3, rows=ROWS)
    other = restore(KEY, PRIOR, from_function(lambda x: 2 * x, SHAPE), y[0], NOISE, samples=3, rows=ROWS)
    assert_same(one, other)


def test_transformations_go_through(y):
    """Checks do not look at what has no value; the gradient is that of a difference."""
    operator, options = these(masks(), 0), dict(samples=3, rows=ROWS)

    def mean(key, y, sigma):
        return restore(key, PRIOR, operator, y, GaussianNoise(sigma), **options).mean

    expected = mean(KEY, y[0], SIGMA)
    np.testing.assert_allclose(jax.jit(mean)(KEY, y[0], SIGMA), expected, atol=1e-5)
    np.testing.assert_allclose(jax.vmap(mean, (None, 0, None))(KEY, y[:2], SIGMA)[0], expected, atol=1e-5)
    slope = jax.grad(lambda s: jnp.sum(mean(KEY, y[0], s)))(SIGMA)
    step = 1e-2
    difference = (jnp.sum(mean(KEY, y[0], SIGMA + step)) - jnp.sum(mean(KEY, y[0], SIGMA - step))) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=0.05)


def test_entries_that_are_not_observed_may_hold_anything(y, together):
    hidden = np.broadcast_to(np.asarray(masks().mask) == 0, y.shape)
    assert_same(of_all(jnp.asarray(np.where(hidden, np.nan, y))), together)


def test_each_measurement_may_have_its_own_noise(y):
    """And each pixel."""
    sigmas = jnp.geomspace(0.05, 1.0, 8)
    together = restore(KEY, PRIOR, masks(), y, GaussianNoise(sigmas), samples=3, rows=ROWS, operator_axis=0)
    alone = restore(KEY, PRIOR, these(masks(), 0), y[0], GaussianNoise(sigmas[0]), samples=3, rows=ROWS)
    np.testing.assert_allclose(alone.samples, together.samples[0], atol=1e-5)
    field = jnp.full(SHAPE, sigmas[0])
    mapped = restore(KEY, PRIOR, these(masks(), 0), y[0], GaussianNoise(field), samples=3, rows=ROWS)
    np.testing.assert_allclose(mapped.samples, alone.samples, atol=1e-4)


def test_data_steps_that_fail_are_seen():
    """A root has no value below its domain, where samplers go: it is said, and counted, and nothing is NaN."""
    root = from_function(lambda x: jnp.sqrt(x + 1), SHAPE)
    clipped = from_function(lambda x: jnp.sqrt(jnp.maximum(x, -0.999) + 1), SHAPE)
    y, dark = measure(KEY, clipped, jnp.asarray(MEAN), NOISE), Gaussian(-0.9, 0.3)
    with pytest.warns(UserWarning, match="of the steps, in .* of the chains, were not finite.*clip what goes into it"):
        failed = restore(KEY, dark, root, y, NOISE, samples=4, rows=corrected_rows(4, 4)).failed
    assert 0 < float(jnp.mean(failed)) < 1
    healthy = restore(KEY, dark, clipped, y, NOISE, samples=4, rows=corrected_rows(4, 4))
    assert np.all(healthy.failed == 0) and np.all(np.isfinite(healthy.samples))


def test_a_healthy_restoration_makes_no_nan(y):
    with jax.debug_nans(True):
        of_all(jnp.where(np.asarray(masks().mask) == 0, 0.0, y))


class Low(Gaussian):
    """A prior that knows its prox at low levels alone."""

    largest_step = 1e-6


ONES = jnp.ones((2, *SHAPE))
REFUSED = {
    "another image": (dict(y=jnp.ones((2, 6, 4, 1))), ValueError, r"\(2, 6, 4, 1\).*\(4, 6, 1\).*\(B, 4, 6, 1\)"),
    "no axis at all": (dict(y=jnp.ones(())), ValueError, r"the shape \(\).*\(B, 4, 6, 1\)"),
    "an image for its measurement": (
        dict(operator=average_downsampling(SHAPE, 2)),
        ValueError,
        r"\(2, 4, 6, 1\).*images of \(4, 6, 1\) as \(2, 3, 1\).*\(B, 2, 3, 1\)",
    ),
    "bytes": (dict(y=ONES.astype(jnp.uint8)), TypeError, r"type uint8; give floating point .* y.astype\(float\)"),
    "no number": (
        dict(y=ONES.at[0, 0, 0].set(jnp.nan).at[1, 1].set(jnp.inf), operator=gaussian_blur(SHAPE, 0.3)),
        ValueError,
        "hold 7 values that are NaN .* a mask says so",
    ),
    "no noise": (dict(noise=GaussianNoise(0.0)), ValueError, "GaussianNoise holds 0.0; .* positive"),
    "noise that is no number": (dict(noise=GaussianNoise(float("nan"))), ValueError, "GaussianNoise holds nan"),
    "no samples": (dict(samples=0), ValueError, "at least 1, and is 0"),
    "something else to keep": (dict(keep="mean"), ValueError, 'keep is \'mean\'; give "samples" or "summary"'),
    "quantiles of a summary": (dict(keep="summary", quantiles=0.5), ValueError, r"\(0.5,\) need all samples: leave"),
    "a quantile in per cent": (dict(quantiles=(0.5, 95)), ValueError, r"\(0.5, 95\).*\[0, 1\]"),
    "a negative quantile": (dict(quantiles=-0.1), ValueError, r"\(-0.1,\).*\[0, 1\]"),
    "one operator as a stack": (dict(operator_axis=0), ValueError, "leading axis of 2.*stack one operator for each"),
    "a stack of another length": (
        dict(operator=masks(3), operator_axis=0),
        ValueError,
        "leading axis of 2, one for each measurement",
    ),
    "another axis": (dict(operator_axis=1), ValueError, "operator_axis is 1; it is None .* or 0"),
    "a seed for a key": (dict(key=0), TypeError, r"key is 0, which is no key; give one key: jax.random.key\(0\)"),
    "calls for rows": (dict(rows=20), TypeError, "rows is 20 and no grid: give calls=20"),
    "a setting that there is not": (dict(rows=None, setting="fast"), ValueError, "'calibrated', 'sharp'"),
    "no prior": (dict(prior=3.0), TypeError, r"a float without `prox`: give an object with prox\(v, lam\)"),
    "no operator": (dict(operator=lambda x: x), TypeError, r"a function, .*from_function\(f, image_shape\)"),
    "a prior of low levels": (
        dict(prior=Low(0.0, 1.0)),
        ValueError,
        "levels of the rows go up to lam = .*, and the prox of Low is known up to 1e-06: take a prior of all levels",
    ),
    "another prior": (
        dict(prior=pgm.load_prior("fashion_mnist")),
        ValueError,
        r"prior knows images of shape \(32, 32, 1\) and the operator measures images of shape \(4, 6, 1\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    """As a user meets it, without the checks of annotations that the tests put before."""
    changes, error, words = REFUSED[case]
    arguments = dict(key=KEY, prior=PRIOR, operator=random_mask(KEY, SHAPE), y=ONES, noise=NOISE, samples=1, rows=ROWS)
    with pytest.raises(error, match=words):
        inspect.unwrap(restore)(**(arguments | changes))
