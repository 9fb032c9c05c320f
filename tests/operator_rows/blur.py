"""Rows of the blurs."""

import jax
import numpy as np
from scipy import ndimage

from operator_rows.row import SHAPE, Row, channel_by_channel, normal
from pgm_jax import operators

ROWS = {
    "circular_blur": Row(
        lambda key: operators.circular_blur((5, 7, 3), normal(5, 3) + jax.random.uniform(key)),
        channel_by_channel(lambda operator, plane: ndimage.convolve(plane, np.asarray(operator.kernel), mode="wrap")),
    ),
    "gaussian_blur circular": Row(
        lambda key: operators.gaussian_blur(SHAPE, 0.6),
        channel_by_channel(lambda _, plane: ndimage.gaussian_filter(plane, 0.6, mode="wrap")),
    ),
    "gaussian_blur reflect": Row(
        lambda key: operators.gaussian_blur(SHAPE, 0.6, boundary="reflect"),
        channel_by_channel(lambda _, plane: ndimage.gaussian_filter(plane, 0.6, mode="mirror")),
    ),
}
