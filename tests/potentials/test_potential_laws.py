"""Every potential obeys every law: a table of potentials, a table of laws, in float64 where nothing else is said."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

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
    TotalVariation,
    dense_gaussian_likelihood,
    quadratic,
)
from pgm_jax.proximal import conjugate, moreau_envelope

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
    value: Callable[[np.ndarray], float]
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


def differences(x):
    """The differences to the next row and the next column, `[2, H, W, C]`."""
    return np.stack([np.diff(x, axis=i, append=np.take(x, [-1], axis=i)) for i in (0, 1)])


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
        lambda x: np.sum((x - MEAN) ** 2 / (2 * STD**2)),
    ),
    "Laplace": Row(
        lambda factor: Laplace(0.7 * factor),
        lambda x: np.sum(np.abs(x)) / 0.7,
        smooth=False,
    ),
    "Box": Row(
        lambda factor: Box(jnp.asarray(factor * LOW), 0.8),
        lambda x: 0.0 if np.all((LOW <= x) & (x <= 0.8)) else np.inf,
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
        lambda x: -np.log(np.sum(WEIGHTS * np.exp(-np.sum((x - MEANS) ** 2, axis=1) / (2 * 0.4**2)))),
        convex=False,
    ),
    "Quadratic of a singular matrix": Row(
        lambda factor: quadratic(SINGULAR, factor * SLOPE),
        lambda x: x @ SINGULAR @ x / 2 + SLOPE @ x,
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
    return jnp.asarray(1.5 * np.random.default_rng(seed).standard_normal((count, *row.shape)))


def zooming_grid(objective, centre, reach=6.0):
    """The lowest node of a grid of 31 x 31, over and over on a grid round the last that is a quarter as wide."""
    for _ in range(14):
        axes = [c + np.linspace(-reach, reach, 31) for c in centre]
        nodes = np.stack(np.meshgrid(*axes), -1).reshape(-1, len(centre))
        centre, reach = nodes[np.argmin([objective(node) for node in nodes])], reach / 4
    return centre


def brute_force(row, v, lam):
    def objective(u):
        return row.value(np.reshape(u, row.shape)) + np.sum((np.ravel(v) - u) ** 2) / (2 * lam)

    match row.minimise:
        case "grid":
            return zooming_grid(objective, np.asarray(v))
        case "descent":
            return optimize.minimize(objective, np.ravel(v), tol=1e-9).x.reshape(row.shape)
        case "dual, by pixels" | "dual, by entries":
            matrix = np.stack([np.ravel(differences(e.reshape(row.shape))) for e in np.eye(v.size)], axis=-1)

            def slack(q):
                square = q.reshape(2, -1) ** 2
                return (0.7 * lam) ** 2 - np.ravel(square.sum(0) if row.minimise.endswith("pixels") else square)

            def distance(q):
                return np.sum((np.ravel(v) - q @ matrix) ** 2) / 2, matrix @ (q @ matrix - np.ravel(v))

            q = optimize.minimize(
                distance,
                np.zeros(len(matrix)),
                jac=True,
                constraints=dict(type="ineq", fun=slack),
                method="SLSQP",
                options=dict(ftol=1e-16, maxiter=1000),
            ).x
            return v - (q @ matrix).reshape(row.shape)
        case "ball":
            inside = dict(type="ineq", fun=lambda u: 1.3**2 - u @ u)
            return optimize.minimize(
                lambda u: np.sum((v - u) ** 2), 0 * v, constraints=inside, method="SLSQP", options=dict(ftol=1e-14)
            ).x


prox = jax.jit(lambda potential, v, lam: potential.prox(v, lam))
grad = jax.jit(lambda potential, x: potential.grad(x))
proxes = jax.jit(jax.vmap(lambda potential, v, lam: potential.prox(v, lam), (None, 0, None)))


def says_its_formula(row):
    potential = row.build(1.0)
    for x in points(row, 4):
        for point in (x, row.inside(np.asarray(x))):
            np.testing.assert_allclose(potential.value(jnp.asarray(point)), row.value(np.asarray(point)), rtol=1e-10)


def grad_is_the_gradient_of_the_value(row):
    if row.smooth:
        potential = row.build(1.0)
        for x in points(row, 3):
            by_differences = optimize.approx_fprime(np.ravel(x), lambda u: row.value(u.reshape(row.shape)), 1e-7)
            np.testing.assert_allclose(np.ravel(grad(potential, x)), by_differences, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(grad(potential, x), jax.grad(potential.value)(x), rtol=1e-10, atol=1e-10)


def prox_is_the_minimiser(row):
    for v, lam in zip(points(row, 3, seed=1), LAMS, strict=True):
        np.testing.assert_allclose(prox(row.build(1.0), v, lam), brute_force(row, np.asarray(v), lam), atol=2e-6)


def prox_is_optimal(row):
    """0 in dg(p) + (p - v) / lam: the gradient vanishes, or (v - p) / lam is the slope of a plane below g."""
    potential = row.build(1.0)
    for lam in LAMS:
        for v, p in zip(points(row), proxes(potential, points(row), lam), strict=True):
            slope = (v - p) / lam
            if row.smooth:
                np.testing.assert_allclose(grad(potential, p), slope, rtol=1e-8, atol=1e-8)
            else:
                others = [row.inside(np.asarray(u)) for u in points(row, 40, seed=2)]
                below = [row.value(np.asarray(p)) + np.sum(slope * (u - p)) for u in others]
                assert np.all(np.array([row.value(u) for u in others]) >= np.array(below) - 1e-8)


def prox_is_firmly_non_expansive(row):
    """|p - q|^2 <= <p - q, v - w> for a convex g."""
    if row.convex:
        v, w = points(row), points(row, seed=3)
        for lam in LAMS:
            moved, axes = proxes(row.build(1.0), v, lam) - proxes(row.build(1.0), w, lam), tuple(range(1, v.ndim))
            assert np.all(np.sum(moved**2, axes) <= np.sum(moved * (v - w), axes) + 1e-12)


def moreau_splits_a_point(row):
    """v = Prox_g^lam(v) + lam Prox_{g*}^{1/lam}(v / lam), and the conjugate of the conjugate is g."""
    if row.convex:
        potential, v = row.build(1.0), points(row, 1)[0]
        of_the_conjugate = jax.jit(lambda potential, v, lam: conjugate(potential.prox)(v, lam))
        twice = jax.jit(lambda potential, v, lam: conjugate(conjugate(potential.prox))(v, lam))
        for lam in LAMS:
            parts = prox(potential, v, lam) + lam * of_the_conjugate(potential, v / lam, 1 / lam)
            np.testing.assert_allclose(parts, v, rtol=1e-11, atol=1e-11)
            np.testing.assert_allclose(twice(potential, v, lam), prox(potential, v, lam), rtol=1e-10, atol=1e-10)


def envelope_has_the_moreau_gradient(row):
    slope = jax.jit(jax.vmap(jax.grad(moreau_envelope, argnums=1), (None, 0, None)))
    v = points(row, 6).at[0].set(0.0)
    for lam in LAMS:
        expected = (v - proxes(row.build(1.0), v, lam)) / lam
        np.testing.assert_allclose(slope(row.build(1.0), v, lam), expected, rtol=1e-8, atol=1e-8)


def small_steps_stay_in_place(row):
    v = jnp.stack([jnp.asarray(row.inside(np.asarray(x))) for x in points(row, 4)])
    np.testing.assert_allclose(proxes(row.build(1.0), v, 1e-10), v, atol=1e-7)


def no_step_is_no_nan(row):
    if row.prior:
        v = points(row)
        for dtype in (jnp.float32, jnp.float64):
            still = proxes(*jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (row.build(1.0), v, 0.0)))  # noqa: B023
            inside = np.stack([row.inside(np.asarray(x)) for x in v])
            np.testing.assert_allclose(still, inside, rtol=2e-6)
            assert still.dtype == dtype


def one_trace_for_two(row):
    traces, v = 0, points(row, 1)[0]

    @jax.jit
    def counted(potential, v, lam):
        nonlocal traces
        traces += 1
        return potential.prox(v, lam)

    for factor, lam in ((1.0, 0.4), (1.1, 0.5)):
        np.testing.assert_allclose(counted(row.build(factor), v, lam), prox(row.build(factor), v, lam), rtol=1e-10)
    assert traces == 1


def batch_is_loop(row):
    pair = [jax.tree.map(jnp.asarray, row.build(factor)) for factor in (1.0, 1.1)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *pair)
    batch = jax.jit(jax.vmap(lambda potential, v: (potential.value(v), potential.prox(v, 0.3))))(
        stacked, points(row, 2)
    )
    for i, (potential, v) in enumerate(zip(pair, points(row, 2), strict=True)):
        np.testing.assert_allclose(batch[0][i], potential.value(v), rtol=1e-10)
        np.testing.assert_allclose(batch[1][i], prox(potential, v, 0.3), rtol=1e-10)


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


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", ROWS)
def test_law(name, law):
    with jax.enable_x64(True):
        law(ROWS[name])


def test_every_potential_has_a_row():
    public = {
        name for name, thing in vars(potentials).items() if isinstance(thing, type) and name in potentials.__all__
    }
    assert public == {type(row.build(1.0)).__name__ for row in ROWS.values()}


def test_a_point_of_the_ball_is_in_the_ball_to_rounding():
    v = 3 * jax.random.normal(jax.random.key(0), (50, 40, 40, 3))
    on_the_sphere = proxes(Ball(2.0), v, 1.0)
    np.testing.assert_array_equal(jax.vmap(Ball(2.0).value)(on_the_sphere), 0.0)
    assert np.all(jax.vmap(Ball(2.0).value)(1.00001 * on_the_sphere) == np.inf)
    within = v / 200
    np.testing.assert_array_equal(proxes(Ball(2.0), within, 1.0), within)


def test_entries_that_are_not_observed_are_ignored():
    operator = operators.mask((2, 3, 1), SEEN)
    y, x = jnp.arange(6.0).reshape(2, 3, 1), jnp.full((2, 3, 1), 0.3)
    one, other = (GaussianLikelihood(operator, jnp.where(SEEN, y, hidden), 0.1) for hidden in (0.0, 1e3))
    for f in (lambda g: g.value(x), lambda g: g.grad(x), lambda g: g.prox(x, 0.2)):
        np.testing.assert_array_equal(f(one), f(other))
