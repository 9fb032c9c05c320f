"""Checks of the numbers and arrays that factories are given, of Python, numpy or jax: their type and their values.

What is traced has no value yet: it is let through. Another type is a TypeError, another value a ValueError.
"""

import math
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pgm_jax.tracing import is_traced
from pgm_jax.types import Shape

SizedShape = tuple[int | None, ...]  # (H, W, C) of the images that something takes, None for a side that may be any


def check_number(
    what: str,
    value: Any,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
    hint: str = "",
) -> Any:
    """The value, of numpy as one of Python, if it is one finite real number within its bounds.

    Args:
        what: what the number is, for the errors.
        value: the number.
        above: lower bound, open, as is `below`; the bounds `least` and `most` are closed.
        hint: how to mend it.
    """
    if is_traced(value):
        return value
    bounds = (("above", above), ("at least", least), ("below", below), ("at most", most))
    wanted = " and ".join(f"{word} {bound}" for word, bound in bounds if math.isfinite(bound))
    text = f"{what}, a number {wanted or 'that is finite'}, and is {value}" + (f"; {hint}" if hint else "")
    array = np.asarray(value)
    if array.ndim or not (jnp.issubdtype(array.dtype, jnp.integer) or jnp.issubdtype(array.dtype, jnp.floating)):
        raise TypeError(f"{text} (of type {type(value).__name__})")
    # As the arrays will hold it: too small a number is 0 there, and too large a one infinite.
    with np.errstate(over="ignore"):
        number, held = float(array), float(array.astype(jnp.result_type(float)))
    if not (math.isfinite(held) and above < held and least <= number <= most and held < below):
        raise ValueError(text)
    return value if isinstance(value, int | float | jax.Array) else array.item()


def check_whole(what: str, value: Any, least: int, most: int | None = None, hint: str = "") -> Any:
    """The value as an int, if it is a whole number, not 3.0, from `least` to `most`; `what` and `hint` as above."""
    if is_traced(value):
        return value
    wanted = f"a whole number at least {least}" if most is None else f"a whole number from {least} to {most}"
    text = f"{what}, {wanted}, and is {value!r}" + (f"; {hint}" if hint else "")
    if isinstance(value, bool):
        raise TypeError(text)
    try:
        number = operator.index(value)
    except TypeError as error:
        raise TypeError(text) from error
    if number < least or (most is not None and number > most):
        raise ValueError(text)
    return number


def check_numbers(what: str, values: Sequence[Any], count: int, whole: bool = True) -> tuple:
    """A tuple of `count` values, if they are finite numbers or, by `whole`, at least 0 and whole; `what` they are."""
    if not hasattr(values, "__len__") or len(values) != count:
        raise ValueError(f"{what}, {count} numbers, and is {values!r}")
    what = f"{what}: each"
    return tuple(check_whole(what, value, 0) if whole else check_number(what, value) for value in values)


def check_array(what: str, values: Any, real: bool = True) -> np.ndarray | jax.Array:
    """The values as an array, if they are finite numbers, and `real` ones; `what` is for the errors."""
    array = _as_array(what, values)
    if real and jnp.iscomplexobj(array):
        raise TypeError(f"{what} is real, and has the complex type {array.dtype}: give its real part or its magnitude")
    if not is_traced(array) and (bad := array.size - np.sum(np.isfinite(np.asarray(array)))):
        raise ValueError(f"{what} holds {bad} values of {array.size} that are NaN or infinite: give finite ones")
    return array


def check_mask(seen: Any, *shapes: Shape, hint: str = "") -> jax.Array:
    """The mask as 1 and 0, of its own shape.

    Args:
        seen: array of bool, of 0 and 1, or of 0 and 255; of one that is traced, all but 0 is seen.
        shapes: what shapes it may have.
        hint: what else its shape should be.
    """
    mask = _as_array("the mask", seen)
    if jnp.iscomplexobj(mask):
        raise TypeError(
            f"the mask is of the complex type {mask.dtype}; it says what is seen: give 1 and 0, and coil sensitivities "
            "to mri"
        )
    if mask.shape not in shapes:
        raise ValueError(f"the mask has shape {mask.shape}: give it as {' or '.join(map(str, shapes))}{hint}")
    if mask.dtype != bool and not is_traced(mask):
        values = np.asarray(mask)
        largest = np.max(values, initial=0, where=np.isfinite(values))
        full, threshold = (255, largest / 2) if largest > 1 else (1, 0.5)
        between = values[(values != 0) & (values != full)]
        if between.size:
            raise ValueError(
                f"{between.size} of {values.size} values of the mask are neither 0 nor {full}, such as {between[0]}: "
                f"say what is seen, mask > {threshold}; to weigh entries instead, multiply an operator by them, w * A"
            )
    return jnp.asarray(mask != 0, float)


def _as_array(what: str, values: Any) -> np.ndarray | jax.Array:
    # What is not traced stays out of the program that a `jit` around the factory makes.
    make = jnp.asarray if is_traced(values) else np.asarray
    array = values if isinstance(values, jax.Array) else make(values)
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool):
        raise TypeError(f"{what} is an array of numbers, and has the type {array.dtype}")
    return array


def fits(shape: Shape, image_shape: SizedShape) -> bool:
    """Whether a `shape` is that of an image of `image_shape`, in which None stands for any side."""
    pairs = zip(shape, image_shape, strict=False)
    return len(shape) == len(image_shape) and all(side is None or given == side for given, side in pairs)
