"""What a row of the operators' law table says, and the numbers that rows are built of."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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
