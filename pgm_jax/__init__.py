"""Posterior sampling for inverse problems in imaging, driven by proximal operators.

    import pgm_jax as pgm

Functions and modules are imported at their first use, so that `import pgm_jax` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgm_jax import metrics, networks, operators, posteriors, potentials, proximal, samplers, schedules, training
    from pgm_jax.evaluation import evaluate
    from pgm_jax.noise import GaussianNoise, PoissonNoise, measure
    from pgm_jax.pretrained import example_images, load_prior, save_prior
    from pgm_jax.restoration import restore
    from pgm_jax.samplers import sample

__version__ = "0.1.0"

_MODULES = (
    "types",
    "tracing",
    "files",
    "schedules",
    "proximal",
    "operators",
    "potentials",
    "noise",
    "posteriors",
    "samplers",
    "metrics",
    "networks",
    "training",
    "restoration",
    "evaluation",
    "pretrained",
)
_HOME = dict(
    restore="restoration",
    evaluate="evaluation",
    sample="samplers",
    measure="noise",
    GaussianNoise="noise",
    PoissonNoise="noise",
    load_prior="pretrained",
    save_prior="pretrained",
    example_images="pretrained",
)

__all__ = [*_MODULES, *_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
