"""The pass over tasks and images that `launch.restore` and `launch.evaluate` share."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import ml_collections
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from launch.inputs import Inputs, unfinished
from launch.output import Row, write_metrics
from launch.tasks import MASKS, masks_of, operators_of
from pgm_jax.evaluate import Case, evaluate, restore_batch
from pgm_jax.networks import ProxNet
from pgm_jax.samplers import Rows
from pgm_jax.types import Key, Shape

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
    config: ml_collections.ConfigDict  # prior, sampler and tasks, resolved

    @property
    def image_shape(self) -> Shape:
        """(H, W, C) of the images that the prior knows."""
        return self.prior.network.image_shape


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

    `keep` sees each case before its row is written. Interrupted, the rows so far are written.
    """
    rows, saved = list(finished), time.monotonic()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    try:
        with Progress(TextColumn("{task.description}"), *columns, console=console) as progress:
            done = {name: {row["index"] for row in rows if row["task"] == name} for name in job.tasks}
            bars = {
                name: progress.add_task(
                    name.replace("_", " "), total=inputs.count, completed=len(done[name]), start=False
                )
                for name in job.tasks
            }
            for name, task in job.tasks.items():
                progress.start_task(bars[name])
                for case in _cases(job, task, inputs, done[name], measured):
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


def _cases(job: Job, task: Mapping[str, Any], inputs: Inputs, done: set[int], measured: bool) -> Iterator[Case]:
    batches = unfinished(inputs.batches(job.batch), done)
    options = dict(sigma=task["sigma"], samples=job.samples, rows=job.rows)
    if not measured:
        operators = lambda key, indices: operators_of(task, job.image_shape, key, indices)  # noqa: E731
        yield from evaluate(job.prior, batches, operators, job.key, **options)
        return
    for y, numbers, valid in batches:
        indices = jnp.asarray(numbers)
        if task["operator"] in MASKS:
            operator, axis = masks_of(y, job.image_shape)
        else:
            operator, axis = operators_of(task, job.image_shape, job.key, indices)
        y = jnp.asarray(np.nan_to_num(y) if axis == 0 else y)
        yield from restore_batch(job.prior, operator, y, job.key, indices, valid, operator_axis=axis, **options)
