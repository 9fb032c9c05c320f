"""The pass over tasks and images that `launch.restore` and `launch.evaluate` share."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from launch.inputs import Inputs, unfinished
from launch.output import Row, spoken, task_folder, write_metrics
from launch.tasks import arrays_of, operators_of, own_operator, sigma_of
from pgm_jax.evaluation import Case, evaluate, restore_batch
from pgm_jax.files import write_arrays
from pgm_jax.networks import ProxNet
from pgm_jax.noise import GaussianNoise
from pgm_jax.samplers import Rows
from pgm_jax.types import Key, Operator, Shape

SAVE_SECONDS = 5.0


class Job(NamedTuple):
    """What to do with every image, from the common flags."""

    prior: ProxNet
    tasks: dict[str, dict[str, Any]]
    calls: int
    samples: int
    rows: Rows
    key: Key
    batch: int
    config: Mapping[str, Any]  # prior, sampler and tasks, resolved

    @property
    def image_shape(self) -> Shape:
        """(H, W, C) of the images that the prior knows."""
        return self.prior.network.image_shape

    @property
    def operator_key(self) -> Key:
        """Root key of what is random in operators, as `evaluate` folds it."""
        return jax.random.fold_in(self.key, 0)


def sweep(
    job: Job,
    inputs: Inputs,
    folder: Path,
    finished: list[Row],
    console: Console,
    *,
    keep: Callable[[str, Case], None] = lambda task, case: None,
    measured: bool = False,
) -> list[Row]:
    """Restore and judge every image for every task, with a progress bar; all rows, the finished ones included.

    `keep` sees each case before its row is written. Interrupted, the rows so far are written. The arrays of an operator
    that all images of a task share go into its folder, as operator.npz.
    """
    rows, saved = list(finished), time.monotonic()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    try:
        with Progress(TextColumn("{task.description}"), *columns, console=console) as progress:
            done = {name: {row["index"] for row in rows if row["task"] == name} for name in job.tasks}
            bars = {
                name: progress.add_task(spoken(name), total=inputs.count, completed=len(done[name]), start=False)
                for name in job.tasks
            }
            for name, task in job.tasks.items():
                progress.start_task(bars[name])
                shared = shared_operator(job, task, measured)
                if shared is not None:
                    task_folder(folder, name).mkdir(parents=True, exist_ok=True)
                    write_arrays(task_folder(folder, name) / "operator.npz", arrays_of(shared))
                for case in _cases(job, task, shared, inputs, done[name], measured):
                    keep(name, case)
                    rows.append(dict(task=name, index=case.index, image=inputs.name(case.index), **case.metrics))
                    progress.advance(bars[name])
                    if time.monotonic() - saved > SAVE_SECONDS:
                        write_metrics(folder, rows)
                        saved = time.monotonic()
    except KeyboardInterrupt:
        console.print(
            f"Interrupted. {len(rows)} of {inputs.count * len(job.tasks)} restorations are finished "
            f"and written in {folder}; the same command with --resume goes on.",
            soft_wrap=True,
        )
        sys.exit(130)
    finally:
        write_metrics(folder, rows)
    return rows


def shared_operator(job: Job, task: Mapping[str, Any], measured: bool) -> Operator | None:
    """The operator that all images of a task share; None where each has its own."""
    if own_operator(task, measured):
        return None
    return operators_of(task, job.image_shape, job.operator_key, jnp.arange(1))[0]


def _cases(
    job: Job, task: Mapping[str, Any], shared: Operator | None, inputs: Inputs, done: set[int], measured: bool
) -> Iterator[Case]:
    batches = unfinished(inputs.batches(min(job.batch, inputs.count)), done)
    noise = GaussianNoise(sigma_of(task))
    options: dict[str, Any] = dict(samples=job.samples, rows=job.rows)

    def operators(key: Key, indices: jax.Array, y: np.ndarray | None = None) -> tuple[Operator, int | None]:
        return (shared, None) if shared is not None else operators_of(task, job.image_shape, key, indices, y)

    if not measured:
        yield from evaluate(job.key, job.prior, operators, batches, noise, **options)
        return
    for y, numbers, valid in batches:
        indices = jnp.asarray(numbers)
        operator, axis = operators(job.operator_key, indices, y)
        y = jnp.asarray(np.nan_to_num(y))
        yield from restore_batch(job.key, job.prior, operator, y, noise, indices, valid, operator_axis=axis, **options)
