"""Restorations through operators of every kind: complex, without a closed form, nonlinear; and with other noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from pgm_jax import operators
from pgm_jax.metrics import data_misfit
from pgm_jax.operators import measure
from pgm_jax.potentials import Gaussian, GaussianLikelihood, PoissonLikelihood
from pgm_jax.proximal import data_first, explicit, forward_backward, parallel, prior_first
from pgm_jax.restore import default_rows, restore

SHAPE, SIGMA, KEY = (8, 8, 1), 0.1, jax.random.key(7)
SPREAD = 0.3
PRIOR = Gaussian(jnp.zeros(SHAPE), SPREAD)
TRUTH = SPREAD * jax.random.normal(jax.random.key(1), SHAPE)
ROWS = default_rows(40, lam_max=1.0)

LINEAR = {
    "a complex spectrum": operators.fourier_sampling(SHAPE, np.arange(64).reshape(8, 8) % 3 > 0),
    "no closed form": operators.radon(SHAPE, jnp.linspace(0.0, 150.0, 6)),
    "a composition": operators.compose(operators.average_downsampling(SHAPE, 2), operators.gaussian_blur(SHAPE, 0.6)),
}
NONLINEAR = {
    "blur of light": operators.synthetic_blur(jax.random.key(2), SHAPE, widths=(0.4, 0.8)),
    "a clipped range": operators.high_dynamic_range(SHAPE),
    "rounding": operators.quantisation(SHAPE, 32),
}


def exact_mean(operator, y):
    """The mean of the posterior of a Gaussian prior, and the deviation of every pixel."""
    columns = jax.vmap(operator.forward)(jnp.eye(64).reshape(64, *SHAPE)).reshape(64, -1)
    a, y = np.asarray(columns).T, np.ravel(y)
    a, y = (np.concatenate([z.real, z.imag]) if np.iscomplexobj(a) else z for z in (a, y))
    covariance = np.linalg.inv(a.T @ a / SIGMA**2 + np.eye(64) / SPREAD**2)
    return (covariance @ a.T @ y / SIGMA**2).reshape(SHAPE), np.sqrt(np.diag(covariance)).reshape(SHAPE)


@pytest.mark.parametrize("name", LINEAR)
def test_the_mean_is_that_of_the_posterior(name):
    operator, count = LINEAR[name], 64
    y = measure(KEY, operator, TRUTH, SIGMA)
    restoration = restore(PRIOR, operator, y[None], KEY, sigma=SIGMA, samples=count, rows=ROWS)
    mean, std = exact_mean(operator, y)
    # Four standard errors, and the bias of forty rows, by which the mean may lag behind the data.
    assert np.max(np.abs(restoration.mean[0] - mean) / std) < 4 / np.sqrt(count) + 0.3
    assert abs(np.mean(np.asarray(restoration.std[0]) / std) - 1) < 0.15


@pytest.mark.parametrize("name", NONLINEAR)
def test_nonlinear_measurements_are_explained(name):
    operator = NONLINEAR[name]
    y = measure(KEY, operator, TRUTH, SIGMA)
    restoration = restore(PRIOR, operator, y[None], KEY, sigma=SIGMA, samples=4, rows=ROWS)
    misfits = jax.vmap(lambda x: data_misfit(operator, x, y, SIGMA))(restoration.samples[0])
    assert np.all(np.isfinite(misfits)) and 0.4 < np.mean(misfits) < 1.3
    assert np.mean((restoration.mean[0] - TRUTH) ** 2) < 0.8 * SPREAD**2


@pytest.mark.parametrize("split", [data_first, prior_first, forward_backward])
@pytest.mark.parametrize("name", ["no closed form", "blur of light"])
def test_every_splitting_takes_every_operator(name, split):
    operator = (LINEAR | NONLINEAR)[name]
    y = measure(KEY, operator, TRUTH, SIGMA)
    restoration = restore(PRIOR, operator, y[None], KEY, sigma=SIGMA, samples=4, rows=ROWS, split=split)
    assert np.mean((restoration.mean[0] - TRUTH) ** 2) < SPREAD**2


def test_counts_of_light_are_nearly_normal():
    """At about a hundred counts a pixel their noise is nearly that of a Gaussian with the mean variance."""
    operator, gain, dark = operators.gaussian_blur(SHAPE, 0.6), 200.0, 5.0
    light = gain * operator.forward((TRUTH + 1) / 2) + dark
    y = jax.random.poisson(KEY, light).astype(float)[None]
    noise = Partial(PoissonLikelihood, gain=gain, background=dark)
    counted = restore(PRIOR, operator, y, KEY, likelihood=noise, samples=32, rows=ROWS)
    scaled, sigma = 2 * (y - dark) / gain - 1, 2 * jnp.sqrt(jnp.mean(light)) / gain
    normal = restore(PRIOR, operator, scaled, KEY, sigma=sigma, samples=32, rows=ROWS)
    assert np.sqrt(np.mean((counted.mean - normal.mean) ** 2)) < 0.2 * np.mean(normal.std)
    np.testing.assert_allclose(np.mean(counted.std), np.mean(normal.std), rtol=0.05)


def test_another_likelihood_may_be_the_gaussian_one():
    operator = LINEAR["a composition"]
    y = measure(KEY, operator, TRUTH, SIGMA)[None]
    one = restore(PRIOR, operator, y, KEY, sigma=SIGMA, samples=2, rows=ROWS)
    other = restore(PRIOR, operator, y, KEY, likelihood=Partial(GaussianLikelihood, sigma=SIGMA), samples=2, rows=ROWS)
    np.testing.assert_allclose(one.samples, other.samples, atol=2e-2)


def test_a_noise_level_that_is_not_known_is_estimated_and_said():
    shape = (16, 16, 1)
    operator, prior = operators.gaussian_blur(shape, 1.0), Gaussian(jnp.zeros(shape), SPREAD)
    y = measure(KEY, operator, jnp.zeros(shape), 0.1)[None]
    with pytest.warns(UserWarning, match=r"its estimate from the measurements is 0\.(09|1)"):
        restore(prior, operator, y, KEY, samples=1, rows=ROWS)


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        (operators.stack(operators.gaussian_blur(SHAPE, 0.6)), r"\(1, 64\) are no images"),
        (LINEAR["a complex spectrum"], "complex64.*are no images"),
        (operators.hadamard_sensing(KEY, SHAPE, 32), r"\(1, 32, 1\) are no images"),
        (operators.scale(1e-30, operators.gaussian_blur(SHAPE, 0.6)), "its estimate is 0"),
    ],
)
def test_a_noise_level_that_cannot_be_told_is_asked_for(operator, words):
    with pytest.raises(ValueError, match=words + ".*give sigma"):
        restore(PRIOR, operator, 0 * operator.forward(TRUTH)[None], KEY, samples=1, rows=ROWS)


def test_types_of_complex_measurements_must_agree():
    operator = LINEAR["a complex spectrum"]
    with pytest.raises(TypeError, match="float32, and the operator measures complex64"):
        restore(PRIOR, operator, operator.forward(TRUTH).real[None], KEY, sigma=SIGMA, rows=ROWS)


# L = |A|^2 / sigma^2 = 4 / 0.01, hence 2 / L = 0.005.
TWICE = operators.scale(2.0, operators.gaussian_blur(SHAPE, 0.6))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(split=forward_backward, step=0.006), r"is 0\.006; .* below 2 / L = 0\.005.*take 0\.0025, which is 1 / L"),
        (dict(split=forward_backward, step=0.0), "must be positive"),
        (dict(split=parallel), r"below 2 / L = 0\.005.*data_first, prior_first"),
        (dict(split=explicit), "rows with smaller steps"),
    ],
)
def test_explicit_steps_that_diverge_are_refused(options, words):
    y = TWICE.forward(TRUTH)[None]
    with pytest.raises(ValueError, match=words):
        restore(PRIOR, TWICE, y, KEY, sigma=SIGMA, samples=1, rows=ROWS, **options)


def test_the_step_by_default_is_one_over_l():
    y = measure(KEY, TWICE, TRUTH, SIGMA)[None]
    one = restore(PRIOR, TWICE, y, KEY, sigma=SIGMA, samples=2, rows=ROWS, split=forward_backward)
    other = restore(PRIOR, TWICE, y, KEY, sigma=SIGMA, samples=2, rows=ROWS, split=forward_backward, step=0.0025)
    np.testing.assert_allclose(one.samples, other.samples, atol=1e-5)
