"""Rows of the blurs."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from operator_rows.row import SHAPE, Row, channel_by_channel, normal
from pgm_jax.operators.blur import circular_blur, gaussian_blur, motion_blur, reflecting_blur


def convolved(mode):
    """A kernel's convolution with the boundary that scipy calls `mode`."""
    return channel_by_channel(lambda operator, plane: ndimage.convolve(plane, np.asarray(operator.kernel), mode=mode))


ROWS = {
    "circular_blur": Row(
        lambda key: circular_blur((5, 7, 3), normal(5, 5) + jax.random.uniform(key)), convolved("wrap")
    ),
    "circular_blur of an even image": Row(
        lambda key: circular_blur((6, 4, 2), normal(5, 3) + jax.random.uniform(key)), convolved("wrap")
    ),
    "circular_blur that takes frequencies away": Row(
        lambda key: circular_blur((6, 4, 2), np.pad(np.ones((3, 3)) / 9, ((1, 1), (0, 0)))), convolved("wrap")
    ),
    "reflecting_blur": Row(
        lambda key: reflecting_blur(
            (5, 7, 2), jnp.pad(normal(5, 3), ((0, 0), (1, 1))).at[2, 2].set(6 + jax.random.uniform(key))
        ),
        convolved("mirror"),
    ),
    "gaussian_blur circular": Row(
        lambda key: gaussian_blur((5, 7, 3), (0.6, 0.8)),
        channel_by_channel(lambda _, plane: ndimage.gaussian_filter(plane, (0.6, 0.8), mode="wrap")),
    ),
    "gaussian_blur reflect": Row(
        lambda key: gaussian_blur(SHAPE, 0.6, boundary="reflect"),
        channel_by_channel(lambda _, plane: ndimage.gaussian_filter(plane, 0.6, mode="mirror")),
    ),
    "motion_blur circular": Row(lambda key: motion_blur(key, (5, 7, 3), size=5), convolved("wrap")),
    "motion_blur reflect": Row(lambda key: motion_blur(key, (5, 7, 2), 5, boundary="reflect"), convolved("mirror")),
}
