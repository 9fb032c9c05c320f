"""Rows of the Radon transform."""

import math

import jax
import numpy as np

from operator_rows.row import Row
from pgm_jax.operators.tomography import radon


def joseph(operator, x):
    """The definition, ray by ray and line by line: the middle of the image's pixel [H // 2, W // 2] does not move."""
    height, width, channels = x.shape
    angles = np.deg2rad(np.asarray(operator.angles))
    y = np.zeros((len(angles), operator.detectors, channels))

    def interpolated(pixels, position):
        before = math.floor(position)
        shares = ((before, before + 1 - position), (before + 1, position - before))
        return sum(share * pixels[k] for k, share in shares if 0 <= k < len(pixels))

    for i, angle in enumerate(angles):
        cos, sin = np.cos(angle), np.sin(angle)
        for j in range(operator.detectors):
            t = j - operator.detectors // 2
            if abs(cos) >= abs(sin):
                for r in range(height):
                    y[i, j] += interpolated(x[r], (t + (r - height // 2) * sin) / cos + width // 2) / abs(cos)
            else:
                for c in range(width):
                    y[i, j] += interpolated(x[:, c], ((c - width // 2) * cos - t) / sin + height // 2) / abs(sin)
    return y


def at_random_angles(shape, detectors=None):
    return lambda key: radon(shape, jax.random.uniform(key, (6,), minval=-90.0, maxval=270.0), detectors)


ROWS = {
    "radon": Row(at_random_angles((7, 6, 1)), joseph, well_conditioned=False),
    "radon on a short detector": Row(at_random_angles((5, 7, 3), 4), joseph),
}
