"""Runs an experiment, most with a known answer, and reports which of its claims hold.

  one of configs/toys/, into out/toys/truncated_normal:
    python -m launch.toys --config=configs/toys/truncated_normal.py
  another size, seed and folder:
    python -m launch.toys --config=configs/toys/gmm25.py --config.samples=1000 --seed=1 --output=out/gmm25
  the same again, replacing the previous run:
    python -m launch.toys --config=configs/toys/theory.py --overwrite

OUTPUT/ gets the figures as PNG, the tables as tables.md and one CSV each, metrics.json (tables and claims) and
config.json (resolved settings, versions, seed). A claim that fails is printed with a cross; the exit status stays 0.
"""

import importlib
import sys
import time
from pathlib import Path

import jax
import ml_collections
from absl import app, flags, logging
from ml_collections import config_flags
from rich.console import Console

from launch.config import known, one_line_errors, parse_flags
from launch.experiments.findings import Findings, show, write
from launch.runs import open_run, run_record

# By name, the module or folder of launch/experiments whose `run` it is; imported on demand.
EXPERIMENTS = dict(
    truncated_normal="launch.experiments.truncated_normal",
    constrained_quadratic="launch.experiments.constrained_quadratic",
    gaussian="launch.experiments.gaussian",
    laplace="launch.experiments.laplace",
    gmm25="launch.experiments.mixture",
    theory="launch.experiments.theory",
    nonlinear="launch.experiments.nonlinear",
    tomography="launch.experiments.tomography",
)
WRITES = ("*.png", "*.csv", "tables.md")
WIDTH = 130  # of the output where it is not a terminal


def chosen(config: ml_collections.ConfigDict) -> str:
    """The name of the experiment of a configuration.

    Raises:
        ValueError: if it names no known experiment.
    """
    if (name := config.get("experiment")) is None:
        raise ValueError(f"the configuration has no `experiment`; known are {', '.join(EXPERIMENTS)}.")
    known(name, EXPERIMENTS, "experiment")
    return str(name)


def conduct(config: ml_collections.ConfigDict | None, folder: Path | None, seed: int, overwrite: bool) -> Findings:
    """Run the experiment of a configuration, print its findings and write them into a folder."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    with one_line_errors(ValueError, TypeError, OSError):
        if config is None:
            raise ValueError(f"give --config=configs/toys/NAME.py; known are {', '.join(EXPERIMENTS)}.")
        name = chosen(config)
        folder = folder or Path("out/toys") / name
        open_run(folder, run_record("toys", config, seed), WRITES, overwrite=overwrite)
    start = time.monotonic()
    with one_line_errors(ValueError):
        findings = importlib.import_module(EXPERIMENTS[name]).run(config, jax.random.key(seed))
    seconds = time.monotonic() - start
    show(console, findings)
    write(folder, findings, seconds)
    failed = sum(not claim.holds for claim in findings.claims)
    count = len(findings.claims)
    words = f"{count} claims hold" if not failed else f"{failed} of {count} claims fail"
    console.print(f"\n{words if count else 'Done'}; {seconds:.1f} s. Figures and numbers: {folder}", soft_wrap=True)
    return findings


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define the flags; not at import, so that this file can be imported beside commands with flags of these names."""
    with one_line_errors(AttributeError, OSError):
        purpose = "The experiment; change a setting by --config.samples=1000."
        config_flags.DEFINE_config_file("config", None, purpose, flag_values=values)
    flags.DEFINE_string("output", None, "Folder of the run; by default out/toys/EXPERIMENT.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "Seed of all random numbers.", lower_bound=0, flag_values=values)
    flags.DEFINE_bool("overwrite", False, "Replace the run in --output.", flag_values=values)


def main(_: list[str]) -> None:
    """Read the flags and run the experiment."""
    logging.set_verbosity(logging.WARNING)
    values = flags.FLAGS
    folder = Path(values.output).expanduser() if values.output else None
    conduct(values.config, folder, values.seed, values.overwrite)


if __name__ == "__main__":
    define_flags()
    app.run(main, flags_parser=parse_flags)
