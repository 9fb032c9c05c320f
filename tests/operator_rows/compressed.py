"""Rows of compressed sensing."""

import functools

import numpy as np
from scipy import linalg

from operator_rows.row import Row
from pgm_jax.operators.compressed import circulant_sensing, gaussian_sensing, hadamard_sensing


def in_every_channel(plane):
    """(operator, x) -> y for a map (operator, (H, W)) -> y[:, channel]."""
    return lambda operator, x: np.stack([plane(operator, x[:, :, c]) for c in range(x.shape[2])], axis=1)


def mixed(operator, plane):
    """Rows of the Walsh-Hadamard matrix, written out."""
    matrix = linalg.hadamard(plane.size) / np.sqrt(plane.size)
    return matrix[np.asarray(operator.rows)] @ (np.asarray(operator.signs) * plane.ravel())


def convolved(operator, plane):
    """The definition: a sum over all shifts of the image, weighted by the impulse response."""
    response = np.fft.irfft2(operator.spectrum, s=plane.shape)
    shifts = [weight * np.roll(plane, q, (0, 1)) for q, weight in np.ndenumerate(response)]
    return np.sum(shifts, axis=0).ravel()[np.asarray(operator.pixels)]


ROWS = {
    "gaussian_sensing": Row(
        functools.partial(gaussian_sensing, image_shape=(5, 4, 3), count=17),
        lambda operator, x: np.asarray(operator.matrix) @ x.ravel(),
    ),
    "hadamard_sensing": Row(
        functools.partial(hadamard_sensing, image_shape=(4, 8, 3), count=9), in_every_channel(mixed)
    ),
    "circulant_sensing": Row(
        functools.partial(circulant_sensing, image_shape=(5, 7, 3), count=11), in_every_channel(convolved)
    ),
    "circulant_sensing of even sides": Row(
        functools.partial(circulant_sensing, image_shape=(6, 8, 2), count=13), in_every_channel(convolved)
    ),
}
