"""What an operator gives for images in [-1, 1], by trial, and measurements that it cannot have given.

Some images are measured: white, black, two halves, and noise of the signs 1 and -1.
"""

import contextlib
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Inexact

from pgm_jax.operators.solvers import QUICK
from pgm_jax.types import Operator, Shape

_PARTS = ("image_shape", "observed", "forward", "vjp", "solve", "norm")  # of an operator
_BEYOND = 5.0  # times what an operator gives, where a measurement has another scale
_LARGEST = float(np.finfo(np.float32).max)
_HERE, _PYTHON = Path(__file__).parents[1], Path(contextlib.__file__).parent


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Tell what code of a user's raises in a line: what it was, and in which line of which file.

    An end of Python, `sys.exit()`, is such an error too.

    Raises:
        ValueError: in the place of what was raised.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        # That of the user is the last, after this one and its caller's, outside this library, Python and its packages.
        places = [frame for frame in traceback.extract_tb(error.__traceback__)[2:] if _is_foreign(frame.filename)]
        words, place = (str(error).strip().splitlines() or [""])[0], ""
        if isinstance(error, SyntaxError):
            words, place = error.msg, f" ({Path(error.filename or '').name}, line {error.lineno})"
        elif places:
            place = f" ({Path(places[-1].filename).name}, line {places[-1].lineno})"
        elif isinstance(error, ValueError | TypeError):  # words of `try_operator`
            raise ValueError(str(error)) from error
        raise ValueError(f"it raised {type(error).__name__}{words and ': '}{words}{place}") from error


def _is_foreign(file: str) -> bool:
    return not file.startswith("<") and not any(Path(file).is_relative_to(folder) for folder in (_HERE, _PYTHON))


def check_operator(operator: Any, image_shape: Shape) -> None:
    """Refuse what is no operator for images of a shape.

    Args:
        operator: what a factory of a user's returned.
        image_shape: (H, W, C).

    Raises:
        TypeError: if it lacks a part of an operator, or jax does not know its arrays.
        ValueError: if it takes images of another shape.
    """
    kind = type(operator).__name__
    if missing := [part for part in _PARTS if not hasattr(operator, part)]:
        raise TypeError(
            f"it returned a {kind}, which is not an operator: it has no {', '.join(missing)}; derive it from "
            "LinearOperator or NonlinearOperator of pgm_jax.operators"
        )
    if not all(
        isinstance(leaf, jax.Array | np.ndarray | np.generic | float | int) for leaf in jax.tree.leaves(operator)
    ):
        raise TypeError(f"jax does not know which arrays a {kind} holds: write @pgm_jax.types.pytree above it")
    if tuple(operator.image_shape) != tuple(image_shape):
        raise ValueError(
            f"the operator takes images of shape {tuple(operator.image_shape)}; the prior's are {tuple(image_shape)}"
        )


def try_operator(operator: Any) -> None:
    """Measure images in [-1, 1], and trace the derivative and the data step.

    Args:
        operator: A, of which `image_shape` and `observed` are known.

    Raises:
        TypeError: if a measurement is not one array of floating point numbers.
        ValueError: if it is empty, NaN or infinite, nothing of it is observed, or a result has another shape.
        Exception: whatever the operator raises.
    """
    x = jax.ShapeDtypeStruct(tuple(operator.image_shape), jnp.float32)
    y = jax.eval_shape(lambda a, x: a.forward(x), operator, x)
    if not hasattr(y, "dtype") or not jnp.issubdtype(y.dtype, jnp.inexact):
        given = f"numbers of the type {y.dtype}" if hasattr(y, "dtype") else f"a {type(y).__name__}"
        raise TypeError(f"its measurement is {given}; forward(x) returns one array of floating point numbers")
    if not y.size:
        raise ValueError(f"it measures nothing: its measurement has the shape {y.shape}")
    if not np.any(np.asarray(operator.observed) > 0):
        raise ValueError("it measures nothing: its `observed` is 0 everywhere")
    values = _of_trials(operator)
    if bad := int(np.sum(~np.isfinite(values))):
        raise ValueError(
            f"its measurements of images in [-1, 1] hold {bad} values of {values.size} that are NaN or infinite"
        )
    steps = dict(
        vjp=jax.eval_shape(lambda a, x, y: a.vjp(x, y), operator, x, y),
        solve=jax.eval_shape(lambda a, x, y: a.solve(x, y, 1.0, QUICK), operator, x, y),
    )
    for name, image in steps.items():
        if getattr(image, "shape", None) != x.shape:
            raise ValueError(f"its {name} returns {getattr(image, 'shape', image)}, and images are {x.shape}")


def _of_trials(operator: Operator) -> np.ndarray:
    """The observed values of measurements of some images in [-1, 1]."""
    shape = tuple(operator.image_shape)
    half = np.where(np.arange(shape[1]) < shape[1] // 2, 1.0, -1.0)[None, :, None] * np.ones(shape)
    noise = np.random.default_rng(0).choice([-1.0, 1.0], (2, *shape))
    images = np.stack([np.ones(shape), -np.ones(shape), half, *noise]).astype(np.float32)
    y = np.asarray(jax.jit(jax.vmap(lambda a, x: a.forward(x), (None, 0)))(operator, images))
    return y[:, np.broadcast_to(np.asarray(operator.observed) > 0, y.shape[1:])]


def check_measurements(
    what: str,
    y: Inexact[np.ndarray, "..."],
    seen: Bool[np.ndarray, "..."],
    operator: Operator | None,
    sigma: Any,
    strict: bool = True,
) -> None:
    """Refuse measurements that an operator cannot have given of images in [-1, 1].

    Args:
        what: what they are, for the errors.
        y: measurements `[B, ...]`.
        seen: which of their values count.
        operator: A, or None for a mask, which gives the pixels themselves.
        sigma: deviation of the noise.
        strict: whether values that are far too large are an error, else a warning.

    Raises:
        ValueError: if a value is NaN or infinite, as a float32 too, or far from what the operator gives.

    Warns:
        UserWarning: if they look like those of images in [0, 1], or, if not `strict`, are far too large.
    """
    values = y[seen]
    if bad := int(np.sum(~np.isfinite(values))):
        raise ValueError(f"{what} holds {bad} values of {values.size} that are NaN or infinite.")
    sizes = np.abs(values)
    if sizes.max(initial=0) > _LARGEST:
        raise ValueError(f"{what} holds values up to {sizes.max():g}, which are infinite in single precision.")
    given = np.array([-1.0, 1.0]) if operator is None else _of_trials(operator)
    if np.iscomplexobj(given) or np.iscomplexobj(values):
        values, given = sizes, np.abs(given)
    if not values.size or not given.size:
        return
    (low, high), (least, most) = ((float(a.min()), float(a.max())) for a in (values, given))
    reach = f"{what} reaches from {low:.4g} to {high:.4g}, and its operator gives about {least:.4g} to {most:.4g}"
    if sizes.max() > _BEYOND * np.abs(given).max() + 6 * float(sigma):
        text = f"{reach} for images in [-1, 1]: scale it, bytes by x / 127.5 - 1; NaN is for what was not measured."
        if strict:
            raise ValueError(text)
        warnings.warn(text, stacklevel=2)
    elif least < 0 and low >= 0 < high:
        warnings.warn(f"{reach}. If it is of images in [0, 1], scale it as if they were in [-1, 1].", stacklevel=2)
