"""Every linear operator obeys every law: rows from `operator_rows`, in float64 where nothing else is said."""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import law_test
from operator_rows import NONLINEAR, ROWS
from operator_rows.row import (
    SHAPE,
    Program,
    assert_close,
    drawn_from_its_key_alone,
    normal,
    splittings,
    stack_of_two,
    two_of_a_kind,
)

from pgm_jax import operators
from pgm_jax.noise import GaussianNoise, measure
from pgm_jax.operators import ClosedForm, LinearOperator, Solver

FAST = {
    "random_mask",
    "circular_blur",
    "average_downsampling",
    "blur_downsampling",
    "colourisation",
    "hadamard_sensing",
    "fourier_sampling",
    "radon",
    "from_function",
}

ACCURATE = Solver()


class Example(NamedTuple):
    """Two operators of a row, and for each of them two images, a measurement that it need not reach, and A x."""

    pair: list[Any]
    x: np.ndarray
    v: np.ndarray
    y: np.ndarray
    image: np.ndarray


@functools.cache
def example(row):
    pair = two_of_a_kind(row)
    shape = pair[0].image_shape
    x, v = normal(2, *shape), normal(2, *shape, seed=1)
    image = np.stack([row.image(operator, x) for operator, x in zip(pair, x, strict=True)])
    y = normal(*image.shape, seed=2)
    return Example(pair, x, v, y + 1j * normal(*image.shape, seed=12) if np.iscomplexobj(image) else y, image)


def real(y):
    """A measurement as a vector of real numbers."""
    y = np.ravel(y)
    return np.concatenate([y.real, y.imag]) if np.iscomplexobj(y) else y


@functools.cache
def matrix(row):
    """A by its definition, one column for every entry of an image, for both operators."""
    pair = two_of_a_kind(row)
    basis = np.eye(math.prod(pair[0].image_shape)).reshape(-1, *pair[0].image_shape)
    return [np.stack([real(row.image(operator, x)) for x in basis], axis=1) for operator in pair]


def results(operator, v, y, rho, solver, start):
    """All that an operator does."""
    return operator.forward(v), operator.adjoint(y), operator.solve_with_info(v, y, rho, solver, start)


ALONE = Program(results)
BOTH = Program(jax.vmap(results, in_axes=(0, 0, 0, None, None, 0)))


def both(row, v, y, rho=0.1, solver=ACCURATE, start=None):
    """What both operators of a row do: A v, A^T y, and the solution with its information."""
    return BOTH(stack_of_two(row), v, y, rho, solver, v if start is None else start)


def alone(row, v, y, rho=0.1):
    """What the first operator does to the first images, in the floating type of the moment."""
    return ALONE(two_of_a_kind(row)[0], v, y, rho, ACCURATE, v)


def derive(operator, x, v, y):
    """What follows from what an operator does."""
    (transposed,) = jax.linear_transpose(operator.forward, x)(jnp.conj(y))

    def misfit(x):
        return 0.5 * jnp.sum(jnp.abs(operator.forward(x) - y) ** 2)

    def along(v):
        solution = operator.solve(v, y, 0.1)
        return jnp.vdot(x, solution), solution

    clean = operator.forward(x)
    through_solve, solution = jax.grad(along, has_aux=True)(v)
    return dict(
        clean=clean,
        adjoint=operator.adjoint(y),
        solution=solution,
        transposed=transposed,
        gradient=jax.grad(misfit)(x),
        through_solve=through_solve,
        norm=operator.norm(),
        decomposition=decomposed(operator, x) if hasattr(operator, "svd") else None,
        observed=jnp.broadcast_to(operator.observed, clean.shape),
        noisy=measure(jax.random.key(3), operator, x, Raised(0.1)),
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Raised(GaussianNoise):
    """A noise that costs no random numbers, which take long to compile."""

    def sample(self, key, clean):
        return clean + self.sigma


def decomposed(operator, x):
    """S, and of U S V^T = A the two sides of what it should be."""
    svd = operator.svd()
    c = jnp.sin(1.0 + jnp.arange(svd.s.size)).reshape(svd.s.shape)
    y = operator.forward(x)
    sides = (
        (svd.u(svd.s * svd.v_t(x)), y),
        (svd.v(svd.s * svd.u_t(y)), operator.adjoint(y)),
        (svd.v_t(svd.v(c)), c),
        (svd.u_t(svd.u(c)), c),
    )
    return svd.s, sides


DERIVED = Program(derive)


@functools.cache
def derived(row):
    """`derive` for both operators, one after another, and how often it was traced for the second."""
    e = example(row)
    first = DERIVED(e.pair[0], e.x[0], e.v[0], e.y[0])
    traces = DERIVED.traces
    second = DERIVED(e.pair[1], e.x[1], e.v[1], e.y[1])
    return first, second, DERIVED.traces - traces


def loop(row, name):
    first, second, _ = derived(row)
    return np.stack([first[name], second[name]])


def is_what_it_says(row):
    e = example(row)
    y, _, _ = both(row, e.x, e.y)
    assert y.shape[1:] == jax.tree.map(jnp.asarray, e.pair[0]).measurement_shape
    assert_close(y, e.image)


def linear(row):
    e = example(row)
    of_x, of_v, of_sum = (both(row, image, e.y)[0] for image in (e.x, e.v, 2 * e.x - 3 * e.v))
    assert_close(of_sum, 2 * of_x - 3 * of_v)


def adjoint_in_inner_products(row):
    e = example(row)
    y, z, _ = both(row, e.x, e.y)
    for i in range(2):
        assert_close(np.vdot(real(y[i]), real(e.y[i])), np.vdot(e.x[i], z[i]))


def adjoint_in_float32(row):
    e = example(row)
    with jax.enable_x64(False):
        y, z, _ = alone(row, e.x[0], e.y[0])
    assert z.dtype == np.float32
    scale = np.linalg.norm(real(y)) * np.linalg.norm(real(e.y[0]))
    assert abs(np.vdot(real(y), real(e.y[0])) - np.vdot(e.x[0], z)) <= 1e-5 * scale


def adjoint_is_the_transposed_program(row):
    assert_close(loop(row, "adjoint"), loop(row, "transposed"))


def normal_equation(do, row, v, y, rho):
    """Both sides of (A^T A + rho) x = A^T y + rho v."""
    _, right, (x, _) = do(row, v, y, rho)
    image, _, _ = do(row, x, y)
    _, left, _ = do(row, x, image)
    return left + rho * x, right + rho * v


def solves_its_normal_equation(row):
    e = example(row)
    for rho in (1e-3, 1.0):
        assert_close(*normal_equation(both, row, e.v, e.y, rho))


def solves_in_float32(row):
    e = example(row)
    with jax.enable_x64(False):
        left, right = normal_equation(alone, row, np.float32(e.v[0]), e.y[0], 0.1)
    assert left.dtype == np.float32
    assert_close(left, right, 1e-5)


def solution_is_that_of_the_dense_system(row):
    e, rho = example(row), 0.02
    _, _, (solution, _) = both(row, e.v, e.y, rho)
    for A, x, v, y in zip(matrix(row), solution, e.v, e.y, strict=True):
        expected = np.linalg.solve(A.T @ A + rho * np.eye(v.size), A.T @ real(y) + rho * np.ravel(v))
        assert_close(np.ravel(x), expected)


def reports_its_residual(row):
    e, rho = example(row), 0.05

    def slope(u):
        image, _, _ = both(row, u, e.y)
        _, back, _ = both(row, u, e.y - image)
        return np.linalg.norm((back + rho * (e.v - u)).reshape(2, -1), axis=1)

    closed = isinstance(e.pair[0], ClosedForm)
    for solver in (Solver(), Solver(1e-4), Solver(iterations=2)):
        _, _, (x, info) = both(row, e.v, e.y, rho, solver, e.x)
        np.testing.assert_allclose(info.residual, slope(x) / slope(e.v), atol=1e-9)
        reached = info.residual <= (1e-8 if closed else max(solver.tolerance, 1e-8))
        assert np.all(reached | (info.iterations == solver.iterations))
        assert np.all(info.iterations <= (0 if closed else solver.iterations))


def nearest_consistent_image_without_noise(row):
    if not row.well_conditioned:
        pytest.skip("ill conditioned: conjugate gradients do not reach A^+ y")
    e = example(row)
    image, _, _ = both(row, e.x, e.y)
    _, _, (solution, _) = both(row, e.v, image, 0.0)
    for A, found, x, v in zip(matrix(row), solution, e.x, e.v, strict=True):
        assert_close(np.ravel(found), np.ravel(v) + np.linalg.pinv(A, rcond=1e-10) @ A @ np.ravel(x - v), 1e-9)


def decomposition_is_the_operator(row):
    """U S V^T is A on every channel, and the bases are orthonormal."""
    if not hasattr(example(row).pair[0], "svd"):
        pytest.skip("no decomposition is offered")
    for facts in derived(row)[:2]:
        s, sides = facts["decomposition"]
        assert np.all(s >= 0)
        for actual, expected in sides:
            assert_close(actual, expected)


def norm_is_the_largest_gain(row):
    e = example(row)
    by_iteration = type(e.pair[0]).norm is LinearOperator.norm
    for A, x, norm in zip(matrix(row), e.x, loop(row, "norm"), strict=True):
        assert_close(norm, np.linalg.norm(A, 2), 1e-3 if by_iteration else 1e-10)
        assert np.linalg.norm(A @ np.ravel(x)) <= norm * np.linalg.norm(x)


def gradient_of_the_misfit(row):
    e = example(row)
    image, _, _ = both(row, e.x, e.y)
    _, expected, _ = both(row, e.x, image - e.y)
    assert_close(loop(row, "gradient"), expected)


def gradient_through_solve(row):
    # solve is linear in (v, y), and in v its matrix is symmetric.
    e = example(row)
    _, _, (expected, _) = both(row, e.x, 0 * e.y)
    assert_close(loop(row, "through_solve"), expected)


def batch_is_loop(row):
    e = example(row)
    image, _, _ = both(row, e.x, e.y)
    _, adjoint, (solution, _) = both(row, e.v, e.y)
    for name, batch in dict(clean=image, adjoint=adjoint, solution=solution).items():
        assert_close(batch, loop(row, name))


def one_trace_for_two(row):
    assert derived(row)[2] == 0


def hidden_entries_hold_nothing(row):
    clean, noisy = loop(row, "clean"), loop(row, "noisy")
    hidden = loop(row, "observed") == 0
    assert np.all(clean[hidden] == 0) and np.all(noisy[hidden] == 0)
    assert np.all(noisy[~hidden] != clean[~hidden])


def every_splitting_takes_it(row):
    e = example(row)
    for point in jax.eval_shape(splittings, e.pair[0], e.v[0], e.y[0]):
        assert point.shape == e.v[0].shape and point.dtype == np.float64
    # What they are made of.
    for facts in derived(row)[:2]:
        assert np.isfinite(facts["solution"]).all() and np.isfinite(facts["gradient"]).all() and facts["norm"] > 0


def stays_on_the_device(row):
    e = example(row)
    arguments = jax.tree.map(jnp.asarray, (stack_of_two(row), e.v, e.y, 0.1, ACCURATE, e.v))
    BOTH.compiled(*arguments)
    with jax.transfer_guard("disallow"):
        BOTH.compiled(*arguments)
    assert "callback" not in str(BOTH.compiled.trace(*arguments).jaxpr)


LAWS = (
    is_what_it_says,
    linear,
    adjoint_in_inner_products,
    adjoint_in_float32,
    adjoint_is_the_transposed_program,
    solves_its_normal_equation,
    solves_in_float32,
    solution_is_that_of_the_dense_system,
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
test_law = law_test(ROWS, LAWS)


def test_every_factory_has_a_row():
    factories = {name.split()[0] for name in ROWS | NONLINEAR}
    others = {"ACCURATE", "QUICK", "SVD", "ClosedForm", "LinearOperator", "NonlinearOperator", "SolveInfo", "Solver"}
    assert set(operators.__all__) - factories == others


@pytest.mark.parametrize("boundary", ["circular", "reflect"])
def test_gaussian_blurs_of_many_widths_are_one_program(boundary):
    def one(width, x):
        return operators.gaussian_blur(SHAPE, width, boundary, radius=2).forward(x)

    widths, x = np.float32([0.4, 0.9, 1.3]), normal(*SHAPE)
    batch, alone = jax.jit(jax.vmap(one, (0, None))), jax.jit(one)
    np.testing.assert_allclose(batch(widths, x), [alone(width, x) for width in widths], atol=1e-6)


def test_noise_has_the_deviation_asked_for():
    operator = operators.box_mask((64, 64, 3), (0, 16, 32, 32))
    y = measure(jax.random.key(1), operator, jnp.zeros((64, 64, 3)), GaussianNoise(0.3))
    noise, n = np.asarray(y) / 0.3, 3 * (64 * 64 - 32 * 32)
    assert abs(noise.sum()) < 4 * np.sqrt(n)
    assert abs((noise**2).sum() - n) < 4 * np.sqrt(2 * n)
