"""Runs an experiment, most with a known answer, and reports which of its claims hold.

  one of configs/toys/, into out/toys/truncated_normal:
    python -m launch.toys --config=configs/toys/truncated_normal.py
  another size, seed and folder:
    python -m launch.toys --config=configs/toys/mixture.py --config.samples=1000 --seed=1 --output=out/mixture
  the same again, replacing the previous run:
    python -m launch.toys --config=configs/toys/theory.py --overwrite

OUTPUT/ gets the figures as PNG, the tables as tables.md and one CSV each, metrics.json (tables and claims) and
config.json (resolved settings, versions, seed). A claim that fails is printed with a cross; the exit status stays 0.
"""

import importlib
import sys
import time

import jax
import ml_collections
from absl import flags, logging
from ml_collections import config_flags
from rich.console import Console

from launch.config import known, one_line_errors, run
from launch.experiments.findings import show, write
from launch.experiments.settings import check_settings
from launch.runs import open_run, run_record, usable
from pgm_jax.files import local_path, only_writer

# The modules and folders of launch/experiments with a `run`; imported on demand.
EXPERIMENTS = (
    "truncated_normal constrained_quadratic gaussian laplace mixture theory nonlinear tomography dino "
    "prox_diffusion_2d lpn_laplace generate lpn_prior plug_and_play exact_step exact_mixture exact_inputs exact_solvers"
).split()
WRITES = ("*.png", "*.csv", "tables.md")
WIDTH = 130  # of the output where it is not a terminal


def conduct(config: ml_collections.ConfigDict | None, output: str | None, seed: int, overwrite: bool) -> None:
    """Run the experiment of a configuration, print its findings and write them into a folder."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    config = config or ml_collections.ConfigDict()
    name = config.get("experiment")
    known(name, EXPERIMENTS, "experiment", "choose one by --config=configs/toys/NAME.py")
    check_settings(config)
    folder = local_path(output or f"out/toys/{name}")
    with only_writer(folder):
        usable(folder, "toys", overwrite=overwrite)
        record, start = run_record("toys", config, seed), time.monotonic()
        findings = importlib.import_module(f"launch.experiments.{name}").run(config, jax.random.key(seed))
        seconds = time.monotonic() - start
        show(console, findings)
        open_run(folder, record, WRITES, overwrite=overwrite)  # not before: a run that fails replaces nothing
        write(folder, findings, seconds)
    failed = sum(not claim.holds for claim in findings.claims)
    count = len(findings.claims)
    words = f"{count} claims hold" if not failed else f"{failed} of {count} claims fail"
    console.print(
        f"\n{words if count else 'Done'}; {seconds:.1f} s. Figures and numbers: {folder}", soft_wrap=True, markup=False
    )


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define the flags; not at import, so that this file can be imported beside commands with flags of these names."""
    with one_line_errors():
        purpose = "The experiment; change a setting by --config.samples=1000."
        config_flags.DEFINE_config_file("config", None, purpose, flag_values=values)
    flags.DEFINE_string("output", None, "Folder of the run; by default out/toys/EXPERIMENT.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "Seed of all random numbers.", 0, 2**63 - 1, flag_values=values)
    flags.DEFINE_bool("overwrite", False, "Replace the run in --output.", flag_values=values)


@one_line_errors()
def main(_: list[str]) -> None:
    """Read the flags and run the experiment."""
    logging.set_verbosity(logging.WARNING)
    values = flags.FLAGS
    conduct(values.config, values.output, values.seed, values.overwrite)


if __name__ == "__main__":
    define_flags()
    run(main)
