"""What `launch.restore` and `launch.evaluate` share: their flags, the job that these describe, and the pass over it."""

import ast
import contextlib
import hashlib
import time
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags, logging
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from launch.config import DATA_DIR, define_config, known_settings, usual_config
from launch.problems import BUNDLED, Images, Measurements, problems, read_dataset, read_images, read_measurements
from launch.results import Row, arrays_of, read_rows, spoken, task_folder, write_metrics
from launch.runs import METRICS, RECORD, open_run, remove, run_record, usable
from launch.tasks import Task, build_task, select_tasks
from pgm_jax.evaluation import Case, restore_problem
from pgm_jax.files import local_path, only_writer, write_arrays
from pgm_jax.networks import MetricProxNet, ProxNet
from pgm_jax.operators.checks import check_whole
from pgm_jax.pretrained import load_prior
from pgm_jax.samplers import default_rows
from pgm_jax.types import Key, Shape

SAVE_SECONDS = 5.0
MOST = 100_000  # samples, and calls

_CONFIG = define_config()
flags.declare_key_flag("config")
flags.declare_key_flag("data_dir")
flags.declare_key_flag("white")
flags.DEFINE_list("tasks", "inpainting,super_resolution,blur", "Tasks of the configuration by name, or BENCHMARK/TASK.")
flags.DEFINE_alias("task", "tasks")
flags.DEFINE_string("operator", None, "By name or module:function; alone, or beside --tasks. Needs --sigma.")
flags.DEFINE_float("sigma", None, "Noise standard deviation, for images in [-1, 1]; by default that of each task.")
flags.DEFINE_multi_string("setting", [], "NAME=VALUE, for every task that has this setting.")
flags.DEFINE_string("images", None, "An image, a folder, an .npz with `images`, an .npy, or `bundled`, the default.")
flags.DEFINE_string("dataset", None, "In place of images: a TFDS set, a folder, or an .npz with the split.")
flags.DEFINE_string("split", "test", "Split of --dataset.")
flags.DEFINE_string("measurement", None, "In place of images: an .npy, a result's arrays.npz, or an image.")
flags.mark_flags_as_mutual_exclusive(["images", "dataset", "measurement"])
flags.DEFINE_integer("first", 0, "Number of the first image or measurement.", lower_bound=0)
flags.DEFINE_integer("count", None, "How many; by default all.", lower_bound=1)
flags.DEFINE_bool("resize", False, "Crop image files about the centre and resize them to the prior's size.")
flags.DEFINE_string(
    "prior",
    None,
    "A prior .npz, as training writes it, or a bundled one; by default fashion_mnist, with --input photos.",
)
flags.DEFINE_integer("samples", None, "Posterior samples per image; by default config.sampler.samples.")
flags.DEFINE_integer("calls", None, "Network calls per sample; 100 by default, 20 for the exact step.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of measurements and samples.", 0, 2**63 - 1)
flags.DEFINE_integer("batch", 8, "Images per compiled call; the result does not depend on it.", lower_bound=1)
flags.DEFINE_string("output", None, "Folder of the run; by default out/restoration, out/evaluation or out/pictures.")
flags.DEFINE_bool("resume", False, "Continue the run in --output, which has the same settings.")
flags.DEFINE_bool("overwrite", False, "Replace the run in --output.")


class Job(NamedTuple):
    """What to restore and how, resolved from the flags; `config` is what its record says of it."""

    prior: ProxNet | MetricProxNet
    tasks: dict[str, Task]
    inputs: Images | Measurements
    sampling: dict[str, Any]
    key: Key
    batch: int
    config: dict[str, Any]


def read_job() -> Job:
    """The job that the flags describe; an OSError, ValueError or TypeError where it cannot be done."""
    given = flags.FLAGS
    prior = load_prior(given.prior or "fashion_mnist")
    if not isinstance(prior, ProxNet | MetricProxNet):
        raise ValueError(
            f"{given.prior} holds a {type(prior).__name__}; PGM asks its prior for the prox at every level: give one "
            "that was trained by configs/fashion_mnist.py or configs/exact_step.py."
        )
    weights = b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(prior.params))
    description = dict(file=given.prior or "bundled", sha256=hashlib.sha256(weights).hexdigest())
    known_settings(_CONFIG.value.sampler, usual_config().sampler, "config.sampler")
    sampler = dict(_CONFIG.value.sampler)
    sampler |= {name: given[name].value for name in ("samples", "calls") if given[name].value is not None}
    for name, least in dict(samples=1, calls=0).items():
        check_whole(f"{name} is the number of {name} for each image", sampler[name], least, MOST)
    usual = "exact" if isinstance(prior, MetricProxNet) else "calibrated"
    sampler["setting"] = setting = sampler.get("setting") or usual
    if setting != usual:
        default_rows(1, setting)  # refuses what there is not
    # Where a task has no exact step, restore takes what it has.
    sampling = sampler | dict(calls=sampler["calls"] or None, setting=None if setting == "exact" else setting)
    settings, key = read_tasks(), jax.random.key(given.seed)
    shape, operator_key = one_size(prior), jax.random.fold_in(key, 0)
    tasks = {name: build_task(name, task, shape, operator_key) for name, task in settings.items()}
    inputs, chosen = read_inputs(tasks)
    config = dict(prior=description, sampler=sampler, tasks=settings, inputs=chosen)
    return Job(prior, tasks, inputs, sampling, key, given.batch, config)


def one_size(prior: Any) -> Shape:
    """The shape of the images of a prior; a ValueError where it takes any."""
    shape = tuple(side for side in prior.image_shape if side is not None)
    if len(shape) < len(prior.image_shape):
        raise ValueError("This prior is one of pictures of any size: give one by launch.restore --input and --task.")
    return shape


def read_tasks() -> dict[str, dict[str, Any]]:
    """The settings of the tasks that the flags name, with what the flags change."""
    given = flags.FLAGS
    changes = dict(_read_setting(text) for text in given.setting)
    if given.sigma is not None:
        changes["sigma"] = given.sigma
    tasks, names = dict(_CONFIG.value.tasks), given.tasks
    if given.operator is not None:
        if given.sigma is None:
            raise ValueError("--operator needs --sigma, the noise of its measurements for images in [-1, 1].")
        tasks[given.operator] = dict(operator=given.operator, sigma=given.sigma)
        names = [*(names if given["tasks"].present else []), given.operator]
    return select_tasks(tasks, names, changes)


def read_inputs(tasks: dict[str, Task]) -> tuple[Images | Measurements, dict[str, Any]]:
    """What to restore, and the flags that chose it."""
    given, (task, *others) = flags.FLAGS, tasks.values()
    window, white = dict(first=given.first, count=given.count), given.white
    chosen = window | ({} if white is None else dict(white=white))
    if given.measurement is not None:
        if others:
            raise ValueError(f"--measurement belongs to one task; --tasks names {', '.join(tasks)}.")
        inputs = read_measurements(given.measurement, task, **window, white=white)
        digest = hashlib.sha256(inputs.y.tobytes()).hexdigest()
        return inputs, dict(measurement=given.measurement, sha256=digest) | chosen
    if given.dataset is not None:
        where: dict[str, Any] = dict(data_dir=DATA_DIR.value, white=white)
        inputs = read_dataset(given.dataset, given.split, task.image_shape, **window, **where)
        return inputs, dict(dataset=given.dataset, split=given.split) | chosen
    spec = given.images or BUNDLED
    inputs = read_images(spec, task.image_shape, **window, resize=given.resize, white=white)
    return inputs, dict(images=spec, resize=given.resize) | chosen


@contextlib.contextmanager
def opened(kind: str, output: str, writes: tuple[str, ...], console: Console) -> Iterator[tuple[Job, Path, list[Row]]]:
    """The job, the folder of its run, which is held for the time of the block, and the rows that are finished.

    `output` is the default folder; `writes` says what the command writes there beside folders of tasks and metrics. A
    run that ends before its first row leaves nothing behind.
    """
    logging.set_verbosity(logging.WARNING)
    given = flags.FLAGS
    folder, how = local_path(given.output or output), dict(resume=given.resume, overwrite=given.overwrite)
    usable(folder, kind, **how)  # before the seconds that the job takes to build
    job = read_job()
    own = [*(str(task_folder(Path(), name)) for name in job.tasks), METRICS, "metrics.csv", *writes]
    with only_writer(folder):
        resumed = open_run(folder, run_record(kind, job.config, given.seed), own, **how)
        rows = read_rows(folder) if resumed else []
        here = set(job.inputs.indices.tolist())
        for index, row in {row["index"]: row for row in rows}.items():
            if index not in here:
                raise ValueError(f"Image {index}, {row['image']}, is no longer there: give another --output.")
            if row["image"] != (now := job.inputs.name(index)):
                raise ValueError(f"Image {index} was {row['image']} and is now {now}: give another --output.")
            image = None if isinstance(job.inputs, Measurements) else job.inputs.read(np.array([index]))
            if row["content"] != content_of(image):
                raise ValueError(f"Image {index}, {now}, is not what it was: give another --output.")
        for error in job.inputs.skipped:
            console.print(f"left out: {error}", markup=False)
        try:
            yield job, folder, rows
        except KeyboardInterrupt:
            total = len(job.inputs.indices) * len(job.tasks)
            where = f"are finished and written in {folder}; re-run the command with --resume to continue."
            words = f"{len(rows)} of {total} restorations {where}" if rows else "No restoration was finished."
            console.print(f"Interrupted. {words}", soft_wrap=True, markup=False)
            raise
        finally:
            if not rows and not resumed:
                remove(folder, [RECORD, *own])


def progress_bars(console: Console, label: str) -> Progress:
    """Bars with the time left, each behind its label."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    return Progress(TextColumn(label, markup=False), *columns, console=console)


def content_of(image: np.ndarray | None) -> str:
    """A checksum of the pixels of an image; measurements, None, have theirs in the configuration of the run."""
    return "" if image is None else f"{zlib.crc32(np.asarray(image, np.float32).tobytes()):08x}"


def recorded(job: Job, folder: Path, rows: list[Row], console: Console) -> Generator[tuple[Task, Case]]:
    """Every image of every task, restored and judged, but for those that have a row, with a progress bar.

    A case gets its row once the loop over it asks for the next. The arrays of an operator that all images of a task
    share go into its folder, as operator.npz.
    """
    saved, total = time.monotonic(), len(job.inputs.indices)
    try:
        with progress_bars(console, "{task.description}") as progress:
            bars = {name: progress.add_task(spoken(name), total=total) for name in job.tasks}
            for task in job.tasks.values():
                finished = {row["index"] for row in rows if row["task"] == task.name}
                progress.update(bars[task.name], completed=len(finished))
                shared = task_folder(folder, task.name) / "operator.npz"
                for problem in problems(job.inputs, task, job.key, job.batch, finished):
                    if problem.operator is task.shared and not shared.exists():
                        write_arrays(shared, arrays_of(task.shared))
                    for case in restore_problem(job.key, job.prior, problem, **job.sampling):
                        yield task, case
                        which = dict(task=task.name, index=case.index, image=job.inputs.name(case.index))
                        rows.append(which | dict(content=content_of(case.truth)) | case.metrics)
                        progress.advance(bars[task.name])
                    if time.monotonic() - saved > SAVE_SECONDS:
                        write_metrics(folder, rows)
                        saved = time.monotonic()
    finally:
        if rows:  # a run that failed at its first batch does not block the folder
            write_metrics(folder, rows)


def _read_setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"--setting={text} has no value, or no name: write --setting=NAME=VALUE.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
