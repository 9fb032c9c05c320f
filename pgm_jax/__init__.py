"""Posterior sampling for inverse problems in imaging, driven by proximal operators.

The public modules below are imported at their first use, so that `import pgm_jax` costs nothing.
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_MODULES = (
    "types",
    "schedules",
    "proximal",
    "operators",
    "potentials",
    "posteriors",
    "samplers",
    "metrics",
    "networks",
    "training",
    "restore",
    "evaluate",
    "pretrained",
)


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
