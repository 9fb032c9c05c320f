"""Every exact posterior obeys every law: a table of posteriors and one of laws, in float64 if nothing else is said."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from laws import law_test
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

FAST = {"gaussian"}

LAMS = (0.02, 0.3, 5.0)
COUNT = 4000

MEAN0, Y, SIGMA = np.array([0.5, -1.0, 2.0]), np.array([1.0, -0.7]), 0.6
ROOT = np.array([[1.0, 0.0, 0.3], [-0.4, 0.8, 0.0], [0.2, 0.5, 1.5]])
FLAT = np.array([[1.0, 0.5], [0.3, -1.0], [2.0, 0.0]])  # The root of a covariance of rank 2.
MATRIX = np.array([[0.3, -1.2, 0.5], [1.0, 0.2, 0.4]])
WEIGHTS, STD = np.array([0.5, 0.3, 0.2]), 0.7
MEANS = np.array([[-2.0, 0.0, 1.0], [1.5, 1.0, -0.5], [0.5, -2.5, 0.3]])

# Numbers of single precision, so that both precisions have the same.
BALL_MATRIX, BALL_LINEAR, RADIUS = np.float32(0.3 * ROOT @ ROOT.T), np.float32([0.5, -0.4, 0.8]), 1.3


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
        lambda: BallQuadratic(*arrays(BALL_MATRIX, BALL_LINEAR, beta, RADIUS)),
        lambda x: beta * (np.einsum("ni,ij,nj->n", x, BALL_MATRIX, x) / 2 + x @ BALL_LINEAR),
        inside=lambda x: x * np.minimum(1.0, RADIUS / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)),
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


LEVELS = np.array([*LAMS, 0.0])


def evaluate(posterior, v, x, p, key):
    """What laws look at: points v, and for the distribution of a number points x and probabilities p."""

    def everywhere(function, lams):
        return jax.vmap(jax.vmap(function, (0, None)), (None, 0))(v, lams)

    lams = jnp.asarray(LEVELS, v.dtype)
    found = dict(prox=everywhere(posterior.prox, lams), sample=posterior.sample(key, COUNT))
    if hasattr(posterior, "denoise"):
        found |= dict(denoise=everywhere(posterior.denoise, lams[:3]))
    if hasattr(posterior, "quantile"):
        found |= dict(cdf=posterior.cdf(x), log_density=posterior.log_density(x), quantile=posterior.quantile(p))
        found |= dict(back=posterior.cdf(found["quantile"]))
        found |= dict(moments=jnp.stack([posterior.mean, posterior.variance]))
    return found


in_pairs = jax.jit(jax.vmap(evaluate, (0, None, None, None, 0)))


@jax.jit
def alone(posterior, v, key):
    return posterior.prox(v, 0.3), posterior.sample(key, COUNT)


P = np.array([1e-6, 0.01, 0.3, 0.5, 0.9, 0.999])
SEEDS = 0, 3
DTYPES = np.float64, np.float32


class Table(NamedTuple):
    """The values of a posterior, and those of the pair of it and another, in both precisions."""

    v: np.ndarray  # [12, ...]: six points, and the same moved inside
    x: np.ndarray | None
    pair: dict[str, np.ndarray]
    double: dict[str, np.ndarray]
    single: dict[str, np.ndarray]


def stacked(posteriors):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *posteriors)


@functools.cache
def tabulated(name):
    row = ROWS[name]
    v = points(row)
    v = np.concatenate([v, row.inside(v)])
    # The first six are near the mass, in single precision too.
    x = np.zeros(33) if row.window is None else np.concatenate([v[:6], truth(row).x[3000::12_000], [-np.inf, np.inf]])
    given = stacked([row.posterior(), other(row)]), v, x, P
    keys = jax.vmap(jax.random.key)(np.array(SEEDS))
    double, single = (jax.tree.map(np.asarray, in_pairs(*cast(given, dtype), keys)) for dtype in DTYPES)
    return Table(v, x, double, *({key: pair[0] for key, pair in both.items()} for both in (double, single)))


def other(row):
    return jax.tree.map(lambda leaf: leaf * 1.01, row.posterior())


def points(row, count=6, seed=1):
    """Noisy points, round the mass of a number, round 0 otherwise."""
    normals = np.random.default_rng(seed).standard_normal((count, 3))
    if row.window is None:
        return 1.5 * normals
    low, high = row.window
    return (low + high) / 2 + (high - low) * normals[:, 0] / 3


class Truth(NamedTuple):
    """The distribution of a number on a fine grid, by sums."""

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


def prox_is_the_minimiser(row, table):
    """No point of the support is better, near or far."""
    normals = np.random.default_rng(2).standard_normal((4000, 3))
    normals = normals if row.window is None else normals[:, 0]
    scales = 10.0 ** np.linspace(-6, 1, 4000).reshape(-1, *[1] * (normals.ndim - 1))
    for lam, proxes in zip(LAMS, table.double["prox"], strict=False):
        for point, p in zip(table.v[:6], proxes, strict=False):
            candidates = np.concatenate([p[None], row.inside(p + scales * normals)])
            squares = np.sum((candidates - point).reshape(4001, -1) ** 2, 1)
            objective = row.potential(candidates) + squares / (2 * lam)
            assert np.all(objective[0] <= objective + 1e-11 * (1 + abs(objective[0])))
            np.testing.assert_allclose(p, row.inside(p[None])[0], rtol=1e-12, atol=1e-12)


def no_step_stays_in_place(row, table):
    for found, dtype in ((table.double, np.float64), (table.single, np.float32)):
        still = found["prox"][3, 6:]
        assert still.dtype == dtype
        np.testing.assert_allclose(still, table.v[6:], rtol=3e-6, atol=3e-6)


def denoise_is_the_mean(row, table):
    """By sums in one dimension; else by exact samples x, weighted by the kernel N(v; x, lam)."""
    for lam, means in zip(LAMS, table.double.get("denoise", ()), strict=False):
        if row.window is not None:
            expected = [truth(row, point, lam).moments()[0] for point in table.v[:6]]
            np.testing.assert_allclose(means[:6], expected, rtol=1e-8, atol=1e-8)
            continue
        x = table.double["sample"]
        for point, mean in zip(table.v[:6], means, strict=False):
            weights = np.exp(-np.sum((x - point) ** 2, 1) / (2 * lam))
            if weights.sum() ** 2 > 100 * np.sum(weights**2):
                assert np.all(np.abs(z_scores(x, mean, weights)) < 4)


def samples_follow_the_distribution(row, table):
    x = table.double["sample"]
    if row.window is not None:
        assert x.shape == (COUNT,)
        assert stats.kstest(x, truth(row).cdf).pvalue > 1e-3
        return
    assert x.shape == (COUNT, 3)
    np.testing.assert_allclose(x, row.inside(x), rtol=1e-6, atol=1e-6)
    posterior = row.posterior()
    if isinstance(posterior, BallQuadratic):
        others = uniform_in_the_ball(200_000, 3, RADIUS)
        weights = np.exp(-row.potential(others))
        expected = weights @ moments(others) / weights.sum()
        error = np.sqrt(np.sum((weights[:, None] * (moments(others) - expected)) ** 2, 0)) / weights.sum()
        found = moments(x)
        assert np.all(np.abs(found.mean(0) - expected) < 4 * np.hypot(error, found.std(0) / np.sqrt(COUNT)))
    else:
        mean, covariance = np.asarray(posterior.mean), np.asarray(posterior.covariance)
        expected = np.concatenate([mean, (covariance + np.outer(mean, mean)).ravel()])
        assert np.all(np.abs(z_scores(moments(x), expected)) < 4)


def the_distribution_of_a_number_is_exact(row, table):
    if row.window is not None:
        exact, found = truth(row), table.double
        density, log_density = exact.density[3000::12_000], found["log_density"][6:]
        np.testing.assert_allclose(found["cdf"], exact.cdf(table.x), atol=1e-8)
        dense = density > 1e-10
        np.testing.assert_allclose(log_density[:-2][dense], np.log(density[dense]), atol=1e-7)
        np.testing.assert_array_equal(log_density[-2:], -np.inf)
        np.testing.assert_allclose(found["back"], P, rtol=1e-9)
        np.testing.assert_allclose(exact.cdf(found["quantile"]), P, atol=1e-8)
        np.testing.assert_allclose(found["moments"], exact.moments(), rtol=1e-7, atol=1e-9)


def cast(tree, dtype):
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype), tree)


def single_precision_is_enough(row, table):
    """Posterior, prox, mean and samples in float32, on the scale of the numbers that come in."""
    single, double = table.single, table.double
    for name in {"prox", "denoise"} & set(double):
        assert single[name].dtype == np.float32
        np.testing.assert_allclose(single[name][:3, :6], double[name][:3, :6], rtol=2e-5, atol=2e-5)
    assert single["sample"].dtype == np.float32
    assert np.all(np.isfinite(single["sample"]))
    if row.window is not None:
        assert stats.kstest(np.float64(single["sample"]), truth(row).cdf).pvalue > 1e-3
        log_densities = single["log_density"][:6], double["log_density"][:6]
        seen = np.isfinite(log_densities[1]) & (log_densities[1] > -50)
        np.testing.assert_allclose(single["cdf"][:6], double["cdf"][:6], atol=3e-6)
        np.testing.assert_allclose(log_densities[0][seen], log_densities[1][seen], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(single["quantile"][2:4], double["quantile"][2:4], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(single["moments"], double["moments"], rtol=1e-4, atol=1e-6)


def batch_is_loop(row, table):
    """Over posteriors too: a batch of them is one pytree."""
    for i, (posterior, seed) in enumerate(zip((row.posterior(), other(row)), SEEDS, strict=True)):
        p, x = alone(posterior, table.v[i], jax.random.key(seed))
        np.testing.assert_allclose(table.pair["prox"][i, 1, i], p, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(table.pair["sample"][i], x, rtol=1e-9, atol=1e-12)


LAWS = (
    prox_is_the_minimiser,
    no_step_stays_in_place,
    denoise_is_the_mean,
    samples_follow_the_distribution,
    the_distribution_of_a_number_is_exact,
    single_precision_is_enough,
    batch_is_loop,
)


test_law = law_test(ROWS, LAWS, lambda name: (ROWS[name], tabulated(name)))


def test_every_posterior_has_a_row_and_a_prox():
    public = {name for name in posteriors.__all__ if hasattr(getattr(posteriors, name), "prox")}
    with jax.enable_x64(True):
        members = [row.posterior() for row in ROWS.values()]
    assert public == {type(member).__name__ for member in members}
    assert all(isinstance(member, Prior) for member in members)


def test_far_in_the_tail_single_precision_says_what_is_known():
    v, x, p, keys = np.zeros(12), np.full(33, -1.0), np.full(6, 0.5), jax.vmap(jax.random.key)(np.array(SEEDS))

    def found(*posteriors):
        with jax.enable_x64(True):  # as for the laws, which have compiled the program
            values = in_pairs(*cast((stacked(posteriors), v, x, p), np.float32), keys)
        return values | dict(median=values["quantile"][:, 0])

    laplace = found(*(LaplacePosterior(1.0, y, 0.1) for y in (-30.0, 30.0)))
    np.testing.assert_allclose(laplace["moments"], [[-29.99, 0.01], [29.99, 0.01]], rtol=1e-4)
    np.testing.assert_allclose(laplace["median"], laplace["moments"][:, 0], rtol=1e-6)
    truncated = found(*(TruncatedNormal(0.0, high, -1000.0, 1.0) for high in (np.inf, 5.0)))
    np.testing.assert_allclose(truncated["moments"], [[1e-3, 1e-6]] * 2, rtol=1e-4)
    np.testing.assert_allclose(truncated["median"], np.log(2) / 1000, rtol=1e-4)
    assert np.all(truncated["cdf"] == 0)
    assert np.all(truncated["log_density"] == -np.inf)
