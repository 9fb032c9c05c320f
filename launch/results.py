"""What restorations leave in the folder of a run, rows of metrics and arrays of operators, and the printed table."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from launch.runs import METRICS, read_json, write_json, write_text
from launch.tasks import Task
from pgm_jax.evaluation import Summary, summarise
from pgm_jax.types import Operator

Row = dict[str, Any]  # task, index, name and checksum of the image, and the metrics of a `Case`
LABELS = ("task", "index", "image", "content")

CAPTION = (
    "Mean ± standard deviation over the images. PSNR (dB) and SSIM on [0, 1]: images are mapped by (x + 1) / 2 and "
    "clipped. σ: noise of the measurement in the units of the images, [-1, 1]. Misfit: |y - A x| / (σ √n), 1 "
    "for the truth; of one sample, then of the mean. Error / std: |mean - x| / |std|; √(1 + 1/S) for exact samples, "
    "larger for overconfident ones. Seconds: median over the images. Calls: mean."
)


def task_folder(folder: Path, task: str) -> Path:
    """The folder of a task in that of its run; BENCHMARK/TASK and module:function are two folders deep."""
    # A name must not lead out of the folder, nor to the folder itself.
    return folder.joinpath(*(part if part.strip(".") else "_" for part in task.replace(":", "/").split("/")))


def spoken(task: str) -> str:
    """The name of a task as it is printed."""
    return task if ":" in task else task.replace("_", " ")


def arrays_of(operator: Operator | None) -> dict[str, np.ndarray]:
    """The arrays that an operator holds, by their names in it, such as `kernel` or `row_factors_s`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(operator)
    return {
        "_".join(str(getattr(k, "name", getattr(k, "idx", getattr(k, "key", k)))) for k in path): np.asarray(leaf)
        for path, leaf in leaves
    }


def write_metrics(folder: Path, rows: Sequence[Row]) -> None:
    """Write metrics.json (the rows, their mean and deviation by task) and metrics.csv (the rows)."""
    summary = {task: {name: s._asdict() for name, s in metrics.items()} for task, metrics in by_task(rows).items()}
    write_json(folder / METRICS, dict(rows=rows, summary=summary))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "metrics.csv", text.getvalue())


def read_rows(folder: Path) -> list[Row]:
    """The finished rows of a run; none where it was stopped before the first."""
    path = folder / METRICS
    rows = read_json(path)["rows"] if path.is_file() else []
    return [{name: math.nan if value is None else value for name, value in row.items()} for row in rows]


def by_task(rows: Iterable[Row]) -> dict[str, dict[str, Summary]]:
    """Mean and deviation of each metric of each task, over the images in order."""
    grouped: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        grouped.setdefault(row["task"], []).append({k: v for k, v in row.items() if k not in LABELS})
    return {task: summarise(group) for task, group in grouped.items()}


def print_table(console: Console, rows: Sequence[Row], tasks: Mapping[str, Task], samples: int) -> None:
    """Print mean ± deviation over the images of each task; PSNR above SSIM, where there is a truth."""
    summary = by_task(rows)
    judged = any("psnr_mean" in metrics for metrics in summary.values())
    style: Any = dict(show_edge=False, pad_edge=False, collapse_padding=True, caption_justify="left")
    table = Table(box=box.SIMPLE_HEAD, caption=CAPTION, **style)
    table.add_column("task", overflow="fold")
    scores = ["one sample\nPSNR / SSIM", f"mean of {samples}\nPSNR / SSIM", "misfit (2)\nerror / std"]
    for header in ["calls", *(scores if judged else ["misfit"]), "seconds\n/ image"]:
        table.add_column(header, justify="right", no_wrap=True, overflow="fold")
    for name, metrics in summary.items():
        seconds = float(np.median([row["seconds"] for row in rows if row["task"] == name]))
        images = f"n = {metrics['seconds'].count}, σ = {float(tasks[name].noise.sigma):g}"
        calls = f"{metrics['calls'].mean:.0f}" if "calls" in metrics else "-"
        cells: list[Any] = [Text.assemble(spoken(name), "\n", (images, "dim")), calls]
        for of in ("sample", "mean") if judged else ():
            cells.append(_plus_minus(metrics, {f"psnr_{of}": 2, f"ssim_{of}": 3}))
        cells.append(
            _plus_minus(metrics, dict(misfit_sample=2, misfit_mean=2) | ({"error_in_stds": 2} if judged else {}))
        )
        table.add_row(*cells, f"{seconds:.2f}")
    console.print(table)


def _plus_minus(metrics: Mapping[str, Summary], digits: Mapping[str, int]) -> str:
    return "\n".join(
        f"{metrics[name].mean:.{d}f} ± {metrics[name].std:.{d}f}" if name in metrics else "-"
        for name, d in digits.items()
    )
