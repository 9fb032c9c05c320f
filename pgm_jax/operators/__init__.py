"""Linear measurements `y = A x` of one image (H, W, C), each with exact adjoint and regularised inverse.

To add one: a registered frozen dataclass that derives from `LinearOperator` and defines `forward`, a factory that
checks its arguments, and a row in the law table of its tests.
"""

from pgm_jax.operators.base import LinearOperator, measure
from pgm_jax.operators.blur import CircularBlur, circular_blur, gaussian_blur
from pgm_jax.operators.masks import Mask, box_mask, mask, random_mask
from pgm_jax.operators.resize import average_downsampling, bicubic_downsampling
from pgm_jax.operators.separable import Separable, separable_map

__all__ = [
    "CircularBlur",
    "LinearOperator",
    "Mask",
    "Separable",
    "average_downsampling",
    "bicubic_downsampling",
    "box_mask",
    "circular_blur",
    "gaussian_blur",
    "mask",
    "measure",
    "random_mask",
    "separable_map",
]
