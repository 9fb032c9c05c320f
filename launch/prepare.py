"""Prepares a data set once, as array_record files that training reads without TensorFlow.

  Fashion-MNIST, downloaded:
    python -m launch.prepare --dataset=fashion_mnist
  Fashion-MNIST from its four idx files, or from an .npz with train and test:
    python -m launch.prepare --dataset=fashion_mnist --source=/data/fashion
  a folder of images of any sizes, cropped about the centre and resized to 64x64 RGB:
    python -m launch.prepare --dataset=folder --source=/data/photos --name=my_photos --image_size=64 --channels=3
  any other set that TFDS knows (some need `pip install tensorflow` for this step, none for training):
    python -m launch.prepare --dataset=cifar10

Afterwards the set is known by its name (fashion_mnist, my_photos). A set that is there is left as it is; a run that is
interrupted leaves nothing behind.
"""

import signal
import sys

from absl import app, flags, logging
from rich.console import Console

from launch.config import DATA_DIR

DATASET = flags.DEFINE_string("dataset", None, "fashion_mnist, folder, or another name that TFDS knows.", required=True)
SOURCE = flags.DEFINE_string(
    "source", None, "The folder of the images or idx files, or an .npz; Fashion-MNIST is downloaded without it."
)
flags.declare_key_flag("data_dir")
NAME = flags.DEFINE_string("name", None, "The name of a folder's set: lower-case letters, digits and _.")
IMAGE_SIZE = flags.DEFINE_integer("image_size", 64, "Height and width of a folder's images, in pixels.", lower_bound=1)
CHANNELS = flags.DEFINE_enum("channels", "3", ["1", "3"], "1 turns a folder's images grey, 3 is RGB.")


def prepare():
    from pgm_jax.training import image_sets  # imports TFDS: a second that --help need not wait for

    dataset, source, data_dir = DATASET.value, SOURCE.value, DATA_DIR.value
    if dataset == "folder":
        if not source or not NAME.value:
            raise ValueError("--dataset=folder needs --source=FOLDER and --name=NAME.")
        size = IMAGE_SIZE.value
        return image_sets.write_image_folder(source, NAME.value, (size, size, int(CHANNELS.value)), data_dir)
    if NAME.value:
        raise ValueError(f"--name is for --dataset=folder; {dataset!r} keeps its own name.")
    if dataset == "fashion_mnist":
        return image_sets.write_fashion_mnist(source, data_dir)
    if source:
        raise ValueError(f"--source is for fashion_mnist and folder; TFDS itself fetches {dataset!r}.")
    return image_sets.write_registered(dataset, data_dir)


def report(prepared, console: Console):
    sizes = ", ".join(f"{split} {count:,}" for split, count in prepared.sizes.items())
    console.print(f"{'Wrote' if prepared.written else 'Already there, nothing done:'} {prepared.path} ({sizes})")
    if prepared.enlarged:
        console.print(f"{prepared.enlarged:,} images were smaller than --image_size and were enlarged.")
    for error in prepared.unreadable[:10]:
        console.print(f"unreadable: {error.path}: {error.reason}", markup=False)
    if prepared.unreadable_list:
        count = f"{len(prepared.unreadable):,} unreadable files" if prepared.unreadable else "The unreadable files"
        console.print(f"{count} were left out; all are listed in {prepared.unreadable_list}")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"unexpected {argv[1:]}: every argument is a --flag")
    logging.set_verbosity(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that the half-written set is removed
    console = Console(soft_wrap=True, highlight=False)
    try:
        report(prepare(), console)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"launch.prepare: {error}")
    except KeyboardInterrupt:
        sys.exit("launch.prepare: interrupted; nothing was written")


if __name__ == "__main__":
    app.run(main)
