"""The configurations of the experiments at toy size."""

import pathlib
import runpy
from typing import Any

from ml_collections import ConfigDict

ROOT = pathlib.Path(__file__).resolve().parent.parent


def toy_settings(name: str, **changed: Any) -> ConfigDict:
    """The configuration of configs/toys/NAME.py with some settings changed."""
    config = runpy.run_path(str(ROOT / "configs" / "toys" / f"{name}.py"))["get_config"]()
    config.update(changed)
    return config
