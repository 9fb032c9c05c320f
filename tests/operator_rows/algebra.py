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
    return operators.average_downsampling(SHAPE, 2) @ operators.circular_blur(SHAPE, kernel(key))


def stacked(key):
    parts = operators.circular_blur(SHAPE, kernel(key)), operators.average_downsampling(SHAPE, 2)
    return operators.stack(*parts)


def weights(key, shape):
    """Positive and negative numbers, and zeros."""
    sizes = jax.random.uniform(key, shape, minval=0.5) * jax.random.rademacher(key, shape)
    return jnp.where(jax.random.uniform(jax.random.fold_in(key, 1), shape) < 0.2, 0, sizes)


def weighted_mask(key):
    return weights(key, (8, 1)) * operators.mask(SHAPE, jax.random.bernoulli(key, 0.6, SHAPE))


def adjoint(key):
    scale = jax.random.uniform(key, minval=0.5)
    return operators.separable_map((4, 9, 3), scale * normal(6, 4), 0.3 * normal(8, 9)).T


def gram(key):
    camera = operators.fourier_sampling(SHAPE, jax.random.bernoulli(key, 0.6, SHAPE[:2]))
    return camera.T @ camera


def sampled(operator, x):
    mask = np.asarray(operator.inner.mask)
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x, (0, 1)), axes=(0, 1)), (0, 1))
    return np.real(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(mask * spectrum, (0, 1)), axes=(0, 1)), (0, 1)))


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


def weighted_spectrum(key):
    return weights(key, (6, 1, 1)) * operators.from_function(Partial(spectrum, jnp.ones(())), SHAPE)


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
    "scale by weights": Row(
        lambda key: weights(key, SHAPE) * operators.gaussian_blur(SHAPE, 0.5),
        lambda operator, x: np.asarray(operator.outer.mask) * ndimage.gaussian_filter(x, (0.5, 0.5, 0), mode="wrap"),
    ),
    "scale by weights of a spectrum": Row(
        weighted_spectrum, lambda operator, x: np.asarray(operator.outer.mask) * np.fft.fft(x, axis=1)
    ),
    "scale by weights of a mask": Row(weighted_mask, lambda operator, x: np.asarray(operator.mask) * x),
    "A.T": Row(
        adjoint,
        lambda operator, x: np.einsum("ih,ijc,jw->hwc", operator.T.rows, x, operator.T.cols),
    ),
    "A.T @ A": Row(gram, sampled),
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
        lambda key: jax.random.uniform(key, (), minval=0.5) * bent_then_blurred(key),
        lambda operator, x: float(operator.factor) * blurred(operator.operator.outer.kernel, bent(x)),
    ),
    "scale by weights": Row(
        lambda key: bent_then_blurred(key) * weights(key, SHAPE),
        lambda operator, x: np.asarray(operator.outer.mask) * blurred(operator.inner.outer.kernel, bent(x)),
    ),
    "from_function": Row(
        lambda key: operators.from_function(Partial(saturated, jax.random.uniform(key)), SHAPE),
        lambda operator, x: np.tanh(float(operator.function.args[0]) * x),
    ),
}
