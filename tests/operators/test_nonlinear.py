"""What the operators of cameras do: curves that are smooth and undone exactly, blurs of light, ends of a range."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operator_rows.row import forward, normal

from pgm_jax.operators import nonlinear

SHAPE = (16, 13, 3)
KEY = jax.random.key(4)
LINE = np.concatenate([np.linspace(-3, 3, 601), [-1e3, -40, 40, 1e3], -1 + np.array([-1e-9, 0, 1e-9])])


@functools.cache
def blur(gamma=2.2):
    return jax.jit(lambda gamma: nonlinear.synthetic_blur(KEY, SHAPE, gamma))(gamma)


@pytest.mark.parametrize("gamma", [1.0, 2.2, 3.0])
def test_encoding_undoes_decoding_on_the_whole_line(gamma):
    with jax.enable_x64(True):
        light, x, again = curves(LINE, gamma)
        np.testing.assert_allclose(x, LINE, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(again, light, rtol=1e-10, atol=1e-16)


@jax.jit
def curves(x, gamma):
    """d(x), e(d(x)) and d(e(d(x)))."""
    light = nonlinear.decode(x, gamma)
    pixels = nonlinear.encode(light, gamma)
    return light, pixels, nonlinear.decode(pixels, gamma)


def test_white_is_one_and_more_pixel_is_more_light():
    x = np.sort(np.float32(LINE))
    light = np.asarray(curves(x, 2.2)[0])
    assert np.all(light[x == 1] == 1) and np.all(np.diff(light[::3]) > 0)


@pytest.mark.parametrize("curve", [nonlinear.decode, nonlinear.encode])
def test_curves_have_one_derivative_where_the_tangent_begins(curve):
    with jax.enable_x64(True):
        # Black of the pixels, and the light of black.
        start = -1.0 if curve is nonlinear.decode else nonlinear.BLACK**2.2
        slope = jax.jit(jax.vmap(jax.grad(lambda x: curve(x, 2.2))))
        below, at, above = np.asarray(slope(start + np.array([-1e-7, 0.0, 1e-7])))
        assert below > 0
        np.testing.assert_allclose([at, above], below, rtol=1e-4)


def test_curve_derivatives_are_finite_everywhere():
    @jax.jit
    def slopes(x):
        of = [jax.grad(curve, (0, 1)) for curve in (nonlinear.decode, nonlinear.encode)]
        return [jax.vmap(slope, (0, None))(x, 2.2) for slope in of]

    assert np.all(np.isfinite(slopes(np.float32(LINE))))


@pytest.mark.parametrize("level", [-1.7, -1.0, 0.3, 1.0, 1.5])
def test_a_constant_image_is_not_blurred(level):
    np.testing.assert_allclose(forward(blur(), np.full(SHAPE, np.float32(level))), level, atol=2e-6)


def test_a_blur_stays_within_the_range_of_the_image_and_smooths_it():
    x = np.tanh(normal(*SHAPE))
    y = np.asarray(forward(blur(), x))
    assert x.min() - 1e-6 <= y.min() and y.max() <= x.max() + 1e-6
    assert np.std(y) < 0.6 * np.std(x)


def test_light_is_blurred_and_not_pixels():
    """A bright point on black spreads more than its share, and with gamma = 1 the blur is linear."""
    x, d = np.full(SHAPE, np.float32(-1)), normal(*SHAPE)
    x[8, 6] = 1
    bright = np.asarray(forward(blur(), x))
    linear, of_sum, of_d, of_grey = (np.asarray(forward(blur(1.0), z)) for z in (x, x + d, d, 0 * d))
    assert np.all(bright >= linear - 1e-6) and np.sum(bright - linear) > 1
    np.testing.assert_allclose(of_sum - linear, of_d - of_grey, atol=1e-5)


def test_blurs_of_many_keys_are_one_program_and_all_different():
    x = jnp.tanh(normal(*SHAPE))

    @jax.jit
    def program(keys):
        blurs = jax.vmap(lambda key: nonlinear.synthetic_blur(key, SHAPE))(keys)
        one = nonlinear.synthetic_blur(keys[1], SHAPE)
        return blurs, jax.vmap(lambda blur: blur.forward(x))(blurs), one.forward(x)

    blurs, y, one = jax.device_get(program(jax.random.split(KEY, 3)))
    np.testing.assert_allclose(y[1], one, atol=1e-5)
    assert min(np.abs(y[i] - y[j]).max() for i in range(3) for j in range(i)) > 0.05
    np.testing.assert_allclose(np.sum(blurs.kernels, axis=(2, 3)), 1, rtol=1e-5)
    np.testing.assert_allclose(np.sum(blurs.weights, axis=3), 1, rtol=1e-5)
    # Seen from a pixel, the blur changes across the image by small steps.
    assert np.ptp(np.asarray(blurs.weights), axis=(1, 2)).max() > 0.5
    assert np.abs(np.diff(blurs.weights, axis=1)).max() < np.sqrt(2) / (4 * 0.25**2 * 16)


GREY = (1, 5, 1)
VALUES = np.array([-2.0, -0.75, 0.25, 0.75, 2.0], np.float32)


@pytest.mark.parametrize(
    ("operator", "expected", "slope"),
    [
        (nonlinear.high_dynamic_range(GREY), [-1, -1, 0.5, 1, 1], [0, 0, 2, 0, 0]),
        (nonlinear.high_dynamic_range(GREY, 0.5), [-1, -0.375, 0.125, 0.375, 1], None),
        (nonlinear.saturation(GREY), [-3, -0.5, 1, 1, 1], [2, 2, 0, 0, 0]),
        (nonlinear.saturation(GREY, 1.2), [-2.2, -0.7, 0.5, 1, 1], [1.2, 1.2, 1.2, 0, 0]),
        (nonlinear.quantisation(GREY, 2), [-1, -1, 1, 1, 1], [0, 1, 1, 1, 0]),
        (nonlinear.quantisation(GREY, 5), [-1, -1, 0, 1, 1], [0, 1, 1, 1, 0]),
    ],
)
def test_values_and_slopes(operator, expected, slope):
    y, slopes = value_and_slope(operator, VALUES.reshape(GREY), np.ones(GREY, np.float32))
    np.testing.assert_allclose(np.ravel(y), expected, atol=1e-6)
    if slope is not None:
        np.testing.assert_allclose(np.ravel(slopes), slope, rtol=1e-6)


@jax.jit
def value_and_slope(operator, x, r):
    return operator.forward(x), operator.vjp(x, r)


def test_quantisation_takes_each_value_and_keeps_it():
    x = np.linspace(-1, 1, 1001, dtype=np.float32).reshape(1, -1, 1)
    for levels in (2, 3, 8, 256):
        operator = nonlinear.quantisation(x.shape, levels)
        y = np.asarray(forward(operator, x))
        # float32 of k / (levels - 1) is what it is, and no two of one level differ.
        values = np.unique(y)
        np.testing.assert_allclose(values, np.linspace(-1, 1, levels), atol=1e-6)
        np.testing.assert_array_equal(forward(operator, y), y)
        assert np.abs(y - x).max() <= 1 / (levels - 1) + 1e-6


@pytest.mark.parametrize(
    ("factory", "numbers"),
    [
        (nonlinear.high_dynamic_range, [1.5, 3.0]),
        (nonlinear.saturation, [1.5, 3.0]),
        (nonlinear.quantisation, [4, 16]),
        (functools.partial(nonlinear.synthetic_blur, KEY), [1.0, 2.4]),
    ],
)
def test_operators_of_many_numbers_are_one_program(factory, numbers):
    x = jnp.tanh(normal(*SHAPE))

    @jax.jit
    def program(traced):
        batch = jax.vmap(lambda number: factory(SHAPE, number).forward(x))(traced)
        return batch, jnp.stack([factory(SHAPE, number).forward(x) for number in numbers])

    np.testing.assert_allclose(*program(np.asarray(numbers)), atol=1e-5)


REFUSED = {
    "no channel axis": (lambda: nonlinear.high_dynamic_range((8, 12)), "grey image has one channel"),
    "no gain": (lambda: nonlinear.high_dynamic_range(SHAPE, 0.0), "above 0, and is 0.0"),
    "a negative gain": (lambda: nonlinear.saturation(SHAPE, -2.0), "exposure, a number above 0, and is -2.0"),
    "one level": (lambda: nonlinear.quantisation(SHAPE, 1), "at least 2, and is 1"),
    "no gamma": (lambda: nonlinear.synthetic_blur(KEY, SHAPE, 0), "above 0, and is 0"),
    "widths in the wrong order": (lambda: nonlinear.synthetic_blur(KEY, SHAPE, widths=(2, 1)), r"\(2, 1\).*\(least"),
    "no width": (lambda: nonlinear.synthetic_blur(KEY, SHAPE, widths=(0, 1)), r"above 0, and are \(0, 1\)"),
    "no fields": (lambda: nonlinear.synthetic_blur(KEY, SHAPE, fields=0), "at least 1, and is 0"),
    "a blur too wide": (lambda: nonlinear.synthetic_blur(KEY, (6, 16, 3)), "reach 6 pixels.*6 x 16.*smaller widths"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    build, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        build()
