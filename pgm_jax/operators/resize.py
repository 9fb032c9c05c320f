"""Down-sampling by a whole factor f, the measurement of super-resolution: a kernel u, stretched by f against aliasing.

    y_i = sum_j u((j - c_i) / f) x_j / sum_j u((j - c_i) / f),   c_i = f i + (f - 1) / 2, the middle of pixel i of y

along rows and along columns, hence a `Separable` map. Average: u = 1 for |s| < 1/2. Bicubic: Keys' cubic convolution
kernel with a = -1/2 (IEEE Trans. Acoustics, Speech and Signal Processing 29, 1981),

    u(s) = 3/2 |s|^3 - 5/2 |s|^2 + 1                (|s| <= 1)
    u(s) = -1/2 |s|^3 + 5/2 |s|^2 - 4 |s| + 2       (1 < |s| < 2),   0 beyond.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from pgm_jax.operators.base import check_image_shape
from pgm_jax.operators.checks import check_whole
from pgm_jax.operators.separable import Separable, filter_matrix, separable_map
from pgm_jax.types import Shape


def average_downsampling(image_shape: Shape, factor: int) -> Separable:
    """Every pixel of y is the mean of a square of factor x factor pixels of x.

    Args:
        image_shape: (H, W, C); y is (H / factor, W / factor, C).
        factor: positive common divisor of H and W.
    """
    return _downsampling(image_shape, factor, np.ones_like, width=1)


def bicubic_downsampling(image_shape: Shape, factor: int) -> Separable:
    """Antialiased bicubic reduction with 4 factor taps, the image mirrored at its border with the edge pixel repeated.

    Args:
        image_shape: (H, W, C); y is (H / factor, W / factor, C).
        factor: positive common divisor of H and W.
    """
    return _downsampling(image_shape, factor, _keys, width=4)


def check_factor(image_shape: Shape, factor: int) -> int:
    """The `factor` as an int, if it is a whole number that divides the height and the width of `image_shape`."""
    rows, cols, _ = image_shape
    factor = check_whole("factor is how many pixels of a side become one", factor, 1)
    if rows % factor or cols % factor:
        raise ValueError(
            f"factor {factor} does not divide an image of {rows} x {cols} pixels: "
            "take a positive common divisor of height and width, or crop the image to a multiple of the factor"
        )
    return factor


def _downsampling(image_shape: Shape, factor: int, kernel: Callable, width: int) -> Separable:
    rows, cols, _ = check_image_shape(image_shape)
    factor = check_factor(image_shape, factor)
    before = (width - 1) * factor // 2
    taps = kernel((np.arange(width * factor) - before - (factor - 1) / 2) / factor)
    taps = jnp.asarray(taps / taps.sum(), float)
    matrices = (filter_matrix(taps, size, before, "symmetric", stride=factor) for size in (rows, cols))
    return separable_map(image_shape, *matrices)


def _keys(s: np.ndarray) -> np.ndarray:
    s = np.abs(s)
    near = 1.5 * s**3 - 2.5 * s**2 + 1
    far = -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2
    return np.where(s <= 1, near, np.where(s < 2, far, 0))
