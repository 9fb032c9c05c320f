"""Measurements `y = A(x)` of one image (H, W, C), each with its exact adjoint or derivative and its data step.

A factory raises TypeError or ValueError, in words, for what cannot be built.

To add one: a registered frozen dataclass that derives from `LinearOperator`, `ClosedForm` or `NonlinearOperator` and
defines `forward`, a factory that checks its arguments, and a row in the law table of its tests.
"""

from pgm_jax.operators.algebra import compose, scale, stack
from pgm_jax.operators.base import SVD, ClosedForm, LinearOperator, NonlinearOperator
from pgm_jax.operators.blur import circular_blur, gaussian_blur, motion_blur, reflecting_blur
from pgm_jax.operators.colour import colourisation
from pgm_jax.operators.compressed import circulant_sensing, gaussian_sensing, hadamard_sensing
from pgm_jax.operators.decimation import blur_downsampling
from pgm_jax.operators.fourier import cartesian_mask, complex_fourier_sampling, complex_mri, fourier_sampling, mri
from pgm_jax.operators.functions import from_function
from pgm_jax.operators.masks import bernoulli_mask, box_mask, mask, random_box_mask, random_mask
from pgm_jax.operators.nonlinear import high_dynamic_range, quantisation, saturation, synthetic_blur
from pgm_jax.operators.phase import phase_retrieval
from pgm_jax.operators.resize import average_downsampling, bicubic_downsampling
from pgm_jax.operators.separable import separable_map
from pgm_jax.operators.solvers import ACCURATE, QUICK, SolveInfo, Solver
from pgm_jax.operators.tomography import radon

__all__ = [
    "ACCURATE",
    "QUICK",
    "SVD",
    "ClosedForm",
    "LinearOperator",
    "NonlinearOperator",
    "SolveInfo",
    "Solver",
    "average_downsampling",
    "bernoulli_mask",
    "bicubic_downsampling",
    "blur_downsampling",
    "box_mask",
    "cartesian_mask",
    "circulant_sensing",
    "circular_blur",
    "colourisation",
    "complex_fourier_sampling",
    "complex_mri",
    "compose",
    "fourier_sampling",
    "from_function",
    "gaussian_blur",
    "gaussian_sensing",
    "hadamard_sensing",
    "high_dynamic_range",
    "mask",
    "motion_blur",
    "mri",
    "phase_retrieval",
    "quantisation",
    "radon",
    "random_box_mask",
    "random_mask",
    "reflecting_blur",
    "saturation",
    "scale",
    "separable_map",
    "stack",
    "synthetic_blur",
]
