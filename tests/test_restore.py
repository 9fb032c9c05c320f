"""Restorations: a posterior in closed form, independence of neighbours, batches and devices, and what is refused."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tracing import Counted

from pgm_jax.operators import average_downsampling, mask, measure, random_mask
from pgm_jax.potentials import Gaussian
from pgm_jax.proximal import prior_first
from pgm_jax.restore import Restoration, default_rows, restore
from pgm_jax.samplers import bridge
from pgm_jax.schedules import geometric_levels, linear_vp, ve

SHAPE, SIGMA, KEY = (4, 6, 1), 0.1, jax.random.key(7)
MEAN = np.linspace(-0.6, 0.6, 24).reshape(SHAPE).astype(np.float32)
PRIOR = Gaussian(jnp.asarray(MEAN), 0.3)
ROWS = default_rows(20)


def masks(count=8):
    keys = jax.random.split(jax.random.key(0), count)
    return jax.vmap(lambda key: random_mask(key, SHAPE, 0.5))(keys)


@pytest.fixture(scope="module")
def y():
    """Eight measurements of eight images, for the eight masks."""
    images = MEAN[None] + 0.3 * jax.random.normal(jax.random.key(1), (8, *SHAPE))
    return jax.vmap(lambda key, a, x: measure(key, a, x, SIGMA))(jax.random.split(KEY, 8), masks(), images)


def of_all(y, **options):
    return restore(PRIOR, masks(), y, KEY, **(dict(sigma=SIGMA, samples=3, rows=ROWS, operator_axis=0) | options))


@pytest.fixture(scope="module")
def together(y):
    return of_all(y)


def assert_same(one, other):
    for name in ("samples", "mean", "std", "quantiles"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-5, atol=1e-6, err_msg=name)


def part(restoration, which):
    """The measurements `which` of a restoration."""
    which = np.asarray(which)
    of_each = {name: getattr(restoration, name)[which] for name in ("samples", "mean", "std")}
    return Restoration(**of_each, quantiles=restoration.quantiles[:, which])


SEEN = (np.arange(24) % 2 == 0).reshape(SHAPE)
PRECISION = 1 / 0.3**2 + SEEN / SIGMA**2


def measurement_of_half():
    truth = MEAN + 0.3 * np.random.default_rng(3).standard_normal(SHAPE)
    return measure(KEY, mask(SHAPE, SEEN), jnp.asarray(truth, jnp.float32), SIGMA)


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


@pytest.mark.parametrize("calls", [15, 100])
def test_samples_of_a_gaussian_posterior_have_the_law_of_their_rows(calls):
    y, rows, count = measurement_of_half(), default_rows(calls), 400
    restoration = restore(PRIOR, mask(SHAPE, SEEN), y[None], KEY, sigma=SIGMA, samples=count, rows=rows)
    mean, std = recursion(np.asarray(y), rows)
    assert np.max(np.abs(restoration.mean[0] - mean) / std) < 4 / np.sqrt(count)
    assert np.max(np.abs(restoration.std[0] / std - 1)) < 4 / np.sqrt(2 * count)


def test_that_law_tends_to_the_posterior():
    """With more levels and smaller steps of the corrector; in units of the posterior's standard deviation."""
    y, errors = np.asarray(measurement_of_half()), []
    mean, std = closed_form(y)
    for calls, rate in ((100, 1.0), (1000, 0.5)):
        by_rows = recursion(y, default_rows(calls, rate=rate, lam_min=1e-5))
        errors.append(max(np.max(np.abs(by_rows[0] - mean) / std), np.max(np.abs(by_rows[1] / std - 1))))
    assert errors[0] < 0.3 and errors[1] < 0.06


def test_the_posterior_mean_is_in_closed_form():
    y, count = measurement_of_half(), 200
    rows = default_rows(1000, lam_min=1e-5)
    restoration = restore(PRIOR, mask(SHAPE, SEEN), y[None], KEY, sigma=SIGMA, samples=count, rows=rows)
    mean, std = closed_form(np.asarray(y))
    assert np.max(np.abs(restoration.mean[0] - mean) / std) < 4 / np.sqrt(count)


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
    return jax.tree.map(lambda leaf: leaf[which], operators)


@pytest.mark.parametrize("batches", [([5],), ([0, 1, 2], [3, 4, 5, 6, 7])], ids=["alone", "3 + 5"])
def test_a_measurement_is_the_same_in_every_batch(y, together, batches):
    for numbers in map(np.array, batches):
        batch = restore(
            PRIOR,
            these(masks(), numbers),
            y[numbers],
            KEY,
            sigma=SIGMA,
            samples=3,
            rows=ROWS,
            operator_axis=0,
            indices=jnp.asarray(numbers),
        )
        assert_same(batch, part(together, numbers))


def test_stacked_operators_are_the_loop_over_them(y, together):
    """And one operator without a stack is that operator for each measurement."""
    for i in (2, 6):
        shared = restore(PRIOR, these(masks(), i), y, KEY, sigma=SIGMA, samples=3, rows=ROWS)
        assert_same(part(shared, [i]), part(together, [i]))


def test_eight_devices_are_one_bitwise(y, together):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spread = NamedSharding(mesh, PartitionSpec("data"))
    operators, measurements = jax.device_put((masks(), y), spread)
    sharded = restore(PRIOR, operators, measurements, KEY, sigma=SIGMA, samples=3, rows=ROWS, operator_axis=0)
    assert len(sharded.samples.sharding.device_set) == 8 and not sharded.samples.is_fully_replicated
    for name in ("samples", "mean", "std", "quantiles"):
        np.testing.assert_array_equal(getattr(sharded, name), getattr(together, name), err_msg=name)


def test_operators_grids_noise_and_weights_share_a_program(y):
    def restored(operator, rows, sigma, prior_mean):
        return restore(Counted(prior_mean, 0.3), operator, y, KEY, sigma=sigma, samples=1, rows=rows, quantiles=(0.5,))

    Counted.calls = 0
    restored(random_mask(KEY, SHAPE), bridge(geometric_levels(ve(), 5, 9.0, 0.01)), 0.1, 0.0)
    traced = Counted.calls
    assert 0 < traced < 4
    restored(random_mask(jax.random.key(1), SHAPE), bridge(geometric_levels(linear_vp(), 5, 4.0, 0.02), 0.5), 0.2, 0.1)
    assert Counted.calls == traced


def test_the_splitting_and_the_temperature_are_those_asked_for(y):
    """After the data step with hardly any noise, seen pixels are the measurement; at beta = 0 they are the prior's."""
    operator, rows = random_mask(KEY, SHAPE, 0.5), default_rows(20)
    seen = np.asarray(operator.mask) == 1
    y = operator.forward(y[0] + 1)[None]
    options = dict(samples=2, rows=rows)
    exact = restore(PRIOR, operator, y, KEY, sigma=1e-4, split=prior_first, **options)
    np.testing.assert_allclose(exact.mean[0][seen], y[0][seen], atol=1e-3)
    prior = restore(PRIOR, operator, y, KEY, sigma=1e-4, beta=0.0, **options)
    blind = restore(PRIOR, mask(SHAPE, np.zeros(SHAPE)), 0 * y, KEY, sigma=1e-4, **options)
    np.testing.assert_allclose(prior.samples, blind.samples, atol=1e-5)


def test_the_default_is_a_hundred_calls(y):
    default = restore(PRIOR, masks(), y, KEY, sigma=SIGMA, samples=1, operator_axis=0)
    assert_same(
        default, restore(PRIOR, masks(), y, KEY, sigma=SIGMA, samples=1, rows=default_rows(100), operator_axis=0)
    )


@pytest.mark.parametrize("calls", [1, 2, 9, 10, 19, 20, 27, 100])
def test_default_rows_are_as_many_as_the_calls(calls):
    rows = default_rows(calls, lam_max=9.0, lam_min=1e-3)
    assert all(leaf.shape == (calls,) for leaf in jax.tree.leaves(rows))
    predictors = np.asarray(rows.lam)[np.asarray(rows.probe) == 0]
    assert len(predictors) == (calls if calls < 20 else calls // 10)
    assert np.all(np.diff(predictors) < 0)
    np.testing.assert_allclose(np.max(rows.lam), 9.0, rtol=1e-5)
    if calls > 1:
        np.testing.assert_allclose(np.min(rows.lam), 1e-3, rtol=1e-4)
    np.testing.assert_array_equal([rows.keep[-1], rows.pull[-1], rows.noise[-1]], [0, 1, 0])


@pytest.mark.parametrize("calls", [0, -5])
def test_no_calls_are_refused(calls):
    with pytest.raises(ValueError, match=f"{calls} network calls were asked for; .* at least 1"):
        default_rows(calls)


ONES = jnp.ones((2, *SHAPE))
REFUSED = {
    "another image": (dict(y=jnp.ones((2, 6, 4, 1))), ValueError, r"\(2, 6, 4, 1\).*\(4, 6, 1\).*\(B, 4, 6, 1\)"),
    "no batch": (dict(y=jnp.ones(SHAPE)), ValueError, r"\(4, 6, 1\).*give an array of shape \(B, 4, 6, 1\)"),
    "no axis at all": (dict(y=jnp.ones(())), ValueError, r"the shape \(\).*\(B, 4, 6, 1\)"),
    "an image for its measurement": (
        dict(operator=average_downsampling(SHAPE, 2)),
        ValueError,
        r"\(2, 4, 6, 1\).*images of \(4, 6, 1\) as \(2, 3, 1\).*\(B, 2, 3, 1\)",
    ),
    "bytes": (dict(y=ONES.astype(jnp.uint8)), TypeError, r"type uint8; give floating point .* \[-1, 1\]"),
    "no number": (
        dict(y=ONES.at[0, 0, 0].set(jnp.nan).at[1, 1].set(jnp.inf)),
        ValueError,
        "hold 7 values that are NaN",
    ),
    "no noise": (dict(sigma=0.0), ValueError, "sigma is 0.0; it must be positive"),
    "negative noise": (dict(sigma=-0.1), ValueError, "sigma is -0.1.*positive"),
    "noise that is no number": (dict(sigma=float("nan")), ValueError, "sigma is nan"),
    "no samples": (dict(samples=0), ValueError, "0 samples were asked for; .* at least 1"),
    "a quantile in per cent": (dict(quantiles=(0.5, 95)), ValueError, r"\(0.5, 95\).*\[0, 1\]"),
    "a negative quantile": (dict(quantiles=(-0.1,)), ValueError, r"\(-0.1,\).*\[0, 1\]"),
    "one operator as a stack": (dict(operator_axis=0), ValueError, "leading axis of 2.*stack one operator for each"),
    "a stack of another length": (
        dict(operator=masks(3), operator_axis=0),
        ValueError,
        "leading axis of 2, one for each measurement",
    ),
    "another axis": (dict(operator_axis=1), ValueError, "operator_axis is 1; it is None .* or 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    """As a user meets it, without the checks of annotations that the tests put before."""
    changes, error, words = REFUSED[case]
    arguments = dict(operator=random_mask(KEY, SHAPE), y=ONES, sigma=SIGMA, samples=1, rows=ROWS) | changes
    with pytest.raises(error, match=words):
        inspect.unwrap(restore)(PRIOR, key=KEY, **arguments)
