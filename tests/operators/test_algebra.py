"""What can be composed, stacked and scaled, what a plain function becomes, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from operator_rows.row import SHAPE, forward, normal

from pgm_jax import operators
from pgm_jax.operators import ClosedForm, LinearOperator, NonlinearOperator

HALF = jax.jit(lambda: operators.average_downsampling(SHAPE, 2))()

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
        lambda: operators.stack(HALF, operators.box_mask((4, 4, 1), (0, 0, 1, 1))),
        ValueError,
        r"\(4, 4, 1\), \(6, 8, 3\).*one shape",
    ),
    "a factor of 0": (lambda: operators.scale(np.float32(0), HALF), ValueError, "is 0.0.*a larger one"),
    "weights of another shape": (
        lambda: np.ones((6, 8, 3)) * HALF,
        ValueError,
        r"\(6, 8, 3\) .*broadcast to .*\(3, 4, 3\)",
    ),
    "weights of more axes": (lambda: np.ones((1, 3, 4, 3)) * HALF, ValueError, "broadcast to the measurement"),
    "weights that are not finite": (lambda: np.array([1, np.inf, 1]) * HALF, ValueError, "1 values of 3 that are NaN"),
    "complex weights": (lambda: np.array([1j, 1, 1]) * HALF, TypeError, "is real"),
    "an image in the place of an operator": (lambda: HALF @ np.ones(SHAPE), TypeError, r"@ composes.*A\(x\)"),
    "a product of operators": (lambda: HALF * HALF, TypeError, "A @ B composes"),
    "the adjoint of what is not linear": (
        lambda: operators.saturation(SHAPE).T,
        AttributeError,
        r"Saturation is not linear.*A.linearize\(x\)\[1\].T",
    ),
    "an image of another shape": (lambda: HALF(np.ones((2, 8, 6, 3))), ValueError, r"\(2, 8, 6, 3\).*\(6, 8, 3\)"),
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
        return operator.adjoint(operator.forward(jnp.ones(SHAPE)))[0, 0, 0]

    np.testing.assert_allclose(jax.jit(jax.vmap(measured))(np.float32([1.0, 2.0])), [1, 4])


def test_a_linear_function_can_be_said_to_be_nonlinear():
    assert isinstance(operators.from_function(lambda x: 2 * x, SHAPE, linear=False), NonlinearOperator)


def test_numbers_of_a_function_are_swept_without_compiling_again():
    traces = 0

    def gained(gain, x):
        nonlocal traces
        traces += 1
        return gain * x

    gains = np.linspace(0.5, 2, 5)
    operator = operators.from_function(Partial(gained, gains[0]), SHAPE)
    before, x = traces, normal(*SHAPE)
    for gain in gains:
        changed = type(operator)(Partial(gained, gain), SHAPE)
        np.testing.assert_allclose(forward(changed, x), gain * x, rtol=1e-5)
    assert traces == before + 1


def test_a_scaled_closed_form_stays_closed():
    operator = jax.jit(lambda: operators.scale(0.5, operators.gaussian_blur(SHAPE, 0.6)))()
    assert isinstance(operator.operator, ClosedForm)
    _, info = jax.jit(operator.solve_with_info)(normal(*SHAPE), normal(*SHAPE, seed=1), 0.1)
    assert info.iterations == 0 and info.residual < 1e-5


SPECTRUM = operators.fourier_sampling(SHAPE, np.arange(48).reshape(6, 8) % 2)
BENT = operators.from_function(jnp.tanh, SHAPE)


@pytest.mark.parametrize("operator", [HALF, SPECTRUM, BENT], ids=["linear", "complex", "nonlinear"])
def test_an_operator_is_called_with_an_image_or_a_batch(operator):
    x = normal(2, 3, *SHAPE)
    one, batch, expected = jax.jit(lambda x: (operator(x[1, 2]), operator(x), operator.forward(x[1, 2])))(x)
    assert batch.shape == (2, 3, *operator.measurement_shape)
    np.testing.assert_allclose(one, expected, atol=1e-6)
    np.testing.assert_allclose(np.asarray(batch)[1, 2], expected, atol=1e-6)


@pytest.mark.parametrize("operator", [HALF, BENT], ids=["linear", "nonlinear"])
@pytest.mark.parametrize("number", [2, 2.0, np.float32(2), np.int64(2), np.asarray(2.0), jnp.asarray(2.0)], ids=repr)
def test_every_number_multiplies_from_both_sides(operator, number):
    x = normal(*SHAPE)
    for doubled in (number * operator, operator * number, operators.scale(number, operator)):
        assert isinstance(doubled, LinearOperator) == isinstance(operator, LinearOperator)
        np.testing.assert_allclose(forward(doubled, x), 2 * np.asarray(forward(operator, x)), rtol=1e-6)


def test_operators_compose_as_they_act():
    blur = operators.circular_blur(SHAPE, normal(3, 3))
    assert isinstance(HALF @ blur, LinearOperator) and isinstance(blur @ BENT, NonlinearOperator)

    @jax.jit
    def sides(x, r):
        return ((HALF @ blur)(x), HALF(blur(x))), ((blur.T @ HALF.T)(r), (HALF @ blur).T(r))

    for actual, expected in sides(normal(*SHAPE), normal(3, 4, 3)):
        np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_the_adjoint_is_an_operator():
    assert HALF.T.T is HALF and HALF.T.image_shape == (3, 4, 3) and HALF.T.measurement_shape == SHAPE

    @jax.jit
    def sides(x, r):
        # Between them measurements may be complex.
        gram, twice = SPECTRUM.T @ SPECTRUM, (2 * SPECTRUM.T) @ SPECTRUM
        y = SPECTRUM(x)
        solved = SPECTRUM.T.solve(y, x, 0.1)
        assert jnp.iscomplexobj(solved)
        _, derivative = BENT.linearize(x)
        return (
            (HALF.T(r)[1], HALF.adjoint(r[1])),
            ((HALF.T @ HALF)(x), HALF.adjoint(HALF.forward(x))),
            ((HALF @ HALF.T)(r), HALF(HALF.T(r))),
            (gram(x), SPECTRUM.adjoint(SPECTRUM.forward(x))),
            (twice(x), 2 * gram(x)),
            (SPECTRUM(SPECTRUM.T(solved)) + 0.1 * solved, SPECTRUM(x) + 0.1 * y),
            (derivative.T(x), BENT.vjp(x, x)),
        )

    for actual, expected in sides(normal(*SHAPE), normal(2, 3, 4, 3)):
        np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_weights_say_what_is_observed():
    weights = np.array([2.0, 0.0, -1.0])
    seen = operators.mask(SHAPE, normal(6, 8) > 0)
    weighted = weights * seen
    assert type(weighted) is type(seen)
    np.testing.assert_array_equal(weighted.observed, np.asarray(seen.mask) * (weights != 0))
    for operator in (HALF, HALF @ operators.circular_blur(SHAPE, np.eye(3))):
        weighted = weights * operator
        assert isinstance(weighted, LinearOperator)
        np.testing.assert_array_equal(
            np.broadcast_to(weighted.observed, (3, 4, 3)), np.ones((3, 4, 1)) * (weights != 0)
        )
    np.testing.assert_array_equal((2 * SPECTRUM).observed, SPECTRUM.observed)
    halved = np.full((6, 1, 1), 0.5) * SPECTRUM
    np.testing.assert_array_equal(halved.observed, SPECTRUM.observed)
    x = normal(*SHAPE)
    np.testing.assert_allclose(forward(halved, x), 0.5 * np.asarray(forward(SPECTRUM, x)), atol=1e-6)


def test_weights_may_be_traced():
    def solved(weights, x):
        return (weights * HALF).solve(0 * x, HALF(x), 0.1)

    @jax.jit
    def both(weights, x):
        return jax.vmap(solved, (0, None))(weights, x), HALF.solve(0 * x, HALF(x), 0.1)

    weights = np.stack([np.ones((3, 4, 3)), np.zeros((3, 4, 3))])
    (ones, zeros), expected = jax.device_get(both(weights, normal(*SHAPE)))
    np.testing.assert_allclose(ones, expected, atol=1e-5)
    np.testing.assert_array_equal(zeros, 0)


def test_nonlinear_operators_behind_weights_have_a_bound():
    """At the image 0 phase retrieval is flat, and so would be what is put behind it."""
    operator = operators.phase_retrieval((4, 4, 1))
    weighted = np.full(operator.measurement_shape, 3.0) * operator
    np.testing.assert_allclose(*jax.jit(lambda: (weighted.norm(), 3 * operator.norm()))(), rtol=1e-6)


def test_parts_of_a_stacked_measurement():
    operator = operators.stack(HALF, operators.from_function(lambda x: jnp.fft.fft(x, axis=1), SHAPE))
    x = normal(*SHAPE)
    (real, spectrum), half = jax.jit(lambda x: (operator.split(operator.forward(x)), HALF.forward(x)))(x)
    assert not jnp.iscomplexobj(real)
    np.testing.assert_allclose(real, half, atol=1e-6)
    np.testing.assert_allclose(spectrum, np.fft.fft(x, axis=1), atol=1e-4)
