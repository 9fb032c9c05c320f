"""Rows of phase retrieval."""

import jax
import numpy as np

from operator_rows.row import Row, channel_by_channel
from pgm_jax.operators import phase

SHAPE = (4, 6, 2)


def magnitudes(operator, plane):
    height, width = plane.shape
    rows, cols = height // 2, width // 2  # at an oversampling of 4
    padded = np.zeros((height + 2 * rows, width + 2 * cols))
    padded[rows : rows + height, cols : cols + width] = float(operator.scale) * plane + float(operator.shift)
    # Where the middle of the image lies changes phases alone; where that of the spectrum lies does not.
    return np.fft.fftshift(np.abs(np.fft.fft2(padded))) / np.sqrt(padded.size)


def ranged(key):
    """The image in [low, 1] for a low in [0, 1/2)."""
    return phase.phase_retrieval(SHAPE, 4.0, (jax.random.uniform(key, maxval=0.5), 1.0))


NONLINEAR = {
    "phase_retrieval": Row(ranged, channel_by_channel(magnitudes)),
}
