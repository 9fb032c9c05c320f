"""Evaluates a prior: restores every image of a set for every task and prints the scores over the set.

  the bundled prior on the 64 bundled images:
    python -m launch.evaluate
  a prior that you trained, on 1000 test images of a data set (prepared by launch.prepare), an .npz or a folder:
    python -m launch.evaluate --prior=runs/mine/prior.npz --dataset=fashion_mnist --split=test --count=1000
  other tasks of the configuration, noisier, with half the network calls:
    python -m launch.evaluate --tasks=box_inpainting,blur --config.tasks.blur.sigma=0.1 --calls=50 --output=out/half
  tasks of published benchmarks (configs/tasks), or your own operator, make_operator(image_shape) in my_module.py:
    python -m launch.evaluate --tasks=dps/gaussian_blur,ddrm/super_resolution
    python -m launch.evaluate --operator=my_module:make_operator --sigma=0.05
  continue a run that was stopped:
    python -m launch.evaluate ... --resume

OUTPUT/ gets metrics.csv (one row for each image and task), metrics.json (the rows, their mean and deviation) and
config.json, OUTPUT/TASK/ the arrays of an operator that all images share, operator.npz.
The scores do not depend on --batch.
"""

from absl import app, flags
from rich.console import Console

from launch import job
from launch.config import parse_flags
from launch.results import print_table

flags.adopt_module_key_flags(job)


def main(_: list[str]) -> None:
    """Read the flags, evaluate, and print the table."""
    console = Console(highlight=False)
    work, folder, rows = job.open_job("evaluate", "out/evaluation", (), console)
    with job.stoppable(work, folder, rows, console):
        for _case in job.recorded(work, folder, rows, console):
            pass
    print_table(console, rows, work.tasks, work.calls, work.samples)
    console.print(f"Numbers: {folder}", soft_wrap=True)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
