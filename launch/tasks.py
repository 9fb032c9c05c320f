"""Tasks: what is measured and how noisily, from the `tasks` of a configuration or from a published benchmark.

    inpainting=dict(operator="random_mask", hidden=0.7, sigma=0.05)

`operator` is a name that `launch.operators` knows, `sigma` the standard deviation of the measurement's noise.
Everything else goes to the operator's factory, except:

    sigma_range    the range of the images that sigma refers to, "[-1, 1]" (by default) or "[0, 1]"
    drawn          when what is random is drawn, anew for "each" image (masks) or "once" for all (everything else)
    seed           of what is random, in place of --seed

"dps/gaussian_blur" is the task gaussian_blur of the benchmark configs/tasks/dps.py.
"""

import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from launch.config import known
from launch.operators import NAMED, Named, find_named, make_operator, tried
from pgm_jax.noise import GaussianNoise
from pgm_jax.operators.masks import Mask
from pgm_jax.types import Key, Operator, Shape

SMALLEST, LARGEST = 1e-9, 1e7  # of a deviation, and of the number that a setting holds
BENCHMARKS = Path(__file__).resolve().parents[1] / "configs" / "tasks"
OWN = ("operator", "sigma", "sigma_range", "drawn", "seed")  # what is not for the factory
UNITS = {"[-1, 1]": 1.0, "[0, 1]": 2.0}  # of sigma, by range


class Task(NamedTuple):
    """A task for images of one shape."""

    name: str
    settings: dict[str, Any]  # resolved, as config.json holds them
    image_shape: Shape
    key: Key  # of what is random in its operators
    noise: GaussianNoise
    like: Operator  # that of all images, or, where each has its own, one of which only kinds, shapes and types count
    shared: Operator | None  # by all images; None where each has its own

    def operators(self, indices: np.ndarray) -> tuple[Operator, int | None]:
        """The operator of a batch of images by their numbers `[B]`, and its axis: 0 where each image has its own.

        What is random for each image is drawn from `fold_in(key, index)`.
        """
        if self.shared is not None:
            return self.shared, None
        keys = jax.vmap(jax.random.fold_in, (None, 0))(self.key, jnp.asarray(indices))
        return jax.vmap(lambda key: _build(self.settings, self.image_shape, key))(keys), 0

    @property
    def hides_pixels(self) -> bool:
        """Whether the operator is a mask by name that a real measurement states by itself, unlike one that is given."""
        return isinstance(self.like, Mask) and self.settings["operator"] in NAMED and "seen" not in self.settings

    @property
    def measurement(self) -> jax.ShapeDtypeStruct:
        """Shape and type of one measurement."""
        image = jax.ShapeDtypeStruct(tuple(self.image_shape), jnp.float32)
        return jax.eval_shape(lambda operator, x: operator.forward(x), self.like, image)


def build_task(name: str, settings: dict[str, Any], image_shape: Shape, key: Key) -> Task:
    """The task of settings from `select_tasks`; a seed among these takes precedence over the key.

    Raises:
        ValueError: if its operator cannot be built; it says why.
    """
    key = jax.random.key(settings["seed"]) if "seed" in settings else key
    shape, each, operator = tuple(image_shape), _drawn(settings) == "each", str(settings["operator"])
    try:
        # A trial for operators of each image's own, so that a wrong value is reported before the first image.
        if not each or operator not in NAMED:
            like = tried(operator, _build(settings, shape, key))
        if each:
            like = jax.eval_shape(lambda k: _build(settings, shape, k), key)
        task = Task(name, settings, shape, key, GaussianNoise(sigma_of(settings)), like, None if each else like)
        _ = task.measurement
    except (ValueError, TypeError, OSError, ArithmeticError, MemoryError) as error:
        where = " ".join(dict.fromkeys([place(name, settings), *([operator] if operator not in NAMED else [])]))
        memory = f" (with {settings})" if isinstance(error, ArithmeticError | MemoryError) else ""
        raise ValueError(f"{where}: {error}{memory}{_meant_for(name, shape)}") from error
    return task


def select_tasks(
    tasks: Mapping[str, Any], names: Iterable[str], changes: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """The settings of the named tasks of a configuration and of benchmarks, checked.

    `changes` are settings for all of them: a deviation `sigma` in [-1, 1], and others for the tasks that have such.

    Raises:
        ValueError: if a task, its operator or a setting is unknown, a setting is missing, or sigma is not positive.
    """
    changes = dict(changes or {})
    selected, possible = {}, {"sigma"}
    for name in names:
        if "/" in name:
            benchmark_name, _, task = name.partition("/")
            benchmark = read_benchmark(benchmark_name)
            known(task, benchmark["tasks"], f"task of the benchmark {benchmark_name}")
            settings = dict(sigma_range=benchmark["sigma_range"], seed=benchmark["seed"]) | benchmark["tasks"][task]
        else:
            benchmarks = ", ".join(benchmark_names())
            known(name, tasks, "task", f"those of benchmarks are BENCHMARK/TASK, BENCHMARK one of {benchmarks}")
            if not isinstance(tasks[name], Mapping | ConfigDict):
                raise ValueError(f"config.tasks.{name} is {tasks[name]!r}; it is a dict(operator=..., sigma=...).")
            settings = dict(tasks[name])
        where = place(name, settings)
        if "operator" not in settings:
            raise ValueError(f"{where} has no `operator`; it is one of {', '.join(NAMED)}.")
        named = find_named(settings["operator"], f"operator of {where}")
        if "/" in name and named and not named.drawn:
            del settings["seed"]
        fitting = {key: value for key, value in changes.items() if named is None or key in named.settings}
        possible |= set(named.settings if named else fitting)
        settings |= fitting
        if "sigma" in changes:
            settings |= dict(sigma=changes["sigma"], sigma_range="[-1, 1]")
        _check(where, settings, named)
        selected[name] = settings
    if not selected:
        raise ValueError(f"No task is named; the configuration has {', '.join(tasks)}.")
    for setting in changes:
        known(setting, sorted(possible), f"setting of {', '.join(selected)}:")
    return selected


def place(name: str, settings: Mapping[str, Any]) -> str:
    """What to call a task in an error: one of an operator alone has its name."""
    return name if "/" in name or name == settings.get("operator") else f"config.tasks.{name}"


def sigma_of(settings: Mapping[str, Any]) -> float:
    """The deviation of the noise for images in [-1, 1]: 0.05 for images in [0, 1] is 0.1."""
    return float(settings["sigma"]) * UNITS[settings.get("sigma_range", "[-1, 1]")]


def describe_task(settings: Mapping[str, Any]) -> str:
    """A task in a line, such as "random mask, hidden 0.7, σ = 0.05"."""
    named = NAMED.get(settings["operator"])
    order = [*(named.settings if named else settings), *settings]
    shown = dict.fromkeys(key for key in order if key in settings and (key not in OWN or key == "drawn"))
    name = settings["operator"] if ":" in settings["operator"] else settings["operator"].replace("_", " ")
    sigma = f"σ = {sigma_of(settings):g}"
    if "sigma_range" in settings:
        sigma += f" in [-1, 1], {sigma_of(settings) / UNITS['[0, 1]']:g} in [0, 1]"
    return ", ".join([name, *(f"{setting} {_short(settings[setting])}" for setting in shown), sigma])


def benchmark_names() -> list[str]:
    """The published benchmarks whose tasks there are."""
    return sorted(path.stem for path in BENCHMARKS.glob("*.py") if not path.stem.startswith("_"))


def read_benchmark(name: str) -> dict[str, Any]:
    """A benchmark: seed, sigma_range, image_shape and tasks; a ValueError if there is none of that name."""
    known(name, benchmark_names(), "benchmark")
    return runpy.run_path(str(BENCHMARKS / f"{name}.py"))["get_config"]().to_dict()


def _drawn(settings: Mapping[str, Any]) -> str | None:
    named = NAMED.get(settings["operator"])
    return settings.get("drawn", named.drawn if named else None)


def _build(settings: Mapping[str, Any], image_shape: Shape, key: Key) -> Operator:
    own = {name: value for name, value in settings.items() if name not in OWN}
    return make_operator(settings["operator"], key if _drawn(settings) else None, image_shape, own)


def _meant_for(name: str, image_shape: Shape) -> str:
    benchmark, slash, _ = name.partition("/")
    if not slash or (shape := tuple(read_benchmark(benchmark)["image_shape"])) == image_shape:
        return ""
    return f" (The benchmark is for images of shape {shape}, the prior's are {image_shape}.)"


def _short(value: Any) -> str:
    """A setting in a word: of a matrix, its shape."""
    shape = np.shape(value) if isinstance(value, list | tuple) else ()
    return " x ".join(map(str, shape)) if len(shape) > 1 else str(value)


def _check(where: str, settings: Mapping[str, Any], named: Named | None) -> None:
    required = ["sigma"]
    if named:
        required = [*named.required.split(), *required]
        for setting in settings.keys() - {"operator"}:
            known(setting, [*named.settings, "sigma", "sigma_range"], f"setting of {where} ({settings['operator']})")
    if missing := [setting for setting in required if setting not in settings]:
        raise ValueError(
            f"{where} ({settings['operator']}) does not state its {' and '.join(missing)}; add "
            f"--setting={missing[0]}=..."
        )
    sigma = settings["sigma"]
    if not isinstance(sigma, int | float) or isinstance(sigma, bool) or not SMALLEST <= sigma <= LARGEST:
        raise ValueError(
            f"{where}.sigma is {sigma}; it is the deviation of the noise in [-1, 1] units, above 0, from {SMALLEST:g} "
            f"to {LARGEST:g}."
        )
    for setting, value in settings.items():
        if setting != "seed" and isinstance(value, int | float) and not abs(value) <= LARGEST:
            raise ValueError(f"{where}.{setting} is {value}; it is a number of at most {LARGEST:g}.")
    if not isinstance(settings.get("shared", True), bool):
        raise ValueError(f"{where}.shared is {settings['shared']!r}; it is True or False.")
    known(settings.get("sigma_range", "[-1, 1]"), UNITS, f"sigma_range of {where}")
    known(settings.get("drawn", "each"), ("each", "once"), f"`drawn` of {where}")
    if not isinstance(seed := settings.get("seed", 0), int) or not 0 <= seed < 2**63:
        raise ValueError(f"{where}.seed is {seed!r}; it is a whole number from 0 to 2^63 - 1.")
