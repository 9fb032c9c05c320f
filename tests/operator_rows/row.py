"""What a row of the operators' law table says, and the numbers that rows are built of."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pgm_jax.operators import Solver
from pgm_jax.potentials import Gaussian, GaussianLikelihood
from pgm_jax.proximal import data_first, explicit, forward_backward, parallel, prior_first

SHAPE = (6, 8, 3)


class Row(NamedTuple):
    """How to build an operator, and what it does to an image, said without jax."""

    build: Callable[[jax.Array], object]  # the key is for operators with random numbers
    image: Callable[[object, np.ndarray], np.ndarray]  # (operator, x) -> A(x)
    well_conditioned: bool = True  # conjugate gradients reach A^+ y in float64
    straight_through: bool = False  # its derivative is a stand-in, not that of finite differences


def channel_by_channel(plane):
    """(operator, x) -> y for a map (operator, (H, W)) -> y[:, :, channel] that takes every channel alone."""
    return lambda operator, x: np.stack([plane(operator, x[:, :, c]) for c in range(x.shape[2])], axis=2)


def normal(*shape, seed=0):
    """Standard normal numbers in the floating type of the moment."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), float)


@functools.cache
def two_of_a_kind(row, x64=True):
    """Two operators of a row, from two keys."""
    with jax.enable_x64(x64):
        return tuple(row.build(key) for key in jax.random.split(jax.random.key(1)))


def one_trace_for_two(row):
    """A law of both tables: operators of one kind share a program."""
    pair = two_of_a_kind(row)
    x = normal(*pair[0].image_shape)
    traces = 0

    @jax.jit
    def counted(operator, x):
        nonlocal traces
        traces += 1
        return operator.forward(x)

    for operator in pair:
        actual, expected = np.asarray(counted(operator, x)), np.asarray(operator.forward(x))
        assert actual.shape == expected.shape
        assert np.linalg.norm(actual - expected) <= 1e-10 * np.linalg.norm(expected)
    assert traces == 1


def drawn_from_its_key_alone(row):
    """A law of both tables: the same key makes the same operator, whatever the global seed."""
    operator, _ = two_of_a_kind(row)
    np.random.seed(5)  # noqa: NPY002 - a global seed is of no account
    again = row.build(jax.random.split(jax.random.key(1))[0])
    jax.tree.map(np.testing.assert_array_equal, operator, again)


@jax.jit
def splittings(operator, v, y):
    """The point that every splitting of the prox of a posterior makes of v, in one program."""
    prior = Gaussian(jnp.zeros(operator.image_shape), 0.5)
    likelihood = GaussianLikelihood(operator, y, 0.3, solver=Solver(1e-3, 20, 3))
    return [
        split(prior, likelihood)(v, 0.01) for split in (data_first, prior_first, forward_backward, parallel, explicit)
    ]
