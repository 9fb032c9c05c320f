import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.evaluation import Problem, batches_of, check_images, evaluate, restore_problem, simulate, summarise
from pgm_jax.metrics import data_misfit, psnr, ssim
from pgm_jax.noise import GaussianNoise
from pgm_jax.operators import average_downsampling, random_mask
from pgm_jax.potentials import Gaussian
from pgm_jax.samplers import default_rows

SHAPE = (12, 12, 1)
COUNT = 7
KEY = jax.random.key(3)
PRIOR = Gaussian(0.1, 0.5)
NOISE = GaussianNoise(0.1)
OPTIONS = dict(samples=3, rows=default_rows(5))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-1, 1, (COUNT, *SHAPE)).astype(np.float32)


def cases_of(images, size):
    """Every image with a mask of its own, in batches whose last one is filled."""
    for numbers, valid in batches_of(np.arange(len(images)), size):
        keys = jax.vmap(jax.random.fold_in, (None, 0))(KEY, numbers)
        masks = jax.vmap(lambda key: random_mask(key, SHAPE, 0.5))(keys)
        problem = simulate(KEY, masks, images[numbers], NOISE, numbers, valid, operator_axis=0)
        yield from restore_problem(KEY, PRIOR, problem, **OPTIONS)


@pytest.fixture(scope="module")
def cases(images):
    return list(cases_of(images, 3))


def test_batches_have_one_size_and_say_what_counts():
    batches = list(batches_of(np.arange(10, 15), 3))
    np.testing.assert_array_equal([numbers for numbers, _ in batches], [[10, 11, 12], [13, 14, 14]])
    np.testing.assert_array_equal([valid for _, valid in batches], [[True] * 3, [True, True, False]])


def test_the_batch_size_changes_nothing(images, cases):
    whole = list(cases_of(images, 8))
    assert [case.index for case in cases] == [case.index for case in whole] == list(range(COUNT))
    for one, other in zip(cases, whole, strict=True):
        for name in ("truth", "y", "samples", "mean", "std"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-5)
        np.testing.assert_array_equal(one.operator.mask, other.operator.mask)
        for name in one.metrics.keys() - {"seconds"}:
            assert one.metrics[name] == pytest.approx(other.metrics[name], abs=1e-4), name


def test_the_metrics_are_those_of_the_arrays(images, cases):
    case = cases[4]
    y = jnp.asarray(case.y)
    for name, estimate in dict(sample=case.samples[0], mean=np.mean(case.samples, axis=0)).items():
        x, truth = jnp.asarray(estimate), jnp.asarray(images[4])
        assert case.metrics[f"psnr_{name}"] == pytest.approx(float(psnr(x, truth)), abs=1e-4)
        assert case.metrics[f"ssim_{name}"] == pytest.approx(float(ssim(x, truth)), abs=1e-4)
        assert case.metrics[f"misfit_{name}"] == pytest.approx(float(data_misfit(case.operator, x, y, NOISE)), abs=1e-4)
    assert case.metrics["seconds"] > 0


def test_what_was_observed_stands_beside_the_measurement(cases):
    np.testing.assert_array_equal(cases[1].observed, np.asarray(cases[1].operator.mask) > 0)
    np.testing.assert_array_equal(cases[1].y[~cases[1].observed], 0)
    noise = (cases[1].y - cases[1].truth)[cases[1].observed]
    assert abs(noise).max() < 5 * 0.1 and noise.std() > 0.05


def test_images_differ_in_mask_noise_and_samples(images):
    one, other, _ = cases_of(np.repeat(images[:1], 3, axis=0), 3)
    assert (one.observed != other.observed).any()
    assert not np.allclose(one.samples, other.samples)


def test_one_operator_and_an_array_of_images_are_enough(images):
    operator = random_mask(KEY, SHAPE, 0.5)
    cases = list(evaluate(KEY, PRIOR, operator, images, NOISE, **OPTIONS))
    assert [case.index for case in cases] == list(range(COUNT))
    numbers = np.array([5, 2])
    problem = simulate(KEY, operator, images[numbers], NOISE, numbers, np.array([True, True]))
    for one in restore_problem(KEY, PRIOR, problem, **OPTIONS):
        assert one.operator is operator
        np.testing.assert_allclose(one.samples, cases[one.index].samples, atol=1e-5)


def test_steps_that_fail_are_in_the_metrics(images):
    def broken(v, lam):
        return jnp.where(lam < 1.0, jnp.nan, v)

    operator = random_mask(KEY, SHAPE, 0.5)
    with pytest.warns(UserWarning, match="were not finite"):
        case, *_ = evaluate(KEY, broken, operator, images[:1], NOISE, **OPTIONS)
    assert 0 < case.metrics["failed"] < 1


def test_small_images_have_no_ssim_and_measurements_no_psnr(images):
    small = Gaussian(0.0, 0.5)
    operator, y = average_downsampling((4, 4, 1), 2), jnp.zeros((2, 2, 2, 1))
    problem = Problem(operator, None, y, NOISE, np.arange(2), np.array([False, True]), np.zeros((2, 4, 4, 1)))
    (case,) = restore_problem(KEY, small, problem, **OPTIONS)
    both = {"misfit_sample", "misfit_mean", "calls", "seconds"}
    assert set(case.metrics) == both | {"psnr_sample", "psnr_mean", "error_in_stds"}
    error = np.sqrt(np.mean(case.mean**2) / np.mean(case.std**2))
    np.testing.assert_allclose(case.metrics["error_in_stds"], error, rtol=1e-5)
    (measured,) = restore_problem(KEY, small, problem._replace(truth=None), **OPTIONS)
    assert set(measured.metrics) == both
    assert measured.truth is None and measured.index == 1
    np.testing.assert_array_equal(case.samples, measured.samples)


def test_a_summary_is_the_mean_and_deviation():
    values = 1e4 + np.random.default_rng(1).normal(size=50)
    rows = [dict(psnr=value, ssim=1.0) for value in values]
    summary = summarise(rows)
    assert summary["psnr"].count == 50
    assert summary["psnr"].mean == pytest.approx(values.mean(), rel=1e-14)
    assert summary["psnr"].std == pytest.approx(values.std(ddof=1), rel=1e-9)
    assert summary["ssim"].std == 0 and summarise(rows[:1])["psnr"].std == 0


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (np.zeros((2, *SHAPE), np.uint8), TypeError, "x / 127.5 - 1"),
        (np.zeros(SHAPE, np.float32), ValueError, r"shape \(12, 12, 1\).*\(B, 12, 12, 1\)"),
        (np.zeros((2, 12, 12, 3), np.float32), ValueError, "number of channels"),
        (np.zeros((2, 14, 14, 1), np.float32), ValueError, "resize"),
        (np.full((2, *SHAPE), np.nan, np.float32), ValueError, "288 values that are NaN"),
        (np.full((2, *SHAPE), 255.0, np.float32), ValueError, "reach from 255 to 255"),
        (np.full((2, *SHAPE), -1.1), ValueError, r"must lie in \[-1, 1\]"),
    ],
)
def test_images_that_do_not_fit_are_refused(images, error, words):
    with pytest.raises(error, match=words):
        check_images(images, SHAPE)


@pytest.mark.filterwarnings("error")
def test_images_without_a_value_below_0_are_pointed_at():
    with pytest.warns(UserWarning, match=r"from 0.2 to 1, .*scale them by 2 x - 1"):
        check_images(np.linspace(0.2, 1, 144).reshape(1, *SHAPE), SHAPE)
    check_images(np.linspace(-0.1, 1, 144).reshape(1, *SHAPE), SHAPE)


def test_images_that_fit_become_float32():
    images = check_images(np.linspace(-1, 1 + 1e-6, 144).reshape(1, *SHAPE), SHAPE)
    assert images.dtype == np.float32 and images.shape == (1, *SHAPE)
    assert check_images(jnp.zeros((0, *SHAPE)), SHAPE).shape == (0, *SHAPE)


def test_evaluate_refuses_images_of_another_shape_at_once():
    with pytest.raises(ValueError, match="take another prior"):
        evaluate(KEY, PRIOR, random_mask(KEY, SHAPE, 0.5), np.zeros((1, 6, 6, 1), np.float32), NOISE, **OPTIONS)
