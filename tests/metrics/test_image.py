"""The metrics of images: every metric obeys every law, and agrees with scikit-image."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pgm_jax import metrics, operators
from pgm_jax.metrics import image
from pgm_jax.noise import GaussianNoise, PoissonNoise

FAST = True

SHAPE = (16, 20, 3)
OPERATOR = operators.random_mask(jax.random.key(0), SHAPE, hidden=0.4)


psnr, ssim = jax.jit(metrics.psnr), jax.jit(metrics.ssim)


@jax.jit
def misfit(x, truth):
    """The misfit to a measurement of `truth` without noise."""
    return metrics.data_misfit(OPERATOR, x, OPERATOR.forward(truth), GaussianNoise(0.1))


class Row(NamedTuple):
    """A metric as a function of (estimate, truth), its value where they are equal, and which way it goes from there."""

    metric: Callable
    perfect: float
    with_error: int


ROWS = {
    "psnr": Row(psnr, perfect=np.inf, with_error=-1),
    "ssim": Row(ssim, perfect=1.0, with_error=-1),
    "data_misfit": Row(misfit, perfect=0.0, with_error=+1),
}


def pairs(count=4):
    """Truths in [-1, 1] and estimates of rising error, some of it outside [-1, 1]."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(-1, 1, (count, *SHAPE))
    estimate = truth + 0.1 * np.arange(1, count + 1).reshape(-1, 1, 1, 1) * rng.standard_normal(truth.shape)
    return np.float32(estimate), np.float32(truth)


def perfect_where_equal(row):
    for truth in pairs()[1]:
        np.testing.assert_allclose(row.metric(truth, truth), row.perfect, atol=1e-6)


def worse_with_more_error(row):
    truth = pairs()[1][0]
    noise = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    values = [row.metric(truth + level * noise, truth) for level in (0.0, 0.01, 0.1, 1.0)]
    assert np.all(row.with_error * np.diff(values) > 0)


def symmetric(row):
    for estimate, truth in zip(*pairs(), strict=True):
        np.testing.assert_allclose(row.metric(estimate, truth), row.metric(truth, estimate), rtol=1e-6)


def batch_is_loop(row):
    estimate, truth = pairs()
    loop = [row.metric(*pair) for pair in zip(estimate, truth, strict=True)]
    np.testing.assert_allclose(jax.jit(jax.vmap(row.metric))(estimate, truth), loop, rtol=1e-5)


LAWS = (perfect_where_equal, worse_with_more_error, symmetric, batch_is_loop)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", ROWS)
def test_law(name, law):
    law(ROWS[name])


def test_every_metric_of_images_has_a_row():
    defined_here = {
        name
        for name, member in inspect.getmembers(image, inspect.isfunction)
        if member.__module__ == image.__name__ and not name.startswith("_")
    }
    assert defined_here == set(ROWS)


def test_scikit_image_agrees():
    for estimate, truth in zip(*pairs(), strict=True):
        a, b = (np.clip((np.asarray(x, np.float64) + 1) / 2, 0, 1) for x in (estimate, truth))
        assert psnr(estimate, truth) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-4)
        expected = structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=-1
        )
        assert ssim(estimate, truth) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_leading_axes_are_batches(metric):
    estimate, truth = pairs()
    loop = [metric(*pair) for pair in zip(estimate, truth, strict=True)]
    np.testing.assert_allclose(metric(estimate, truth), loop, rtol=1e-5)
    samples_of_one = metric(estimate.reshape(2, 2, *SHAPE), truth[0])
    assert samples_of_one.shape == (2, 2)
    np.testing.assert_allclose(samples_of_one[1, 0], metric(estimate[2], truth[0]), rtol=1e-5)


def test_values_outside_the_range_are_clipped():
    estimate, truth = pairs()
    assert np.any(np.abs(estimate) > 1)
    for metric in (psnr, ssim):
        np.testing.assert_array_equal(metric(estimate, truth), metric(np.clip(estimate, -1, 1), truth))


def test_psnr_by_hand():
    truth = jnp.zeros(SHAPE)
    assert psnr(truth + 0.2, truth) == pytest.approx(20.0, abs=1e-4)  # 0.2 of [-1, 1] is 0.1 of [0, 1]


clean = jax.jit(lambda noise, operator, x: noise.clean(operator, x))
draw = jax.jit(lambda noise, clean: noise.sample(jax.random.key(5), clean))
data_misfit = jax.jit(metrics.data_misfit)


@pytest.mark.parametrize("noise", [GaussianNoise(0.05), PoissonNoise(40.0, 3.0)], ids=["gaussian", "poisson"])
@pytest.mark.parametrize(
    "operator", [OPERATOR, operators.average_downsampling((32, 40, 3), 2)], ids=["hidden", "all seen"]
)
def test_the_truth_has_misfit_one(operator, noise):
    x = np.float32(np.random.default_rng(2).uniform(-1, 1, operator.image_shape))
    y = np.asarray(draw(noise, clean(noise, operator, x)))
    n = np.broadcast_to(operator.observed, y.shape).sum()
    # n misfit^2 is chi-squared with n degrees of freedom, or nearly so for counts.
    z = (n * float(data_misfit(operator, x, y, noise)) ** 2 - n) / np.sqrt(2 * n)
    assert abs(z) < 4


def test_a_complex_entry_counts_as_two():
    fourier = operators.complex_fourier_sampling((16, 20, 2), np.ones((16, 20)))
    x = pairs()[1][0, ..., :2]
    y = np.asarray(fourier.forward(jnp.asarray(x))) + np.complex64(0.3 + 0.4j)
    assert data_misfit(fourier, x, y, GaussianNoise(0.1)) == pytest.approx(5 / np.sqrt(2), rel=1e-4)


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim])
def test_what_is_no_image_in_the_range_is_refused(metric):
    pixels = np.random.default_rng(3).integers(0, 256, (2, *SHAPE), np.uint8)
    noisy = np.clip(pixels.astype(int) + np.random.default_rng(4).integers(-12, 13, pixels.shape), 0, 255)
    for kind in (np.uint8, np.int32):
        with pytest.raises(TypeError, match=r"estimate has the type u?int.*by x / 127.5 - 1"):
            metric(noisy.astype(kind), pixels.astype(kind))
    with pytest.raises(ValueError, match=r"estimate reaches 255.*x / 127.5 - 1"):
        metric(noisy.astype(np.float32), pixels.astype(np.float32))
    estimate, truth = (x.astype(np.float32) / 127.5 - 1 for x in (noisy, pixels))
    with pytest.raises(ValueError, match=r"estimate has shape \(2, 16, 20\).*x\[..., None\]"):
        metric(estimate[..., 0], truth[..., 0])
    with pytest.raises(ValueError, match=r"estimate has shape \(16, 20\)"):
        metric(estimate[0, ..., 0], truth[0, ..., 0])
    expected = [
        peak_signal_noise_ratio(*pair, data_range=255) for pair in zip(pixels, noisy.astype(np.uint8), strict=True)
    ]
    if metric is metrics.psnr:
        np.testing.assert_allclose(metric(estimate, truth), expected, atol=1e-3)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_images_of_other_shapes_are_refused(metric):
    with pytest.raises(ValueError, match=r"\(16, 20, 3\).*\(20, 16, 3\).*must be equal"):
        metric(jnp.zeros((16, 20, 3)), jnp.zeros((20, 16, 3)))


def test_images_below_the_window_are_refused():
    with pytest.raises(ValueError, match=r"11 x 11 pixels, and the images have shape \(10, 32, 1\)"):
        ssim(jnp.zeros((10, 32, 1)), jnp.zeros((10, 32, 1)))
