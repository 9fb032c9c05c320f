"""Restorations through operators of every kind: complex, without a closed form, nonlinear; and with other noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax import operators
from pgm_jax.metrics import data_misfit
from pgm_jax.noise import GaussianNoise, PoissonNoise, measure
from pgm_jax.potentials import Gaussian
from pgm_jax.proximal import data_first, explicit, forward_backward, parallel, prior_first
from pgm_jax.restoration import restore
from pgm_jax.samplers import corrected_rows

SHAPE, SIGMA, KEY = (8, 8, 1), 0.1, jax.random.key(7)
SPREAD = 0.3
PRIOR = Gaussian(jnp.zeros(SHAPE), SPREAD)
TRUTH = jnp.asarray(SPREAD * np.random.default_rng(1).standard_normal(SHAPE), float)
NOISE = GaussianNoise(SIGMA)
ROWS = corrected_rows(4, lam_max=1.0)

LINEAR = {
    "a complex spectrum": operators.fourier_sampling(SHAPE, np.arange(64).reshape(8, 8) % 3 > 0),
    "no closed form": operators.radon(SHAPE, np.linspace(0.0, 150.0, 6)),
    "a composition": operators.compose(operators.average_downsampling(SHAPE, 2), operators.gaussian_blur(SHAPE, 0.6)),
}
NONLINEAR = {
    "blur of light": operators.synthetic_blur(jax.random.key(2), SHAPE, widths=(0.4, 0.8)),
    "a clipped range": operators.high_dynamic_range(SHAPE),
    "rounding": operators.quantisation(SHAPE, 32),
}


def exact_mean(operator, y):
    """The mean of the posterior of a Gaussian prior, and the deviation of every pixel."""
    columns = jax.jit(jax.vmap(operator.forward))(np.eye(64, dtype=np.float32).reshape(64, *SHAPE))
    a, y = np.reshape(columns, (64, -1)).T, np.ravel(y)
    a, y = (np.concatenate([z.real, z.imag]) if np.iscomplexobj(a) else z for z in (a, y))
    covariance = np.linalg.inv(a.T @ a / SIGMA**2 + np.eye(64) / SPREAD**2)
    return (covariance @ a.T @ y / SIGMA**2).reshape(SHAPE), np.sqrt(np.diag(covariance)).reshape(SHAPE)


@pytest.mark.parametrize("name", LINEAR)
def test_the_mean_is_that_of_the_posterior(name):
    operator, count = LINEAR[name], 64
    y = measure(KEY, operator, TRUTH, NOISE)
    restoration = restore(KEY, PRIOR, operator, y, NOISE, samples=count, rows=ROWS)
    mean, std = exact_mean(operator, y)
    # Four standard errors, and the bias of forty rows, by which the mean may lag behind the data.
    assert np.max(np.abs(restoration.mean - mean) / std) < 4 / np.sqrt(count) + 0.3
    assert abs(np.mean(np.asarray(restoration.std) / std) - 1) < 0.15


@pytest.mark.parametrize("name", NONLINEAR)
def test_nonlinear_measurements_are_explained(name):
    operator = NONLINEAR[name]
    y = measure(KEY, operator, TRUTH, NOISE)
    restoration = restore(KEY, PRIOR, operator, y, NOISE, samples=4, rows=ROWS)
    misfits = jax.jit(jax.vmap(lambda x: data_misfit(operator, x, y, NOISE)))(restoration.samples)
    assert np.all(np.isfinite(misfits)) and 0.4 < np.mean(misfits) < 1.3
    assert np.mean((restoration.mean - TRUTH) ** 2) < 0.8 * SPREAD**2


@pytest.mark.parametrize(  # the tests above take the defaults
    ("name", "split"),
    [
        ("no closed form", prior_first),
        ("no closed form", forward_backward),
        ("blur of light", data_first),
        ("blur of light", forward_backward),
    ],
)
def test_every_splitting_takes_every_operator(name, split):
    operator = (LINEAR | NONLINEAR)[name]
    y = measure(KEY, operator, TRUTH, NOISE)
    restoration = restore(KEY, PRIOR, operator, y, NOISE, samples=4, rows=ROWS, split=split)
    assert np.mean((restoration.mean - TRUTH) ** 2) < SPREAD**2


def test_counts_of_light_are_nearly_normal():
    """At about a hundred counts a pixel their noise is nearly that of a Gaussian with the mean variance."""
    operator, gain, dark = operators.gaussian_blur(SHAPE, 0.6), 200.0, 5.0
    counts = PoissonNoise(gain, dark)
    y = measure(KEY, operator, TRUTH, counts)
    counted = restore(KEY, PRIOR, operator, y, counts, samples=32, rows=ROWS)
    light = counts.clean(operator, TRUTH)
    scaled, noise = 2 * (y - dark) / gain - 1, GaussianNoise(2 * jnp.sqrt(jnp.mean(light)) / gain)
    normal = restore(KEY, PRIOR, operator, scaled, noise, samples=32, rows=ROWS)
    assert np.sqrt(np.mean((counted.mean - normal.mean) ** 2)) < 0.2 * np.mean(normal.std)
    np.testing.assert_allclose(np.mean(counted.std), np.mean(normal.std), rtol=0.05)


def test_types_of_complex_measurements_must_agree():
    operator = LINEAR["a complex spectrum"]
    with pytest.raises(TypeError, match="float32, and the operator measures complex64"):
        restore(KEY, PRIOR, operator, operator.forward(TRUTH).real, NOISE, rows=ROWS)


# L = |A|^2 / sigma^2 = 4 / 0.01, hence 2 / L = 0.005.
TWICE = operators.scale(2.0, operators.gaussian_blur(SHAPE, 0.6))


@pytest.mark.parametrize(
    ("split", "words"),
    [(parallel, r"below 2 / L = 0\.005.*data_first, prior_first"), (explicit, "rows with smaller steps")],
)
def test_explicit_steps_that_diverge_are_refused(split, words):
    with pytest.raises(ValueError, match=words):
        restore(KEY, PRIOR, TWICE, TWICE.forward(TRUTH), NOISE, samples=1, rows=ROWS, split=split)


def test_the_step_by_default_is_one_over_l():
    y = measure(KEY, TWICE, TRUTH, NOISE)
    one = restore(KEY, PRIOR, TWICE, y, NOISE, samples=2, rows=ROWS, split=forward_backward)
    capped = lambda prior, f: forward_backward(prior, f, 0.0025)  # noqa: E731
    other = restore(KEY, PRIOR, TWICE, y, NOISE, samples=2, rows=ROWS, split=capped)
    np.testing.assert_allclose(one.samples, other.samples, atol=1e-5)


def test_a_step_without_a_cap_that_diverges_is_seen():
    y = measure(KEY, TWICE, TRUTH, NOISE)
    rows = corrected_rows(20, lam_max=100.0)
    with pytest.warns(UserWarning, match="were not finite"):
        restore(KEY, PRIOR, TWICE, y, NOISE, samples=1, rows=rows, split=lambda g, f: forward_backward(g, f, jnp.inf))
