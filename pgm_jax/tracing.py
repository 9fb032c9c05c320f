"""What jax traces and what it does not: arrays are arguments of a compiled program, everything else is part of it.

A prior may be any object, and a proximal map any function. Where it is a pytree, its arrays are traced and new ones do
not trigger recompilation; where it is not, the object itself is static, identified by its identity.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer
from jax.tree_util import Partial

_ARRAYS = jax.Array | np.ndarray | np.generic | float | complex


def as_partial(function: Callable) -> Partial:
    """A `function` as a `Partial`, a pytree with the arrays of a bound method's object or of a callable pytree."""
    if isinstance(function, Partial):
        return function
    if inspect.ismethod(function):
        return Partial(function.__func__, function.__self__)
    if not jax.tree_util.all_leaves([function]):
        return Partial(type(function).__call__, function)
    return Partial(function)


def is_traced(tree: Any) -> bool:
    """Whether some array in the pytree `tree` has no value yet, since a `jit`, `vmap` or `grad` is tracing it."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


class _Same:
    """A static object, equal to itself alone."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value


class _Static(NamedTuple):
    """The structure of some arguments, and their leaves that are not arrays; None stands for one that is."""

    tree: Any
    # Structures of different dataclasses may be equal, see `pgm_jax.types.pytree`.
    types: tuple
    leaves: tuple[Any, ...]


def _types(tree: Any) -> tuple:
    node = tree.node_data()
    return () if node is None else (node[0], *map(_types, tree.children()))


def compiled(function: Callable) -> Callable:
    """The `function` under `jax.jit`, with positional arguments of any kind, pytrees of anything.

    Arrays and Python floats are traced. Whole numbers, strings and None are static by their value, all other objects by
    their identity.
    """

    @functools.partial(jax.jit, static_argnums=0)
    def program(static: _Static, arrays: list) -> Any:
        leaves = [
            array if kept is None else kept.value if isinstance(kept, _Same) else kept
            for array, kept in zip(arrays, static.leaves, strict=True)
        ]
        return function(*jax.tree.unflatten(static.tree, leaves))

    def keep(leaf: Any) -> Any:
        if isinstance(leaf, _ARRAYS) and not isinstance(leaf, np.bool_):
            return None
        return leaf if isinstance(leaf, bool | int | str) else _Same(leaf)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        leaves, tree = jax.tree.flatten(arguments)
        static = _Static(tree, _types(tree), tuple(keep(leaf) for leaf in leaves))
        return program(
            static, [leaf if kept is None else None for leaf, kept in zip(leaves, static.leaves, strict=True)]
        )

    return call
