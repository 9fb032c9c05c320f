"""Every potential obeys every law: a table of potentials, a table of laws, in float64 where nothing else is said."""

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brute_force import brute_force, differences
from convex_network import convex_network, prior_of_the_network
from laws import law_test
from scipy import optimize, special

from pgm_jax import operators, potentials
from pgm_jax.potentials import (
    AnisotropicTotalVariation,
    Ball,
    Box,
    Gaussian,
    GaussianLikelihood,
    Laplace,
    Mixture,
    PoissonLikelihood,
    SmoothedLaplace,
    TotalVariation,
    dense_gaussian_likelihood,
    quadratic,
)
from pgm_jax.proximal import conjugate, moreau_envelope

FAST = {"Gaussian", "GaussianLikelihood of a mask"}

LAMS = (0.03, 0.4, 9.0)
SEEN = np.array([[1, 0, 1], [0, 1, 1]])[..., None]
MEANS = np.array([[-1.0, 0.0], [1.2, 0.4], [0.3, -1.5]])
WEIGHTS = np.array([0.5, 0.3, 0.2])
SINGULAR, SLOPE = np.array([[2.0, -1.0], [-1.0, 0.5]]), np.array([0.3, -0.4])
DENSE, SEEN_BY_DENSE = np.array([[1.0, -2.0, 0.5], [0.3, 0.4, 1.0]]), np.array([0.7, -0.4])
COUNTS, SPECTRUM = (3.0, 0.0), np.array([0.3 + 1j, -0.4]).reshape(1, 2, 1)
MEAN, STD, LOW = np.array([0.3, -1.0]), np.array([0.5, 2.0]), np.array([-1.0, 0.2])


class Row(NamedTuple):
    """A potential, what its value is, said without jax, and a slow way to minimise."""

    build: Callable[[float], potentials.Gaussian]  # 1.0 builds the potential of `value`, 1.1 another of its kind
    value: Callable[[np.ndarray], float]  # where a grid is searched, of many points [n, 2] at once
    shape: tuple[int, ...] = (2,)
    minimise: str = "grid"  # how to find a minimum by brute force
    inside: Callable[[np.ndarray], np.ndarray] = lambda x: x  # a point of the domain for every point
    convex: bool = True
    smooth: bool = True
    prior: bool = True


def measured(operator, factor):
    y = 0.3 + np.arange(np.prod(operator.measurement_shape)).reshape(operator.measurement_shape)
    return GaussianLikelihood(operator, jnp.asarray(y, float), 0.5 * factor)


def spectrum(x):
    return jnp.fft.fft(x, axis=1)


def misfit_of_a_mask(x):
    y = 0.3 + np.arange(6).reshape(2, 3, 1)
    return sum((y[i] - x[i]) ** 2 for i in np.ndindex(x.shape) if SEEN[i]) / (2 * 0.5**2)


def misfit_of_averages(x):
    return sum((0.3 + j - x[:, 2 * j : 2 * j + 2].mean()) ** 2 for j in (0, 1)) / (2 * 0.5**2)


def counted(operator, factor):
    counts = jnp.asarray(COUNTS[: operator.measurement_shape[1]], float).reshape(operator.measurement_shape)
    return PoissonLikelihood(operator, counts, 4.0 * factor, 0.5)


def poisson(light, counts):
    """sum I - y log I at I = 4 light + 1/2, and below 1/2 its second-order expansion there."""
    total = 0.0
    for intensity, y in zip(4 * np.ravel(light) + 0.5, counts, strict=True):
        i, below = max(intensity, 0.5), min(intensity - 0.5, 0)
        total += i - y * np.log(i) + (1 - y / i) * below + y * below**2 / (2 * i**2)
    return total


def smoothed(x):
    """The part of a Laplace density of scale 0.7, under noise of variance 0.3, that comes from above 0."""
    return np.exp(-x / 0.7) * special.ndtr(x / np.sqrt(0.3) - np.sqrt(0.3) / 0.7)


ROWS = {
    "PoissonLikelihood of averages": Row(
        lambda factor: counted(operators.average_downsampling((2, 4, 1), 2), factor),
        lambda x: poisson([(x[:, 2 * j : 2 * j + 2].mean() + 1) / 2 for j in (0, 1)], COUNTS[:2]),
        shape=(2, 4, 1),
        minimise="descent",
        prior=False,
    ),
    "GaussianLikelihood of a complex spectrum": Row(
        lambda factor: GaussianLikelihood(operators.from_function(spectrum, (1, 2, 1)), SPECTRUM, 0.5 * factor),
        lambda x: np.sum(np.abs(SPECTRUM - np.fft.fft(x, axis=1)) ** 2) / (2 * 0.5**2),
        shape=(1, 2, 1),
        minimise="descent",
        prior=False,
    ),
    "GaussianLikelihood of a mask": Row(
        lambda factor: measured(operators.mask((2, 3, 1), SEEN), factor),
        misfit_of_a_mask,
        shape=(2, 3, 1),
        minimise="descent",
        prior=False,
    ),
    "GaussianLikelihood of averages": Row(
        lambda factor: measured(operators.average_downsampling((2, 4, 1), 2), factor),
        misfit_of_averages,
        shape=(2, 4, 1),
        minimise="descent",
        prior=False,
    ),
    "Gaussian": Row(
        lambda factor: Gaussian(jnp.asarray(MEAN), jnp.asarray(factor * STD)),
        lambda x: np.sum((x - MEAN) ** 2 / (2 * STD**2), -1),
    ),
    "Laplace": Row(
        lambda factor: Laplace(0.7 * factor),
        lambda x: np.sum(np.abs(x), -1) / 0.7,
        smooth=False,
    ),
    "SmoothedLaplace": Row(
        lambda factor: SmoothedLaplace(0.7 * factor, 0.3),
        lambda x: -np.sum(np.log(smoothed(x) + smoothed(-x)), -1) - np.shape(x)[-1] * 0.3 / (2 * 0.7**2),
    ),
    "LPN": Row(convex_network, prior_of_the_network, (1, 2, 1), "descent", convex=False),
    "Box": Row(
        lambda factor: Box(jnp.asarray(factor * LOW), 0.8),
        lambda x: np.where(np.all((LOW <= x) & (x <= 0.8), -1), 0.0, np.inf),
        inside=lambda x: np.clip(x, LOW, 0.8),
        smooth=False,
    ),
    "Ball": Row(
        lambda factor: Ball(1.3 * factor),
        lambda x: 0.0 if np.linalg.norm(x) <= 1.3 + 1e-9 else np.inf,
        shape=(3,),
        minimise="ball",
        inside=lambda x: x * min(1.0, 1.3 / np.linalg.norm(x)),
        smooth=False,
    ),
    "Mixture": Row(
        lambda factor: Mixture(jnp.asarray(WEIGHTS), jnp.asarray(MEANS), 0.4 * factor),
        lambda x: -np.log(np.exp(-np.sum((x[..., None, :] - MEANS) ** 2, -1) / (2 * 0.4**2)) @ WEIGHTS),
        convex=False,
    ),
    "Quadratic of a singular matrix": Row(
        lambda factor: quadratic(SINGULAR, factor * SLOPE),
        lambda x: np.sum(x @ SINGULAR * x, -1) / 2 + x @ SLOPE,
    ),
    "Quadratic of a dense measurement": Row(
        lambda factor: dense_gaussian_likelihood(DENSE, SEEN_BY_DENSE, 0.6 * factor),
        lambda x: (np.sum((SEEN_BY_DENSE - DENSE @ x) ** 2) - np.sum(SEEN_BY_DENSE**2)) / (2 * 0.6**2),
        shape=(3,),
        minimise="descent",
    ),
    "TotalVariation": Row(
        lambda factor: TotalVariation(0.7 * factor, iterations=500),
        lambda x: 0.7 * np.sum(np.sqrt(np.sum(differences(x) ** 2, axis=0))),
        shape=(2, 3, 1),
        minimise="dual, by pixels",
        smooth=False,
    ),
    "AnisotropicTotalVariation": Row(
        lambda factor: AnisotropicTotalVariation(0.7 * factor, iterations=500),
        lambda x: 0.7 * np.sum(np.abs(differences(x))),
        shape=(2, 2, 2),
        minimise="dual, by entries",
        smooth=False,
    ),
}


def points(row, count=12, seed=0):
    return 1.5 * np.random.default_rng(seed).standard_normal((count, *row.shape))


def inside(row, points):
    return np.stack([row.inside(x) for x in points])


proxes = jax.jit(jax.vmap(lambda potential, v, lam: potential.prox(v, lam), (None, 0, None)))


@jax.jit
def evaluate(pair, points, lams):
    """Two potentials of one kind at every point and level: the one large program of a row."""

    def at_point(potential, v):
        return dict(value=potential.value(v), grad=potential.grad(v), autodiff=jax.grad(potential.value)(v))

    def at_level(potential, v, lam):
        def envelope(v):
            # The envelope's own prox is kept, so that the program has no second one.
            proxes = []
            keeping = SimpleNamespace(
                value=potential.value,
                grad=potential.grad,
                prox=lambda v, lam: proxes.append(potential.prox(v, lam)) or proxes[-1],
            )
            return moreau_envelope(keeping, v, lam), proxes[0]

        slope, p = jax.grad(envelope, has_aux=True)(v)
        return dict(prox=p, grad_at_prox=potential.grad(p), envelope=slope)

    def everywhere(potential):
        levels = jax.vmap(jax.vmap(functools.partial(at_level, potential), (0, None)), (None, 0))
        return jax.vmap(functools.partial(at_point, potential))(points) | levels(points, lams)

    return jax.vmap(everywhere)(pair)


TINY, ZERO = 1e-10, 0.0
LEVELS = np.array([*LAMS, TINY, ZERO])


class Table(NamedTuple):
    """The values of a row, of its first potential if nothing else is said."""

    points: np.ndarray  # [37, ...]: twelve v, the same moved inside, twelve w, and 0
    pair: dict[str, np.ndarray]  # of both potentials, [2, ...]
    one: dict[str, np.ndarray]  # of the first, [37, ...], or [5, 37, ...] for each level


@functools.cache
def tabulated(name):
    row = ROWS[name]
    v, w = points(row), points(row, seed=3)
    where = np.concatenate([v, inside(row, v), w, np.zeros((1, *row.shape))])
    pair = [jax.tree.map(np.asarray, row.build(factor)) for factor in (1.0, 1.1)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *pair)
    pair = jax.tree.map(np.asarray, evaluate(stacked, where, LEVELS))
    return Table(where, pair, {key: both[0] for key, both in pair.items()})


def says_its_formula(row, table):
    for place in (*range(4), *range(12, 16)):
        np.testing.assert_allclose(table.one["value"][place], row.value(table.points[place]), rtol=1e-10)


def grad_is_the_gradient_of_the_value(row, table):
    if row.smooth:
        for x, grad in zip(table.points[:3], table.one["grad"], strict=False):
            by_differences = optimize.approx_fprime(np.ravel(x), lambda u: row.value(u.reshape(row.shape)), 1e-7)
            np.testing.assert_allclose(np.ravel(grad), by_differences, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(table.one["grad"], table.one["autodiff"], rtol=1e-10, atol=1e-10)


def prox_is_the_minimiser(row, table):
    for place, lam in enumerate(LAMS):
        expected = brute_force(row.value, table.points[place], lam, row.minimise)
        np.testing.assert_allclose(table.one["prox"][place, place], expected, atol=2e-6)


def prox_is_optimal(row, table):
    """0 in dg(p) + (p - v) / lam: the gradient vanishes, or (v - p) / lam is the slope of a plane below g."""
    others = inside(row, points(row, 40, seed=2))
    values = np.array([row.value(u) for u in others])
    for lam, proxes, grads in zip(LAMS, table.one["prox"], table.one["grad_at_prox"], strict=False):
        slopes = (table.points[:12] - proxes[:12]) / lam
        if row.smooth:
            np.testing.assert_allclose(grads[:12], slopes, rtol=1e-8, atol=1e-8)
            continue
        for p, slope in zip(proxes, slopes, strict=False):
            below = [row.value(p) + np.sum(slope * (u - p)) for u in others]
            assert np.all(values >= np.array(below) - 1e-8)


def prox_is_firmly_non_expansive(row, table):
    """|p - q|^2 <= <p - q, v - w> for a convex g."""
    if row.convex:
        apart, axes = table.points[:12] - table.points[24:36], tuple(range(1, table.points.ndim))
        for proxes in table.one["prox"][:3]:
            moved = proxes[:12] - proxes[24:36]
            assert np.all(np.sum(moved**2, axes) <= np.sum(moved * apart, axes) + 1e-12)


def moreau_splits_a_point(row, table):
    """v = Prox_g^lam(v) + lam Prox_{g*}^{1/lam}(v / lam), and the conjugate of the conjugate is g."""
    if row.convex:
        v, dual = jnp.asarray(table.points[0]), conjugate(lambda v, lam: alone(row).first(v, lam)[1])
        for lam, p in zip(LAMS, table.one["prox"][:, 0], strict=False):
            np.testing.assert_allclose(p + lam * dual(v / lam, 1 / lam), v, rtol=1e-11, atol=1e-11)
            np.testing.assert_allclose(conjugate(dual)(v, lam), p, rtol=1e-10, atol=1e-10)


def envelope_has_the_moreau_gradient(row, table):
    for lam, slopes, proxes in zip(LAMS, table.one["envelope"], table.one["prox"], strict=False):
        np.testing.assert_allclose(slopes, (table.points - proxes) / lam, rtol=1e-8, atol=1e-8)


def small_steps_stay_in_place(row, table):
    still = table.one["prox"][list(LEVELS).index(TINY), 12:24]
    np.testing.assert_allclose(still, table.points[12:24], atol=1e-7)


def no_step_is_no_nan(row, table):
    """In both precisions."""
    if row.prior:
        v, expected = table.points[:12], table.points[12:24]
        np.testing.assert_allclose(table.one["prox"][list(LEVELS).index(ZERO), :12], expected, rtol=2e-6)
        single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (row.build(1.0), v, ZERO))
        still = proxes(*single)
        np.testing.assert_allclose(still, expected, rtol=2e-6)
        assert still.dtype == jnp.float32


PLACES = ((0, 3), (1, 0), (1, 1), (2, 2))  # some of the levels and points


class Alone(NamedTuple):
    """A program of one potential, one point and one level, and how often it was traced."""

    first: Callable
    values: list
    traces: int


@functools.cache
def alone(row):
    traces = []

    @jax.jit
    def counted(potential, v, lam):
        traces.append(None)
        return potential.value(v), potential.prox(v, lam)

    pair = [jax.tree.map(np.asarray, row.build(factor)) for factor in (1.0, 1.1)]
    values = [[counted(potential, points(row)[i], LEVELS[level]) for level, i in PLACES] for potential in pair]
    return Alone(lambda v, lam: counted(pair[0], v, np.asarray(lam)), values, len(traces))


def one_trace_for_two(row, table):
    assert alone(row).traces == 1


def batch_is_loop(row, table):
    """Over potentials, points and levels."""
    for which, values in enumerate(alone(row).values):
        for (level, place), (value, p) in zip(PLACES, values, strict=True):
            np.testing.assert_allclose(table.pair["value"][which, place], value, rtol=1e-10)
            np.testing.assert_allclose(table.pair["prox"][which, level, place], p, rtol=1e-10)


LAWS = (
    says_its_formula,
    grad_is_the_gradient_of_the_value,
    prox_is_the_minimiser,
    prox_is_optimal,
    prox_is_firmly_non_expansive,
    moreau_splits_a_point,
    envelope_has_the_moreau_gradient,
    small_steps_stay_in_place,
    no_step_is_no_nan,
    one_trace_for_two,
    batch_is_loop,
)


test_law = law_test(ROWS, LAWS, lambda name: (ROWS[name], tabulated(name)))


def test_every_potential_has_a_row():
    public = {
        name
        for name, thing in vars(potentials).items()
        if isinstance(thing, type) and name in potentials.__all__ and hasattr(thing, "value")
    }
    assert public | {"LPN"} == {type(row.build(1.0)).__name__ for row in ROWS.values()}


def test_a_point_of_the_ball_is_in_the_ball_to_rounding():
    @jax.jit
    @jax.vmap
    def project(v):
        ball = Ball(2.0)
        p, within = ball.prox(v, 1.0), v / 200
        return ball.value(p), ball.value(1.00001 * p), jnp.all(ball.prox(within, 1.0) == within)

    on_the_sphere, beyond, stays = project(np.float32(3 * np.random.default_rng(0).standard_normal((50, 40, 40, 3))))
    np.testing.assert_array_equal(on_the_sphere, 0.0)
    assert np.all(beyond == np.inf) and np.all(stays)


def test_entries_that_are_not_observed_are_ignored():
    operator = operators.mask((2, 3, 1), SEEN)
    y, x = jnp.arange(6.0).reshape(2, 3, 1), jnp.full((2, 3, 1), 0.3)
    one, other = (GaussianLikelihood(operator, jnp.where(SEEN, y, hidden), 0.1) for hidden in (0.0, 1e3))
    for f in (lambda g: g.value(x), lambda g: g.grad(x), lambda g: g.prox(x, 0.2)):
        np.testing.assert_array_equal(f(one), f(other))
