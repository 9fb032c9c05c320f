"""The settings of an experiment, compared with those of its file in `configs/toys/` before anything is computed."""

import math
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from launch.config import known
from launch.experiments.learning import DEFAULTS

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "toys"
FACTOR = 10_000  # by which a number may exceed that of the file; memory and time end before


def check_settings(config: ConfigDict) -> None:
    """Refuse a setting that the experiment does not have, or a number that it cannot have.

    A number that is positive in the file of the experiment stays positive, a whole one whole, and a tuple keeps
    numbers.

    Raises:
        ValueError: that names the setting, its value and what it may be.
    """
    file = CONFIGS / f"{config.experiment}.py"
    if not file.is_file():
        return
    _check("config", config.to_dict(), runpy.run_path(str(file))["get_config"]().to_dict())


def _check(name: str, value: Any, usual: Any) -> None:
    if isinstance(usual, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{name} is {value!r}; it has the settings {', '.join(map(str, usual))}.")
        usual = DEFAULTS | dict(usual) if name == "config.learning" and "examples" in usual else usual
        for setting in value:
            known(setting, usual, f"setting of {name}")
            _check(f"{name}.{setting}", value[setting], usual[setting])
    elif isinstance(usual, tuple | list):
        if not isinstance(value, tuple | list) or not value:
            raise ValueError(f"{name} is {value!r}; it is a tuple of numbers, such as {usual}.")
        for i, each in enumerate(value):
            like = usual[i] if len(value) == len(usual) else min(usual, key=abs)
            _check(name if len(value) == 1 else f"{name}[{i}]", each, like)
    elif isinstance(usual, int | float) and not isinstance(usual, bool):
        _check_number(name, value, usual)


def _check_number(name: str, value: Any, usual: float) -> None:
    whole = isinstance(usual, int)
    kind = "a whole number" if whole else "a number"
    least = (1 if whole else 0) if usual > 0 else (0 if usual == 0 else -math.inf)
    most = 2**32 - 1 if whole and usual == 0 else FACTOR * max(abs(usual), 1)
    words = f"{kind} {'above' if usual > 0 and not whole else 'from'} {least} to {most:g}"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise ValueError(f"{name} is {value!r}; it is {words}, such as {usual}.")
    if not least <= value <= most or (usual > 0 and value == 0 and not name.endswith("power")):
        raise ValueError(f"{name} is {value}; it is {words}, such as {usual}.")
