"""Training: `train` runs in a folder and resumes, `fit` learns from examples in memory.

The only home of optax, orbax, grain and tensorflow_datasets, which `pip install 'pgm_jax[train]'` brings.
"""

import importlib
from typing import Any

_HOMES = {"train": "loop", "fit": "in_memory"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"Training needs {error.name}, which is not installed: pip install 'pgm_jax[train]'."
        ) from error


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
