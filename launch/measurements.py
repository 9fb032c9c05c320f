"""Factories of operators whose arrays are made from the plain numbers that a configuration can hold."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from pgm_jax import operators
from pgm_jax.networks.blur_net import blur_network, blur_params
from pgm_jax.networks.torch_weights import read_state_dict
from pgm_jax.types import Key, Operator, Shape


def tomography(
    image_shape: Shape, views: int = 30, detectors: int | None = None, first: float = 0.0, span: float = 180.0
) -> Operator:
    """Parallel projections at `views` angles, `first` and on in equal steps of span / views degrees; see `radon`."""
    if views < 1:
        raise ValueError(f"views is the number of angles, at least 1, and is {views}")
    angles = first + np.linspace(0.0, span, views, endpoint=False)
    return operators.radon(image_shape, jnp.asarray(angles, float), detectors)


def cartesian_sampling(key: Key, image_shape: Shape, acceleration: float = 4.0, centre: float = 0.08) -> Operator:
    """Fourier transforms of which whole columns are sampled, see `cartesian_mask`."""
    return operators.fourier_sampling(image_shape, operators.cartesian_mask(key, image_shape, acceleration, centre))


def cartesian_mri(
    key: Key, image_shape: Shape, coils: ArrayLike, acceleration: float = 4.0, centre: float = 0.08
) -> Operator:
    """The same behind receive coils of the sensitivities `coils`, (K, H, W), see `mri`."""
    return operators.mri(image_shape, operators.cartesian_mask(key, image_shape, acceleration, centre), coils)


def compressed_sensing(key: Key, image_shape: Shape, ratio: float = 4.0) -> Operator:
    """A measurement for every `ratio` pixels of a channel, see `hadamard_sensing`."""
    height, width, _ = image_shape
    if ratio < 1:
        raise ValueError(f"ratio is the number of pixels for one measurement, at least 1, and is {ratio}")
    return operators.hadamard_sensing(key, image_shape, int(height * width / ratio))


def nonlinear_blur(key: Key, image_shape: Shape, weights: str) -> Operator:
    """The blur network whose published weights, GOPRO_wVAE.pth, are the file `weights`, see `blur_network`."""
    return blur_network(key, image_shape, blur_params(read_state_dict(weights)))


def denoising(image_shape: Shape) -> Operator:
    """The image itself, y = x."""
    return operators.circular_blur(image_shape, np.ones((1, 1)))


def short_blur(image_shape: Shape, taps: int, down: float = np.inf, across: float = np.inf) -> Operator:
    """A blur by `taps` taps along columns and along rows, Gaussian of deviations `down` and `across` in pixels.

    An infinite deviation gives equal taps. They sum to 1, and outside of the image there are zeros.
    """
    if taps < 1 or taps % 2 == 0:
        raise ValueError(f"taps is the length of the blur in pixels, odd so that it has a middle, and is {taps}")
    if not min(down, across) > 0:
        raise ValueError(f"down and across are deviations in pixels, above 0, and are {down} and {across}")

    def banded(size: int, deviation: float) -> np.ndarray:
        weights = np.exp(-0.5 * ((np.arange(taps) - taps // 2) / deviation) ** 2)
        middle = np.arange(size)[:, None] - np.arange(size) + taps // 2
        inside = (middle >= 0) & (middle < taps)
        return np.where(inside, (weights / weights.sum())[np.clip(middle, 0, taps - 1)], 0.0)

    height, width, _ = image_shape
    return operators.separable_map(image_shape, banded(height, down), banded(width, across))
