"""Every nonlinear operator obeys every law: rows from `operator_rows`, in float64 where nothing else is said."""

import jax
import jax.numpy as jnp
import numpy as np
import operator_rows
import pytest
from operator_rows.row import drawn_from_its_key_alone, normal, one_trace_for_two, splittings, two_of_a_kind

from pgm_jax.operators import Solver

ROWS = {name: row for family in operator_rows.FAMILIES for name, row in getattr(family, "NONLINEAR", {}).items()}


def picture(operator, seed=0):
    """An image inside [-1, 1], away from the places where clipping has a kink."""
    return 0.45 * jnp.tanh(normal(*operator.image_shape, seed=seed))


@jax.jit
def derivatives(operator, x, d, r):
    """A(x), J d by `linearize`, J^T r by `linearize` and by `vjp`."""
    y, derivative = operator.linearize(x)
    return y, derivative.forward(d), derivative.adjoint(r), operator.vjp(x, r)


def close(actual, expected, tolerance=1e-9):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.linalg.norm(actual - expected) <= tolerance * max(np.linalg.norm(expected), 1e-3)


def is_what_it_says(row):
    for operator in two_of_a_kind(row):
        x = picture(operator)
        y = jax.jit(type(operator).forward)(operator, x)
        assert y.shape == operator.measurement_shape
        close(y, row.image(operator, np.asarray(x)))


def derivative_is_that_of_finite_differences(row):
    operator, _ = two_of_a_kind(row)
    x, d, h = picture(operator), normal(*operator.image_shape, seed=1), 1e-5
    y, along, *_ = derivatives(operator, x, d, jnp.zeros_like(operator.forward(x)))
    close(y, operator.forward(x))
    if not row.straight_through:
        close(along, (operator.forward(x + h * d) - operator.forward(x - h * d)) / (2 * h), 1e-6)


def adjoint_of_the_derivative(row):
    for x64, tolerance in ((True, 1e-10), (False, 1e-5)):
        with jax.enable_x64(x64):
            operator, _ = two_of_a_kind(row, x64)
            x, d = picture(operator), normal(*operator.image_shape, seed=1)
            y = operator.forward(x)
            r = normal(*y.shape, seed=2).astype(y.dtype)
            _, along, back, pulled = derivatives(operator, x, d, r)
            size = np.linalg.norm(along) * np.linalg.norm(r) + 1e-3
            assert abs(np.vdot(along, r).real - np.vdot(d, back)) <= tolerance * size
            close(back, pulled, tolerance)


def solves_its_stationarity(row):
    operator, _ = two_of_a_kind(row)
    truth, v, rho = picture(operator), picture(operator, 3), 0.1
    if row.straight_through:
        pytest.skip("the derivative of a rounding is not that of its objective")
    y = operator.forward(truth)
    for start in (v, truth):
        x, info = jax.jit(type(operator).solve_with_info)(operator, v, y, rho, Solver(1e-6, rounds=200), start)
        slope = operator.vjp(x, operator.forward(x) - y) + rho * (x - v)
        first = operator.vjp(v, operator.forward(v) - y)
        now, before = (jnp.sum(jnp.abs(operator.forward(u) - y) ** 2) + rho * jnp.sum((u - v) ** 2) for u in (x, start))
        assert now <= before
        close(info.residual, np.linalg.norm(slope) / np.linalg.norm(first), 1e-6)
        assert info.residual <= 1e-6


def batch_is_loop(row):
    pair = two_of_a_kind(row)
    x = jnp.stack([picture(pair[0], seed) for seed in (0, 1)])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *pair)
    forward = jax.jit(jax.vmap(type(pair[0]).forward))
    close(forward(stacked, x), jnp.stack([operator.forward(x[i]) for i, operator in enumerate(pair)]))


def finite_far_outside(row):
    operator, _ = two_of_a_kind(row)
    x = 30 * normal(*operator.image_shape)
    y, along, back, _ = derivatives(operator, x, x, jnp.ones_like(operator.forward(x)))
    assert all(np.isfinite(a).all() for a in (y, along, back))
    flat = jnp.zeros(operator.image_shape)
    assert all(np.isfinite(a).all() for a in derivatives(operator, flat, x, jnp.ones_like(y)))


def every_splitting_takes_it(row):
    operator, _ = two_of_a_kind(row)
    x = picture(operator)
    for point in splittings(operator, x, operator.forward(picture(operator, 3))):
        assert point.shape == x.shape and np.isfinite(point).all()


LAWS = (
    is_what_it_says,
    derivative_is_that_of_finite_differences,
    adjoint_of_the_derivative,
    solves_its_stationarity,
    batch_is_loop,
    finite_far_outside,
    one_trace_for_two,
    every_splitting_takes_it,
    drawn_from_its_key_alone,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", ROWS)
def test_law(name, law):
    with jax.enable_x64(True):
        law(ROWS[name])
