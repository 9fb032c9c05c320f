"""Phase retrieval: padding, ambiguities, derivatives where the spectrum is 0, recovery, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operator_rows.row import forward, normal

from pgm_jax.operators.phase import phase_retrieval
from pgm_jax.operators.solvers import Solver


@pytest.mark.parametrize(
    "shape, oversampling, measured",
    [
        ((256, 256, 3), 2.0, (384, 384, 3)),
        ((256, 256, 3), 4, (512, 512, 3)),
        ((30, 21, 1), 2.0, (44, 31, 1)),
        ((8, 16, 1), 1, (10, 20, 1)),
    ],
)
def test_padding_is_an_eighth_of_a_side_for_each_unit_of_oversampling(shape, oversampling, measured):
    assert phase_retrieval(shape, oversampling).measurement_shape == measured


def test_magnitudes_keep_the_norm_and_have_the_mean_in_the_middle():
    operator, x = phase_retrieval((8, 6, 2), 2.0), normal(8, 6, 2)
    y = forward(operator, x)
    np.testing.assert_allclose(np.linalg.norm(y), np.linalg.norm(x), rtol=1e-5)
    height, width, _ = operator.measurement_shape
    middle = np.abs(np.sum(x, axis=(0, 1))) / np.sqrt(height * width)
    np.testing.assert_allclose(y[height // 2, width // 2], middle, rtol=1e-4)


def test_the_range_says_what_is_transformed():
    x = normal(8, 6, 2)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, 0, None))
    def program(low, high, x):
        return phase_retrieval((8, 6, 2), image_range=(low, high)).forward(x)

    itself, unit, bytes_ = np.asarray(program(np.float32([-1, 0, 0]), np.float32([1, 1, 255]), x))
    np.testing.assert_allclose(forward(phase_retrieval((8, 6, 2)), x), itself, atol=1e-5)
    np.testing.assert_allclose(forward(phase_retrieval((8, 6, 2)), (x + 1) / 2), unit, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(forward(phase_retrieval((8, 6, 2), image_range=(0, 1)), x), unit, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bytes_, 255 * unit, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("image_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_images_with_the_same_magnitudes(image_range):
    operator = phase_retrieval((8, 6, 2), 2.0, image_range)
    black = -1.0 if image_range[0] == 0 else 0.0
    x = np.full((8, 6, 2), black, np.float32)
    x[1:6, 2:6] = normal(5, 4, 2)
    y = np.asarray(forward(operator, x))
    # Turned by 180 degrees, and moved while the border is 0 in what is transformed.
    for same in (x[::-1, ::-1], np.roll(x, (2, -2), (0, 1)), np.roll(x, -1, 0)[::-1, ::-1]):
        np.testing.assert_allclose(forward(operator, same), y, atol=1e-5)
    for other in (x[::-1], np.roll(x, 3, 0)):
        assert np.linalg.norm(forward(operator, other) - y) > 0.1 * np.linalg.norm(y)
    negated = np.linalg.norm(forward(operator, -x) - y) / np.linalg.norm(y)
    assert negated < 1e-5 if image_range[0] == -1 else negated > 0.1


@pytest.mark.parametrize("image_range, black", [((-1.0, 1.0), 0.0), ((0.0, 1.0), -1.0)])
def test_derivatives_are_finite_where_the_spectrum_is_0(image_range, black):
    operator, y = phase_retrieval((4, 4, 1), 4.0, image_range), np.abs(normal(8, 8, 1))
    # Nowhere any light; and a constant, whose padded spectrum has lines of zeros.
    dark, grey = (derivatives(operator, np.full((4, 4, 1), np.float32(level)), y) for level in (black, 0.3))
    assert all(np.all(np.isfinite(part)) for part in (*dark, *grey))
    np.testing.assert_array_equal(dark[0], 0)


@jax.jit
def derivatives(operator, x, y):
    """J^T y, the gradient and a curvature of the misfit, and the data step with its residual."""

    def misfit(x):
        return 0.5 * jnp.sum((operator.forward(x) - y) ** 2)

    gradient, curvature = jax.jvp(jax.grad(misfit), (x,), (jnp.ones_like(x),))
    solution, info = operator.solve_with_info(x, y, 0.1)
    return operator.vjp(x, y), gradient, curvature, solution, info.residual


@pytest.mark.parametrize("image_range", [(-1.0, 1.0), (0.0, 1.0), (1.5, 3 + jnp.zeros(()))])
def test_the_derivative_is_as_steep_as_the_scale_everywhere(image_range):
    with jax.enable_x64(True):
        operator = phase_retrieval((4, 5, 1), 4.0, image_range)
        jacobian, norm = steepness(operator, normal(4, 5, 1))
        np.testing.assert_allclose(norm, np.linalg.norm(np.reshape(jacobian, (-1, 20)), 2), rtol=1e-10)


@jax.jit
def steepness(operator, x):
    return jax.jacfwd(operator.forward)(x), operator.norm()


def test_solve_recovers_an_image_from_its_magnitudes_near_the_truth():
    with jax.enable_x64(True):
        operator = phase_retrieval((6, 5, 1), 5.0, (0.0, 1.0))
        x = np.tanh(normal(6, 5, 1))
        start = x + 0.02 * normal(6, 5, 1, seed=1)
        y = forward(operator, x)
        solve = jax.jit(lambda y, start: operator.solve_with_info(start, y, 0.0, Solver(rounds=60)))
        found, info = solve(y, start)
        assert info.residual < 1e-8
        np.testing.assert_allclose(found, x, atol=1e-7)
        assert np.linalg.norm(start - x) > 0.05
        # What is found near the turned image is the turned image.
        turned, _ = solve(y, start[::-1, ::-1])
        np.testing.assert_allclose(turned, x[::-1, ::-1], atol=1e-7)


REFUSED = {
    "no oversampling": (
        lambda: phase_retrieval((8, 16, 1), 0.0),
        "8 x 16, a number at least 1.0, and is 0.0; 2 is usual",
    ),
    "too little": (lambda: phase_retrieval((16, 4, 1), 1.9), "at least 2.0, and is 1.9"),
    "less than none": (lambda: phase_retrieval((8, 8, 1), -2.0), "is -2.0"),
    "no end of it": (lambda: phase_retrieval((8, 8, 1), float("inf")), "is inf"),
    "no number": (lambda: phase_retrieval((8, 8, 1), float("nan")), "is nan"),
    "an empty range": (lambda: phase_retrieval((8, 8, 1), 2.0, (1.0, 1.0)), r"\(1.0, 1.0\).*\(0, 1\) the image"),
    "black above white": (lambda: phase_retrieval((8, 8, 1), 2.0, (1, -1)), r"first below the second.*\(1, -1\)"),
    "no channels": (lambda: phase_retrieval((8, 8), 2.0), "three positive whole numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    build, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        build()
