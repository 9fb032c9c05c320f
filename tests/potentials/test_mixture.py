"""The prox of a mixture: the lowest of all minima, stationary to rounding, with the derivatives of that point."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.potentials import Mixture, mixture_prox

proxes = jax.jit(jax.vmap(mixture_prox, (None, None, None, 0, None)))


def mixture(spread, uneven, seed=0, components=12, dimension=5, points=25):
    """Log-weights, means and variances of a mixture, and points near its components."""
    rng = np.random.default_rng(seed)
    means = spread * rng.standard_normal((components, dimension))
    variances = 10 ** rng.uniform(-1.5, 0.5, dimension) if uneven else np.ones(dimension)
    log_weights = np.log(rng.dirichlet(0.5 * np.ones(components)))
    return log_weights, means, variances, means[rng.integers(components, size=points)] + rng.standard_normal(dimension)


def step_and_objective(log_weights, means, variances, v, lam, u):
    """A plain step from the points u `[..., d]` and lam times the objective there, without jax."""
    scores = log_weights - np.sum((u[..., None, :] - means) ** 2 / variances, axis=-1) / 2
    top = scores.max(axis=-1, keepdims=True)
    parts = np.exp(scores - top)
    total = parts.sum(axis=-1, keepdims=True)
    objective = np.sum((u - v) ** 2, axis=-1) / 2 - lam * (top + np.log(total))[..., 0]
    return v + lam / (variances + lam) * (parts / total @ means - v), objective


def lowest_by_many_steps(log_weights, means, variances, v, lam):
    """The lowest end of 500 plain steps from every component, for each point."""
    v = v[:, None]
    u = v + lam / (variances + lam) * (means[None] - v)
    for _ in range(500):
        u, objective = step_and_objective(log_weights, means, variances, v, lam, u)
    return objective.min(axis=1)


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("spread", [0.4, 1.0, 4.0])
def test_the_prox_is_the_lowest_of_all_descents_and_stationary(spread, uneven):
    """From components that overlap to components that do not, one variance or many."""
    *given, v = mixture(spread, uneven)
    for lam in (0.1, 3.0, 100.0):
        noisy = v + np.sqrt(lam) * np.random.default_rng(1).standard_normal(v.shape)
        with jax.enable_x64(True):
            p = np.asarray(proxes(*given, noisy, np.asarray(lam)))
        following, objective = step_and_objective(*given, noisy, lam, p)
        assert np.all(objective <= lowest_by_many_steps(*given, noisy, lam) + 1e-10 * (1 + lam))
        # The gradient of the objective is the length of a step over lam s / (s + lam).
        np.testing.assert_allclose((p - following) * (1 / lam + 1 / given[2]), 0, atol=1e-8)


def test_the_prox_is_the_global_minimum():
    """In one dimension, where the objective has up to three minima, against a dense grid."""
    weights, means, v, grid = [0.2, 0.5, 0.3], [-2.0, 0.0, 1.5], np.linspace(-4, 4, 57), np.linspace(-5, 5, 20_001)

    def objective(u, v, lam):
        return -np.log(np.exp(-((u[..., None] - means) ** 2) / (2 * 0.3**2)) @ weights) + (u - v) ** 2 / (2 * lam)

    with jax.enable_x64(True):
        g = Mixture(jnp.asarray(weights), jnp.asarray(means)[:, None], 0.3)
        prox = jax.jit(jax.vmap(lambda v, lam: g.prox(v, lam), (0, None)))
        for lam in (0.1, 0.6, 4.0):
            p = np.asarray(prox(v[:, None], lam))[:, 0]
            lowest = np.array([objective(grid, start, lam).min() for start in v])
            assert np.all(objective(p, v, lam) <= lowest + 1e-9)


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_single_precision_finds_the_same_minimum(offset):
    """With 25 components 8 apart in 80 dimensions, beside each other and far from the origin."""
    rng, corners = np.random.default_rng(2), np.arange(-16.0, 17.0, 8.0)
    means = np.tile(np.stack(np.meshgrid(corners, corners), -1).reshape(25, 2), (1, 40)) + offset
    given = (np.log(rng.dirichlet(np.ones(25))), means, np.ones(80))
    for lam in (0.5, 30.0, 1000.0):
        v = means[rng.integers(25, size=40)] + np.sqrt(1 + lam) * rng.standard_normal((40, 80))
        p = np.float64(proxes(*(np.float32(part) for part in (*given, v)), np.float32(lam)))
        following, objective = step_and_objective(*given, v, lam, p)
        best = np.min(
            [step_and_objective(*given, v, lam, v + lam / (1 + lam) * (mean - v))[1] for mean in means], axis=0
        )
        np.testing.assert_allclose(following, p, atol=4e-6 * (16 + offset) + 1e-6 * np.abs(v).max())
        assert np.all(objective <= best + 1e-3 * (1 + lam))


def test_a_full_covariance_by_its_eigenvectors():
    log_weights, means, _, v = mixture(0.8, uneven=False, seed=3)
    factor = np.random.default_rng(4).standard_normal((5, 5))
    covariance = factor @ factor.T + 0.1 * np.eye(5)
    variances, vectors = np.linalg.eigh(covariance)
    with jax.enable_x64(True):
        p = np.asarray(proxes(log_weights, means @ vectors, variances, v @ vectors, np.asarray(0.7))) @ vectors.T
    away = p[:, None] - means
    scores = log_weights - np.einsum("nji,ik,njk->nj", away, np.linalg.inv(covariance), away) / 2
    weights = np.exp(scores - np.logaddexp.reduce(scores, axis=1)[:, None])
    slope = np.einsum("nj,nji->ni", weights, away) @ np.linalg.inv(covariance)
    np.testing.assert_allclose(slope + (p - v) / 0.7, 0, atol=1e-9)


def test_derivatives_are_those_of_the_minimiser():
    """By differences in every argument, and backward as forward."""
    *given, v = mixture(0.8, uneven=True, seed=5)
    rng, step = np.random.default_rng(6), 1e-5
    given = (*given, v, np.asarray(0.8))
    ways = tuple(rng.standard_normal(part.shape) for part in given)
    against = rng.standard_normal(v.shape)

    @jax.jit
    def derivatives(given, ways, against):
        _, forward = jax.linearize(proxes, *given)
        each = [tuple(way * (i == j) for j, way in enumerate(ways)) for i in range(len(ways))]
        backward = jax.linear_transpose(forward, *given)(against)
        return jnp.stack([forward(*way) for way in each]), backward

    with jax.enable_x64(True):
        forward, backward = jax.tree.map(np.asarray, derivatives(given, ways, against))
        for i, slope in enumerate(forward):
            moved = [[*given[:i], given[i] + sign * step * ways[i], *given[i + 1 :]] for sign in (1, -1)]
            ends = [np.asarray(proxes(*parts)) for parts in moved]
            np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-7)
    pairing = sum(np.sum(slope * way) for slope, way in zip(backward, ways, strict=True))
    np.testing.assert_allclose(pairing, np.sum(against * np.sum(forward, axis=0)), rtol=1e-10)


def test_a_component_without_weight_has_no_part():
    log_weights, *given = mixture(0.8, uneven=False, seed=7)
    weights = [np.where(np.arange(12) == 3, weight, log_weights) for weight in (-np.inf, -1e4)]
    with jax.enable_x64(True):
        none, little = (proxes(one, *given, np.asarray(0.7)) for one in weights)
    np.testing.assert_allclose(none, little, rtol=1e-12)
