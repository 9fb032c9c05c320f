"""Rows of the resizers and of separable maps."""

import jax
import numpy as np
from scipy import ndimage

from operator_rows.row import SHAPE, Row, channel_by_channel, normal
from pgm_jax import operators
from pgm_jax.operators.decimation import blur_downsampling


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


def decimated(operator, plane):
    factor = operator.factor
    return ndimage.convolve(plane, np.asarray(operator.blur.kernel), mode="wrap")[::factor, ::factor]


def separable(key):
    scale = jax.random.uniform(key, minval=0.5)
    return operators.separable_map(SHAPE, scale * normal(4, 6), normal(9, 8))


ROWS = {
    "separable_map": Row(
        separable,
        channel_by_channel(lambda operator, plane: np.asarray(operator.rows) @ plane @ np.asarray(operator.cols).T),
    ),
    "average_downsampling": Row(
        lambda key: operators.average_downsampling(SHAPE, 2),
        channel_by_channel(lambda _, plane: averaged(plane, 2)),
    ),
    "bicubic_downsampling": Row(
        lambda key: operators.bicubic_downsampling(SHAPE, 2),
        channel_by_channel(lambda _, plane: bicubic(plane, 2)),
    ),
    "bicubic_downsampling by an odd factor": Row(
        lambda key: operators.bicubic_downsampling((6, 9, 3), 3),
        channel_by_channel(lambda _, plane: bicubic(plane, 3)),
    ),
    "blur_downsampling": Row(
        lambda key: blur_downsampling((6, 8, 3), normal(5, 3) + jax.random.uniform(key), 2),
        channel_by_channel(decimated),
    ),
    "blur_downsampling by an odd factor": Row(
        lambda key: blur_downsampling((9, 6, 2), normal(3, 5) + jax.random.uniform(key), 3),
        channel_by_channel(decimated),
    ),
    "blur_downsampling that takes frequencies away": Row(
        lambda key: blur_downsampling((6, 8, 3), np.pad(np.ones((3, 3)) / 9, ((1, 1), (0, 0))), 2),
        channel_by_channel(decimated),
    ),
}
