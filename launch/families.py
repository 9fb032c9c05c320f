"""Families of operators that a network for the exact step is trained on, from the settings of a configuration.

families.sparse_masks = dict(operator="random_mask", count=200, share=0.2, between=dict(hidden=(0.5, 0.95)))

`count` operators of the name are made, each with settings that are drawn between two numbers, or said as for a task.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from launch.config import known
from launch.operators import find_named, make_operator
from pgm_jax.operators.checks import check_number, check_whole
from pgm_jax.types import Operator, Shape

_OWN = ("operator", "count", "share", "between")


def read_families(
    families: Mapping[str, Any], seed: int, image_shape: Shape
) -> tuple[list[list[Operator]], list[float]]:
    """The operators of each family, and its share of the batch.

    Raises:
        ValueError, TypeError: if a family has no operator, share or count, or its operators cannot be made.
    """
    made, shares = [], []
    for name, settings in families.items():
        try:
            if not hasattr(settings, "items"):
                raise ValueError(f"it is {settings!r}; give its settings, {', '.join(_OWN)}")
            shares.append(check_number("share is the part of the batch", settings.get("share"), above=0, most=1))
            # By its name, so that one more family leaves the others as they are.
            made.append(_operators(settings, zlib.crc32(f"{seed} {name}".encode()), image_shape))
        except (TypeError, ValueError) as error:
            raise type(error)(f"config.train.families.{name}: {error}") from error
    return made, shares


def _operators(settings: Mapping[str, Any], seed: int, image_shape: Shape) -> list[Operator]:
    operator = str(settings.get("operator"))
    named = find_named(operator, "operator")
    if named is None:
        raise ValueError(f"operator is {operator!r}; a family is of one of the names of a task")
    count = check_whole("count is how many operators are made", settings.get("count"), 1)
    between = dict(settings.get("between", {}))
    fixed = {name: value for name, value in settings.items() if name not in _OWN}
    for setting in (*between, *fixed):
        known(setting, [name for name in named.settings if name not in ("drawn", "seed")], f"setting of {operator}")
    if twice := sorted(between.keys() & fixed.keys()):
        raise ValueError(f"{twice[0]} is given, and drawn between two numbers; say one of them")
    rng, keys = np.random.default_rng(seed), jax.random.split(jax.random.key(seed), count)

    def one(key: Any) -> Operator:
        drawn = {name: float(rng.uniform(*_range(name, limits))) for name, limits in between.items()}
        return make_operator(operator, key if named.drawn else None, image_shape, fixed | drawn)

    return [one(key) for key in keys]


def _range(name: str, limits: Any) -> tuple[float, float]:
    if not isinstance(limits, list | tuple) or len(limits) != 2 or not limits[0] <= limits[1]:
        raise ValueError(f"between.{name} is {limits!r}; give two numbers, in order")
    return float(limits[0]), float(limits[1])
