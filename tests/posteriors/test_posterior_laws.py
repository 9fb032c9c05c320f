"""Every exact posterior obeys every law: a table of posteriors and one of laws, in float64 if nothing else is said."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from pgm_jax import posteriors
from pgm_jax.posteriors import (
    BallQuadratic,
    LaplacePosterior,
    TruncatedNormal,
    gaussian_posterior,
    mixture_posterior,
)
from pgm_jax.types import Prior

LAMS = (0.02, 0.3, 5.0)
COUNT = 4000

MEAN0, Y, SIGMA = np.array([0.5, -1.0, 2.0]), np.array([1.0, -0.7]), 0.6
ROOT = np.array([[1.0, 0.0, 0.3], [-0.4, 0.8, 0.0], [0.2, 0.5, 1.5]])
FLAT = np.array([[1.0, 0.5], [0.3, -1.0], [2.0, 0.0]])  # The root of a covariance of rank 2.
MATRIX = np.array([[0.3, -1.2, 0.5], [1.0, 0.2, 0.4]])
WEIGHTS, STD = np.array([0.5, 0.3, 0.2]), 0.7
MEANS = np.array([[-2.0, 0.0, 1.0], [1.5, 1.0, -0.5], [0.5, -2.5, 0.3]])

BALL = BallQuadratic(
    jnp.asarray(0.3 * ROOT @ ROOT.T, jnp.float32), jnp.array([0.5, -0.4, 0.8], jnp.float32), 1.0, jnp.float32(1.3)
)


class Row(NamedTuple):
    """A posterior, its U said without jax, and points of its support."""

    posterior: Callable[[], Any]
    potential: Callable[[np.ndarray], np.ndarray]  # [n, d] -> [n], or [n] -> [n] where x is a number
    inside: Callable[[np.ndarray], np.ndarray] = lambda x: x  # the same, a point of the support for every point
    window: tuple[float, float] | None = None  # where all the mass of a number is


def arrays(*numbers):
    return [jnp.asarray(number, float) for number in numbers]


def quadratic(matrix, y, sigma):
    return lambda x: np.sum((y - x @ matrix.T) ** 2, -1) / (2 * sigma**2)


def gaussian_energy(covariance):
    # The pseudo-inverse is the inverse on the plane, where alone the points are.
    inverse = np.linalg.pinv(covariance)
    return lambda x: quadratic(MATRIX, Y, SIGMA)(x) + np.einsum("ni,ij,nj->n", x - MEAN0, inverse, x - MEAN0) / 2


def mixture_energy(x):
    squares = np.sum((x[:, None] - MEANS) ** 2, -1) / (2 * STD**2)
    return quadratic(MATRIX, Y, SIGMA)(x) - special.logsumexp(-squares, axis=1, b=WEIGHTS)


def ball(beta):
    return Row(
        lambda: BallQuadratic(*arrays(BALL.matrix, BALL.linear, beta, 1.3)),
        lambda x: beta * (np.einsum("ni,ij,nj->n", x, BALL.matrix, x) / 2 + x @ np.asarray(BALL.linear)),
        inside=lambda x: x * np.minimum(1.0, 1.3 / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)),
    )


def laplace(scale, y, sigma, window):
    return Row(
        lambda: LaplacePosterior(*arrays(scale, y, sigma)),
        lambda x: np.abs(x) / scale + (x - y) ** 2 / (2 * sigma**2),
        window=window,
    )


def truncated(low, high, location, scale, window):
    return Row(
        lambda: TruncatedNormal(*arrays(low, high, location, scale)),
        lambda x: (x - location) ** 2 / (2 * scale**2),
        inside=lambda x: np.clip(x, low, high),
        window=window,
    )


ROWS = {
    "gaussian": Row(
        lambda: gaussian_posterior(*arrays(MEAN0, ROOT @ ROOT.T, MATRIX, Y, SIGMA)), gaussian_energy(ROOT @ ROOT.T)
    ),
    "gaussian on a plane": Row(
        lambda: gaussian_posterior(*arrays(MEAN0, FLAT @ FLAT.T, MATRIX, Y, SIGMA)),
        gaussian_energy(FLAT @ FLAT.T),
        inside=lambda x: MEAN0 + (x - MEAN0) @ FLAT @ np.linalg.pinv(FLAT),
    ),
    "laplace": laplace(0.7, 0.9, 0.8, (-6.0, 6.0)),
    "laplace, y in the tail": laplace(1.0, 30.0, 0.1, (28.0, 31.5)),
    "laplace, a sharp prior": laplace(0.01, 1.0, 1.0, (-0.5, 0.6)),
    "truncated normal": truncated(-1.0, 1.0, 0.0, 1.0, (-1.0, 1.0)),
    "truncated normal, half a line": truncated(0.5, np.inf, 1.0, 0.4, (0.5, 5.0)),
    "truncated normal, a far tail": truncated(0.0, 4.0, -30.0, 0.1, (0.0, 0.015)),
    "truncated normal, nearly uniform": truncated(-1.0, 2.0, 5.0, 1000.0, (-1.0, 2.0)),
    "ball, beta = 0": ball(0.0),
    "ball, beta = 1": ball(1.0),
    "ball, beta = 10": ball(10.0),
    "mixture": Row(lambda: mixture_posterior(*arrays(WEIGHTS, MEANS, STD, MATRIX, Y, SIGMA)), mixture_energy),
}

prox = jax.jit(jax.vmap(lambda posterior, v, lam: posterior.prox(v, lam), (None, 0, None)))
denoise = jax.jit(jax.vmap(lambda posterior, v, lam: posterior.denoise(v, lam), (None, 0, None)))
sample = jax.jit(lambda posterior, key, count: posterior.sample(key, count), static_argnums=2)
both = jax.jit(jax.vmap(lambda posterior, v, key: (posterior.prox(v, 0.3), posterior.sample(key, 3))))


@jax.jit
def functions(posterior, x, p):
    """What only the law of a number has."""
    quantiles = posterior.quantile(p)
    moments = jnp.stack([posterior.mean, posterior.variance])
    return posterior.cdf(x), posterior.log_density(x), quantiles, posterior.cdf(quantiles), moments


def points(row, count=6, seed=1):
    """Noisy points, round the mass of a number, round 0 otherwise."""
    normals = np.random.default_rng(seed).standard_normal((count, 3))
    if row.window is None:
        return jnp.asarray(1.5 * normals)
    low, high = row.window
    return jnp.asarray((low + high) / 2 + (high - low) * normals[:, 0] / 3)


class Truth(NamedTuple):
    """The law of a number on a fine grid, by sums."""

    x: np.ndarray
    density: np.ndarray

    def moments(self):
        mean = np.trapezoid(self.x * self.density, self.x)
        return mean, np.trapezoid((self.x - mean) ** 2 * self.density, self.x)

    def cdf(self, x):
        steps = np.diff(self.x) * (self.density[1:] + self.density[:-1]) / 2
        return np.interp(x, self.x, np.append(0.0, np.cumsum(steps)))


def truth(row, v=0.0, lam=np.inf):
    """The posterior times the kernel N(v, lam), on 300,000 nodes; 0 is among the nodes, where a prior has a kink."""
    low, high = row.window
    x = np.sort(np.append(np.linspace(low, high, 300_000), np.clip(0.0, low, high)))
    exponent = -row.potential(x) - (x - v) ** 2 / (2 * lam)
    density = np.exp(exponent - exponent.max())
    return Truth(x, density / np.trapezoid(density, x))


def z_scores(values, mean, weights=None):
    """How many standard errors a (weighted) mean of samples [n, ...] is off."""
    weights = np.full(len(values), 1 / len(values)) if weights is None else weights / weights.sum()
    shares = weights.reshape(-1, *[1] * (values.ndim - 1))
    found = np.sum(shares * values, 0)
    return (found - mean) / np.sqrt(np.sum((shares * (values - found)) ** 2, 0) + 1e-16)


def moments(x):
    """x and its products, [n, d + d^2]."""
    return np.concatenate([x, (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)], 1)


def uniform_in_the_ball(count, size, radius, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, size))
    return radius * x / np.linalg.norm(x, axis=1, keepdims=True) * rng.uniform(size=(count, 1)) ** (1 / size)


def prox_is_the_minimiser(row):
    """No point of the support is better, near or far."""
    scalar, normals = row.window is not None, np.random.default_rng(2).standard_normal((4000, 3))
    scales = 10.0 ** np.linspace(-6, 1, 4000)
    for lam in LAMS:
        v = points(row)
        for point, p in zip(np.asarray(v), np.asarray(prox(row.posterior(), v, lam)), strict=True):
            others = row.inside(p + scales * normals[:, 0] if scalar else p + scales[:, None] * normals)
            candidates = np.concatenate([p[None], others])
            squares = (candidates - point) ** 2 if scalar else np.sum((candidates - point) ** 2, 1)
            objective = row.potential(candidates) + squares / (2 * lam)
            assert np.all(objective[0] <= objective + 1e-11 * (1 + abs(objective[0])))
            np.testing.assert_allclose(p, row.inside(p[None])[0], rtol=1e-12, atol=1e-12)


def no_step_stays_in_place(row):
    v = jnp.asarray(row.inside(np.asarray(points(row))))
    for dtype in (jnp.float32, jnp.float64):
        still = prox(*cast((row.posterior(), v, 0.0), dtype))
        assert still.dtype == dtype
        np.testing.assert_allclose(still, v, rtol=3e-6, atol=3e-6)


def denoise_is_the_mean(row):
    """By sums in one dimension; else by exact samples x, weighted by the kernel N(v; x, lam)."""
    if row.window is not None:
        for lam in LAMS:
            v = points(row)
            expected = [truth(row, point, lam).moments()[0] for point in np.asarray(v)]
            np.testing.assert_allclose(denoise(row.posterior(), v, lam), expected, rtol=1e-8, atol=1e-8)
    elif hasattr(row.posterior(), "denoise"):
        x = np.asarray(sample(row.posterior(), jax.random.key(3), COUNT))
        for lam in LAMS[1:]:
            v = points(row)
            for point, mean in zip(np.asarray(v), np.asarray(denoise(row.posterior(), v, lam)), strict=True):
                weights = np.exp(-np.sum((x - point) ** 2, 1) / (2 * lam))
                if weights.sum() ** 2 > 100 * np.sum(weights**2):
                    assert np.all(np.abs(z_scores(x, mean, weights)) < 4)


def samples_follow_the_law(row):
    posterior = row.posterior()
    x = np.asarray(sample(posterior, jax.random.key(0), COUNT))
    if row.window is not None:
        assert x.shape == (COUNT,)
        assert stats.kstest(x, truth(row).cdf).pvalue > 1e-3
        return
    assert x.shape == (COUNT, 3)
    np.testing.assert_allclose(x, row.inside(x), rtol=1e-6, atol=1e-6)
    if isinstance(posterior, BallQuadratic):
        others = uniform_in_the_ball(200_000, 3, 1.3)
        weights = np.exp(-row.potential(others))
        expected = weights @ moments(others) / weights.sum()
        error = np.sqrt(np.sum((weights[:, None] * (moments(others) - expected)) ** 2, 0)) / weights.sum()
        found = moments(x)
        assert np.all(np.abs(found.mean(0) - expected) < 4 * np.hypot(error, found.std(0) / np.sqrt(COUNT)))
    else:
        mean, covariance = np.asarray(posterior.mean), np.asarray(posterior.covariance)
        expected = np.concatenate([mean, (covariance + np.outer(mean, mean)).ravel()])
        assert np.all(np.abs(z_scores(moments(x), expected)) < 4)


def the_law_of_a_number_is_exact(row):
    if row.window is not None:
        exact, p = truth(row), jnp.array([1e-6, 0.01, 0.3, 0.5, 0.9, 0.999])
        x, density = np.append(exact.x[3000::12_000], [-np.inf, np.inf]), exact.density[3000::12_000]
        cdf, log_density, quantiles, back, moments = functions(row.posterior(), jnp.asarray(x), p)
        np.testing.assert_allclose(cdf, exact.cdf(x), atol=1e-8)
        dense = density > 1e-10
        np.testing.assert_allclose(log_density[:-2][dense], np.log(density[dense]), atol=1e-7)
        np.testing.assert_array_equal(log_density[-2:], -np.inf)
        np.testing.assert_allclose(back, p, rtol=1e-9)
        np.testing.assert_allclose(exact.cdf(quantiles), p, atol=1e-8)
        np.testing.assert_allclose(moments, exact.moments(), rtol=1e-7, atol=1e-9)


def cast(tree, dtype):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)


def single_precision_is_enough(row):
    """Posterior, prox, mean and samples in float32, on the scale of the numbers that come in."""
    posterior, v = row.posterior(), points(row)
    for lam in LAMS:
        for method in (prox, denoise) if hasattr(posterior, "denoise") else (prox,):
            single, double = method(*cast((posterior, v, lam), jnp.float32)), method(posterior, v, lam)
            assert single.dtype == jnp.float32
            np.testing.assert_allclose(single, double, rtol=2e-5, atol=2e-5)
    x = sample(cast(posterior, jnp.float32), jax.random.key(0), COUNT)
    assert x.dtype == jnp.float32
    assert np.all(np.isfinite(x))
    if row.window is not None:
        assert stats.kstest(np.asarray(x, np.float64), truth(row).cdf).pvalue > 1e-3
        single, double = (
            functions(*cast((posterior, v, jnp.full(6, 0.3)), dtype)) for dtype in (jnp.float32, jnp.float64)
        )
        seen = np.isfinite(double[1]) & (double[1] > -50)
        np.testing.assert_allclose(single[0], double[0], atol=3e-6)
        np.testing.assert_allclose(single[1][seen], double[1][seen], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(single[2], double[2], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(single[4], double[4], rtol=1e-4, atol=1e-6)


def batch_is_loop(row):
    """Over posteriors too: a batch of them is one pytree."""
    posterior, v, keys = row.posterior(), points(row)[:2], jax.random.split(jax.random.key(0))
    other = jax.tree.map(lambda leaf: leaf * 1.01, posterior)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), posterior, other)
    proxes, samples = both(stacked, v, keys)
    for i, one in enumerate((posterior, other)):
        np.testing.assert_allclose(proxes[i], prox(one, v, 0.3)[i], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(samples[i], sample(one, keys[i], 3), rtol=1e-9, atol=1e-12)


LAWS = (
    prox_is_the_minimiser,
    no_step_stays_in_place,
    denoise_is_the_mean,
    samples_follow_the_law,
    the_law_of_a_number_is_exact,
    single_precision_is_enough,
    batch_is_loop,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", ROWS)
def test_law(name, law):
    with jax.enable_x64(True):
        law(ROWS[name])


def test_every_posterior_has_a_row_and_a_prox():
    public = {name for name in posteriors.__all__ if hasattr(getattr(posteriors, name), "prox")}
    with jax.enable_x64(True):
        members = [row.posterior() for row in ROWS.values()]
    assert public == {type(member).__name__ for member in members}
    assert all(isinstance(member, Prior) for member in members)


@pytest.mark.parametrize("y", [-30.0, 30.0])
def test_far_in_the_tail_single_precision_says_what_is_known(y):
    x, p = jnp.full(6, -1.0), jnp.full(6, 0.5)
    _, _, median, _, moments = functions(LaplacePosterior(1.0, y, 0.1), x, p)
    np.testing.assert_allclose(moments, [np.sign(y) * (30 - 0.01), 0.01], rtol=1e-4)
    np.testing.assert_allclose(median, moments[0], rtol=1e-6)
    cdf, log_density, median, _, moments = functions(TruncatedNormal(0.0, jnp.inf, -1000.0, 1.0), x, p)
    np.testing.assert_allclose(moments, [1e-3, 1e-6], rtol=1e-4)
    np.testing.assert_allclose(median, np.log(2) / 1000, rtol=1e-4)
    assert np.all(cdf == 0)
    assert np.all(log_density == -np.inf)
