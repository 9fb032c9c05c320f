"""Runs an experiment, most with a known answer, and says which of its claims hold.

  one of configs/toys/, into out/toys/truncated_normal:
    python -m launch.toys --config=configs/toys/truncated_normal.py
  another size, seed and folder:
    python -m launch.toys --config=configs/toys/gmm25.py --config.samples=1000 --seed=1 --output=out/gmm25
  once more, in place of the run that is there:
    python -m launch.toys --config=configs/toys/theory.py --overwrite

OUTPUT/ gets the figures as PNG, the tables as tables.md and one CSV each, metrics.json (tables and claims) and
config.json (resolved settings, versions, seed). A claim that fails is printed with a cross; the exit status stays 0.
"""

import importlib
import json
import re
import sys
import time
from pathlib import Path

import jax
import ml_collections
from absl import app, flags, logging
from ml_collections import config_flags
from rich.console import Console
from rich.text import Text

from launch.config import known, one_line_errors, parse_flags
from launch.experiments.findings import Findings, comma_separated, markdown, printable, written
from launch.output import run_record

# Each is `launch.experiments.NAME.run`, imported when it is asked for.
EXPERIMENTS = (
    "truncated_normal",
    "constrained_quadratic",
    "gaussian",
    "laplace",
    "gmm25",
    "theory",
    "nonlinear",
    "tomography",
)
WIDTH = 130  # of what is printed into a file


def chosen(config: ml_collections.ConfigDict) -> str:
    """The name of the experiment of a configuration.

    Raises:
        ValueError: if it names none, or one that is not known.
    """
    name = config.get("experiment")
    if name is None:
        raise ValueError(f"the configuration has no `experiment`; known are {', '.join(EXPERIMENTS)}.")
    known(name, EXPERIMENTS, "experiment")
    return str(name)


def open_folder(folder: Path, *, overwrite: bool) -> None:
    """Make the folder of a run; a run that is in it goes if it was not finished or `overwrite` is given.

    Raises:
        ValueError: if the folder is a file, or holds files that are not to be overwritten.
    """
    if folder.is_file():
        raise ValueError(f"{folder} is a file; --output is the folder of a run.")
    inside = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if inside and "config.json" not in inside:
        raise ValueError(f"{folder} holds files and no run; give an empty or a new folder as --output.")
    if "metrics.json" in inside and not overwrite:
        raise ValueError(f"{folder} already holds a run: add --overwrite to throw it away, or give another --output.")
    metrics = folder / "metrics.json"
    files = json.loads(metrics.read_text())["files"] if metrics.is_file() else []
    for name in [*files, "metrics.json", "config.json"]:
        (folder / Path(name).name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)


def write(folder: Path, findings: Findings, seconds: float) -> None:
    """Write figures, tables and metrics.json into the folder of a run."""
    files = {f"{file_name(table.title)}.csv": comma_separated(table) for table in findings.tables}
    files["tables.md"] = "\n".join(map(markdown, findings.tables))
    for name, text in files.items():
        (folder / name).write_text(text)
    for name, figure in findings.figures.items():
        figure.savefig(folder / f"{name}.png", dpi=160)
    record = dict(
        seconds=round(seconds, 2),
        claims=[claim._asdict() for claim in findings.claims],
        tables=[table._asdict() for table in findings.tables],
        files=[*files, *(f"{name}.png" for name in findings.figures)],
    )
    # Numbers of numpy and JAX have `item`; JSON has no word for NaN and infinity.
    text = json.dumps(record, default=lambda value: value.item())
    record = json.loads(text, parse_constant=lambda _: None)
    (folder / "metrics.json").write_text(json.dumps(record, indent=1, ensure_ascii=False))


def file_name(title: str) -> str:
    """The title of a table as the name of a file."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:60]


def show(console: Console, findings: Findings) -> None:
    """Print tables, then each claim with a tick or a cross."""
    for table in findings.tables:
        console.print(printable(table), "")
    for claim in findings.claims:
        mark = ("✓", "green") if claim.holds else ("✗", "bold red")
        console.print(Text.assemble(mark, f" {claim.text}: {written(claim.value)} ({written(claim.bound)})"))


def conduct(config: ml_collections.ConfigDict | None, folder: Path | None, seed: int, overwrite: bool) -> Findings:
    """Run the experiment of a configuration, print what it found and write it into a folder."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    with one_line_errors(ValueError, TypeError, OSError):
        if config is None:
            raise ValueError(f"give --config=configs/toys/NAME.py; known are {', '.join(EXPERIMENTS)}.")
        name = chosen(config)
        folder = folder or Path("out/toys") / name
        open_folder(folder, overwrite=overwrite)
        record = run_record(config, seed)
        (folder / "config.json").write_text(json.dumps(record, indent=2))
    start = time.monotonic()
    with one_line_errors(ValueError):
        findings = importlib.import_module(f"launch.experiments.{name}").run(config, jax.random.key(seed))
    seconds = time.monotonic() - start
    show(console, findings)
    write(folder, findings, seconds)
    failed = sum(not claim.holds for claim in findings.claims)
    count = len(findings.claims)
    words = f"{count} claims hold" if not failed else f"{failed} of {count} claims fail"
    console.print(f"\n{words if count else 'Done'}; {seconds:.1f} s. Figures and numbers: {folder}", soft_wrap=True)
    return findings


def main(argv: list[str]) -> None:
    """Read the flags and run."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected {argv[1:]}: every argument is a --flag")
    logging.set_verbosity(logging.WARNING)
    values = flags.FLAGS
    folder = Path(values.output).expanduser() if values.output else None
    conduct(values.config, folder, values.seed, values.overwrite)


if __name__ == "__main__":
    # Here, so that this file can be imported beside the other doors, which have flags of the same names.
    with one_line_errors(AttributeError, OSError):
        config_flags.DEFINE_config_file("config", None, "The experiment; change a setting by --config.samples=1000.")
    flags.DEFINE_string("output", None, "Folder of the run; by default out/toys/EXPERIMENT.")
    flags.DEFINE_integer("seed", 0, "Seed of all that is drawn.", lower_bound=0)
    flags.DEFINE_bool("overwrite", False, "Throw the run in --output away.")
    app.run(main, flags_parser=parse_flags)
