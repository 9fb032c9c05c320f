"""Rows of the operators that are no linear maps."""

import jax
import numpy as np
from scipy import ndimage

from operator_rows.row import Row, channel_by_channel
from pgm_jax.operators import nonlinear

SHAPE = (6, 7, 3)
BLACK = 0.055 / 1.055


def light(x, gamma):
    """The definition, piece by piece."""
    t = ((x + 1) / 2 + 0.055) / 1.055
    return np.where(t > BLACK, np.abs(t) ** gamma, BLACK**gamma + gamma * BLACK ** (gamma - 1) * (t - BLACK))


def pixels(light, gamma):
    dark = BLACK + (light - BLACK**gamma) / (gamma * BLACK ** (gamma - 1))
    t = np.where(light > BLACK**gamma, np.abs(light) ** (1 / gamma), dark)
    return 2 * (1.055 * t - 0.055) - 1


def blurred(operator, plane):
    gamma, weights = float(operator.gamma), np.asarray(operator.weights)
    planes = [ndimage.convolve(light(plane, gamma), np.asarray(k), mode="mirror") for k in operator.kernels]
    return pixels(sum(weights[:, :, k] * plane for k, plane in enumerate(planes)), gamma)


def nearest(operator, x):
    values = np.linspace(-1, 1, int(operator.levels))
    return values[np.abs(x[..., None] - values).argmin(-1)]


def above_one(key):
    return 1 + jax.random.uniform(key, minval=0.2)


NONLINEAR = {
    "synthetic_blur": Row(
        lambda key: nonlinear.synthetic_blur(key, SHAPE, 1 + above_one(key), widths=(0.4, 1.2), fields=3),
        channel_by_channel(blurred),
    ),
    "high_dynamic_range": Row(
        lambda key: nonlinear.high_dynamic_range(SHAPE, above_one(key)),
        lambda operator, x: np.clip(float(operator.gain) * x, -1, 1),
    ),
    "saturation": Row(
        lambda key: nonlinear.saturation(SHAPE, above_one(key)),
        lambda operator, x: np.minimum(float(operator.gain) * (x + 1), 2) - 1,
    ),
    "quantisation": Row(
        lambda key: nonlinear.quantisation(SHAPE, jax.random.randint(key, (), 3, 20)),
        nearest,
        straight_through=True,
    ),
}
