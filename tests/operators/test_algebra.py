"""What can be composed, stacked and scaled, what a plain function becomes, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from operator_rows.row import SHAPE, normal

from pgm_jax import operators
from pgm_jax.operators import ClosedForm, LinearOperator, NonlinearOperator

HALF = operators.average_downsampling(SHAPE, 2)

REFUSED = {
    "operators that do not fit": (
        lambda: operators.compose(operators.box_mask(SHAPE, (0, 0, 1, 1)), HALF),
        ValueError,
        r"measures \(3, 4, 3\).*\(6, 8, 3\).*measurement_shape",
    ),
    "an image of complex numbers": (
        lambda: operators.compose(HALF, operators.fourier_sampling(SHAPE, np.ones(SHAPE[:2]))),
        ValueError,
        "complex numbers.*put the complex one outside",
    ),
    "nothing to stack": (lambda: operators.stack(), ValueError, "at least one"),
    "images of two shapes": (
        lambda: operators.stack(HALF, operators.average_downsampling((4, 4, 1), 2)),
        ValueError,
        r"\(4, 4, 1\), \(6, 8, 3\).*one shape",
    ),
    "a factor of 0": (lambda: operators.scale(0, HALF), ValueError, "measures nothing"),
    "a function of other images": (
        lambda: operators.from_function(lambda x: x @ jnp.ones((5, 5)), SHAPE),
        ValueError,
        r"does not take an image of shape \(6, 8, 3\)",
    ),
    "two results": (lambda: operators.from_function(lambda x: (x, x), SHAPE), TypeError, "one array"),
    "whole numbers": (lambda: operators.from_function(lambda x: (x > 0).astype(int), SHAPE), TypeError, "floats"),
    "a square": (
        lambda: operators.from_function(lambda x: x**2, SHAPE, linear=True),
        ValueError,
        "not linear: jax cannot transpose it.*leave `linear` out",
    ),
    "an offset": (
        lambda: operators.from_function(lambda x: x + 1.0, SHAPE, linear=True),
        ValueError,
        "not linear: .*2 a - 3 b",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    build, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        build()


@pytest.mark.parametrize(
    ("function", "linear"),
    [
        (lambda x: 2 * x, True),
        (lambda x: jnp.fft.fft(x, axis=0), True),
        (lambda x: 0 * x, True),
        (lambda x: x + 1e-3, False),
        (jnp.abs, False),
        (lambda x: jnp.clip(x, -1, 1), False),
    ],
)
def test_functions_are_tried_out(function, linear):
    operator = operators.from_function(function, SHAPE)
    assert isinstance(operator, LinearOperator if linear else NonlinearOperator)


def test_functions_of_traced_numbers_are_linear_where_jax_can_transpose_them():
    def measured(gain):
        operator = operators.from_function(Partial(jnp.multiply, gain), SHAPE)
        assert isinstance(operator, LinearOperator)
        return operator.adjoint(operator.forward(jnp.ones(SHAPE)))

    np.testing.assert_allclose(jax.vmap(measured)(jnp.array([1.0, 2.0]))[:, 0, 0, 0], [1, 4])


def test_a_linear_function_can_be_said_to_be_nonlinear():
    assert isinstance(operators.from_function(lambda x: 2 * x, SHAPE, linear=False), NonlinearOperator)


def test_numbers_of_a_function_are_swept_without_compiling_again():
    traces = 0

    def gained(gain, x):
        nonlocal traces
        traces += 1
        return gain * x

    gains = jnp.linspace(0.5, 2, 5)
    operator = operators.from_function(Partial(gained, gains[0]), SHAPE)
    forward = jax.jit(lambda operator, x: operator.forward(x))
    before, x = traces, normal(*SHAPE)
    for gain in gains:
        changed = type(operator)(Partial(gained, gain), SHAPE)
        np.testing.assert_allclose(forward(changed, x), gain * x, rtol=1e-6)
    assert traces == before + 1


def test_a_scaled_closed_form_stays_closed():
    operator = operators.scale(0.5, operators.gaussian_blur(SHAPE, 0.6))
    assert isinstance(operator.operator, ClosedForm)
    _, info = operator.solve_with_info(normal(*SHAPE), normal(*SHAPE, seed=1), 0.1)
    assert info.iterations == 0 and info.residual < 1e-5


def test_parts_of_a_stacked_measurement():
    operator = operators.stack(HALF, operators.from_function(lambda x: jnp.fft.fft(x, axis=1), SHAPE))
    x = normal(*SHAPE)
    real, spectrum = operator.split(operator.forward(x))
    assert not jnp.iscomplexobj(real)
    np.testing.assert_allclose(real, HALF.forward(x), atol=1e-6)
    np.testing.assert_allclose(spectrum, np.fft.fft(x, axis=1), atol=1e-4)
