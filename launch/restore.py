r"""Restores degraded images by drawing posterior samples, and writes them with their mean, spread and scores.

  the demo: eight bundled images, three tasks, one sheet, out/demo/demo.png:
    python -m launch.restore --demo
  your own images (a file, a folder, or an .npz with `images`), with the prior that you trained on such:
    python -m launch.restore --images=photos --resize --prior=runs/mine/prior.npz --tasks=inpainting --output=out/mine
  a harder task, more samples, more network calls:
    python -m launch.restore --tasks=inpainting --config.tasks.inpainting.hidden=0.9 --samples=16 --calls=200
  a real measurement, [H, W, C] or a stack of them in [-1, 1], hidden pixels NaN:
    python -m launch.restore --measurement=y.npy --tasks=inpainting --config.tasks.inpainting.sigma=0.1
  tasks of published benchmarks (configs/tasks), and a setting of theirs that is to be another:
    python -m launch.restore --tasks=dps/gaussian_blur,pgm/inpainting --setting=hidden=0.9
  your own operator, made by a function of my_module.py, make_operator(image_shape) or make_operator(key, image_shape):
    python -m launch.restore --operator=my_module:make_operator --sigma=0.05
  go on with a run that was stopped:
    python -m launch.restore ... --resume

OUTPUT/TASK/NUMBER/ gets truth, measurement, sample_*, mean and std as PNG (std from 0, black, to 0.5), figure.png, and
arrays.npz with the numbers (hidden pixels are NaN) and the mask or kernel that was drawn for this image. OUTPUT/TASK/
gets operator.npz, the arrays of an operator that all images share. OUTPUT/ gets sheet.png, metrics.json, metrics.csv
and config.json.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from absl import app, flags
from rich.console import Console

from launch import options
from launch.config import parse_flags
from launch.figures import Block, coloured, measurement, rgb, save_figure, save_png, seen
from launch.inputs import BUNDLED, Inputs, image_inputs, measurement_inputs
from launch.output import LABELS, Row, print_table, spoken, task_folder
from launch.sweep import Job, sweep
from launch.tasks import arrays_of, describe_task, hides_pixels, measurement_of, observed_of, operators_of, own_operator
from pgm_jax.evaluation import Case
from pgm_jax.files import read_arrays, write_arrays
from pgm_jax.training.images import to_uint8
from pgm_jax.types import Operator

STD_TOP = 0.5  # of std.png, whose colours are comparable between images
SHEET_ROWS = 8
FIGURE_CELL = 1.2
DEMO = dict(count=SHEET_ROWS, samples=8, calls=100, batch=4, output="out/demo")

flags.adopt_module_key_flags(options)
_IMAGES = flags.DEFINE_string("images", BUNDLED, "An image, a folder, an .npz with `images`, or `bundled`.")
_FIRST = flags.DEFINE_integer("first", 0, "Number of the first image to restore.", lower_bound=0)
_COUNT = flags.DEFINE_integer("count", None, "How many images to restore; by default all.", lower_bound=1)
_RESIZE = flags.DEFINE_bool("resize", False, "Crop image files about the centre and resize them to the prior's size.")
_MEASUREMENT = flags.DEFINE_string("measurement", None, "An .npy of measurements, in place of images.")
_OUTPUT = flags.DEFINE_string("output", "out/restoration", "Folder of the run.")
_DEMO = flags.DEFINE_bool("demo", False, f"Restore {SHEET_ROWS} images into out/demo, anew each time; draw demo.png.")


def read_inputs(job: Job) -> tuple[Inputs, dict[str, Any]]:
    """What to restore, and the flags that chose it."""
    if _MEASUREMENT.value is None:
        chosen = dict(images=_IMAGES.value, first=_FIRST.value, count=_COUNT.value, resize=_RESIZE.value)
        return image_inputs(_IMAGES.value, job.image_shape, _FIRST.value, _COUNT.value, _RESIZE.value), chosen
    if len(job.tasks) != 1:
        raise ValueError(f"--measurement is of one task; --tasks names {', '.join(job.tasks)}.")
    (task,) = job.tasks.values()

    def operators(count: int) -> tuple[Operator, int | None]:
        return operators_of(task, job.image_shape, job.operator_key, jnp.arange(count))

    expected = measurement_of(*operators(1))
    observed = None if hides_pixels(task) else lambda count: observed_of(*operators(count))
    chosen = dict(measurement=_MEASUREMENT.value)
    return measurement_inputs(_MEASUREMENT.value, expected.shape, expected.dtype, observed), chosen


def block_of(name: str, task: Mapping[str, Any], cases: list[Case]) -> Block:
    """A task and its cases for a figure."""
    title = name if ":" in name else spoken(name) if "/" in name else spoken(name).capitalize()
    return Block(title, describe_task(task), cases)


def arrays_of_case(job: Job, task: Mapping[str, Any], case: Case, measured: bool) -> dict[str, np.ndarray]:
    """The arrays of the operator that this image has for itself, under `operator_...`."""
    if not own_operator(task, measured):
        return {}
    y = measurement(case)[None] if measured else None
    operator, _ = operators_of(task, job.image_shape, job.operator_key, jnp.array([case.index]), y)
    return {f"operator_{name}": array[0] for name, array in arrays_of(operator).items()}


def write_case(folder: Path, block: Block, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the one case of a block, and arrays beside it: numbers, pictures and a figure."""
    (case,) = block.cases
    folder.mkdir(parents=True, exist_ok=True)
    truth = {} if case.truth is None else dict(truth=case.truth)
    numbers = truth | dict(measurement=measurement(case), samples=case.samples, mean=case.mean, std=case.std)
    write_arrays(folder / "arrays.npz", {**numbers, **arrays})
    pictures = truth | dict(mean=case.mean) | {f"sample_{i}": sample for i, sample in enumerate(case.samples)}
    for name, image in pictures.items():
        save_png(folder / f"{name}.png", to_uint8(image) if image.shape[-1] in (1, 3) else rgb(image))
    save_png(folder / "measurement.png", seen(measurement(case)))
    save_png(folder / "std.png", coloured(case.std, STD_TOP))
    save_figure(folder / "figure.png", [block], FIGURE_CELL)


def read_case(folder: Path, row: Row) -> Case:
    """A case that `write_case` wrote."""
    metrics = {name: value for name, value in row.items() if name not in LABELS}
    a = read_arrays(folder / "arrays.npz", "the arrays of a restoration")
    y, arrays = a["measurement"], (a["samples"], a["mean"], a["std"])
    return Case(row["index"], a.get("truth"), np.nan_to_num(y), ~np.isnan(y), *arrays, metrics)


def write_sheet(folder: Path, tasks: Mapping[str, Mapping[str, Any]], rows: list[Row]) -> Path:
    """Draw the first images of all tasks onto one sheet."""
    blocks = []
    for name, task in tasks.items():
        first = sorted((row for row in rows if row["task"] == name), key=lambda row: row["index"])[:SHEET_ROWS]
        blocks.append(block_of(name, task, [read_case(case_folder(folder, name, row["index"]), row) for row in first]))
    path = folder / ("demo.png" if _DEMO.value else "sheet.png")
    save_figure(path, blocks)
    return path


def case_folder(folder: Path, task: str, index: int) -> Path:
    """Where a case is written."""
    return task_folder(folder, task) / f"{index:04d}"


def main(argv: list[str]) -> None:
    """Read the flags, restore, write the sheet and print the table."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected {argv[1:]}: every argument is a --flag")
    if _DEMO.value:
        own = not flags.FLAGS["output"].present and not flags.FLAGS.resume
        for name, value in (DEMO | dict(overwrite=own)).items():
            flags.FLAGS.set_default(name, value)
    console = Console(highlight=False)
    job, inputs, folder, finished = options.open_door(read_inputs, _OUTPUT.value, console)

    measured = _MEASUREMENT.value is not None

    def keep(name: str, case: Case) -> None:
        task = job.tasks[name]
        arrays = arrays_of_case(job, task, case, measured)
        write_case(case_folder(folder, name, case.index), block_of(name, task, [case]), arrays)

    rows = sweep(job, inputs, folder, finished, console, keep=keep, measured=measured)
    sheet = write_sheet(folder, job.tasks, rows)
    print_table(console, rows, job.tasks, job.calls, job.samples)
    console.print(f"Sheet: {sheet}; images and numbers: {folder}", soft_wrap=True)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
