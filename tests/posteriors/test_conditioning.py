"""Posteriors by conditioning: Gaussians of any rank and mixtures, against Bayes in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from pgm_jax.posteriors import gaussian_posterior, gmm25_problem, mixture_posterior

MEAN0, Y, SIGMA = np.array([0.5, -1.0, 2.0]), np.array([1.0, -0.7]), 0.6
ROOT = np.array([[1.0, 0.0, 0.3], [-0.4, 0.8, 0.0], [0.2, 0.5, 1.5]])
FLAT = np.array([[1.0, 0.5], [0.3, -1.0], [2.0, 0.0]])  # The root of a covariance of rank 2.
MATRIX = np.array([[0.3, -1.2, 0.5], [1.0, 0.2, 0.4]])


def arrays(*numbers):
    return [jnp.asarray(number, float) for number in numbers]


@pytest.mark.parametrize("root", [ROOT, FLAT], ids=["full rank", "on a plane"])
@pytest.mark.parametrize("x64", [True, False])
def test_the_gaussian_posterior_is_that_of_conditioning(root, x64):
    covariance = root @ root.T
    gain = covariance @ MATRIX.T @ np.linalg.inv(MATRIX @ covariance @ MATRIX.T + SIGMA**2 * np.eye(2))
    with jax.enable_x64(x64):
        posterior = gaussian_posterior(*arrays(MEAN0, covariance, MATRIX, Y, SIGMA))
        tolerance = 1e-12 if x64 else 5e-6
        np.testing.assert_allclose(posterior.mean, MEAN0 + gain @ (Y - MATRIX @ MEAN0), atol=tolerance)
        np.testing.assert_allclose(posterior.covariance, covariance - gain @ MATRIX @ covariance, atol=tolerance)
        assert np.sum(np.asarray(posterior.values) > 0) == np.linalg.matrix_rank(root)


def test_more_measurements_than_unknowns_and_little_noise():
    """Ten measurements of a plane in float32, with a noise that conditioning by subtraction would lose."""
    matrix = np.random.default_rng(0).standard_normal((10, 3))
    y, sigma = matrix @ (MEAN0 + FLAT @ [0.3, -0.2]), 1e-4
    posterior = gaussian_posterior(*arrays(MEAN0, FLAT @ FLAT.T, matrix, y, sigma))
    seen = FLAT @ np.linalg.inv(FLAT.T @ matrix.T @ matrix @ FLAT / sigma**2 + np.eye(2)) @ FLAT.T
    np.testing.assert_allclose(posterior.covariance, seen, rtol=1e-3, atol=1e-3 * seen.max())
    np.testing.assert_allclose(posterior.mean, MEAN0 + FLAT @ [0.3, -0.2], atol=1e-5)


def bayes(weights, means, std, matrix, y, sigma):
    """The weights, means and covariance of the posterior of a mixture, in double precision."""
    weights, means, matrix, y = (np.asarray(part, np.float64) for part in (weights, means, matrix, y))
    evidence = stats.multivariate_normal(np.zeros(len(y)), std**2 * matrix @ matrix.T + sigma**2 * np.eye(len(y)))
    scores = np.log(weights) + evidence.logpdf(y - means @ matrix.T)
    covariance = np.linalg.inv(np.eye(means.shape[1]) / std**2 + matrix.T @ matrix / sigma**2)
    return special.softmax(scores), (means / std**2 + matrix.T @ y / sigma**2) @ covariance, covariance


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_posterior_of_a_mixture_is_bayes(count):
    """Fewer measurements than unknowns, and more."""
    rng = np.random.default_rng(count)
    prior = (np.array([0.5, 0.3, 0.2]), rng.standard_normal((3, 3)), 0.7, rng.standard_normal((count, 3)))
    given = (*prior, rng.standard_normal(count), SIGMA)
    weights, means, covariance = bayes(*given)
    with jax.enable_x64(True):
        posterior = mixture_posterior(*arrays(*given))
        np.testing.assert_allclose(np.exp(posterior.log_weights), weights, rtol=1e-11)
        np.testing.assert_allclose(posterior.means, means, rtol=1e-11)
        np.testing.assert_allclose(posterior.mean, weights @ means, rtol=1e-11)
        spread = (means - weights @ means).T @ np.diag(weights) @ (means - weights @ means)
        np.testing.assert_allclose(posterior.covariance, covariance + spread, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("dimension", "measurements"), [(8, 1), (8, 4), (80, 4)])
def test_25_modes_in_single_precision(dimension, measurements):
    problem = gmm25_problem(jax.random.key(3), dimension, measurements, 0.1)
    prior, posterior, matrix, y = problem.prior, problem.posterior, np.asarray(problem.matrix), np.asarray(problem.y)
    np.testing.assert_array_equal(np.unique(prior.means, axis=0)[:, 2:], np.unique(prior.means, axis=0)[:, :-2])
    np.testing.assert_array_equal(np.unique(prior.means[:, :2]), [-16, -8, 0, 8, 16])
    gains = np.linalg.svd(matrix, compute_uv=False)
    assert len(gains) == measurements
    assert np.all((gains > 0) & (gains < 1))

    weights, means, covariance = bayes(prior.weights, prior.means, prior.std, matrix, y, 0.1)
    np.testing.assert_allclose(np.exp(posterior.log_weights), weights, atol=2e-3)
    np.testing.assert_allclose(posterior.means, means, atol=1e-4)
    spread = (posterior.vectors * posterior.values[None]) @ posterior.vectors.T
    np.testing.assert_allclose(spread, covariance, atol=1e-5)

    misfit = matrix @ problem.truth - y
    assert np.sum(misfit**2) / 0.1**2 < stats.chi2(measurements).isf(1e-3)
    nearest = np.min(np.sum((problem.truth[None] - prior.means) ** 2, axis=1))
    assert nearest < stats.chi2(dimension).isf(1e-3)
    np.testing.assert_allclose(problem.likelihood.grad(problem.truth), misfit @ matrix / 0.01, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(("dimension", "measurements"), [(8, 0), (8, 9), (1, 1)])
def test_a_problem_that_cannot_be_is_refused(dimension, measurements):
    with pytest.raises(ValueError, match=f"{measurements} measurements in dimension {dimension}"):
        gmm25_problem(jax.random.key(0), dimension, measurements)
