"""Operators from plain functions."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from pgm_jax.operators.base import LinearOperator, NonlinearOperator, check_image_shape
from pgm_jax.tracing import as_partial, is_traced
from pgm_jax.types import Shape, pytree


class _Function:
    """An operator by its `function` f."""

    function: Partial

    def forward(self, x: jax.Array) -> jax.Array:
        return self.function(x)


@pytree
class LinearFunction(_Function, LinearOperator):
    """y = f(x) for a linear f; build it with `from_function`."""

    function: Partial
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))


@pytree
class Function(_Function, NonlinearOperator):
    """y = f(x); build it with `from_function`."""

    function: Partial
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))


def from_function(
    function: Callable[[jax.Array], jax.Array], image_shape: Shape, linear: bool | None = None
) -> LinearFunction | Function:
    """The operator y = f(x) of a function of one image, written with jax, with its adjoint or derivative.

    Args:
        function: f, (H, W, C) -> an array of floats, real or complex. Pass arrays that you want to sweep without
            recompilation, or to `vmap` over, by `jax.tree_util.Partial(f, numbers)`. On accelerators products of
            matrices in f need `precision=jax.lax.Precision.HIGHEST`, or A^T is not the adjoint.
        image_shape: (H, W, C).
        linear: whether f is linear; by default it is tested on two random images, and under `vmap` or `jit`, where
            there are no numbers to test, it is whether jax can transpose f.

    Raises:
        ValueError: if `linear` is true and f is not, or f does not take such an image.
        TypeError: if f does not return one array of floats.
    """
    image_shape = check_image_shape(image_shape)
    try:
        y = jax.eval_shape(function, jax.ShapeDtypeStruct(image_shape, jnp.result_type(float)))
    except Exception as error:
        raise ValueError(
            f"the function does not take an image of shape {image_shape}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(y, jax.ShapeDtypeStruct) or not jnp.issubdtype(y.dtype, jnp.inexact):
        raise TypeError(f"the function returns {y}; an operator returns one array of real or complex floats")
    partial = as_partial(function)
    breach = None if linear is False else _breach(partial, image_shape)
    if linear and breach:
        raise ValueError(f"the function is not linear: {breach}; leave `linear` out, and it is linearised where needed")
    return (LinearFunction if linear is not False and not breach else Function)(partial, image_shape)


def _breach(function: Callable[[jax.Array], jax.Array], image_shape: Shape) -> str | None:
    """Why a function is not linear; None where it is, to rounding."""
    try:
        image = jax.ShapeDtypeStruct(image_shape, jnp.result_type(float))
        jax.eval_shape(jax.linear_transpose(function, image), jax.eval_shape(function, image))
    except (NotImplementedError, TypeError, AssertionError, ValueError) as error:
        return f"jax cannot transpose it ({(str(error).splitlines() or [type(error).__name__])[0]})"
    if is_traced(function):
        return None  # there are no numbers to try it on
    a, b = (jax.random.normal(jax.random.key(i), image_shape) for i in range(2))
    # Accelerators round the factors of products to fewer bits unless told otherwise.
    with jax.default_matmul_precision("highest"):
        left, right = function(2 * a - 3 * b), 2 * function(a) - 3 * function(b)
    if is_traced((left, right)):
        return None
    error, size = (float(jnp.linalg.norm(jnp.ravel(z))) for z in (left - right, right))
    tolerance = 1e3 * float(jnp.finfo(a.dtype).eps)
    # The size of the parts, since the sum of what an affine map adds may vanish.
    if error > tolerance * max(size, float(jnp.linalg.norm(jnp.ravel(function(a)))), float(jnp.finfo(a.dtype).tiny)):
        return f"f(2 a - 3 b) and 2 f(a) - 3 f(b) differ by {error:.3g} at a size of {size:.3g}"
    return None
