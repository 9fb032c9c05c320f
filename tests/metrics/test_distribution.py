"""The distances of sets: every distance obeys every law, and agrees with scipy and closed forms; in float64."""

import functools
import inspect
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg, optimize, spatial, stats

from pgm_jax import metrics
from pgm_jax.metrics import distribution

KEY = jax.random.key(3)
COV = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 0.5]])


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def sliced(a, b, h):
    return metrics.sliced_wasserstein(KEY, a, b, directions=20)


def gelbrich_by_moments(a, b, h):
    moments = [(jnp.mean(x, 0), jnp.cov(x, rowvar=False, ddof=0)) for x in (a, b)]
    return metrics.gelbrich(*moments[0], *moments[1])


class Row(NamedTuple):
    """A distance of two sets, where h is a length that scales with them."""

    name: str
    metric: Callable  # (a, b, h) -> distance
    shape: tuple[int, ...]  # of a point
    power: float = 1.0  # of a length, in the units of the distance
    shift: float | None = 1.0  # distance that a set is moved by a shift of length 1, where it is known


ROWS = [
    Row("wasserstein_1d", lambda a, b, h: metrics.wasserstein_1d(a, b), ()),
    Row("wasserstein_1d", lambda a, b, h: metrics.wasserstein_1d(a, b, order=2.0), ()),
    Row("sliced_wasserstein", sliced, ()),
    Row("sliced_wasserstein", sliced, (3,), shift=None),
    Row("gelbrich", gelbrich_by_moments, (3,)),
    Row("gelbrich_of_sets", lambda a, b, h: metrics.gelbrich_of_sets(a, b), (3,)),
    Row("energy_distance", lambda a, b, h: metrics.energy_distance(a, b), (3,), power=0.5, shift=None),
    Row("mmd", metrics.mmd, (3,), power=0.0, shift=None),
]


@functools.cache
def compiled(row):
    return jax.jit(row.metric)


wasserstein_1d, gelbrich, gelbrich_of_sets, energy_distance, mmd = map(
    jax.jit,
    (metrics.wasserstein_1d, metrics.gelbrich, metrics.gelbrich_of_sets, metrics.energy_distance, metrics.mmd),
)
sliced_wasserstein = jax.jit(metrics.sliced_wasserstein, static_argnums=3)


def points(row, count, seed):
    """Uniform points, for which every distance of independent sets is of the order n^(-1/2)."""
    return np.random.default_rng(seed).uniform(-1, 1, (count, *row.shape))


def sets(row):
    return [points(row, 40, seed) * (1 + seed) + seed for seed in range(3)]


def zero_on_itself(row):
    a, *_ = sets(row)
    np.testing.assert_allclose(compiled(row)(a, a, 1.0), 0.0, atol=1e-7)


def symmetric(row):
    a, b, _ = sets(row)
    assert compiled(row)(a, b, 1.0) > 0.1
    np.testing.assert_allclose(compiled(row)(a, b, 1.0), compiled(row)(b, a, 1.0), rtol=1e-9)


def triangle_inequality(row):
    a, b, c = sets(row)
    for x, y, z in ((a, b, c), (b, a, c), (a, c, b)):
        d = compiled(row)
        assert d(x, z, 1.0) <= d(x, y, 1.0) + d(y, z, 1.0) + 1e-12


def known_under_shifts(row):
    a, *_ = sets(row)
    shift = np.full(row.shape, 1 / np.sqrt(max(1, np.size(np.zeros(row.shape)))))
    moved = [compiled(row)(a, a + t * shift[None] if row.shape else a + t, 1.0) for t in (0.1, 0.5, 2.0)]
    assert np.all(np.diff(moved) > 0)
    if row.shift is not None:
        np.testing.assert_allclose(moved, row.shift * np.array([0.1, 0.5, 2.0]), rtol=1e-9)


def scales_with_the_points(row):
    a, b, _ = sets(row)
    for s in (0.1, 7.0):
        expected = s**row.power * compiled(row)(a, b, 1.0)
        np.testing.assert_allclose(compiled(row)(s * a, s * b, s), expected, rtol=1e-10)


def order_of_the_points_does_not_matter(row):
    a, b, _ = sets(row)
    shuffled = np.random.default_rng(3).permutation(a)
    np.testing.assert_allclose(compiled(row)(shuffled, b, 1.0), compiled(row)(a, b, 1.0), rtol=1e-10)


def distributions_are_compared_not_counts(row):
    """A set twice is the same distribution, so sets may differ in size."""
    a, b, _ = sets(row)
    np.testing.assert_allclose(compiled(row)(np.concatenate([a, a]), b, 1.0), compiled(row)(a, b, 1.0), rtol=1e-10)


def single_precision_is_near(row):
    a, b, _ = sets(row)
    single = compiled(row)(a.astype(np.float32), b.astype(np.float32), np.float32(1))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, compiled(row)(a, b, 1.0), rtol=1e-5)


def nan_is_seen(row):
    a, b, _ = sets(row)
    broken = a.copy()
    broken[(7, *np.zeros(len(row.shape), int))] = np.nan
    assert np.isnan(compiled(row)(broken, b, 1.0)) and np.isnan(compiled(row)(b, broken, 1.0))


def floor_shrinks_with_the_root_of_the_count(row):
    replicas, many = 100, jax.jit(jax.vmap(row.metric, (0, 0, None)))
    floors = [
        many(*points(row, 2 * replicas * count, count).reshape(2, replicas, count, *row.shape), 1.0)
        for count in (16, 256)
    ]
    few, many = (np.mean(floor) for floor in floors)
    errors = [np.std(floor) / np.mean(floor) / np.sqrt(replicas) for floor in floors]
    assert abs(np.log(few / many / 4)) / np.hypot(*errors) < 4


LAWS = (
    zero_on_itself,
    symmetric,
    triangle_inequality,
    known_under_shifts,
    scales_with_the_points,
    order_of_the_points_does_not_matter,
    distributions_are_compared_not_counts,
    single_precision_is_near,
    nan_is_seen,
    floor_shrinks_with_the_root_of_the_count,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}{row.shape}")
def test_law(row, law):
    law(row)


def test_every_distance_has_a_row():
    defined_here = {
        name
        for name, member in inspect.getmembers(distribution, inspect.isfunction)
        if member.__module__ == distribution.__name__ and not name.startswith("_")
    }
    assert defined_here == {row.name for row in ROWS}
    assert defined_here <= set(metrics.__all__)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("sizes", [(40, 40), (40, 25), (1, 7)])
def test_scipy_agrees_on_numbers(sizes):
    a, b = (normal(n, seed=n) * n for n in sizes)
    np.testing.assert_allclose(wasserstein_1d(a, b), stats.wasserstein_distance(a, b), rtol=1e-12)


def test_the_sliced_distance_of_numbers_is_that_of_numbers():
    a, b = normal(40), normal(25, seed=1) + 1
    np.testing.assert_allclose(sliced_wasserstein(KEY, a, b, 3), stats.wasserstein_distance(a, b), rtol=1e-12)


@pytest.mark.parametrize("order", [1.0, 2.0, 3.5])
def test_transport_is_optimal(order):
    a, b = normal(12), 2 * normal(8, seed=1) + 1
    costs = np.abs(np.repeat(a, 2)[:, None] - np.repeat(b, 3)) ** order  # 24 points of equal weight on both sides
    expected = costs[optimize.linear_sum_assignment(costs)].mean() ** (1 / order)
    np.testing.assert_allclose(wasserstein_1d(a, b, order), expected, rtol=1e-12)


def test_gelbrich_is_the_formula():
    factor = normal(3, 3, seed=2)
    other, means = factor @ factor.T, normal(2, 3)
    root = linalg.sqrtm(COV)
    expected = np.sqrt(
        np.sum((means[0] - means[1]) ** 2) + np.trace(COV + other - 2 * linalg.sqrtm(root @ other @ root).real)
    )
    value = gelbrich(means[0], COV, means[1], other)
    np.testing.assert_allclose(value, expected, rtol=1e-9)


def test_gelbrich_of_singular_covariances():
    u, v, zero = normal(3), normal(3, seed=1), np.zeros(3)
    expected = np.sqrt(u @ u + v @ v - 2 * abs(u @ v))
    line_u, line_v, point = (np.outer(w, w) for w in (u, v, 0 * v))
    np.testing.assert_allclose(gelbrich(zero, line_u, zero, line_v), expected, rtol=1e-7)
    np.testing.assert_allclose(gelbrich(zero, line_u, zero, point), np.linalg.norm(u), rtol=1e-7)
    np.testing.assert_allclose(gelbrich(zero, point, zero, point), 0.0)


def test_gelbrich_tells_near_gaussians_apart_in_single_precision():
    """The textbook formula loses everything below the root of the rounding, 3e-4 here."""
    mean, cov, near = map(np.float32, (np.zeros(3), COV, 1.0001**2 * COV))
    np.testing.assert_allclose(gelbrich(mean, cov, mean, near), 1e-4 * np.sqrt(np.trace(COV)), rtol=0.02)


def test_gelbrich_of_sets_is_a_bound_and_sharp_for_affine_images():
    a, b = normal(40), stats.expon.rvs(size=25, random_state=1)
    assert 0 < gelbrich_of_sets(a, b) < wasserstein_1d(a, b, 2.0)
    np.testing.assert_allclose(gelbrich_of_sets(a, 3 * a + 1), wasserstein_1d(a, 3 * a + 1, 2.0), rtol=1e-9)


def test_kernels_are_those_of_the_formulas():
    a, b = normal(40, 3), 1 + 2 * normal(25, 3, seed=1)

    def discrepancy(kernel):
        aa, bb, ab = (kernel(spatial.distance.cdist(*pair)).mean() for pair in ((a, a), (b, b), (a, b)))
        return np.sqrt(aa + bb - 2 * ab)

    np.testing.assert_allclose(energy_distance(a, b), discrepancy(np.negative), rtol=1e-7)
    in_one = energy_distance(a[:, 0], b[:, 0])
    np.testing.assert_allclose(in_one, stats.energy_distance(a[:, 0], b[:, 0]), rtol=1e-7)
    expected = discrepancy(lambda r: np.exp(-(r**2) / (2 * 1.5**2)))
    np.testing.assert_allclose(mmd(a, b, 1.5), expected, rtol=1e-9)


def test_sliced_shift_has_the_mean_of_random_directions():
    """Along a unit vector of three entries a shift by t is one by |t| u, u uniform in [-1, 1]."""
    a, count = normal(5, 3), 2000
    one, two = (float(sliced_wasserstein(KEY, a, a + 2.0, count, order) / np.sqrt(12)) for order in (1.0, 2.0))
    assert abs(one - 1 / 2) / np.sqrt((1 / 3 - 1 / 4) / count) < 4
    assert abs(two**2 - 1 / 3) / np.sqrt((1 / 5 - 1 / 9) / count) < 4


def test_floors_are_those_of_the_theory():
    """Uniform numbers: sqrt(n) W_1 of two sets has mean sqrt(2) sqrt(2 / pi) pi / 8.

    The squares of the other distances have means that are exact at any n. The mean distance of two numbers is 1 / 3.
    """
    n, replicas, h = 128, 200, 0.5
    a, b = np.random.default_rng(4).uniform(size=(2, replicas, n))

    def z(values, expected):
        return (np.mean(values) - expected) / (np.std(values) / np.sqrt(replicas))

    @jax.jit
    @jax.vmap
    def distances(a, b):
        return metrics.wasserstein_1d(a, b), metrics.energy_distance(a, b), metrics.mmd(a, b, h)

    transport, energy, kernel = map(np.asarray, distances(a, b))
    assert abs(z(transport, np.pi / 4 / np.sqrt(np.pi * n))) < 4
    assert abs(z(energy**2, 2 / 3 / n)) < 4
    r = (np.arange(10_000) + 0.5) / 10_000  # the distance of two numbers has density 2 (1 - r)
    mean_kernel = np.mean(2 * (1 - r) * np.exp(-(r**2) / (2 * h**2)))
    assert abs(z(kernel**2, 2 * (1 - mean_kernel) / n)) < 4


@pytest.mark.parametrize("block", [1, 100, 170])
def test_blocks_do_not_change_the_numbers(block, monkeypatch):
    def distances(a, b):
        return sliced(a, b, 1.0), metrics.energy_distance(a, b)

    a, b = normal(40, 3), normal(25, 3, seed=1) + 1
    whole = sliced_wasserstein(KEY, a, b, 20), energy_distance(a, b)
    monkeypatch.setattr(distribution, "_BLOCK", block)
    np.testing.assert_allclose(jax.jit(distances)(a, b), whole, rtol=1e-9)


def test_points_may_be_images():
    a, b = normal(40, 3, 1, 1), normal(25, 3, 1, 1, seed=1)
    np.testing.assert_allclose(energy_distance(a, b), energy_distance(a[..., 0, 0], b[..., 0, 0]))


def test_transport_has_a_gradient():
    a, b = jnp.array([0.5, 2.0, -1.0]), jnp.array([3.0, 0.0, 1.0])
    np.testing.assert_allclose(jax.grad(metrics.wasserstein_1d)(a, b), -np.ones(3) / 3, rtol=1e-12)


@pytest.mark.parametrize("shape", [(4, 2), (0,)])
def test_what_are_not_numbers_is_refused(shape):
    with pytest.raises(ValueError, match=r"takes sets of numbers.*\(3,\) and .*sliced_wasserstein"):
        metrics.wasserstein_1d(jnp.zeros(3), jnp.zeros(shape))


@pytest.mark.parametrize("row", [row for row in ROWS if row.shape and row.name != "gelbrich"], ids=lambda row: row.name)
def test_points_of_other_shapes_are_refused(row):
    with pytest.raises(ValueError, match=r"shapes \(5, 3\) and \(5, 2\).*points of one shape"):
        row.metric(jnp.zeros((5, 3)), jnp.zeros((5, 2)), 1.0)
    with pytest.raises(ValueError, match="at least one point"):
        row.metric(jnp.zeros((5, 3)), jnp.zeros((0, 3)), 1.0)


def test_moments_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"covariances \(3, 3\) and \(2, 2\); give \[d\] and \[d, d\]"):
        metrics.gelbrich(jnp.zeros(3), jnp.eye(3), jnp.zeros(3), jnp.eye(2))
