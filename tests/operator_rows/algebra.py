"""Rows of composed, stacked and scaled operators, and of those made from functions."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy import ndimage

from operator_rows.row import SHAPE, Row, normal
from pgm_jax import operators


def kernel(key):
    return normal(3, 3) + jax.random.uniform(key)


def blurred(kernel, x):
    return np.stack([ndimage.convolve(x[:, :, c], np.asarray(kernel), mode="wrap") for c in range(3)], axis=2)


def composed(key):
    return operators.compose(operators.average_downsampling(SHAPE, 2), operators.circular_blur(SHAPE, kernel(key)))


def stacked(key):
    parts = operators.circular_blur(SHAPE, kernel(key)), operators.average_downsampling(SHAPE, 2)
    return operators.stack(*parts)


def bent(x):
    return x + 0.3 * x**2


def bent_then_blurred(key):
    return operators.compose(operators.circular_blur(SHAPE, kernel(key)), operators.from_function(bent, SHAPE))


def saturated(gain, x):
    return jnp.tanh(gain * x)


def halved(x):
    return x.reshape(3, 2, 4, 2, 3).mean((1, 3))


def spectrum(gain, x):
    return gain * jnp.fft.fft(x, axis=1)


ROWS = {
    "compose": Row(composed, lambda operator, x: halved(blurred(operator.inner.kernel, x))),
    "stack": Row(
        stacked, lambda operator, x: np.concatenate([blurred(operator.parts[0].kernel, x).ravel(), halved(x).ravel()])
    ),
    "scale": Row(
        lambda key: operators.scale(
            jax.random.uniform(key, (), minval=0.5), operators.gaussian_blur(SHAPE, 0.6, boundary="reflect")
        ),
        lambda operator, x: float(operator.factor) * ndimage.gaussian_filter(x, (0.6, 0.6, 0), mode="mirror"),
    ),
    "from_function": Row(
        lambda key: operators.from_function(
            Partial(spectrum, jax.random.uniform(key, (6, 1, 1), minval=0.5)), SHAPE, True
        ),
        lambda operator, x: np.asarray(operator.function.args[0]) * np.fft.fft(x, axis=1),
    ),
}

NONLINEAR = {
    "compose": Row(bent_then_blurred, lambda operator, x: blurred(operator.outer.kernel, bent(x))),
    "stack": Row(
        lambda key: operators.stack(operators.circular_blur(SHAPE, kernel(key)), bent_then_blurred(key)),
        lambda operator, x: np.concatenate([blurred(operator.parts[0].kernel, z).ravel() for z in (x, bent(x))]),
    ),
    "scale": Row(
        lambda key: operators.scale(jax.random.uniform(key, (), minval=0.5), bent_then_blurred(key)),
        lambda operator, x: float(operator.factor) * blurred(operator.operator.outer.kernel, bent(x)),
    ),
    "from_function": Row(
        lambda key: operators.from_function(Partial(saturated, jax.random.uniform(key)), SHAPE),
        lambda operator, x: np.tanh(float(operator.function.args[0]) * x),
    ),
}
