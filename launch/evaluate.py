"""Evaluates a prior: restores every image of a set for every task and prints the scores over the set.

  the bundled prior on the 64 bundled images:
    python -m launch.evaluate
  a prior that you trained, on 1000 test images of a data set (prepared by launch.prepare), an .npz or a folder:
    python -m launch.evaluate --prior=runs/mine/prior.npz --dataset=fashion_mnist --split=test --limit=1000
  other tasks of the configuration, noisier, with half the network calls:
    python -m launch.evaluate --tasks=box_inpainting,blur --config.tasks.blur.sigma=0.1 --calls=50 --output=out/half
  tasks of published benchmarks (configs/tasks), or your own operator, make_operator(image_shape) in my_module.py:
    python -m launch.evaluate --tasks=dps/gaussian_blur,ddrm/super_resolution
    python -m launch.evaluate --operator=my_module:make_operator --sigma=0.05
  go on with a run that was stopped:
    python -m launch.evaluate ... --resume

OUTPUT/ gets metrics.csv (a row an image and task), metrics.json (the rows, their mean and deviation) and config.json,
OUTPUT/TASK/ the arrays of an operator that all images share, operator.npz.
The scores do not depend on --batch.
"""

from typing import Any

from absl import app, flags
from rich.console import Console

from launch import options
from launch.config import DATA_DIR, parse_flags
from launch.inputs import BUNDLED, Inputs, dataset_inputs, image_inputs
from launch.output import print_table
from launch.sweep import Job, sweep

flags.adopt_module_key_flags(options)
_IMAGES = flags.DEFINE_string("images", BUNDLED, "An image, a folder, an .npz with `images`, or `bundled`.")
_RESIZE = flags.DEFINE_bool("resize", False, "Crop image files about the centre and resize them to the prior's size.")
_DATASET = flags.DEFINE_string("dataset", None, "In place of images: a TFDS set, a folder, or an .npz with the split.")
_SPLIT = flags.DEFINE_string("split", "test", "Split of the data set.")
flags.declare_key_flag("data_dir")
_LIMIT = flags.DEFINE_integer(
    "limit", None, "How many images to evaluate, from the first; by default all.", lower_bound=1
)
_OUTPUT = flags.DEFINE_string("output", "out/evaluation", "Folder of the run.")


def read_inputs(job: Job) -> tuple[Inputs, dict[str, Any]]:
    """What to evaluate on, and the flags that chose it."""
    if _DATASET.value is None:
        chosen = dict(images=_IMAGES.value, resize=_RESIZE.value, limit=_LIMIT.value)
        return image_inputs(_IMAGES.value, job.image_shape, count=_LIMIT.value, resize=_RESIZE.value), chosen
    inputs = dataset_inputs(_DATASET.value, _SPLIT.value, job.image_shape, _LIMIT.value, DATA_DIR.value)
    return inputs, dict(dataset=_DATASET.value, split=_SPLIT.value, limit=_LIMIT.value)


def main(argv: list[str]) -> None:
    """Read the flags, evaluate, and print the table."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected {argv[1:]}: every argument is a --flag")
    console = Console(highlight=False)
    job, inputs, folder, finished = options.open_door(read_inputs, _OUTPUT.value, console)
    rows = sweep(job, inputs, folder, finished, console)
    print_table(console, rows, job.tasks, job.calls, job.samples)
    console.print(f"Numbers: {folder}", soft_wrap=True)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
