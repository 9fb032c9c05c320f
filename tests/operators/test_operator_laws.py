"""Every operator obeys every law: one table of operators, one table of laws, in float64 where nothing else is said."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from pgm_jax import operators
from pgm_jax.operators import LinearOperator

SHAPE = (6, 8, 3)
BOX = (1, 3, 4, 2)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Differences(LinearOperator):
    """Weighted differences of neighbours: an operator that states `forward` and takes all else from the base class."""

    weight: jax.Array
    image_shape: tuple[int, ...] = dataclasses.field(metadata=dict(static=True))

    def forward(self, x):
        return self.weight * jnp.stack([x - jnp.roll(x, 1, axis) for axis in (0, 1)], axis=-1)


class Row(NamedTuple):
    """How to build an operator, and what it does to one channel, said without jax."""

    build: Callable[[jax.Array], LinearOperator]  # the key is for operators with random numbers
    plane: Callable[[LinearOperator, np.ndarray, int], np.ndarray]  # (operator, (H, W), channel) -> y[:, :, channel]


def boxed(plane):
    top, left, height, width = BOX
    plane = plane.copy()
    plane[top : top + height, left : left + width] = 0
    return plane


def averaged(plane, factor):
    height, width = plane.shape
    return plane.reshape(height // factor, factor, width // factor, factor).mean((1, 3))


def bicubic(plane, factor):
    """The definition: Keys' kernel around the middle of every output, weights of sum 1, mirrored pixels outside."""

    def keys(s):
        s = abs(s)
        return ((1.5 * s - 2.5) * s * s + 1) * (s <= 1) + (((-0.5 * s + 2.5) * s - 4) * s + 2) * ((1 < s) & (s < 2))

    def along_rows(x):
        size = len(x)
        j = np.arange(-4 * factor, size + 4 * factor)
        x = x[np.minimum(j % (2 * size), -(j + 1) % (2 * size))]
        weights = keys((j - factor * np.arange(size // factor)[:, None] - (factor - 1) / 2) / factor)
        return weights / weights.sum(1, keepdims=True) @ x

    return along_rows(along_rows(plane).T).T


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), float)


def separable(key):
    scale = jax.random.uniform(key, minval=0.5)
    return operators.separable_map(SHAPE, scale * normal(4, 6), normal(9, 8))


ROWS = {
    "mask": Row(
        lambda key: operators.mask(SHAPE, jax.random.bernoulli(key, 0.4, SHAPE)),
        lambda operator, plane, channel: np.asarray(operator.mask)[:, :, channel] * plane,
    ),
    "random_mask": Row(
        lambda key: operators.random_mask(key, SHAPE),
        lambda operator, plane, _: np.where(np.asarray(operator.observed)[:, :, 0] == 1, plane, 0),
    ),
    "box_mask": Row(
        lambda key: operators.box_mask(SHAPE, BOX),
        lambda operator, plane, _: boxed(plane),
    ),
    "separable_map": Row(
        separable,
        lambda operator, plane, _: np.asarray(operator.rows) @ plane @ np.asarray(operator.cols).T,
    ),
    "circular_blur": Row(
        lambda key: operators.circular_blur((5, 7, 3), normal(5, 3) + jax.random.uniform(key)),
        lambda operator, plane, _: ndimage.convolve(plane, np.asarray(operator.kernel), mode="wrap"),
    ),
    "gaussian_blur circular": Row(
        lambda key: operators.gaussian_blur(SHAPE, 0.6),
        lambda operator, plane, _: ndimage.gaussian_filter(plane, 0.6, mode="wrap"),
    ),
    "gaussian_blur reflect": Row(
        lambda key: operators.gaussian_blur(SHAPE, 0.6, boundary="reflect"),
        lambda operator, plane, _: ndimage.gaussian_filter(plane, 0.6, mode="mirror"),
    ),
    "average_downsampling": Row(
        lambda key: operators.average_downsampling(SHAPE, 2),
        lambda operator, plane, _: averaged(plane, 2),
    ),
    "bicubic_downsampling": Row(
        lambda key: operators.bicubic_downsampling(SHAPE, 2),
        lambda operator, plane, _: bicubic(plane, 2),
    ),
    "bicubic_downsampling by an odd factor": Row(
        lambda key: operators.bicubic_downsampling((6, 9, 3), 3),
        lambda operator, plane, _: bicubic(plane, 3),
    ),
    "(forward alone)": Row(
        lambda key: Differences(jax.random.uniform(key, (), minval=0.5), SHAPE),
        lambda operator, plane, _: (
            float(operator.weight) * np.stack([plane - np.roll(plane, 1, a) for a in (0, 1)], -1)
        ),
    ),
}


@functools.cache
def two_of_a_kind(row, x64=True):
    with jax.enable_x64(x64):
        return tuple(map(jax.jit(row.build), jax.random.split(jax.random.key(1))))


def example(row, x64=True):
    """An operator, two images and a measurement that the operator need not reach."""
    operator, _ = two_of_a_kind(row, x64)
    image, measurement = operator.image_shape, operator.measurement_shape
    return operator, normal(*image), normal(*image, seed=1), normal(*measurement, seed=2)


@functools.cache
def matrix(row):
    """A, one column for every entry of an image."""
    operator, _ = two_of_a_kind(row)
    size = math.prod(operator.image_shape)
    columns = jax.jit(jax.vmap(type(operator).forward, (None, 0)))(
        operator, jnp.eye(size).reshape(-1, *operator.image_shape)
    )
    return np.asarray(columns).reshape(size, -1).T


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


def every_channel_alone(row):
    operator, x, _, r = example(row)
    x, y = np.asarray(x), np.asarray(results(operator, x, r, 0.1)[0])
    assert y.shape == operator.measurement_shape
    for channel in range(3):
        assert_close(y[:, :, channel], row.plane(operator, x[:, :, channel], channel))


def linear(row):
    operator, x, _, r = example(row)
    y, _, _ = results(operator, x, r, 0.1)
    assert_close(np.ravel(y), matrix(row) @ np.ravel(x))


def adjoint_in_inner_products(row):
    operator, x, _, r = example(row)
    y, z, _ = results(operator, x, r, 0.1)
    assert_close(np.vdot(y, r), np.vdot(x, z))


@equality
def adjoint_is_the_transposed_program(operator, x, _, r):
    (transposed,) = jax.linear_transpose(operator.forward, x)(r)
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
    return operator.solve(v, y, 0.02), LinearOperator.solve(operator, v, y, 0.02)


def nearest_consistent_image_without_noise(row):
    operator, x, v, _ = example(row)
    A, x, v = matrix(row), np.ravel(x), np.ravel(v)
    _, _, solution = results(
        operator, v.reshape(operator.image_shape), (A @ x).reshape(operator.measurement_shape), 0.0
    )
    assert_close(np.ravel(solution), v + np.linalg.pinv(A, rcond=1e-10) @ A @ (x - v))


def norm_is_the_largest_gain(row):
    operator, x, _, _ = example(row)
    norm = jax.jit(type(operator).norm)(operator)
    by_iteration = type(operator).norm is LinearOperator.norm
    assert_close(norm, np.linalg.norm(matrix(row), 2), 1e-3 if by_iteration else 1e-10)
    assert np.linalg.norm(matrix(row) @ np.ravel(x)) <= norm * np.linalg.norm(x)


@equality
def gradient_of_the_misfit(operator, x, _, y):
    gradient = jax.grad(lambda x: 0.5 * jnp.sum((operator.forward(x) - y) ** 2))(x)
    return gradient, operator.adjoint(operator.forward(x) - y)


@equality
def gradient_through_solve(operator, x, v, y):
    # solve is linear in (v, y), and in v its matrix is symmetric.
    gradient = jax.grad(lambda v: jnp.vdot(x, operator.solve(v, y, 0.1)))(v)
    return gradient, operator.solve(x, 0 * y, 0.1)


def batch_is_loop(row):
    pair = two_of_a_kind(row)
    v, y = normal(2, *pair[0].image_shape), normal(2, *pair[0].measurement_shape, seed=1)

    stack = jax.tree.map(lambda *leaves: np.stack(leaves), *pair)
    batch = jax.jit(jax.vmap(results, in_axes=(0, 0, 0, None)))(stack, v, y, 0.1)
    loop = [results(operator, v[i], y[i], 0.1) for i, operator in enumerate(pair)]
    jax.tree.map(assert_close, batch, jax.tree.map(lambda *leaves: np.stack(leaves), *loop))


def one_trace_for_two(row):
    pair = two_of_a_kind(row)
    x = normal(*pair[0].image_shape)
    traces = 0

    @jax.jit
    def counted(operator, x):
        nonlocal traces
        traces += 1
        return operator.forward(x)

    for operator in pair:
        assert_close(counted(operator, x), operator.forward(x))
    assert traces == 1


def hidden_entries_hold_nothing(row):
    operator, x, _, r = example(row)
    y = np.asarray(results(operator, x, r, 0.1)[0])
    hidden = np.broadcast_to(operator.observed, y.shape) == 0
    assert np.all(y[hidden] == 0)
    if hidden.any():
        noisy = np.asarray(jax.jit(operators.measure)(jax.random.key(3), operator, x, 0.1))
        assert np.all(noisy[hidden] == 0) and np.all(noisy[~hidden] != y[~hidden])


LAWS = (
    every_channel_alone,
    linear,
    adjoint_in_inner_products,
    adjoint_is_the_transposed_program,
    solves_its_normal_equation,
    solves_in_float32,
    closed_form_is_conjugate_gradients,
    nearest_consistent_image_without_noise,
    norm_is_the_largest_gain,
    gradient_of_the_misfit,
    gradient_through_solve,
    batch_is_loop,
    one_trace_for_two,
    hidden_entries_hold_nothing,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", ROWS)
def test_law(name, law):
    with jax.enable_x64(True):
        law(ROWS[name])


def test_every_public_operator_has_a_row():
    factories = {name.split()[0] for name in ROWS}
    classes = {type(two_of_a_kind(row)[0]).__name__ for row in ROWS.values()}
    assert set(operators.__all__) - factories - classes == {"LinearOperator", "measure"}


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


def test_masks_of_any_type_say_what_is_seen():
    seen = np.arange(48).reshape(6, 8, 1) % 3 == 0
    for array in (seen, seen * 255, seen.astype(np.uint8), seen.astype(np.float32)):
        np.testing.assert_array_equal(operators.mask(SHAPE, array).mask, seen.astype(np.float32))


@pytest.mark.parametrize("boundary", ["circular", "reflect"])
def test_gaussian_blurs_of_many_widths_are_one_program(boundary):
    sigmas, x = jnp.array([0.4, 0.9, 1.3]), normal(*SHAPE)
    blurs = jax.jit(jax.vmap(lambda sigma: operators.gaussian_blur(SHAPE, sigma, boundary, radius=2)))(sigmas)
    batch = jax.jit(jax.vmap(lambda blur: blur.forward(x)))(blurs)
    one = jax.jit(lambda sigma: operators.gaussian_blur(SHAPE, sigma, boundary, radius=2).forward(x))
    np.testing.assert_allclose(batch, [one(sigma) for sigma in sigmas], atol=1e-6)


def test_noise_has_the_deviation_asked_for():
    operator = operators.box_mask((64, 64, 3), (0, 16, 32, 32))
    y = jax.jit(operators.measure)(jax.random.key(1), operator, jnp.zeros((64, 64, 3)), 0.3)
    noise, n = np.asarray(y) / 0.3, 3 * (64 * 64 - 32 * 32)
    assert abs(noise.sum()) < 4 * np.sqrt(n)
    assert abs((noise**2).sum() - n) < 4 * np.sqrt(2 * n)
