"""A data step that fails is seen: NaN where its numbers are not finite, and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operator_rows.row import normal

from pgm_jax import operators
from pgm_jax.operators.solvers import ACCURATE, conjugate_gradients

SHAPE = (3, 4, 1)
root = operators.from_function(lambda x: jnp.sqrt(x + 1), SHAPE)
blur = operators.reflecting_blur(SHAPE, np.array([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]]) / 8)
GREY = np.zeros(SHAPE, np.float32)
ONE_BELOW = np.where(np.arange(12).reshape(SHAPE) == 6, np.float32(-1.5), GREY)


NAN = np.where(np.arange(12).reshape(SHAPE) == 0, np.float32(np.nan), GREY)
TEN = np.ones(10, np.float32)


@jax.jit
def conjugate(factor, b, start):
    return conjugate_gradients(lambda x: factor * x, b, start)


@jax.jit
def solve(operator, v, y, rho, solver, start):
    return operator.solve_with_info(v, y, rho, solver, start)


def solved(operator, v, y, rho, solver=ACCURATE, start=None):
    return solve(operator, v, y, rho, solver, v if start is None else start)


FAILED = {
    "a matrix": lambda: conjugate(np.nan, TEN, 0 * TEN),
    "a right side": lambda: conjugate(2.0, np.append(TEN[1:], np.float32(np.nan)), 0 * TEN),
    "too large a right side": lambda: conjugate(1.0, 1e30 * TEN, 0 * TEN),
    "a first guess": lambda: conjugate(2.0, TEN, np.append(TEN[1:], np.float32(np.nan))),
    "a measurement": lambda: solved(blur, GREY, NAN, 0.1),
    "an image": lambda: solved(blur, NAN, GREY, 0.1),
    "a start outside the domain": lambda: solved(root, GREY, GREY + 1, 0.1, ACCURATE, ONE_BELOW),
    "v outside the domain": lambda: solved(root, ONE_BELOW, GREY + 1, 0.1),
    "a vertical derivative": lambda: solved(root, GREY - 1, GREY + 1, 0.1),
    "a nonlinear measurement": lambda: solved(root, GREY, NAN, 0.1),
}


@pytest.mark.parametrize("case", FAILED)
def test_what_fails_is_nan_everywhere(case):
    x, info = FAILED[case]()
    assert np.all(np.isnan(x)) and np.isnan(info.residual)


def test_neighbours_of_what_fails_are_let_be():
    v = np.stack([GREY, ONE_BELOW, GREY + 0.5])
    x, info = jax.jit(jax.vmap(lambda v: root.solve_with_info(v, jnp.ones(SHAPE), 0.1)))(v)
    np.testing.assert_array_equal(np.isnan(x).all((1, 2, 3)), [False, True, False])
    np.testing.assert_array_equal(np.isnan(info.residual), [False, True, False])
    np.testing.assert_allclose(x[0], solved(root, GREY, GREY + 1, 0.1)[0], atol=1e-6)


def test_a_start_inside_the_domain_mends_a_v_outside():
    x, info = solved(root, ONE_BELOW, GREY + 1, 0.1, ACCURATE, GREY)
    assert np.all(np.isfinite(x)) and np.isfinite(info.residual)


def test_a_trial_step_out_of_the_domain_is_no_failure():
    """From black to a measurement that only a darker image would have, the first step leaves the domain."""
    v, y = GREY + 3.0, GREY + 0.01
    first = operators.Solver(rounds=1)
    assert np.all(solved(root, v, y, 1e-4, first)[0] == v)  # it was not taken
    x, info = solved(root, v, y, 1e-4, operators.Solver(1e-4, rounds=60))
    assert np.all(np.isfinite(x)) and np.all(x < v) and np.isfinite(info.residual)


sums = operators.from_function(lambda x: jnp.cumsum(x, axis=0), SHAPE)


@pytest.mark.parametrize("operator", [sums, root], ids=["linear", "nonlinear"])
def test_gradients_are_finite_and_nothing_is_taken_for_a_slip(operator):
    v, y = jnp.asarray(0.2 * normal(*SHAPE)), jnp.ones(SHAPE)

    def size(v, y, rho):
        return jnp.sum(operator.solve(v, y, rho) ** 2)

    with jax.debug_nans(True):
        for wrap in (lambda f: f, jax.jit):
            value, slopes = wrap(jax.value_and_grad(size, (0, 1, 2)))(v, y, 0.1)
            assert np.isfinite(value) and all(np.all(np.isfinite(slope)) for slope in slopes)
        x = operator.solve(jnp.asarray(GREY + 3), jnp.asarray(GREY + 0.01), 1e-4)  # with a trial step that is NaN
        assert np.all(np.isfinite(x))
    d, h = normal(*SHAPE, seed=1), 1e-2
    above, below = (jax.jit(size)(v + step * d, y, 0.1) for step in (h, -h))
    np.testing.assert_allclose(np.vdot(slopes[0], d), (above - below) / (2 * h), rtol=1e-2)
