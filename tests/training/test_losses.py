"""The losses against what they are to find: modes, means and fixed points of posteriors on a line."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from pgm_jax.training.losses import _proximal_matching, l1, l2, matching_objective

FAST = True

GRID = np.linspace(-8.0, 8.0, 16001)


def posterior(log_prior, u, lam):
    """The density of x given u = x + sqrt(lam) eps, as weights on the grid."""
    log = log_prior(GRID) - (u - GRID) ** 2 / (2 * lam)
    weights = np.exp(log - log.max())
    return weights / weights.sum()


def laplace(x):
    return -np.abs(x) / 0.5


def mixture(x):
    return np.logaddexp(np.log(0.7) - (x - 1.0) ** 2 / 0.08, np.log(0.3) - (x + 1.5) ** 2 / 0.02)


PRIORS = [(laplace, 1.3, 0.3), (laplace, 0.2, 0.3), (mixture, 0.4, 0.5), (mixture, -1.0, 0.8)]


@functools.partial(jax.jit, static_argnums=0)
def risks(loss, phis, weights, *width):
    return jax.lax.map(lambda phi: weights @ jax.vmap(lambda x: loss((phi - x)[None], *width))(GRID), phis)


def minimiser(loss, weights, *width):
    """argmin_phi E loss(phi - x), first on a coarse grid, since the matching loss has several minima."""
    with jax.enable_x64(True):
        coarse = np.linspace(-3.0, 3.0, 241)
        best = coarse[np.argmin(risks(loss, coarse, weights, *width))]
        risk = lambda phi: float(risks(loss, np.array([phi]), weights, *width)[0])  # noqa: E731
        bounds = (best - 0.05, best + 0.05)
        return optimize.minimize_scalar(risk, bounds=bounds, method="bounded", options=dict(xatol=1e-9)).x


@pytest.mark.parametrize(("log_prior", "u", "lam"), PRIORS)
def test_the_minimiser_of_proximal_matching_is_a_fixed_point(log_prior, u, lam):
    weights = posterior(log_prior, u, lam)
    for zeta in (0.3, 1.0):
        phi = minimiser(_proximal_matching, weights, zeta)
        matched = weights * np.exp(-((phi - GRID) ** 2) / zeta**2)
        np.testing.assert_allclose(phi, matched @ GRID / matched.sum(), atol=1e-5)


@pytest.mark.parametrize(("log_prior", "u", "lam"), PRIORS)
def test_proximal_matching_goes_from_the_mean_to_the_mode(log_prior, u, lam):
    weights = posterior(log_prior, u, lam)
    mode, mean = GRID[np.argmax(weights)], weights @ GRID
    assert abs(mode - mean) > 0.02
    for zeta in (0.4, 0.1, 0.02):  # at a kink of the density the distance is of the order of the width
        phi = minimiser(_proximal_matching, weights, zeta)
        assert abs(phi - mode) < 0.4 * zeta
    np.testing.assert_allclose(minimiser(_proximal_matching, weights, 300.0), mean, atol=1e-4)


def test_the_mode_of_a_laplace_posterior_is_the_soft_threshold():
    for u, lam in [(1.3, 0.3), (0.2, 0.3)]:
        phi = minimiser(_proximal_matching, posterior(laplace, u, lam), 0.02)
        np.testing.assert_allclose(phi, np.sign(u) * max(abs(u) - lam / 0.5, 0.0), atol=8e-3)


def test_l2_finds_the_mean_and_l1_the_median():
    weights = posterior(mixture, -1.0, 0.8)
    np.testing.assert_allclose(minimiser(l2, weights), weights @ GRID, atol=1e-5)
    np.testing.assert_allclose(minimiser(l1, weights), GRID[np.searchsorted(np.cumsum(weights), 0.5)], atol=2e-3)


RESIDUAL = np.random.default_rng(0).standard_normal((8, 8, 1), np.float32)
matching = jax.jit(jax.value_and_grad(_proximal_matching))
squares = jax.jit(jax.value_and_grad(l2))


def test_a_wide_matching_is_l2_in_value_and_gradient():
    for one, other in zip(matching(RESIDUAL, 1e3), squares(RESIDUAL), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("size", [1e-6, 1e-4, 1e-2, 1.0])
def test_small_residuals_keep_their_digits(size):
    value, _ = matching(np.full_like(RESIDUAL, size), 2.0)
    np.testing.assert_allclose(value, 4.0 * -np.expm1(-(np.float64(np.float32(size)) ** 2) / 4.0), rtol=1e-6)


def test_the_loss_of_a_huge_residual_is_bounded_and_carries_no_gradient():
    value, gradient = matching(np.full_like(RESIDUAL, 1e4), 0.5)
    assert value == 0.25 and not np.any(gradient)


def differentiated(objective):
    return jax.jit(jax.value_and_grad(objective, has_aux=True))


def test_the_objective_warms_up_and_then_narrows():
    """The weight is the share of the gradient that is left."""
    objective, (square, slope) = differentiated(matching_objective(l2, 10, 31, 2.0, 0.5)), squares(RESIDUAL)
    for step in (0, 9):
        (loss, weight), gradient = objective(RESIDUAL, step)
        np.testing.assert_allclose((loss, weight), (square, 1.0), rtol=1e-6)
        np.testing.assert_allclose(gradient, slope, rtol=1e-6)
    for step, zeta in [(10, 2.0), (20, 1.0), (30, 0.5), (99, 0.5)]:  # half of the way is half of the octaves
        (loss, weight), gradient = objective(RESIDUAL, step)
        np.testing.assert_allclose(loss, matching(RESIDUAL, zeta)[0], rtol=1e-5)
        np.testing.assert_allclose(weight, np.exp(-np.mean(RESIDUAL**2) / zeta**2), rtol=1e-5)
        np.testing.assert_allclose(gradient, weight * slope, rtol=1e-5)


def test_a_warm_up_to_the_end_never_matches():
    (loss, weight), _ = differentiated(matching_objective(l1, 5, 5, 1.0, 1.0))(np.full_like(RESIDUAL, 3.0), 4)
    assert (loss, weight) == (3.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((l2, 0, 10, 0.0, 1.0), "both must be positive"),
        ((l2, 0, 10, 1.0, -1.0), "both must be positive"),
        ((l2, 11, 10, 1.0, 1.0), "11 of 10 steps"),
        ((l2, -1, 10, 1.0, 1.0), "-1 of 10 steps"),
    ],
)
def test_objective_errors(arguments, words):
    with pytest.raises(ValueError, match=words):
        matching_objective(*arguments)


def test_a_width_may_fall_in_stages():
    """Three widths, each for a third of the steps after the warm start; a single stage keeps its own."""
    residual = jnp.full((4,), 0.7)

    def widths(stages, last=1.0):
        objective = matching_objective(l1, 2, 11, 4.0, last, stages)
        weights = np.array([float(objective(residual, step)[1]) for step in range(2, 11)])
        return np.sqrt(-0.49 / np.log(weights))

    np.testing.assert_allclose(widths(3), np.repeat([4.0, 2.0, 1.0], 3), rtol=1e-4)
    np.testing.assert_allclose(widths(1, 4.0), 4.0, rtol=1e-4)
    with pytest.raises(ValueError, match="A single stage has one width"):
        widths(1)
    with pytest.raises(ValueError, match="falls in 0 stages"):
        matching_objective(l1, 2, 11, 4.0, 1.0, 0)


def test_a_variance_around_the_target_is_the_expectation_over_it():
    """E exp(-|r + sqrt(v) n|^2 / (d zeta^2)) over n, by quadrature in each number, but for the factor of r = 0."""
    residual, zeta, v = jnp.array([0.3, -0.8]), 0.7, 0.4
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    of_each = [np.sum(weights * np.exp(-((r + np.sqrt(v) * nodes) ** 2) / (2 * zeta**2))) for r in (0.3, -0.8, 0.0)]
    expected = of_each[0] * of_each[1] / of_each[2] ** 2
    loss, weight = matching_objective(l1, 0, 1, zeta, zeta)(residual, 0, v)
    np.testing.assert_allclose(weight, expected, rtol=1e-5)
    np.testing.assert_allclose(loss, (zeta**2 + v) * (1 - expected), rtol=1e-5)
    warm, _ = matching_objective(l1, 1, 1, zeta, zeta)(residual, 0, v)
    np.testing.assert_allclose(warm, 0.55, rtol=1e-6)


def test_the_sum_of_squares_is_the_mean_at_another_width():
    """1 - exp(-sum r^2 / gamma^2) with gamma = zeta sqrt(d)."""
    residual, gamma = jnp.array([0.3, -0.8, 0.1, 0.5]), 1.7
    zeta = gamma / 2
    loss = matching_objective(l1, 0, 1, zeta, zeta)(residual, 0)[0] / zeta**2
    np.testing.assert_allclose(loss, 1 - np.exp(-np.sum(np.square(residual)) / gamma**2), rtol=1e-6)
