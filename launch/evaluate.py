"""Evaluates a prior: restores every image of a set for every task and prints the scores over the set.

  the bundled prior on the 64 bundled images:
    python -m launch.evaluate
  a prior that you trained, on 1000 test images of a data set (prepared by launch.prepare), an .npz or a folder:
    python -m launch.evaluate --prior=runs/mine/prior.npz --dataset=fashion_mnist --count=1000 --output=out/mine

The flags are those of launch.restore, which has more examples.

OUTPUT/ gets metrics.csv (one row for each image and task), metrics.json (the rows, their mean and deviation) and
config.json, OUTPUT/TASK/ the arrays of an operator that all images share, operator.npz.
The scores do not depend on --batch.
"""

import contextlib

from absl import flags
from rich.console import Console

from launch import job
from launch.config import one_line_errors, run
from launch.results import print_table

flags.adopt_module_key_flags(job)


@one_line_errors()
def main(_: list[str]) -> None:
    """Read the flags, evaluate, and print the table."""
    console = Console(highlight=False)
    with job.opened("evaluate", "out/evaluation", (), console) as (work, folder, rows):
        with contextlib.closing(job.recorded(work, folder, rows, console)) as cases:
            for _case in cases:
                pass
    print_table(console, rows, work.tasks, work.config["sampler"]["samples"])
    console.print(f"Numbers: {folder}", soft_wrap=True, markup=False)


if __name__ == "__main__":
    run(main)
