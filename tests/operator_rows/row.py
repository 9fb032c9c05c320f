"""What a row of the operators' law tables says, and the numbers that rows and laws are built of.

Compiling takes nearly all of the time: arithmetic in the tests is numpy's, and a row has few programs, which several
laws read.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pgm_jax.operators import Solver
from pgm_jax.potentials import Gaussian, GaussianLikelihood
from pgm_jax.proximal import data_first, explicit, forward_backward, parallel, prior_first

SHAPE = (6, 8, 3)


class Row(NamedTuple):
    """How to build an operator, and what it does to an image, said without jax."""

    build: Callable[[jax.Array], Any]  # the key is for operators with random numbers
    image: Callable[[Any, np.ndarray], np.ndarray]  # (operator, x) -> A(x)
    well_conditioned: bool = True  # conjugate gradients reach A^+ y in float64
    straight_through: bool = False  # its derivative is a stand-in, not that of finite differences


def channel_by_channel(plane):
    """(operator, x) -> y for a map (operator, (H, W)) -> y[:, :, channel] that takes every channel alone."""
    return lambda operator, x: np.stack([plane(operator, x[:, :, c]) for c in range(x.shape[2])], axis=2)


def normal(*shape, seed=0):
    """Standard normal numbers of numpy, in the floating type of the moment."""
    return np.random.default_rng(seed).standard_normal(shape).astype(jnp.result_type(float))


@jax.jit
def forward(operator, x):
    """A(x): operators of one kind share the program."""
    return operator.forward(x)


class Program:
    """A function under `jit` that counts its traces."""

    def __init__(self, function):
        self.traces = 0

        def counted(*arguments):
            self.traces += 1
            return function(*arguments)

        self.compiled = jax.jit(counted)

    def __call__(self, *arguments):
        return jax.device_get(self.compiled(*arguments))


def draw(row):
    """Two operators stacked, from two keys, as arrays of numpy."""
    keys = jax.random.split(jax.random.key(1))
    return jax.device_get(jax.jit(jax.vmap(lambda key: row.build(key)))(keys))


stack_of_two = functools.cache(draw)


def two_of_a_kind(row):
    """Two operators of a row, one after another."""
    leaves, tree = jax.tree.flatten(stack_of_two(row))
    return [jax.tree.unflatten(tree, [leaf[i] for leaf in leaves]) for i in range(2)]


def drawn_from_its_key_alone(row):
    """A law of both tables: the same key makes the same operator, whatever the global seed."""
    first = stack_of_two(row)
    np.random.seed(5)  # noqa: NPY002 - a global seed is of no account
    jax.tree.map(np.testing.assert_array_equal, first, draw(row))


def assert_close(actual, expected, tolerance=1e-10, size=0.0):
    """The error is at most `tolerance` of the expected norm, or of `size`."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.linalg.norm(actual - expected) <= tolerance * max(np.linalg.norm(expected), size)


def splittings(operator, v, y):
    """The point that every splitting of the prox of a posterior makes of v."""
    prior = Gaussian(jnp.zeros(operator.image_shape), 0.5)
    likelihood = GaussianLikelihood(operator, y, 0.3, solver=Solver(1e-3, 20, 3))
    return [
        split(prior, likelihood)(v, 0.01) for split in (data_first, prior_first, forward_backward, parallel, explicit)
    ]
