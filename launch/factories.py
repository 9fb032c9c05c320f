"""Factories of operators, by the name that a task gives.

    random_mask                a public factory of `pgm_jax.operators`
    motion_blur                one of `launch.measurements`, which makes the arrays of such a factory from plain numbers
    my_module:make_operator    yours: make_operator(image_shape, ...) or make_operator(key, image_shape, ...)

A factory whose first argument is `key` draws. What a factory calls `sigma` is `width` in a task, whose own `sigma` is
always the noise. An argument that is an array may be the path of an .npy file.
"""

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from launch import measurements
from launch.config import known
from pgm_jax import operators
from pgm_jax.files import read_arrays
from pgm_jax.types import Key, Operator, Shape

PARTS = ("image_shape", "observed", "forward", "vjp", "solve", "norm")  # of an operator
RENAMED = {"width": "sigma"}  # what tasks call an argument of a factory


class Factory(NamedTuple):
    """A function that makes operators, and what a task may say to it."""

    make: Callable[..., Any]
    settings: dict[str, inspect.Parameter]
    draws: bool  # whether it takes a key
    masks: bool  # whether it makes masks, which are drawn anew for every image unless the task says otherwise
    anything: bool  # whether it takes settings of any name

    @property
    def required(self) -> list[str]:
        """The settings without a default."""
        return [name for name, parameter in self.settings.items() if parameter.default is inspect.Parameter.empty]

    def build(self, key: Key, image_shape: Shape, settings: Mapping[str, Any]) -> Operator:
        """The operator of images of that shape.

        Raises:
            ValueError, TypeError: as the factory does, or if what it returns is no operator of such images.
            OSError: if a setting names a file that cannot be read.
        """
        own = inspect.signature(self.make).parameters
        arguments = {}
        for name, value in settings.items():
            name = name if name in own else RENAMED.get(name, name)
            arguments[name] = _array(value, own.get(name))
        operator = self.make(*([key] if self.draws else []), image_shape, **arguments)
        _check_operator(operator, image_shape)
        return operator


def factory_names() -> list[str]:
    """The names that need no colon."""
    return list(_named())


def find_factory(name: str, what: str = "operator") -> Factory:
    """The factory of a name; `what`: what to call it in an error.

    Raises:
        ValueError: if there is none.
    """
    if ":" in str(name):
        return _factory(_imported(name))
    named = _named()
    known(name, named, what, "your own is module:function")
    return _factory(named[name])


@functools.cache
def _named() -> dict[str, Callable[..., Any]]:
    public = {name: getattr(operators, name) for name in operators.__all__}
    own = {name: f for name, f in vars(measurements).items() if getattr(f, "__module__", "") == measurements.__name__}
    return {
        name: function
        for name, function in sorted((public | own).items())
        if inspect.isfunction(function) and _makes_operators(inspect.signature(function))
    }


def _makes_operators(signature: inspect.Signature) -> bool:
    # What is made of functions or of other operators has its image_shape elsewhere; masks and kernels are arrays.
    first, second, *_ = [*signature.parameters, "", ""]
    return "image_shape" == (second if first == "key" else first) and "Array" not in str(signature.return_annotation)


def _factory(make: Callable[..., Any]) -> Factory:
    signature = inspect.signature(make).parameters
    draws = next(iter(signature), None) == "key"
    names = {name: short for short, name in RENAMED.items()}
    rest = list(signature.items())[1 + draws :]
    settings = {names.get(n, n): p for n, p in rest if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    masks = make.__module__ == operators.random_mask.__module__
    return Factory(make, settings, draws, masks, any(p.kind is p.VAR_KEYWORD for _, p in rest))


def _imported(name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
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


def _array(value: Any, parameter: inspect.Parameter | None) -> Any:
    if isinstance(value, str) and value.endswith(".npy"):
        return jnp.asarray(read_arrays(value, "an array that numpy.save wrote")["array"])
    annotation = "" if parameter is None else str(parameter.annotation)
    # A box or a range is a tuple, of numbers that may be arrays.
    is_array = "Array" in annotation and not annotation.startswith("tuple")
    return jnp.asarray(value) if is_array and isinstance(value, list | tuple) else value


def _check_operator(operator: Any, image_shape: Shape) -> None:
    kind = type(operator).__name__
    missing = [part for part in PARTS if not hasattr(operator, part)]
    if missing:
        raise TypeError(
            f"what is made is a {kind} and no operator, it has no {', '.join(missing)}: derive it from LinearOperator "
            "or NonlinearOperator of pgm_jax.operators"
        )
    if not all(
        isinstance(leaf, jax.Array | np.ndarray | np.generic | float | int) for leaf in jax.tree.leaves(operator)
    ):
        raise TypeError(f"jax does not know what arrays a {kind} holds: write @pgm_jax.types.pytree above it")
    if tuple(operator.image_shape) != tuple(image_shape):
        raise ValueError(
            f"the operator takes images of shape {tuple(operator.image_shape)}; the prior's are {tuple(image_shape)}"
        )
