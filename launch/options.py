"""The flags that `launch.restore` and `launch.evaluate` share, and the job that they describe."""

import ast
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags, logging
from rich.console import Console

from launch.config import define_config, one_line_errors
from launch.inputs import Inputs
from launch.output import Row, open_run, run_record
from launch.sweep import Job
from launch.tasks import select_tasks, try_operator
from pgm_jax.networks import ProxNet
from pgm_jax.pretrained import load_prior
from pgm_jax.samplers import default_rows

_CONFIG = define_config("Sampler and tasks; change a setting by --config.tasks.blur.sigma=0.1.")
flags.declare_key_flag("config")
_TASKS = flags.DEFINE_list(
    "tasks", "inpainting,super_resolution,blur", "Tasks of the configuration by name, or RECIPE/TASK."
)
flags.DEFINE_alias("task", "tasks")
_PRIOR = flags.DEFINE_string("prior", None, "A prior .npz, as training writes it; by default the bundled one.")
_SAMPLES = flags.DEFINE_integer("samples", None, "Posterior samples of each image; by default config.sampler.samples.")
_CALLS = flags.DEFINE_integer("calls", None, "Network calls of each sample; by default config.sampler.calls.")
_OPERATOR = flags.DEFINE_string(
    "operator", None, "In place of tasks: an operator by name, or your own, module:function."
)
_SIGMA = flags.DEFINE_float("sigma", None, "Noise of the measurements in [-1, 1] units; by default as each task says.")
_SETTING = flags.DEFINE_multi_string("setting", [], "NAME=VALUE for the tasks that have such a setting; any number.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of measurements and samples.", lower_bound=0)
_BATCH = flags.DEFINE_integer(
    "batch", 8, "Images of one compiled call; the result does not depend on it.", lower_bound=1
)
_RESUME = flags.DEFINE_bool("resume", False, "Go on with the run in --output, which has the same settings.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Throw the run in --output away.")


def read_job() -> Job:
    """The job that the common flags describe.

    Raises:
        FileNotFoundError: if there is no such prior.
        ValueError: if the prior is damaged, or a task or the sampler has a name or a value that it cannot have.
    """
    prior, description = _read_prior(_PRIOR.value)
    sampler = dict(_CONFIG.value.sampler)
    sampler |= {k: flag.value for k, flag in dict(samples=_SAMPLES, calls=_CALLS).items() if flag.value is not None}
    if sampler["samples"] < 1:
        raise ValueError(f"--samples is {sampler['samples']}; a restoration needs at least 1.")
    tasks = read_tasks()
    key = jax.random.key(_SEED.value)
    for name, task in tasks.items():  # so that a wrong value is told before the first image, not after an hour
        try_operator(name, task, prior.network.image_shape, key)
    config = dict(prior=description, sampler=sampler, tasks=tasks)
    rows = default_rows(sampler["calls"], sampler.get("setting", "calibrated"))
    return Job(prior, tasks, sampler["calls"], sampler["samples"], rows, key, _BATCH.value, config)


def read_tasks() -> dict[str, dict[str, Any]]:
    """The tasks that the common flags name, with the settings that they change.

    Raises:
        ValueError: as `select_tasks` does, or if a flag cannot be read.
    """
    changes = dict(_read_setting(text) for text in _SETTING.value)
    if _SIGMA.value is not None:
        changes["sigma"] = _SIGMA.value
    tasks, names = dict(_CONFIG.value.tasks), _TASKS.value
    if _OPERATOR.value is not None:
        if _SIGMA.value is None:
            raise ValueError("--operator needs --sigma, the noise of its measurements for images in [-1, 1].")
        tasks[_OPERATOR.value] = dict(operator=_OPERATOR.value, sigma=_SIGMA.value)
        names = [*(names if flags.FLAGS["tasks"].present else []), _OPERATOR.value]
    return select_tasks(tasks, names, changes)


def _read_setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--setting={text} says no value: write --setting=NAME=VALUE.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def open_door(
    read_inputs: Callable[[Job], tuple[Inputs, dict[str, Any]]], output: str, console: Console
) -> tuple[Job, Inputs, Path, list[Row]]:
    """The job, its inputs, the folder of its run and the rows that are finished; what is wrong ends it in one line."""
    logging.set_verbosity(logging.WARNING)
    folder = Path(output).expanduser()
    with one_line_errors(ValueError, TypeError, OSError):
        job = read_job()
        inputs, chosen = read_inputs(job)
        finished = open_output(folder, job, chosen)
    for error in inputs.skipped:
        console.print(f"left out: {error}", markup=False)
    return job, inputs, folder, finished


def open_output(folder: Path, job: Job, inputs: Mapping[str, Any]) -> list[Row]:
    """Open the folder of the run of a job on `inputs`, the flags that chose them: the rows that are finished.

    Raises:
        ValueError: as `open_run` does.
    """
    record = run_record({**job.config, "inputs": dict(inputs)}, _SEED.value)
    return open_run(folder, record, resume=_RESUME.value, overwrite=_OVERWRITE.value)


def _read_prior(path: str | None) -> tuple[ProxNet, dict[str, str]]:
    prior = load_prior(path or "fashion_mnist")
    weights = b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(prior.params))
    return prior, dict(file=path or "bundled", sha256=hashlib.sha256(weights).hexdigest())
