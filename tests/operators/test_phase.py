"""Phase retrieval: padding, ambiguities, derivatives where the spectrum is 0, recovery, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operator_rows.row import normal

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
    y = operator.forward(x)
    np.testing.assert_allclose(np.linalg.norm(y), np.linalg.norm(x), rtol=1e-5)
    height, width, _ = operator.measurement_shape
    middle = np.abs(np.sum(x, axis=(0, 1))) / np.sqrt(height * width)
    np.testing.assert_allclose(y[height // 2, width // 2], middle, rtol=1e-4)


def test_the_range_says_what_is_transformed():
    x, itself = normal(8, 6, 2), phase_retrieval((8, 6, 2))
    unit = phase_retrieval((8, 6, 2), image_range=(0, 1))
    np.testing.assert_allclose(unit.forward(x), itself.forward((x + 1) / 2), rtol=1e-4, atol=1e-5)
    ranges = jnp.array([-1.0, 0.0]), jnp.array([1.0, 255.0])
    batch = jax.vmap(lambda low, high: phase_retrieval((8, 6, 2), image_range=(low, high)).forward(x))(*ranges)
    np.testing.assert_allclose(batch[0], itself.forward(x), atol=1e-5)
    np.testing.assert_allclose(batch[1], 255 * unit.forward(x), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("image_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_images_with_the_same_magnitudes(image_range):
    operator = phase_retrieval((8, 6, 2), 2.0, image_range)
    black = -1.0 if image_range[0] == 0 else 0.0
    x = np.full((8, 6, 2), black, np.float32)
    x[1:6, 2:6] = np.asarray(normal(5, 4, 2))
    y = operator.forward(jnp.asarray(x))
    # Turned by 180 degrees, and moved while the border is 0 in what is transformed.
    for same in (x[::-1, ::-1], np.roll(x, (2, -2), (0, 1)), np.roll(x, -1, 0)[::-1, ::-1]):
        np.testing.assert_allclose(operator.forward(jnp.asarray(same.copy())), y, atol=1e-5)
    for other in (x[::-1], np.roll(x, 3, 0)):
        assert np.linalg.norm(operator.forward(jnp.asarray(other.copy())) - y) > 0.1 * np.linalg.norm(y)
    negated = np.linalg.norm(operator.forward(jnp.asarray(-x)) - y) / np.linalg.norm(y)
    assert negated < 1e-5 if image_range[0] == -1 else negated > 0.1


@pytest.mark.parametrize("image_range, black", [((-1.0, 1.0), 0.0), ((0.0, 1.0), -1.0)])
def test_derivatives_are_finite_where_the_spectrum_is_0(image_range, black):
    operator = phase_retrieval((4, 4, 1), 4.0, image_range)
    y = jnp.abs(normal(8, 8, 1))

    def misfit(x):
        return 0.5 * jnp.sum((operator.forward(x) - y) ** 2)

    # Nowhere any light; and a constant, whose padded spectrum has lines of zeros.
    for x in (jnp.full((4, 4, 1), black), jnp.full((4, 4, 1), 0.3)):
        gradient, curvature = jax.jit(lambda x: jax.jvp(jax.grad(misfit), (x,), (jnp.ones_like(x),)))(x)
        assert np.all(np.isfinite(gradient)) and np.all(np.isfinite(curvature))
        assert np.all(np.isfinite(jax.jit(lambda x: operator.vjp(x, y))(x)))
        solution, info = jax.jit(lambda x: operator.solve_with_info(x, y, 0.1))(x)
        assert np.all(np.isfinite(solution)) and np.isfinite(info.residual)
    np.testing.assert_array_equal(operator.vjp(jnp.full((4, 4, 1), black), y), 0)


@pytest.mark.parametrize("image_range", [(-1.0, 1.0), (0.0, 1.0), (1.5, 3 + jnp.zeros(()))])
def test_the_derivative_is_as_steep_as_the_scale_everywhere(image_range):
    with jax.enable_x64(True):
        operator = phase_retrieval((4, 5, 1), 4.0, image_range)
        x = normal(4, 5, 1)
        jacobian = np.asarray(jax.jit(jax.jacfwd(operator.forward))(x)).reshape(-1, 20)
        np.testing.assert_allclose(operator.norm(), np.linalg.norm(jacobian, 2), rtol=1e-10)


def test_solve_recovers_an_image_from_its_magnitudes_near_the_truth():
    with jax.enable_x64(True):
        operator = phase_retrieval((6, 5, 1), 5.0, (0.0, 1.0))
        x = jnp.tanh(normal(6, 5, 1))
        start = x + 0.02 * normal(6, 5, 1, seed=1)
        y = operator.forward(x)
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
