"""A quadratic on the ball: its samples in eight dimensions, its minimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from pgm_jax.posteriors import BallQuadratic, random_ball_quadratic

COUNT = 10_000
ROOT = np.array([[1.0, 0.0, 0.3], [-0.4, 0.8, 0.0], [0.2, 0.5, 1.5]])

sample = jax.jit(lambda law, key, count: law.sample(key, count), static_argnums=2)
in_eight_dimensions = jax.jit(lambda key, beta: random_ball_quadratic(key, 8, beta))
minimum = jax.jit(lambda law: law.minimum())


def arrays(*numbers):
    return [jnp.asarray(number, float) for number in numbers]


def uniform_in_the_ball(count, size):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, size))
    return x / np.linalg.norm(x, axis=1, keepdims=True) * rng.uniform(size=(count, 1)) ** (1 / size)


@pytest.mark.parametrize("kappa", [0.0, 2.0, 40.0])
def test_without_a_quadratic_the_law_along_the_force_is_known(kappa):
    """On the unit ball of d = 8 dimensions, `exp(kappa t) (1 - t^2)^((d - 1) / 2)`; across, what is left is uniform."""
    force = np.array([0.6, 0.0, 0.0, -0.8, 0.0, 0.0, 0.0, 0.0])
    if kappa == 0:
        force = np.eye(8)[0]
    x = sample(BallQuadratic(*arrays(np.zeros((8, 8)), -kappa * force, 1.0, 1.0)), jax.random.key(1), COUNT)
    x = np.asarray(x, np.float64)
    t = np.linspace(-1, 1, 100_001)
    density = np.exp(kappa * (t - 1)) * (1 - t**2) ** 3.5
    density /= np.sum(density)
    along, square = x @ force, np.sum(x**2, 1)
    found = np.stack([along, along**2, square, square**2], 1)
    # Across, the share of 1 - t^2 is a beta variable with (d - 1) / 2 and 1.
    rest, share, share_square = 1 - t**2, 7 / 9, 7 / 11
    powers = [t, t**2, t**2 + rest * share, t**4 + 2 * t**2 * rest * share + rest**2 * share_square]
    expected = np.array([np.sum(density * power) for power in powers])
    assert np.all(np.abs(found.mean(0) - expected) < 4 * found.std(0) / np.sqrt(COUNT))
    assert stats.kstest(along, lambda value: np.interp(value, t, np.cumsum(density))).pvalue > 1e-3


@pytest.mark.parametrize("beta", [0.0, 0.1, 1.0, 2.0, 10.0])
def test_samples_of_the_ball_in_eight_dimensions(beta):
    """Against weighted uniform points of the ball, in single precision."""
    law = in_eight_dimensions(jax.random.key(4), beta)
    x = np.asarray(sample(law, jax.random.key(5), COUNT), np.float64)
    assert np.all(np.linalg.norm(x, axis=1) < 1 + 1e-6)
    others = uniform_in_the_ball(200_000, 8)
    a, b = np.asarray(law.matrix, np.float64), np.asarray(law.linear, np.float64)
    np.testing.assert_allclose(np.linalg.norm(a), 1, rtol=1e-6)
    energy = lambda x: np.sum(x @ a * x, 1) / 2 + x @ b  # noqa: E731
    weights = np.exp(-beta * energy(others))
    for statistic in (lambda x: x @ b, energy, lambda x: np.sum(x**2, 1), lambda x: x[:, 0], lambda x: x[:, 1] ** 2):
        expected = weights @ statistic(others) / weights.sum()
        error = np.sqrt(np.sum((weights * (statistic(others) - expected)) ** 2)) / weights.sum()
        found = statistic(x)
        assert abs(found.mean() - expected) < 4 * np.hypot(error, found.std() / np.sqrt(COUNT))
    # The marginal along b as a whole, at the resolution of a two-sample test.
    kept = np.random.default_rng(6).uniform(size=len(weights)) * weights.max() < weights
    assert stats.kstest(x @ b, others[kept] @ b).pvalue > 1e-3


def test_a_sample_of_the_ball_does_not_depend_on_the_count():
    law = in_eight_dimensions(jax.random.key(4), 1.0)
    few, more = (sample(law, jax.random.key(5), count) for count in (3, COUNT))
    np.testing.assert_allclose(few, more[:3], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("matrix", "linear"),
    [
        (np.diag([1.0, 2.0, 3.0]), [0.1, -0.2, 0.3]),  # inside
        (np.diag([1.0, 2.0, 3.0]), [4.0, -0.2, 0.3]),  # on the sphere
        (np.diag([0.0, 0.5, 1.0]), [1e-7, 0.3, 0.0]),  # hardly a force along a direction without curvature
        (np.diag([0.0, 0.5, 1.0]), [0.0, 0.3, 0.2]),  # none
        (0.3 * ROOT @ ROOT.T, [0.0, 0.0, 0.0]),
        (np.zeros((3, 3)), [3.0, 0.0, 4.0]),
    ],
)
def test_the_minimum_on_the_ball(matrix, linear):
    with jax.enable_x64(True):
        x, lowest = map(np.asarray, minimum(BallQuadratic(*arrays(matrix, linear, 1.0, 1.1))))
    f = lambda u: u @ matrix @ u / 2 + u @ np.array(linear)  # noqa: E731
    inside = dict(type="ineq", fun=lambda u: 1.1**2 - u @ u)
    starts = 0.1 * np.random.default_rng(0).standard_normal((3, 3))
    by_search = min(optimize.minimize(f, s, constraints=inside, options=dict(ftol=1e-14)).fun for s in starts)
    assert np.linalg.norm(x) <= 1.1 * (1 + 1e-14)
    np.testing.assert_allclose(lowest, f(x), rtol=1e-12, atol=1e-15)
    assert lowest <= by_search + 1e-9


def test_an_instance_has_a_dimension():
    with pytest.raises(ValueError, match="dimension 0"):
        random_ball_quadratic(jax.random.key(0), 0)
