"""Operators by the name that a task gives.

random_mask                one of `NAMED`; a setting of many numbers may be a file of them, an .npy or .npz, and a mask
                           or a kernel an image: seen where it is not black, and scaled to the sum 1
my_module:make_operator    yours: make_operator(image_shape, **settings); where the task says `drawn`, it is random:
                           make_operator(key, image_shape, **settings)
"""

import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax.typing import ArrayLike

from launch.config import known
from pgm_jax import operators as ops
from pgm_jax.files import read_arrays
from pgm_jax.networks.blur_net import blur_network, blur_params
from pgm_jax.networks.torch_weights import read_state_dict
from pgm_jax.operators.checks import check_number
from pgm_jax.operators.trial import check_operator, told, try_operator
from pgm_jax.tracing import is_traced
from pgm_jax.training.images import image_suffixes, read_kernel, read_mask
from pgm_jax.types import Key, Operator, Shape

ARRAYS = {"angles", "coils", "cols", "kernel", "mask", "rows", "seen", "weights"}  # settings that hold many numbers
PICTURES = {"kernel", "mask", "seen"}  # of these, what an image may show


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
    check_number("ratio is the number of pixels for one measurement", ratio, least=1, most=height * width)
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
    """The operator of a name; a setting may be a file of its numbers. No key: nothing is random.

    Raises:
        ValueError, TypeError: as the factory does, or if what it returns is no operator for such images; of one of the
            user's own, whatever it raises, with its place.
        OSError: if a file cannot be read.
    """
    arguments = (*(() if key is None else (key,)), image_shape)
    if ":" not in name:
        values = {setting: _value(name, setting, value) for setting, value in settings.items()}
        return NAMED[name].make(*arguments, **values)
    make = _imported(name)
    values = {setting: _own_value(value) for setting, value in settings.items()}
    try:
        inspect.signature(make).bind(*arguments, **values)
    except TypeError as error:
        raise TypeError(
            f"it does not take what it is given: {error}; --setting=NAME=VALUE gives more, "
            "and --setting=drawn=each, or once, a random key as the first"
        ) from error
    with told():
        operator: Any = make(*arguments, **values)
    check_operator(operator, image_shape)
    return operator


def tried(name: str, operator: Operator) -> Operator:
    """The operator, once it is known that it measures something and, if it is the user's own, measured an image.

    Raises:
        ValueError: if it does not.
    """
    if ":" in name:
        with told():
            try_operator(operator)
    elif not is_traced(operator) and not np.any(np.asarray(operator.observed) > 0):
        raise ValueError("it measures nothing with these settings: no value is observed")
    return operator


def _value(operator: str, name: str, value: Any) -> Any:
    if name not in ARRAYS or operator == "nonlinear_blur" or not isinstance(value, str):
        return np.asarray(value) if name in ARRAYS and isinstance(value, list | tuple) else value
    suffix = Path(value).suffix.lower()
    if suffix in (".npy", ".npz"):
        return _own_value(value)
    if suffix not in image_suffixes() or name not in PICTURES:
        raise ValueError(f"{name} is {value!r}; give its numbers, or a file of them, such as {name}.npy")
    return read_kernel(value) if name == "kernel" else read_mask(value)


def _own_value(value: Any) -> Any:
    if not isinstance(value, str) or not value.endswith((".npy", ".npz")):
        return value
    arrays = read_arrays(value, "an array that numpy.save wrote")
    if len(arrays) != 1:
        raise ValueError(f"{value} has the arrays {', '.join(arrays) or 'none'}; give a file of one array")
    return next(iter(arrays.values()))


def _imported(name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    try:
        with told():
            module = importlib.import_module(module_name)
    except ValueError as error:
        if not isinstance(error.__cause__, ImportError | ValueError):
            raise
        hint = f" Write {Path(module_name).stem}:{function_name}." if module_name.endswith(".py") else ""
        raise ValueError(
            f"The operator {name!r} cannot be imported: {error.__cause__}.{hint} It is looked for in the current "
            f"folder, {os.getcwd()}, and among the installed packages."
        ) from error
    function: Any = getattr(module, function_name, None)
    if not callable(function):
        own = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
        known(function_name, [key for key in own if key != function_name], f"function of {module_name}")
    return function
