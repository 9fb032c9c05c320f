"""Measurements `y = A(x)` of one image (H, W, C), each with its exact adjoint or derivative and its data step.

To add one: a registered frozen dataclass that derives from `LinearOperator`, `ClosedForm` or `NonlinearOperator` and
defines `forward`, a factory that checks its arguments, and a row in the law table of its tests.
"""

from pgm_jax.operators.base import SVD, ClosedForm, LinearOperator, NonlinearOperator, measure
from pgm_jax.operators.blur import CircularBlur, circular_blur, gaussian_blur
from pgm_jax.operators.masks import Mask, box_mask, mask, random_mask
from pgm_jax.operators.resize import average_downsampling, bicubic_downsampling
from pgm_jax.operators.separable import Separable, separable_map
from pgm_jax.operators.solvers import ACCURATE, QUICK, SolveInfo, Stop

__all__ = [
    "ACCURATE",
    "QUICK",
    "SVD",
    "CircularBlur",
    "ClosedForm",
    "LinearOperator",
    "Mask",
    "NonlinearOperator",
    "Separable",
    "SolveInfo",
    "Stop",
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
