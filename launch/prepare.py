"""Prepares a data set of TFDS once, as array_record files that training reads without TensorFlow.

  Fashion-MNIST, downloaded:
    python -m launch.prepare --dataset=fashion_mnist
  Fashion-MNIST from its four idx files, or from an .npz with train and test:
    python -m launch.prepare --dataset=fashion_mnist --source=/data/fashion
  any other set that TFDS knows (for some, this step needs `pip install tensorflow`; training does not):
    python -m launch.prepare --dataset=cifar10

Afterwards the set is known by its name. A set that is there is left as it is; a run that is interrupted leaves nothing
behind. A folder of images needs no preparation: launch.train takes it by --config.data.source=./photos.
"""

from absl import flags, logging

from launch.config import DATA_DIR, one_line_errors, run

DATASET = flags.DEFINE_string("dataset", None, "fashion_mnist, or another name that TFDS knows.", required=True)
SOURCE = flags.DEFINE_string(
    "source", None, "The folder of the idx files of Fashion-MNIST, or an .npz; without it they are downloaded."
)
flags.declare_key_flag("data_dir")


@one_line_errors()
def main(_: list[str]) -> None:
    """Read the flags and prepare the set."""
    logging.set_verbosity(logging.WARNING)
    from pgm_jax.training.image_sets import prepare_set  # imports TFDS: a second that --help need not wait for

    prepared = prepare_set(DATASET.value, DATA_DIR.value, SOURCE.value)
    sizes = ", ".join(f"{split} {count:,}" for split, count in prepared.sizes.items())
    print(f"{'Wrote' if prepared.written else 'Already there, nothing done:'} {prepared.path} ({sizes})")


if __name__ == "__main__":
    run(main)
