"""Rows of the sampled Fourier transforms."""

import jax
import numpy as np

from operator_rows.row import SHAPE, Row
from pgm_jax.operators import fourier

PAIR = (5, 6, 2)
ODD = (3, 9, 2)


def transform(x):
    """The centred unitary Fourier transform of the last two axes."""
    axes = (-2, -1)
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x, axes), norm="ortho"), axes)


def channels_first(x):
    return np.moveaxis(x, 2, 0)


def sampled(operator, x):
    mask = np.asarray(operator.mask)
    return mask * np.moveaxis(transform(channels_first(x)), 0, 2)


def behind_coils(operator, x):
    coils, mask = np.asarray(operator.coils), np.asarray(operator.mask)
    return np.stack([mask * np.moveaxis(transform(coil * channels_first(x)), 0, 2) for coil in coils])


def complex_image(x):
    return x[..., 0] + 1j * x[..., 1]


def some(key, shape):
    return jax.random.bernoulli(key, 0.4, shape[:2])


def coils(key, count, shape):
    return jax.random.normal(key, (count, *shape[:2]), complex)


def few_columns(key):
    """Fewer numbers than pixels."""
    return fourier.mri(PAIR, fourier.cartesian_mask(key, PAIR, acceleration=6.0, centre=0.0), coils(key, 2, PAIR))


ROWS = {
    "fourier_sampling": Row(lambda key: fourier.fourier_sampling(SHAPE, some(key, SHAPE)), sampled),
    "cartesian_mask": Row(lambda key: fourier.fourier_sampling(ODD, fourier.cartesian_mask(key, ODD)), sampled),
    "complex_fourier_sampling": Row(
        lambda key: fourier.complex_fourier_sampling(PAIR, some(key, PAIR)),
        lambda operator, x: np.asarray(operator.mask) * transform(complex_image(x)),
    ),
    "mri": Row(few_columns, behind_coils),
    "complex_mri": Row(
        lambda key: fourier.complex_mri(PAIR, some(key, PAIR), coils(key, 3, PAIR)),
        lambda operator, x: np.asarray(operator.mask) * transform(np.asarray(operator.coils) * complex_image(x)),
    ),
}
