"""Priors under noise: what is exact of the prox of -log p_t, at every time, in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.potentials import Box, Gaussian, Laplace, Mixture, marginals
from pgm_jax.potentials.mixture import strongly_convex
from pgm_jax.proximal import moreau_envelope
from pgm_jax.schedules import Cosine, LinearVP

MEANS = np.array([[-1.0, 0.0], [1.2, 0.4], [0.3, -1.5]])
WEIGHTS = np.array([0.5, 0.3, 0.2])
TIMES = (0.05, 0.3, 0.9)
VP = LinearVP()


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def mixture(std=0.4):
    return Mixture(jnp.asarray(WEIGHTS), jnp.asarray(MEANS), std)


def points(count=20, seed=0, dimension=2):
    return jnp.asarray(1.5 * np.random.default_rng(seed).standard_normal((count, dimension)))


@jax.jit
def proxes(family, t, v, lam):
    return jax.vmap(lambda v: family.at(t).prox(v, lam))(v)


@pytest.mark.parametrize("t", TIMES)
def test_of_a_gaussian_it_is_linear(t):
    """(v y + lam m) / (v + lam) with the moments of x_t; eps = sqrt(lam) (y - m) / (v + lam)."""
    y, lam = points(), 0.7
    mean, var = VP.mu(t) * 0.5, (VP.mu(t) * 0.3) ** 2 + VP.sigma(t) ** 2
    p = proxes(marginals(Gaussian(0.5, 0.3), VP), t, y, lam)
    np.testing.assert_allclose(p, (var * y + lam * mean) / (var + lam), rtol=1e-11)
    np.testing.assert_allclose((y - p) / jnp.sqrt(lam), jnp.sqrt(lam) * (y - mean) / (var + lam), rtol=1e-10)


@pytest.mark.parametrize("schedule", [VP, Cosine()])
@pytest.mark.parametrize("t", TIMES)
def test_clean_space_and_noisy_space_agree(schedule, t):
    """The mixture of x_t itself, of means mu m_j and variance mu^2 s^2 + sigma^2, against the scale identity."""

    @jax.jit
    @jax.vmap
    def both(v):
        mu, sigma = schedule.mu(t), schedule.sigma(t)
        itself = Mixture(jnp.asarray(WEIGHTS), mu * MEANS, jnp.sqrt((mu * 0.4) ** 2 + sigma**2))
        there = marginals(mixture(), schedule).at(t)
        return [(g.value(v), g.grad(v), g.prox(v, 0.3)) for g in (there, itself)]

    for one, other in zip(*both(points(6)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_at_time_zero_it_is_the_prior():
    y = points()
    soft = jnp.sign(y) * jnp.maximum(jnp.abs(y) - 0.6 / 0.7, 0)
    np.testing.assert_allclose(proxes(marginals(Laplace(0.7), VP), 0.0, y, 0.6), soft, rtol=1e-12)
    assert np.all(marginals(Laplace(0.7), VP).prox(y, 0.6) == soft)


@pytest.mark.parametrize("lam", [1e-3, 0.5, 100.0])
def test_of_points_it_is_the_nearest_at_every_step(lam):
    dirac = Mixture(jnp.full(3, 1 / 3), jnp.asarray(MEANS), 0.0)
    y = points(50)
    nearest = MEANS[np.argmin(np.sum((np.asarray(y)[:, None] - MEANS) ** 2, -1), axis=1)]
    np.testing.assert_array_equal(proxes(marginals(dirac, VP), 0.0, y, lam), nearest)
    assert np.all(np.isfinite(jax.grad(lambda v: jnp.sum(marginals(dirac, VP).at(0.0).prox(v, lam)))(y[0])))
    # Little noise is the limit of it.
    np.testing.assert_allclose(proxes(marginals(dirac, VP), 1e-7, y, lam), nearest, atol=1e-4)


@pytest.mark.parametrize("prior", [mixture, lambda: Laplace(0.7)], ids=["mixture", "Laplace"])
def test_small_steps_are_score_steps(prior):
    """prox = y + lam s + lam^2 s' s + O(lam^3), and lam = 0 stays."""
    potential, y = marginals(prior(), VP).at(0.3), points(1)[0]
    score = lambda x: -potential.grad(x)  # noqa: E731
    bend = jax.jvp(score, (y,), (score(y),))[1]

    def rest(lam):
        return float(jnp.max(jnp.abs(potential.prox(y, lam) - y - lam * score(y) - lam**2 * bend)))

    assert 6 < rest(2e-2) / rest(1e-2) < 10  # eight, of the third order
    np.testing.assert_allclose(potential.prox(y, 0.0), y, rtol=1e-12)


@pytest.mark.parametrize("prior", [mixture, lambda: Laplace(0.7)], ids=["mixture", "Laplace"])
def test_it_is_stationary_with_the_jacobian_of_the_implicit_function(prior):
    """u - y = lam grad ln p_t(u); the Jacobian (I - lam hess ln p_t)^{-1} is symmetric; the envelope's slope."""
    lam = 0.3

    @jax.jit
    @jax.vmap
    def compute(y):
        potential = marginals(prior(), VP).at(0.2)
        u = potential.prox(y, lam)
        jacobian = jax.jacobian(lambda y: potential.prox(y, lam))(y)
        slope = jax.grad(lambda y: moreau_envelope(potential, y, lam))(y)
        return u, potential.grad(u), jax.jacobian(potential.grad)(u), jacobian, slope

    y = points(5)
    u, grad, hessian, jacobian, slope = map(np.asarray, compute(y))
    np.testing.assert_allclose(u - y, -lam * grad, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(jacobian, np.linalg.inv(np.eye(2) + lam * hessian), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(slope, (y - u) / lam, rtol=1e-7, atol=1e-9)


def test_it_moves_and_turns_with_the_prior():
    y, shift, turn = points(), jnp.array([0.3, -2.0]), jnp.array([[0.6, -0.8], [0.8, 0.6]])
    prox = proxes(marginals(mixture(), VP), 0.2, y, 0.3)
    mu = VP.mu(0.2)
    moved = Mixture(jnp.asarray(WEIGHTS), MEANS + shift[None] / mu, 0.4)
    turned = Mixture(jnp.asarray(WEIGHTS), MEANS @ turn.T, 0.4)
    np.testing.assert_allclose(proxes(marginals(moved, VP), 0.2, y + shift[None], 0.3) - shift[None], prox, atol=1e-9)
    np.testing.assert_allclose(proxes(marginals(turned, VP), 0.2, y @ turn.T, 0.3), prox @ turn.T, atol=1e-9)


@pytest.mark.parametrize("t", (0.0, *TIMES))
def test_it_is_cyclically_monotone(t):
    """sum <p_i, y_i - y_{i+1}> >= 0 over every order of random points: true of a prox, convex or not."""
    y = points(4, seed=5)
    for lam in (0.1, 3.0):
        p = proxes(marginals(mixture(), VP), t, y, lam)
        for order in itertools.permutations(range(4)):
            cycle = np.asarray(order)
            assert jnp.sum(p[cycle] * (y[cycle] - y[np.roll(cycle, -1)])) >= -1e-10


def test_of_a_log_concave_prior_it_is_firmly_non_expansive():
    y, z = points(40), points(40, seed=1)
    for t in TIMES:
        moved = proxes(marginals(Laplace(0.7), VP), t, y, 0.6) - proxes(marginals(Laplace(0.7), VP), t, z, 0.6)
        assert np.all(jnp.sum(moved**2, 1) <= jnp.sum(moved * (y - z), 1) + 1e-12)


def test_where_the_objective_is_called_convex_it_is():
    """Between the sufficient bound with the means' radius and the same one with twice it, their diameter."""
    radius = np.max(np.linalg.norm(MEANS - MEANS.mean(0), axis=1))
    for std in (0.3, 0.8, 3.0):
        for lam in (0.01, 0.1, 1.0, 50.0):
            convex = bool(strongly_convex(jnp.asarray(MEANS), jnp.full(2, std**2), lam))
            assert convex == (lam * (radius**2 / std**4 - 1 / std**2) < 1)
            if convex:
                hessians = jax.vmap(jax.jacobian(mixture(std).grad))(points(200))
                assert np.linalg.eigvalsh(hessians).min() > -1 / lam


def test_tweedie_gives_the_posterior_mean():
    """Against the mean of the components' own means."""
    family, lam = marginals(mixture(), VP), 0.6
    for u in points(5):
        shares = WEIGHTS * np.exp(-np.sum((np.asarray(u) - MEANS) ** 2, 1) / (2 * (0.4**2 + lam)))
        means = (0.4**2 * np.asarray(u) + lam * MEANS) / (0.4**2 + lam)
        np.testing.assert_allclose(family.denoise(u, lam), shares / shares.sum() @ means, rtol=1e-10)


def test_far_out_and_under_much_noise_single_precision_holds():
    with jax.enable_x64(False):
        g = Laplace(0.5).diffused(2e4)
        x = jnp.linspace(-400.0, 400.0, 9)
        slopes = g.grad(x)
    with jax.enable_x64(True):
        np.testing.assert_allclose(slopes, Laplace(0.5).diffused(2e4).grad(jnp.linspace(-400.0, 400.0, 9)), atol=2e-6)


def test_a_prior_without_noisy_versions_is_refused():
    with pytest.raises(TypeError, match=r"Box has no `diffused\(s\)`.*Gaussian, Laplace and Mixture have one"):
        marginals(Box(0.0, 1.0), VP)
