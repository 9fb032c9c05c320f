"""Measurements `y = A(x)` of one image (H, W, C), each with its exact adjoint or derivative and its data step.

To add one: a registered frozen dataclass that derives from `LinearOperator`, `ClosedForm` or `NonlinearOperator` and
defines `forward`, a factory that checks its arguments, and a row in the law table of its tests.
"""

from pgm_jax.operators.algebra import (
    Composition,
    Function,
    LinearFunction,
    NonlinearComposition,
    NonlinearScaled,
    NonlinearStack,
    Scaled,
    Stack,
    compose,
    from_function,
    scale,
    stack,
)
from pgm_jax.operators.base import SVD, ClosedForm, LinearOperator, NonlinearOperator, measure
from pgm_jax.operators.blur import (
    CircularBlur,
    ReflectingBlur,
    circular_blur,
    gaussian_blur,
    motion_blur,
    reflecting_blur,
)
from pgm_jax.operators.colour import Colourisation, colourisation
from pgm_jax.operators.compressed import (
    CirculantSensing,
    GaussianSensing,
    HadamardSensing,
    circulant_sensing,
    gaussian_sensing,
    hadamard_sensing,
)
from pgm_jax.operators.decimation import BlurDownsampling, blur_downsampling
from pgm_jax.operators.fourier import (
    MRI,
    ComplexFourierSampling,
    ComplexMRI,
    FourierSampling,
    cartesian_mask,
    complex_fourier_sampling,
    complex_mri,
    fourier_sampling,
    mri,
)
from pgm_jax.operators.masks import Mask, bernoulli_mask, box_mask, mask, random_box_mask, random_mask
from pgm_jax.operators.nonlinear import (
    HighDynamicRange,
    Quantisation,
    Saturation,
    SyntheticBlur,
    high_dynamic_range,
    quantisation,
    saturation,
    synthetic_blur,
)
from pgm_jax.operators.phantom import shepp_logan
from pgm_jax.operators.phase import PhaseRetrieval, phase_retrieval
from pgm_jax.operators.resize import average_downsampling, bicubic_downsampling
from pgm_jax.operators.separable import Separable, separable_map
from pgm_jax.operators.solvers import ACCURATE, QUICK, SolveInfo, Stop
from pgm_jax.operators.tomography import Radon, filtered_back_projection, radon

__all__ = [
    "ACCURATE",
    "MRI",
    "QUICK",
    "SVD",
    "BlurDownsampling",
    "CirculantSensing",
    "CircularBlur",
    "ClosedForm",
    "Colourisation",
    "ComplexFourierSampling",
    "ComplexMRI",
    "Composition",
    "FourierSampling",
    "Function",
    "GaussianSensing",
    "HadamardSensing",
    "HighDynamicRange",
    "LinearFunction",
    "LinearOperator",
    "Mask",
    "NonlinearComposition",
    "NonlinearOperator",
    "NonlinearScaled",
    "NonlinearStack",
    "PhaseRetrieval",
    "Quantisation",
    "Radon",
    "ReflectingBlur",
    "Saturation",
    "Scaled",
    "Separable",
    "SolveInfo",
    "Stack",
    "Stop",
    "SyntheticBlur",
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
    "filtered_back_projection",
    "fourier_sampling",
    "from_function",
    "gaussian_blur",
    "gaussian_sensing",
    "hadamard_sensing",
    "high_dynamic_range",
    "mask",
    "measure",
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
    "shepp_logan",
    "stack",
    "synthetic_blur",
]
