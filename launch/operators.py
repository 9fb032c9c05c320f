"""Operators by the name that a task gives.

random_mask                one of `NAMED`
my_module:make_operator    yours: make_operator(image_shape, **settings); where the task says `drawn`, it is random:
                           make_operator(key, image_shape, **settings)
"""

import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from launch.config import known
from pgm_jax import operators as ops
from pgm_jax.files import read_arrays
from pgm_jax.networks.blur_net import blur_network, blur_params
from pgm_jax.networks.torch_weights import read_state_dict
from pgm_jax.types import Key, Operator, Shape

ARRAYS = {"angles", "coils", "cols", "kernel", "mask", "rows", "seen", "weights"}  # settings that hold many numbers
PARTS = ("image_shape", "observed", "forward", "vjp", "solve", "norm")  # of an operator


def cartesian_sampling(key: Key, image_shape: Shape, acceleration: float = 4.0, centre: float = 0.08) -> Operator:
    """Fourier transforms of which whole columns are sampled, see `cartesian_mask`."""
    return ops.fourier_sampling(image_shape, ops.cartesian_mask(key, image_shape, acceleration, centre))


def cartesian_mri(
    key: Key, image_shape: Shape, coils: ArrayLike, acceleration: float = 4.0, centre: float = 0.08
) -> Operator:
    """The same behind receive coils of the sensitivities `coils`, (K, H, W), see `mri`."""
    return ops.mri(image_shape, ops.cartesian_mask(key, image_shape, acceleration, centre), coils)


def compressed_sensing(key: Key, image_shape: Shape, ratio: float = 4.0) -> Operator:
    """One measurement for every `ratio` pixels of a channel, see `hadamard_sensing`."""
    height, width, _ = image_shape
    if ratio < 1:
        raise ValueError(f"ratio is the number of pixels for one measurement, at least 1, and is {ratio}")
    return ops.hadamard_sensing(key, image_shape, int(height * width / ratio))


def nonlinear_blur(key: Key, image_shape: Shape, weights: str) -> Operator:
    """The blur network whose published weights, GOPRO_wVAE.pth, are the file `weights`, see `blur_network`."""
    return blur_network(key, image_shape, blur_params(read_state_dict(weights)))


def denoising(image_shape: Shape) -> Operator:
    """The image itself, y = x."""
    return ops.average_downsampling(image_shape, 1)


class Named(NamedTuple):
    """A factory of operators, and what a task may say to it."""

    make: Callable[..., Operator]
    required: str = ""  # settings without a default, by their names
    optional: str = ""
    drawn: str | None = None  # what is random is drawn anew for "each" image or "once" for all; None: nothing is random

    @property
    def settings(self) -> list[str]:
        """What a task may say: the settings of the factory and, where it is random, of the draw."""
        return [*self.required.split(), *self.optional.split(), *(("drawn", "seed") if self.drawn else ())]


NAMED = dict(
    average_downsampling=Named(ops.average_downsampling, "factor"),
    bernoulli_mask=Named(ops.bernoulli_mask, "", "hidden shared", "each"),
    bicubic_downsampling=Named(ops.bicubic_downsampling, "factor"),
    blur_downsampling=Named(ops.blur_downsampling, "kernel factor"),
    box_mask=Named(ops.box_mask, "box"),
    cartesian_mri=Named(cartesian_mri, "coils", "acceleration centre", "once"),
    cartesian_sampling=Named(cartesian_sampling, "", "acceleration centre", "once"),
    circulant_sensing=Named(ops.circulant_sensing, "count", "", "once"),
    circular_blur=Named(ops.circular_blur, "kernel"),
    colourisation=Named(ops.colourisation, "", "weights"),
    complex_fourier_sampling=Named(ops.complex_fourier_sampling, "mask"),
    complex_mri=Named(ops.complex_mri, "mask coils"),
    compressed_sensing=Named(compressed_sensing, "", "ratio", "once"),
    denoising=Named(denoising),
    fourier_sampling=Named(ops.fourier_sampling, "mask"),
    gaussian_blur=Named(ops.gaussian_blur, "width", "boundary truncate radius"),
    gaussian_sensing=Named(ops.gaussian_sensing, "count", "", "once"),
    hadamard_sensing=Named(ops.hadamard_sensing, "count", "", "once"),
    high_dynamic_range=Named(ops.high_dynamic_range, "", "gain"),
    mask=Named(ops.mask, "seen"),
    motion_blur=Named(ops.motion_blur, "", "size intensity boundary", "once"),
    mri=Named(ops.mri, "mask coils"),
    nonlinear_blur=Named(nonlinear_blur, "weights", "", "once"),
    phase_retrieval=Named(ops.phase_retrieval, "", "oversampling image_range"),
    quantisation=Named(ops.quantisation, "levels"),
    radon=Named(ops.radon, "angles", "detectors"),
    random_box_mask=Named(ops.random_box_mask, "size", "margin", "each"),
    random_mask=Named(ops.random_mask, "", "hidden shared", "each"),
    reflecting_blur=Named(ops.reflecting_blur, "kernel"),
    saturation=Named(ops.saturation, "", "gain"),
    separable_map=Named(ops.separable_map, "rows cols"),
    synthetic_blur=Named(ops.synthetic_blur, "", "gamma widths fields", "once"),
)


def find_named(name: str, what: str) -> Named | None:
    """The entry of a name, None for module:function; a ValueError if there is none, `what` it should name."""
    if ":" in str(name):
        return None
    known(name, NAMED, what, "your own is module:function")
    return NAMED[name]


def make_operator(name: str, key: Key | None, image_shape: Shape, settings: Mapping[str, Any]) -> Operator:
    """The operator of a name; a setting that ends with .npy is read from that file. No key: nothing is random.

    Raises:
        ValueError, TypeError: as the factory does, or if what it returns is no operator for such images.
        OSError: if a file cannot be read.
    """
    make = _imported(name) if ":" in name else NAMED[name].make
    operator: Any = make(
        *(() if key is None else (key,)), image_shape, **{name: _value(name, value) for name, value in settings.items()}
    )
    kind = type(operator).__name__
    if missing := [part for part in PARTS if not hasattr(operator, part)]:
        raise TypeError(
            f"{name} returned a {kind}, which is not an operator: it has no {', '.join(missing)}; derive it from "
            "LinearOperator or NonlinearOperator of pgm_jax.operators"
        )
    leaves = jax.tree.leaves(operator)
    if not all(isinstance(leaf, jax.Array | np.ndarray | np.generic | float | int) for leaf in leaves):
        raise TypeError(f"jax does not know which arrays a {kind} holds: write @pgm_jax.types.pytree above it")
    if tuple(operator.image_shape) != tuple(image_shape):
        raise ValueError(
            f"the operator takes images of shape {tuple(operator.image_shape)}; the prior's are {tuple(image_shape)}"
        )
    return operator


def _value(name: str, value: Any) -> Any:
    if isinstance(value, str) and value.endswith(".npy"):
        return read_arrays(value, "an array that numpy.save wrote")["array"]
    return np.asarray(value) if name in ARRAYS and isinstance(value, list | tuple) else value


def _imported(name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"The operator {name!r} cannot be imported: {error}. It is looked for in the current folder, "
            f"{os.getcwd()}, and among the installed packages."
        ) from error
    function: Any = getattr(module, function_name, None)
    if not callable(function):
        own = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
        known(function_name, [key for key in own if key != function_name], f"function of {module_name}")
    return function
