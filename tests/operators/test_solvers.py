"""A data step that fails is seen: NaN where its numbers are not finite, and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operator_rows.row import normal

from pgm_jax import operators
from pgm_jax.operators.solvers import ACCURATE, conjugate_gradients, levenberg_marquardt, squared_error

SHAPE = (3, 4, 1)
root = operators.from_function(lambda x: jnp.sqrt(x + 1), SHAPE)
blur = operators.reflecting_blur(SHAPE, np.array([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]]) / 8)
GREY = jnp.zeros(SHAPE)
ONE_BELOW = GREY.at[1, 2, 0].set(-1.5)


def one_nan(a):
    return a.at[(0,) * a.ndim].set(jnp.nan)


FAILED = {
    "a matrix": lambda: conjugate_gradients(lambda x: jnp.nan * x, jnp.ones(5)),
    "a right side": lambda: conjugate_gradients(lambda x: 2 * x, one_nan(jnp.ones(5))),
    "too large a right side": lambda: conjugate_gradients(lambda x: x, jnp.full(5, 1e30)),
    "a first guess": lambda: conjugate_gradients(lambda x: 2 * x, jnp.ones(5), one_nan(jnp.ones(5))),
    "a measurement": lambda: blur.solve_with_info(GREY, one_nan(GREY), 0.1),
    "an image": lambda: blur.solve_with_info(one_nan(GREY), GREY, 0.1),
    "a start outside the domain": lambda: levenberg_marquardt(
        root, squared_error(GREY + 1), GREY, 0.1, ONE_BELOW, ACCURATE
    ),
    "v outside the domain": lambda: root.solve_with_info(ONE_BELOW, GREY + 1, 0.1),
    "a vertical derivative": lambda: root.solve_with_info(GREY - 1, GREY + 1, 0.1),
    "a nonlinear measurement": lambda: root.solve_with_info(GREY, one_nan(GREY), 0.1),
}


@pytest.mark.parametrize("case", FAILED)
def test_what_fails_is_nan_everywhere(case):
    x, info = jax.jit(FAILED[case])()
    assert np.all(np.isnan(x)) and np.isnan(info.residual)


def test_neighbours_of_what_fails_are_let_be():
    v = jnp.stack([GREY, ONE_BELOW, GREY + 0.5])
    x, info = jax.jit(jax.vmap(lambda v: root.solve_with_info(v, GREY + 1, 0.1)))(v)
    np.testing.assert_array_equal(np.isnan(x).all((1, 2, 3)), [False, True, False])
    np.testing.assert_array_equal(np.isnan(info.residual), [False, True, False])
    np.testing.assert_allclose(x[0], root.solve(GREY, GREY + 1, 0.1), atol=1e-6)


def test_a_start_inside_the_domain_mends_a_v_outside():
    x, info = root.solve_with_info(ONE_BELOW, GREY + 1, 0.1, start=GREY)
    assert np.all(np.isfinite(x)) and np.isfinite(info.residual)


def test_a_trial_step_out_of_the_domain_is_no_failure():
    """From black to a measurement that only a darker image would have, the first step leaves the domain."""
    v, y = GREY + 3.0, GREY + 0.01
    first = operators.Solver(rounds=1)
    assert np.all(np.asarray(root.solve(v, y, 1e-4, first)) == v)  # it was not taken
    x, info = root.solve_with_info(v, y, 1e-4, operators.Solver(1e-4, rounds=60))
    assert np.all(np.isfinite(x)) and np.all(x < v) and np.isfinite(info.residual)


@pytest.mark.parametrize("operator", [blur, root], ids=["linear", "nonlinear"])
def test_gradients_are_finite_and_nothing_is_taken_for_a_slip(operator):
    v, y = 0.2 * normal(*SHAPE), GREY + 1

    def size(v, y, rho):
        return jnp.sum(operator.solve(v, y, rho) ** 2)

    with jax.debug_nans(True):
        for wrap in (lambda f: f, jax.jit):
            value, slopes = wrap(jax.value_and_grad(size, (0, 1, 2)))(v, y, 0.1)
            assert np.isfinite(value) and all(np.all(np.isfinite(slope)) for slope in slopes)
        x = operator.solve(GREY + 3.0, GREY + 0.01, 1e-4)  # with a trial step that is NaN
        assert np.all(np.isfinite(x))
    d, h = normal(*SHAPE, seed=1), 1e-2
    along = (size(v + h * d, y, 0.1) - size(v - h * d, y, 0.1)) / (2 * h)
    np.testing.assert_allclose(jnp.vdot(slopes[0], d), along, rtol=1e-2)
