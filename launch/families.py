"""Families of operators that a network for the exact step is trained on, from the settings of a configuration.

families.sparse_masks = dict(operator="random_mask", count=200, share=0.2, between=dict(hidden=(0.5, 0.95)))

`count` operators of the name are made, each with settings that are drawn between two numbers, or said as for a task.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from launch.config import known
from launch.operators import find_named, make_operator
from pgm_jax.operators.checks import check_number, check_whole
from pgm_jax.types import Shape

_OWN = ("operator", "count", "share", "between")


def read_families(
    families: Mapping[str, Any], seed: int, image_shape: Shape
) -> tuple[tuple[Any, ...], tuple[float, ...]]:
    """Stacks of operators and the share of the batch of each.

    Raises:
        ValueError, TypeError: if a family has no operator, share or count, or its operators cannot be made.
    """
    stacks, shares = [], []
    for place, (name, settings) in enumerate(families.items()):
        try:
            stacks.append(_stack(settings, seed + place, image_shape))
            shares.append(check_number("share is the part of the batch", settings.get("share"), above=0, most=1))
        except (TypeError, ValueError) as error:
            raise type(error)(f"config.train.families.{name}: {error}") from error
    return tuple(stacks), tuple(shares)


def _stack(settings: Mapping[str, Any], seed: int, image_shape: Shape) -> Any:
    operator = str(settings.get("operator"))
    named = find_named(operator, "operator")
    if named is None:
        raise ValueError(f"operator is {operator!r}; a family is of one of the names of a task")
    count = check_whole("count is how many operators are made", settings.get("count"), 1)
    between = dict(settings.get("between", {}))
    for setting in (*between, *(name for name in settings if name not in _OWN)):
        known(setting, [name for name in named.settings if name not in ("drawn", "seed")], f"setting of {operator}")
    fixed = {name: value for name, value in settings.items() if name not in _OWN}
    rng, keys = np.random.default_rng(seed), jax.random.split(jax.random.key(seed), count)

    def one(key: Any) -> Any:
        drawn = {name: float(rng.uniform(*_range(name, limits))) for name, limits in between.items()}
        return make_operator(operator, key if named.drawn else None, image_shape, fixed | drawn)

    operators = [one(key) for key in keys]
    shapes = {tuple(jnp.shape(leaf) for leaf in jax.tree.leaves(each)) for each in operators}
    if len(shapes) > 1:
        raise ValueError(
            f"its operators have arrays of {len(shapes)} different shapes, and a family has one: fix what sizes them, "
            "as radius does for a blur"
        )
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *operators)


def _range(name: str, limits: Any) -> tuple[float, float]:
    if not isinstance(limits, list | tuple) or len(limits) != 2 or not limits[0] <= limits[1]:
        raise ValueError(f"between.{name} is {limits!r}; give two numbers, in order")
    return float(limits[0]), float(limits[1])
