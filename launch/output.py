"""The folder of a run: config.json before the first image, metrics.json and metrics.csv as images are finished.

A run that stopped goes on where it was, if its configuration is the same; no folder is written over unasked.
"""

import csv
import datetime
import io
import json
import math
import platform
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax
import jax
import ml_collections
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import pgm_jax
from launch.tasks import sigma_of
from pgm_jax.evaluation import Summary, summarise
from pgm_jax.files import replacing

Row = dict[str, Any]  # task, index, image, and the metrics of a `Case`
LABELS = ("task", "index", "image")

CAPTION = (
    "Mean ± standard deviation over the images. PSNR (dB) and SSIM on [0, 1]: images are mapped by (x + 1) / 2 and "
    "clipped. σ: noise of the measurement in the units of the images, [-1, 1]. Misfit: |y - A x| / (σ √n), 1 "
    "for the truth; of one sample, then of the mean. Error / std: |mean - x| / |std|; √(1 + 1/S) for exact samples, "
    "larger for samples that are too sure. Seconds: median over the images."
)


def run_record(config: ml_collections.ConfigDict | Mapping[str, Any], seed: int) -> dict[str, Any]:
    """What is needed to run it again: resolved configuration, seed, command, versions, device; ready for JSON."""
    device = jax.devices()[0]
    modules = dict(pgm_jax=pgm_jax, jax=jax, flax=flax, numpy=np)
    return dict(
        config=json.loads(json.dumps(config.to_dict() if isinstance(config, ml_collections.ConfigDict) else config)),
        seed=seed,
        command=shlex.join(sys.argv),
        versions=dict(python=platform.python_version()) | {name: m.__version__ for name, m in modules.items()},
        device=dict(platform=device.platform, kind=device.device_kind, count=jax.device_count()),
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def open_run(folder: Path, record: Mapping[str, Any], *, resume: bool, overwrite: bool) -> list[Row]:
    """Make the folder of a run and write its config.json, or go on with the run in it: the rows that are finished.

    Raises:
        ValueError: if the folder is in use and neither flag is given, both are, or the run in it is another one.
    """
    if resume and overwrite:
        raise ValueError("--resume goes on with a run, --overwrite throws it away: give one of them.")
    if folder.is_file():
        raise ValueError(f"{folder} is a file; --output is the folder of a run.")
    path = folder / "config.json"
    if path.is_file():
        old = _read_json(path)
        if resume:
            changed = list(
                differences({k: old.get(k) for k in ("config", "seed")}, {k: record[k] for k in ("config", "seed")})
            )
            if changed:
                raise ValueError(
                    f"The run in {folder} has another configuration:\n  " + "\n  ".join(changed) + "\n"
                    "Give the same settings, --overwrite to start it anew, or another --output."
                )
            return read_rows(folder)
        if not overwrite:
            raise ValueError(
                f"{folder} already holds a run of {len(read_rows(folder))} finished images: add --resume to go "
                "on with it, --overwrite to throw it away, or give another --output."
            )
        for name in old.get("config", {}).get("tasks", {}):
            shutil.rmtree(task_folder(folder, name), ignore_errors=True)
        for name in ("config.json", "metrics.json", "metrics.csv"):
            (folder / name).unlink(missing_ok=True)
    elif folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder} holds files and no run; give an empty or a new folder as --output.")
    folder.mkdir(parents=True, exist_ok=True)
    _write(path, json.dumps(record, indent=2))
    return []


def task_folder(folder: Path, task: str) -> Path:
    """The folder of a task in that of its run; RECIPE/TASK and module:function are two folders deep."""
    # A name read from a file that somebody changed is not to lead out of the folder, nor to the folder itself.
    return folder.joinpath(*(part if part.strip(".") else "_" for part in task.replace(":", "/").split("/")))


def spoken(task: str) -> str:
    """The name of a task as it is printed."""
    return task if ":" in task else task.replace("_", " ")


def differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """In which fields two nested records differ, in words."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from differences(
                old.get(key, "absent"), new.get(key, "absent"), f"{name}.{key}" if name else str(key)
            )
    elif old != new:
        yield f"{name} was {old!r}, is {new!r}"


def write_metrics(folder: Path, rows: Sequence[Row]) -> None:
    """Write metrics.json (the rows, their mean and deviation by task) and metrics.csv (the rows), each at a stroke."""
    summary = {
        task: {name: dict(mean=s.mean, std=s.std, count=s.count) for name, s in metrics.items()}
        for task, metrics in by_task(rows).items()
    }
    _write(folder / "metrics.json", json.dumps(_nulls(dict(rows=rows, summary=summary)), indent=1, allow_nan=False))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _write(folder / "metrics.csv", text.getvalue())


def read_rows(folder: Path) -> list[Row]:
    """The finished rows of a run; none where it was stopped before the first."""
    path = folder / "metrics.json"
    rows = _read_json(path)["rows"] if path.is_file() else []
    return [{name: math.nan if value is None else value for name, value in row.items()} for row in rows]


def by_task(rows: Iterable[Row]) -> dict[str, dict[str, Summary]]:
    """Mean and deviation of each metric of each task, over the images in order."""
    grouped: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        grouped.setdefault(row["task"], []).append({k: v for k, v in row.items() if k not in LABELS})
    return {task: summarise(group) for task, group in grouped.items()}


def print_table(
    console: Console, rows: Sequence[Row], tasks: Mapping[str, Mapping[str, Any]], calls: int, samples: int
) -> None:
    """Print mean ± deviation over the images of each task; PSNR above SSIM, where there is a truth."""
    summary = by_task(rows)
    judged = any("psnr_mean" in metrics for metrics in summary.values())
    headers = ["task", "calls", *(["one sample\nPSNR / SSIM", f"mean of {samples}\nPSNR / SSIM"] if judged else [])]
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        caption=CAPTION,
        caption_justify="left",
    )
    for header in [*headers, "misfit (2)\nerror / std" if judged else "misfit", "seconds\n/ image"]:
        table.add_column(
            header, justify="left" if header == "task" else "right", no_wrap=header != "task", overflow="fold"
        )
    for task, metrics in summary.items():
        count = metrics["seconds"].count
        seconds = float(np.median([row["seconds"] for row in rows if row["task"] == task]))
        images = f"n = {count}, σ = {sigma_of(tasks[task]):g}"
        cells = [f"{spoken(task)}\n[dim]{images}[/dim]", str(calls)]
        for name in ("sample", "mean") if judged else ():
            cells.append(
                "\n".join(_plus_minus(metrics, f"{kind}_{name}", digits) for kind, digits in (("psnr", 2), ("ssim", 3)))
            )
        cells.append("\n".join(_plus_minus(metrics, f"misfit_{name}", 2) for name in ("sample", "mean")))
        if judged:
            cells[-1] += "\n" + _plus_minus(metrics, "error_in_stds", 2)
        table.add_row(*cells, f"{seconds:.2f}")
    console.print(table)


def _plus_minus(metrics: Mapping[str, Summary], name: str, digits: int) -> str:
    if name not in metrics:
        return "-"
    return f"{metrics[name].mean:.{digits}f} ± {metrics[name].std:.{digits}f}"


def _nulls(value: Any) -> Any:
    # JSON has no word for NaN and infinity.
    if isinstance(value, Mapping):
        return {key: _nulls(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_nulls(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}); give another --output.") from error


def _write(path: Path, content: str) -> None:
    # A file is there whole or not at all, whenever the run is stopped.
    with replacing(path) as part:
        part.write_text(content)
