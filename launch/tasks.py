"""From the `tasks` of a configuration, or of a recipe, to operators.

    inpainting=dict(operator="random_mask", hidden=0.7, sigma=0.05)

`operator` is a name that `launch.factories` knows, `sigma` the deviation of the measurement's noise; what else there is
goes to the operator's factory, whose argument names are the settings, but for these three:

    sigma_range    the range of the images that sigma refers to, "[-1, 1]" (by default) or "[0, 1]"
    drawn          what is random, "each" (for every image; masks are) or "once" (for all of them; all else is)
    seed           of what is random, in place of --seed

"dps/gaussian_blur" is the task of a recipe, see `launch.recipes`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from launch.config import known
from launch.factories import Factory, factory_names, find_factory
from launch.recipes import recipe_names, recipe_shape, recipe_task
from pgm_jax import operators
from pgm_jax.types import Key, Operator, Shape

OWN = ("operator", "sigma", "sigma_range", "drawn", "seed")  # what is not for the factory
UNITS = {"[-1, 1]": 1.0, "[0, 1]": 2.0}  # of sigma, by range


def select_tasks(
    tasks: Mapping[str, Any], names: Iterable[str], changes: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """The named tasks of a configuration and of recipes, checked.

    `changes` are settings for all of them: a deviation `sigma` in [-1, 1], and others for the tasks that have such.

    Raises:
        ValueError: if a task, its operator or a setting is unknown, a setting is missing, or sigma is not positive.
    """
    changes = dict(changes or {})
    selected, possible = {}, set(changes) & {"sigma"}
    for name in names:
        if "/" in name:
            task = recipe_task(name)
        else:
            known(name, tasks, "task", f"those of recipes are RECIPE/TASK, RECIPE one of {', '.join(recipe_names())}")
            task = dict(tasks[name])
        where = place(name, task)
        if "operator" not in task:
            raise ValueError(f"{where} has no `operator`; it is one of {', '.join(factory_names())}.")
        factory = find_factory(task["operator"], f"operator of {where}")
        if "/" in name and not factory.draws:
            del task["seed"]
        own = [*factory.settings, *(("drawn", "seed") if factory.draws else ())]
        fitting = {setting: value for setting, value in changes.items() if setting in own or factory.anything}
        possible |= set(own) | set(fitting)
        task |= fitting
        if "sigma" in changes:
            task |= dict(sigma=changes["sigma"], sigma_range="[-1, 1]")
        _check(where, task, factory)
        selected[name] = task
    if not selected:
        raise ValueError(f"No task is named; the configuration has {', '.join(tasks)}.")
    for setting in changes:
        known(setting, sorted(possible), f"setting of {', '.join(selected)}:")
    return selected


def place(name: str, task: Mapping[str, Any]) -> str:
    """What to call a task where something is wrong with it: one of an operator alone has its name."""
    return name if "/" in name or name == task.get("operator") else f"config.tasks.{name}"


def sigma_of(task: Mapping[str, Any]) -> float:
    """The deviation of the noise for images in [-1, 1]: 0.05 for images in [0, 1] is 0.1."""
    return float(task["sigma"]) * UNITS[task.get("sigma_range", "[-1, 1]")]


def hides_pixels(task: Mapping[str, Any]) -> bool:
    """Whether the operator is a mask, which a measurement says by its NaNs."""
    return find_factory(task["operator"]).masks


def own_operator(task: Mapping[str, Any], measured: bool = False) -> bool:
    """Whether every image has an operator of its own; `measured`: whether measurements are given."""
    factory = find_factory(task["operator"])
    drawn = factory.draws and task.get("drawn", "each" if factory.masks else "once") == "each"
    return drawn or (measured and factory.masks)


def operators_of(
    task: Mapping[str, Any], image_shape: Shape, key: Key, indices: jax.Array, y: np.ndarray | None = None
) -> tuple[Operator, int | None]:
    """The operator of a batch of images, and its axis in `vmap`: 0 where each image has its own, None where not.

    What is random for each image is drawn from `fold_in(key, index)`, what is for all of them from the key itself.

    Args:
        task: operator, sigma and settings, from `select_tasks`.
        image_shape: (H, W, C).
        key: root key of the operators; the task's seed goes before it.
        indices: number of each image in its set, `[B]`.
        y: measurements `[B, ...]`, where they are given: the hidden pixels of masks are NaN in them.

    Raises:
        ValueError, TypeError: if a setting has a value that its factory refuses, or what it makes is no operator.
    """
    if y is not None and hides_pixels(task):
        return masks_of(y, image_shape)
    factory = find_factory(task["operator"])
    settings = {name: value for name, value in task.items() if name not in OWN}
    key = jax.random.key(task["seed"]) if "seed" in task else key
    if not own_operator(task):
        return factory.build(key, image_shape, settings), None
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.asarray(indices))
    return jax.vmap(lambda k: factory.build(k, image_shape, settings))(keys), 0


def try_operator(name: str, task: Mapping[str, Any], image_shape: Shape, key: Key) -> None:
    """Build the operator of a task once.

    Raises:
        ValueError: if that cannot be done; it says why.
    """
    try:
        operators_of(task, image_shape, key, jnp.arange(1))
    except (ValueError, TypeError) as error:
        where = place(name, task)
        raise ValueError(f"{where}: {error}{_meant_for(name, task, image_shape, key)}") from error


def _meant_for(name: str, task: Mapping[str, Any], image_shape: Shape, key: Key) -> str:
    shape = recipe_shape(name) if "/" in name else image_shape
    try:
        jax.eval_shape(lambda: operators_of(task, shape, key, jnp.arange(1))[0])
    except (ValueError, TypeError):
        return ""
    return f" (The recipe is for images of shape {shape}, the prior's are {tuple(image_shape)}.)"


def masks_of(y: np.ndarray, image_shape: Shape) -> tuple[Operator, int]:
    """The masks of measured images `[B, H, W, C]`, whose hidden pixels are NaN; one for each image."""
    return jax.vmap(lambda seen: operators.mask(image_shape, seen))(jnp.isfinite(jnp.asarray(y))), 0


def measurement_of(operator: Operator, axis: int | None) -> jax.ShapeDtypeStruct:
    """Shape and type of one measurement by an operator from `operators_of`."""

    def forward(operator, x):
        return jax.vmap(lambda a: a.forward(x), axis_size=1, in_axes=(axis,))(operator)

    y = jax.eval_shape(forward, operator, jax.ShapeDtypeStruct(operator.image_shape, jnp.float32))
    return jax.ShapeDtypeStruct(y.shape[1:], y.dtype)


def observed_of(operator: Operator, axis: int | None) -> np.ndarray:
    """Which entries of measurements were measured, `[B, ...]` where each image has its own operator, or `[...]`."""

    def seen(a: Any) -> jax.Array:
        return jnp.broadcast_to(a.observed, a.measurement_shape)

    return np.asarray(seen(operator) if axis is None else jax.vmap(seen)(operator))


def arrays_of(operator: Operator) -> dict[str, np.ndarray]:
    """The arrays that an operator holds, by their names in it, such as `kernel` or `row_factors_s`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(operator)
    return {
        "_".join(str(getattr(k, "name", getattr(k, "idx", getattr(k, "key", k)))) for k in path): np.asarray(leaf)
        for path, leaf in leaves
    }


def describe_task(task: Mapping[str, Any]) -> str:
    """A task in a line, such as "random mask, hidden 0.7, σ = 0.05"."""
    order = [*find_factory(task["operator"]).settings, "drawn"]
    order += [name for name in task if name not in (*order, *OWN)]
    name = task["operator"] if ":" in task["operator"] else task["operator"].replace("_", " ")
    sigma = f"σ = {sigma_of(task):g}"
    if "sigma_range" in task:
        sigma += f" in [-1, 1], {sigma_of(task) / UNITS['[0, 1]']:g} in [0, 1]"
    return ", ".join([name, *(f"{setting} {_short(task[setting])}" for setting in order if setting in task), sigma])


def _short(value: Any) -> str:
    """A setting in a word: of a matrix, its shape."""
    shape = np.shape(value) if isinstance(value, list | tuple) else ()
    return " x ".join(map(str, shape)) if len(shape) > 1 else str(value)


def _check(where: str, task: Mapping[str, Any], factory: Factory) -> None:
    settings = [*factory.settings, "sigma", "sigma_range", *(("drawn", "seed") if factory.draws else ())]
    for setting in task.keys() - {"operator"}:
        if not factory.anything:
            known(setting, settings, f"setting of {where} ({task['operator']})")
    missing = [setting for setting in (*factory.required, "sigma") if setting not in task]
    if missing:
        raise ValueError(
            f"{where} ({task['operator']}) does not say its {' and '.join(missing)}: --setting={missing[0]}=... does."
        )
    sigma = task["sigma"]
    if not isinstance(sigma, int | float) or not 0 < sigma < float("inf"):
        raise ValueError(f"{where}.sigma is {sigma}; it is the deviation of the noise in [-1, 1] units, above 0.")
    known(task.get("sigma_range", "[-1, 1]"), UNITS, f"sigma_range of {where}")
    known(task.get("drawn", "each"), ("each", "once"), f"`drawn` of {where}")
    if not isinstance(task.get("seed", 0), int):
        raise ValueError(f"{where}.seed is {task['seed']!r}; it is a whole number.")
