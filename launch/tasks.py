"""From the `tasks` of a configuration to operators.

    inpainting=dict(operator="random_mask", hidden=0.7, sigma=0.05)

`operator` is a name below, `sigma` the deviation of the measurement's noise in the units of the images ([-1, 1]); what
else there is goes to the operator's factory, whose argument names are the settings.
"""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pgm_jax import operators
from pgm_jax.types import Key, Operator, Shape


def blur(image_shape: Shape, width: float, boundary: str = "circular", truncate: float = 4.0) -> Operator:
    """`gaussian_blur` under the name `width` for its deviation in pixels: a task's `sigma` is always the noise."""
    return operators.gaussian_blur(image_shape, width, boundary, truncate)


DRAWN = {"random_mask": operators.random_mask}  # anew for every measurement
SHARED = {
    "box_mask": operators.box_mask,
    "average_downsampling": operators.average_downsampling,
    "bicubic_downsampling": operators.bicubic_downsampling,
    "gaussian_blur": blur,
}
FACTORIES = DRAWN | SHARED
MASKS = ("random_mask", "box_mask")


def select_tasks(tasks: Mapping[str, Any], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The named tasks of a configuration, checked.

    Raises:
        ValueError: if a task, its operator or a setting is unknown, a setting is missing, or sigma is not positive.
    """
    selected = {}
    for name in names:
        known(name, tasks, "task")
        task = dict(tasks[name])
        where = f"config.tasks.{name}"
        if "operator" not in task:
            raise ValueError(f"{where} has no `operator`; it is one of {', '.join(FACTORIES)}.")
        known(task["operator"], FACTORIES, f"operator of {where}")
        parameters = dict(inspect.signature(FACTORIES[task["operator"]]).parameters)
        settings = {p: v for p, v in parameters.items() if p not in ("key", "image_shape")}
        for setting in task.keys() - {"operator", "sigma"}:
            known(setting, [*settings, "sigma"], f"setting of {where} ({task['operator']})")
        required = [p for p, v in settings.items() if v.default is inspect.Parameter.empty]
        missing = [setting for setting in (*required, "sigma") if setting not in task]
        if missing:
            raise ValueError(f"{where} ({task['operator']}) does not say its {' and '.join(missing)}.")
        sigma = task["sigma"]
        if not isinstance(sigma, int | float) or not 0 < sigma < float("inf"):
            raise ValueError(f"{where}.sigma is {sigma}; it is the deviation of the noise in [-1, 1] units, above 0.")
        selected[name] = task
    if not selected:
        raise ValueError(f"No task is named; the configuration has {', '.join(tasks)}.")
    return selected


def operators_of(
    task: Mapping[str, Any], image_shape: Shape, key: Key, indices: jax.Array
) -> tuple[Operator, int | None]:
    """The operator of a batch of images, and its axis in `vmap`: 0 where each image has its own, None where not.

    What is random is drawn from `fold_in(key, index)` for each image.

    Args:
        task: operator, sigma and settings, from `select_tasks`.
        image_shape: (H, W, C).
        key: root key of the operators.
        indices: number of each image in its set, `[B]`.

    Raises:
        ValueError: if a setting has a value that its factory refuses.
    """
    settings = {name: value for name, value in task.items() if name not in ("operator", "sigma")}
    name = task["operator"]
    if name in SHARED:
        return SHARED[name](image_shape, **settings), None
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.asarray(indices))
    return jax.vmap(lambda k: DRAWN[name](k, image_shape, **settings))(keys), 0


def masks_of(y: np.ndarray, image_shape: Shape) -> tuple[Operator, int]:
    """The masks of measured images `[B, H, W, C]`, whose hidden pixels are NaN; one for each image."""
    return jax.vmap(lambda seen: operators.mask(image_shape, seen))(jnp.isfinite(jnp.asarray(y))), 0


def describe_task(task: Mapping[str, Any]) -> str:
    """A task in a line, such as "random mask, hidden 0.7, σ = 0.05"."""
    order = [name for name in inspect.signature(FACTORIES[task["operator"]]).parameters if name in task]
    settings = [f"{name} {task[name]}" for name in order]
    return ", ".join([task["operator"].replace("_", " "), *settings, f"σ = {task['sigma']:g}"])


def known(name: str, names: Iterable[str], what: str) -> None:
    """Refuse a name that is not among `names`, and point at the nearest one.

    Raises:
        ValueError: if it is unknown.
    """
    names = list(names)
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? Known" if near else "known"
        raise ValueError(f"Unknown {what} {name!r}; {hint} are {', '.join(names)}.")
