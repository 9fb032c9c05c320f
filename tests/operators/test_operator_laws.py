"""Every linear operator obeys every law: rows from `operator_rows`, in float64 where nothing else is said."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import operator_rows
import pytest
from operator_rows.row import SHAPE, drawn_from_its_key_alone, normal, one_trace_for_two, splittings, two_of_a_kind

from pgm_jax import operators
from pgm_jax.noise import GaussianNoise, measure
from pgm_jax.operators import ClosedForm, LinearOperator, Solver

ROWS = {name: row for family in operator_rows.FAMILIES for name, row in getattr(family, "ROWS", {}).items()}
NONLINEAR = {name: row for family in operator_rows.FAMILIES for name, row in getattr(family, "NONLINEAR", {}).items()}


def example(row, x64=True):
    """An operator, two images and a measurement that the operator need not reach."""
    operator, _ = two_of_a_kind(row, x64)
    image = operator.image_shape
    return operator, normal(*image), normal(*image, seed=1), unreachable(operator)


def unreachable(operator, *batch, seed=2):
    """A measurement, complex where the operator's are, that it need not reach."""
    shape = (*batch, *operator.measurement_shape)
    measurement = jax.eval_shape(operator.forward, normal(*operator.image_shape))
    if not jnp.iscomplexobj(measurement):
        return normal(*shape, seed=seed)
    return normal(*shape, seed=seed) + 1j * normal(*shape, seed=seed + 10)


def real(y):
    """A measurement as a vector of real numbers."""
    y = np.ravel(y)
    return np.concatenate([y.real, y.imag]) if np.iscomplexobj(y) else y


@functools.cache
def matrix(row):
    """A, one column for every entry of an image."""
    operator, _ = two_of_a_kind(row)
    size = math.prod(operator.image_shape)
    columns = jax.jit(jax.vmap(type(operator).forward, (None, 0)))(
        operator, jnp.eye(size).reshape(-1, *operator.image_shape)
    )
    return np.stack([real(column) for column in np.asarray(columns)], axis=1)


def assert_close(actual, expected, tolerance=1e-10):
    """The error is at most `tolerance` of the expected norm."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.linalg.norm(actual - expected) <= tolerance * np.linalg.norm(expected)


def equality(sides):
    """The law that two sides are equal: both in one program, which takes the operator as an argument."""
    program = jax.jit(sides)

    @functools.wraps(sides)
    def law(row):
        assert_close(*program(*example(row)))

    return law


@jax.jit
def results(operator, v, y, rho):
    """All that an operator does, in one program."""
    return operator.forward(v), operator.adjoint(y), operator.solve(v, y, rho)


def is_what_it_says(row):
    operator, x, _, r = example(row)
    y = results(operator, x, r, 0.1)[0]
    assert y.shape == operator.measurement_shape
    assert_close(y, row.image(operator, np.asarray(x)))


def linear(row):
    operator, x, _, r = example(row)
    y, _, _ = results(operator, x, r, 0.1)
    assert_close(real(y), matrix(row) @ np.ravel(x))


def adjoint_in_inner_products(row):
    operator, x, _, r = example(row)
    y, z, _ = results(operator, x, r, 0.1)
    assert_close(np.vdot(real(y), real(r)), np.vdot(x, z))


def adjoint_in_float32(row):
    with jax.enable_x64(False):
        operator, x, _, r = example(row, x64=False)
        y, z, _ = results(operator, x, r, 0.1)
        assert z.dtype == jnp.float32
        scale = np.linalg.norm(real(y)) * np.linalg.norm(real(r))
        assert abs(np.vdot(real(y), real(r)) - np.vdot(x, z)) <= 1e-5 * scale


@equality
def adjoint_is_the_transposed_program(operator, x, _, r):
    (transposed,) = jax.linear_transpose(operator.forward, x)(jnp.conj(r))
    return operator.adjoint(r), transposed


@jax.jit
def normal_equation(operator, v, y, rho):
    """Both sides of (A^T A + rho) x = A^T y + rho v."""
    x = operator.solve(v, y, rho)
    return operator.adjoint(operator.forward(x)) + rho * x, operator.adjoint(y) + rho * v


def solves_its_normal_equation(row):
    operator, _, v, y = example(row)
    for rho in (1e-3, 1.0):
        assert_close(*normal_equation(operator, v, y, rho))


def solves_in_float32(row):
    with jax.enable_x64(False):
        operator, _, v, y = example(row, x64=False)
        left, right = normal_equation(operator, v, y, 0.1)
        assert left.dtype == jnp.float32
        assert_close(left, right, 1e-5)


@equality
def closed_form_is_conjugate_gradients(operator, _, v, y):
    return operator.solve(v, y, 0.02), LinearOperator.solve_with_info(operator, v, y, 0.02)[0]


@jax.jit
def informed(operator, v, y, solver, start):
    return operator.solve_with_info(v, y, 0.05, solver, start)


def reports_its_residual(row):
    operator, start, v, y = example(row)
    for solver in (Solver(), Solver(1e-4), Solver(iterations=2)):
        x, info = informed(operator, v, y, solver, start)
        left, first = (np.asarray(operator.vjp(u, y - operator.forward(u)) + 0.05 * (v - u)) for u in (x, v))
        closed = isinstance(operator, ClosedForm)
        assert abs(info.residual - np.linalg.norm(left) / np.linalg.norm(first)) < 1e-9
        assert (
            info.residual <= (1e-8 if closed else max(solver.tolerance, 1e-8)) or info.iterations == solver.iterations
        )
        assert info.iterations <= (0 if closed else solver.iterations)


def nearest_consistent_image_without_noise(row):
    if not row.well_conditioned:
        pytest.skip("ill conditioned: conjugate gradients do not reach A^+ y")
    operator, x, v, _ = example(row)
    _, _, solution = results(operator, v, operator.forward(x), 0.0)
    A, x, v = matrix(row), np.ravel(x), np.ravel(v)
    assert_close(np.ravel(solution), v + np.linalg.pinv(A, rcond=1e-10) @ A @ (x - v), 1e-9)


def decomposition_is_the_operator(row):
    """U S V^T is A on every channel, and the bases are orthonormal."""
    operator, x, _, _ = example(row)
    if not hasattr(operator, "svd"):
        pytest.skip("no decomposition is offered")
    svd = operator.svd()
    c = normal(*svd.s.shape, seed=5)
    assert np.all(np.asarray(svd.s) >= 0)
    assert_close(svd.u(svd.s * svd.v_t(x)), operator.forward(x))
    assert_close(svd.v(svd.s * svd.u_t(operator.forward(x))), operator.adjoint(operator.forward(x)))
    assert_close(svd.v_t(svd.v(c)), c)
    assert_close(svd.u_t(svd.u(c)), c)


def norm_is_the_largest_gain(row):
    operator, x, _, _ = example(row)
    norm = jax.jit(type(operator).norm)(operator)
    by_iteration = type(operator).norm is LinearOperator.norm
    assert_close(norm, np.linalg.norm(matrix(row), 2), 1e-3 if by_iteration else 1e-10)
    assert np.linalg.norm(matrix(row) @ np.ravel(x)) <= norm * np.linalg.norm(x)


@equality
def gradient_of_the_misfit(operator, x, _, y):
    gradient = jax.grad(lambda x: 0.5 * jnp.sum(jnp.abs(operator.forward(x) - y) ** 2))(x)
    return gradient, operator.adjoint(operator.forward(x) - y)


@equality
def gradient_through_solve(operator, x, v, y):
    # solve is linear in (v, y), and in v its matrix is symmetric.
    gradient = jax.grad(lambda v: jnp.vdot(x, operator.solve(v, y, 0.1)))(v)
    return gradient, operator.solve(x, 0 * y, 0.1)


def batch_is_loop(row):
    pair = two_of_a_kind(row)
    v, y = normal(2, *pair[0].image_shape), unreachable(pair[0], 2)

    stack = jax.tree.map(lambda *leaves: np.stack(leaves), *pair)
    batch = jax.jit(jax.vmap(results, in_axes=(0, 0, 0, None)))(stack, v, y, 0.1)
    loop = [results(operator, v[i], y[i], 0.1) for i, operator in enumerate(pair)]
    jax.tree.map(assert_close, batch, jax.tree.map(lambda *leaves: np.stack(leaves), *loop))


def hidden_entries_hold_nothing(row):
    operator, x, _, r = example(row)
    y = np.asarray(results(operator, x, r, 0.1)[0])
    hidden = np.broadcast_to(operator.observed, y.shape) == 0
    assert np.all(y[hidden] == 0)
    if hidden.any():
        noisy = np.asarray(measure(jax.random.key(3), operator, x, GaussianNoise(0.1)))
        assert np.all(noisy[hidden] == 0) and np.all(noisy[~hidden] != y[~hidden])


def every_splitting_takes_it(row):
    operator, x, v, y = example(row)
    for point in splittings(operator, v, y):
        assert point.shape == x.shape and np.isfinite(point).all()


def stays_on_the_device(row):
    operator, x, _, y = example(row)
    rho = jnp.asarray(0.1)
    results(operator, x, y, rho)
    with jax.transfer_guard("disallow"):
        results(operator, x, y, rho)
    assert "callback" not in str(jax.make_jaxpr(results)(operator, x, y, rho))


LAWS = (
    is_what_it_says,
    linear,
    adjoint_in_inner_products,
    adjoint_in_float32,
    adjoint_is_the_transposed_program,
    solves_its_normal_equation,
    solves_in_float32,
    closed_form_is_conjugate_gradients,
    reports_its_residual,
    nearest_consistent_image_without_noise,
    decomposition_is_the_operator,
    norm_is_the_largest_gain,
    gradient_of_the_misfit,
    gradient_through_solve,
    batch_is_loop,
    one_trace_for_two,
    hidden_entries_hold_nothing,
    every_splitting_takes_it,
    stays_on_the_device,
    drawn_from_its_key_alone,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", ROWS)
def test_law(name, law):
    with jax.enable_x64(True):
        law(ROWS[name])


def test_every_factory_has_a_row():
    factories = {name.split()[0] for name in ROWS | NONLINEAR}
    others = {"ACCURATE", "QUICK", "SVD", "ClosedForm", "LinearOperator", "NonlinearOperator", "SolveInfo", "Solver"}
    assert set(operators.__all__) - factories == others


def test_random_masks_hide_the_share_asked_for():
    keys = jax.random.split(jax.random.key(0), 400)
    draw = functools.partial(operators.random_mask, image_shape=SHAPE, hidden=0.7)
    masks = jax.jit(jax.vmap(draw))(keys)
    assert masks.mask.shape == (400, 6, 8, 1) and masks.image_shape == SHAPE
    np.testing.assert_array_equal(np.sum(np.asarray(masks.mask), axis=(1, 2, 3)), 48 - 33)  # 33 = floor(0.7 * 48)
    seen = 15 / 48
    z = (np.mean(np.asarray(masks.mask), axis=0) - seen) / np.sqrt(seen * (1 - seen) / 400)
    assert abs(z).max() < 4
    np.testing.assert_array_equal(jax.jit(draw)(keys[7]).mask, masks.mask[7])


@pytest.mark.parametrize("boundary", ["circular", "reflect"])
def test_gaussian_blurs_of_many_widths_are_one_program(boundary):
    sigmas, x = jnp.array([0.4, 0.9, 1.3]), normal(*SHAPE)
    blurs = jax.jit(jax.vmap(lambda sigma: operators.gaussian_blur(SHAPE, sigma, boundary, radius=2)))(sigmas)
    batch = jax.jit(jax.vmap(lambda blur: blur.forward(x)))(blurs)
    one = jax.jit(lambda sigma: operators.gaussian_blur(SHAPE, sigma, boundary, radius=2).forward(x))
    np.testing.assert_allclose(batch, [one(sigma) for sigma in sigmas], atol=1e-6)


def test_noise_has_the_deviation_asked_for():
    operator = operators.box_mask((64, 64, 3), (0, 16, 32, 32))
    y = measure(jax.random.key(1), operator, jnp.zeros((64, 64, 3)), GaussianNoise(0.3))
    noise, n = np.asarray(y) / 0.3, 3 * (64 * 64 - 32 * 32)
    assert abs(noise.sum()) < 4 * np.sqrt(n)
    assert abs((noise**2).sum() - n) < 4 * np.sqrt(2 * n)
