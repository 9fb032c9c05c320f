"""Every nonlinear operator obeys every law: rows from `operator_rows`, in float64 where nothing else is said."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import law_test
from operator_rows import NONLINEAR
from operator_rows.row import (
    Program,
    assert_close,
    drawn_from_its_key_alone,
    normal,
    splittings,
    stack_of_two,
    two_of_a_kind,
)

from pgm_jax.operators import Solver

FAST = {"saturation"}

SMALL = 1e-3  # what a derivative that vanishes is compared with


class Example(NamedTuple):
    """Two operators of a row, and for each of them an image x, a direction d, A(x) and a measurement r."""

    pair: list[Any]
    x: np.ndarray
    d: np.ndarray
    image: np.ndarray
    r: np.ndarray


@functools.cache
def example(row):
    pair = two_of_a_kind(row)
    x, d = picture(pair[0]), normal(2, *pair[0].image_shape, seed=1)
    image = np.stack([row.image(operator, x) for operator, x in zip(pair, x, strict=True)])
    return Example(pair, x, d, image, normal(*image.shape, seed=2))


def picture(operator, seed=0):
    """Two images inside [-1, 1], away from the places where clipping has a kink."""
    return 0.45 * np.tanh(normal(2, *operator.image_shape, seed=seed))


def derive(operator, x, d, r):
    """A(x), and by `linearize`; J d; J^T r by `linearize` and by `vjp`."""
    y, derivative = operator.linearize(x)
    return operator.forward(x), y, derivative.forward(d), derivative.adjoint(r), operator.vjp(x, r)


DERIVATIVES = Program(derive)
OF_BOTH = Program(jax.vmap(derive))
SOLVED = Program(lambda operator, *problem: (*operator.solve_with_info(*problem), operator.norm()))


def both(row, x, d=None, r=None):
    """The derivatives of both operators of a row."""
    e = example(row)
    return OF_BOTH(stack_of_two(row), x, e.d if d is None else d, e.r if r is None else r)


def is_what_it_says(row):
    e = example(row)
    y, again, *_ = both(row, e.x)
    assert y.shape[1:] == jax.tree.map(jnp.asarray, e.pair[0]).measurement_shape
    assert_close(y, e.image, 1e-9)
    assert_close(again, y)


def derivative_is_that_of_finite_differences(row):
    if row.straight_through:
        pytest.skip("the derivative of a rounding is a stand-in")
    e, h = example(row), 1e-5
    _, _, along, *_ = both(row, e.x)
    above, below = (both(row, e.x + step * e.d)[0] for step in (h, -h))
    assert_close(along, (above - below) / (2 * h), 1e-6, SMALL)


def adjoint_of_the_derivative(row):
    e = example(row)
    check_adjoint(*(part[0] for part in both(row, e.x)[2:]), e.d[0], e.r[0], 1e-10)


def adjoint_of_the_derivative_in_float32(row):
    e = example(row)
    with jax.enable_x64(False):
        _, _, along, back, pulled = DERIVATIVES(e.pair[0], e.x[0], e.d[0], e.r[0])
    assert along.dtype == back.dtype == np.float32
    check_adjoint(along, back, pulled, e.d[0], e.r[0], 1e-5)


def check_adjoint(along, back, pulled, d, r, tolerance):
    assert abs(np.vdot(along, r) - np.vdot(d, back)) <= tolerance * (np.linalg.norm(along) * np.linalg.norm(r) + SMALL)
    assert_close(back, pulled, tolerance, SMALL)


def solves_its_stationarity(row):
    if row.straight_through:
        pytest.skip("the derivative of a rounding is not that of its objective")
    e, rho = example(row), 0.1
    operator, y, v = e.pair[0], e.image[0], picture(e.pair[0], 3)[0]

    def value_and_slope(u):
        image, *_ = DERIVATIVES(operator, u, e.d[0], e.r[0])
        *_, pulled = DERIVATIVES(operator, u, e.d[0], image - y)
        return np.sum((image - y) ** 2) + rho * np.sum((u - v) ** 2), np.linalg.norm(pulled + rho * (u - v))

    for start in (v, e.x[0]):
        x, info, _ = SOLVED(operator, v, y, rho, Solver(1e-6, rounds=200), start)
        (now, slope), (before, _), (_, first) = (value_and_slope(u) for u in (x, start, v))
        assert now <= before
        assert_close(info.residual, slope / first, 1e-6, SMALL)
        assert info.residual <= 1e-6


def batch_is_loop(row):
    e = example(row)
    batch = both(row, e.x)
    loop = [DERIVATIVES(e.pair[i], e.x[i], e.d[i], e.r[i]) for i in range(2)]
    for part, first, second in zip(batch, *loop, strict=True):
        assert_close(part, np.stack([first, second]), size=SMALL)


def one_trace_for_two(row):
    e = example(row)
    DERIVATIVES(e.pair[0], e.x[0], e.d[0], e.r[0])
    traces = DERIVATIVES.traces
    y, *_ = DERIVATIVES(e.pair[1], e.x[1], e.d[1], e.r[1])
    assert_close(y, e.image[1], 1e-9)
    assert DERIVATIVES.traces == traces


def finite_far_outside(row):
    e = example(row)
    far = 30 * normal(2, *e.pair[0].image_shape)
    for x in (far, 0 * far):
        assert all(np.isfinite(part).all() for part in both(row, x, far, 1 + 0 * e.r))


def every_splitting_takes_it(row):
    e = example(row)
    for point in jax.eval_shape(splittings, e.pair[0], e.x[0], e.r[0]):
        assert point.shape == e.x[0].shape and point.dtype == np.float64
    # What they are made of.
    x, info, norm = SOLVED(e.pair[0], e.x[0], e.r[0], 0.1, Solver(1e-3, 20, 3), e.x[0])
    _, _, _, gradient, _ = both(row, e.x)
    assert np.isfinite(x).all() and np.isfinite(gradient).all() and 0 < norm < np.inf


LAWS = (
    is_what_it_says,
    derivative_is_that_of_finite_differences,
    adjoint_of_the_derivative,
    adjoint_of_the_derivative_in_float32,
    solves_its_stationarity,
    batch_is_loop,
    finite_far_outside,
    one_trace_for_two,
    every_splitting_takes_it,
    drawn_from_its_key_alone,
)
test_law = law_test(NONLINEAR, LAWS)
