r"""Restores degraded images by drawing posterior samples; writes them with their mean, standard deviation and scores.

  the demo: four images of clothing and four photographs, drawn in out/demo/demo.png and out/demo/photographs.jpg:
    python -m launch.restore --demo
  a degraded picture of your own, of any size; --task is denoise, deblur (--kernel), super_resolution (--factor),
  inpaint (--mask, white where the picture is missing), colourise, demosaic or jpeg:
    python -m launch.restore --input=photo.jpg --task=denoise --output=out/photo
    python -m launch.restore --input=scan.png --task=inpaint --mask=scratches.png --output=out/scan
  clean images to degrade and restore (a file, a folder, an .npz of `images`), with the prior that you trained on such:
    python -m launch.restore --images=photos --resize --prior=runs/mine/prior.npz --tasks=inpainting --output=out/mine
  a harder task, more samples, more network calls:
    python -m launch.restore --tasks=inpainting --setting=hidden=0.9 --samples=16 --calls=200 --output=out/hard
  a real measurement, [H, W, C] or a stack of them in [-1, 1], hidden pixels NaN:
    python -m launch.restore --measurement=y.npy --tasks=inpainting --sigma=0.1 --output=out/real
  tasks of published benchmarks (configs/tasks), with one of their settings changed:
    python -m launch.restore --tasks=dps/gaussian_blur,pgm/inpainting --setting=hidden=0.9 --output=out/dps
  your own operator, made by make_operator(image_shape) of my_module.py; a random one, with --setting=drawn=each, by
  make_operator(key, image_shape):
    python -m launch.restore --operator=my_module:make_operator --sigma=0.05 --output=out/yours
  continue a run that was stopped:
    python -m launch.restore ... --resume

OUTPUT/TASK/NUMBER/ gets truth, measurement, sample_*, mean and std as PNG (std from 0, black, to 0.5), figure.png, and
arrays.npz with the numbers, which pixels were observed, and the mask or kernel that was drawn for this image.
OUTPUT/TASK/ gets operator.npz, the arrays of an operator that all images share. OUTPUT/ gets sheet.png, metrics.json,
metrics.csv and config.json. With --input, OUTPUT/ gets restored.png, samples/, std.png, comparison.png and report.json.
"""

import contextlib
from pathlib import Path

from absl import flags
from rich.console import Console

from launch import demo, job, picture_job
from launch.config import one_line_errors, run
from launch.figures import STD_TOP, Block, coloured, figure_of, rgb, save_png, seen
from launch.results import LABELS, Row, arrays_of, print_table, spoken, task_folder
from launch.tasks import Task, describe_task
from pgm_jax.evaluation import Case
from pgm_jax.files import read_arrays, write_arrays
from pgm_jax.training.images import to_uint8

SHEET_ROWS = 8
FIGURE_CELL, DPI = 1.2, 160
DEMO = dict(count=4, batch=4, output="out/demo")
# Of tasks, images and priors; with these a demo has no photographs.
CHOICES = (
    *("tasks", "operator", "setting", "sigma", "prior"),
    *("images", "dataset", "measurement", "first", "count"),
)

flags.adopt_module_key_flags(job)
flags.adopt_module_key_flags(picture_job)
_FIGURES = flags.DEFINE_enum(
    "figures", "all", ["all", "sheet", "none"], "figure.png of every image, 0.15 s each, and the sheet; or less."
)
_DEMO = flags.DEFINE_bool(
    "demo",
    False,
    "Restore four images of clothing and four photographs into out/demo, afresh each time; with flags that choose "
    "tasks, images or a prior, these alone.",
)


def block_of(task: Task, cases: list[Case]) -> Block:
    """A task and its cases for a figure."""
    plain = "/" not in task.name and ":" not in task.name
    return Block(spoken(task.name).capitalize() if plain else spoken(task.name), describe_task(task.settings), cases)


def case_folder(folder: Path, task: str, index: int) -> Path:
    """Where a case is written."""
    return task_folder(folder, task) / f"{index:04d}"


def write_case(folder: Path, task: Task, case: Case) -> None:
    """Write a case into its folder: numbers, pictures and, where all are wanted, a figure."""
    folder = case_folder(folder, task.name, case.index)
    truth = {} if case.truth is None else dict(truth=case.truth)
    own = {} if case.operator is task.shared else arrays_of(case.operator)
    numbers = truth | dict(measurement=case.y, observed=case.observed) | {f"operator_{k}": v for k, v in own.items()}
    write_arrays(folder / "arrays.npz", numbers | dict(samples=case.samples, mean=case.mean, std=case.std))
    pictures = truth | dict(mean=case.mean) | {f"sample_{i}": sample for i, sample in enumerate(case.samples)}
    for name, image in pictures.items():
        save_png(folder / f"{name}.png", to_uint8(image) if image.shape[-1] in (1, 3) else rgb(image))
    save_png(folder / "measurement.png", seen(case.y, case.observed))
    save_png(folder / "std.png", coloured(case.std, STD_TOP))
    if _FIGURES.value == "all":
        figure_of([block_of(task, [case])], FIGURE_CELL).savefig(folder / "figure.png", dpi=DPI)


def read_case(folder: Path, row: Row) -> Case:
    """A case that `write_case` wrote, for a figure."""
    path = case_folder(folder, row["task"], row["index"]) / "arrays.npz"
    found = read_arrays(path, "the arrays of a restoration")
    arrays = {name: found[name] for name in ("observed", "samples", "mean", "std")} | dict(y=found["measurement"])
    metrics = {name: value for name, value in row.items() if name not in LABELS}
    return Case(row["index"], found.get("truth"), None, **arrays, metrics=metrics)


def write_sheet(path: Path, tasks: dict[str, Task], rows: list[Row]) -> None:
    """Draw the first images of all tasks onto one sheet."""
    blocks = []
    for name, task in tasks.items():
        first = sorted((row for row in rows if row["task"] == name), key=lambda row: row["index"])[:SHEET_ROWS]
        blocks.append(block_of(task, [read_case(path.parent, row) for row in first]))
    figure_of(blocks).savefig(path, dpi=DPI)


@one_line_errors()
def main(_: list[str]) -> None:
    """Read the flags, restore, write the sheet and print the table."""
    if _DEMO.value:
        own = not flags.FLAGS["output"].present and not flags.FLAGS.resume
        for name, value in (DEMO | dict(overwrite=own)).items():
            flags.FLAGS.set_default(name, value)
    if flags.FLAGS.input is not None:
        return picture_job.restore_pictures(Console(highlight=False))
    console, sheet = Console(highlight=False), "demo.png" if _DEMO.value else "sheet.png"
    drawn = (sheet, demo.FIGURE) if _DEMO.value else (sheet,)
    with job.opened("restore", "out/restoration", drawn, console) as (work, folder, rows):
        with contextlib.closing(job.recorded(work, folder, rows, console)) as cases:
            for task, case in cases:
                write_case(folder, task, case)
        if _FIGURES.value != "none":
            write_sheet(folder / sheet, work.tasks, rows)
        print_table(console, rows, work.tasks, work.config["sampler"]["samples"])
        place = "" if _FIGURES.value == "none" else f"Sheet: {folder / sheet}; "
        console.print(f"{place}images and numbers: {folder}", soft_wrap=True, markup=False)
        own = _FIGURES.value == "none" or any(flags.FLAGS[name].present for name in CHOICES)
        if _DEMO.value and not own and not (folder / demo.FIGURE).exists():
            demo.write_photographs(console, folder, flags.FLAGS.samples, flags.FLAGS.calls, flags.FLAGS.seed)


if __name__ == "__main__":
    run(main)
