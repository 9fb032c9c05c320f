"""launch.train in the process of a test, small."""

import pathlib
import runpy
import types

import pytest
from toy_training import images_file

ROOT = pathlib.Path(__file__).resolve().parents[1]
SETTINGS = {
    "data.image_shape": (8, 8, 1),
    "data.flip": True,
    "network.unet.channels": (8,),
    "network.unet.blocks": (1,),
    "network.unet.attention": (False,),
    "network.unet.embedding": 16,
    "train.steps": 24,
    "train.batch_size": 8,
    "train.warmup_steps": 4,
    "train.warm_share": 0.5,
    "train.log_every": 1,
    "train.save_every": 4,
    "train.sheet_every": 24,
}

# The words that an answer holds, by the flags that are asked.


def newest(folder):
    return max(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit())


@pytest.fixture
def door(monkeypatch):
    """`launch.train` in this process: `door(folder, images, **changes)`, changes by their dotted names."""
    monkeypatch.syspath_prepend(ROOT)
    from absl import flags, logging
    from absl.testing import flagsaver

    from launch import train

    verbosity = logging.get_verbosity()

    def run(folder, images, restart=False, file="fashion_mnist.py", settings=SETTINGS, **changes):
        config = runpy.run_path(str(ROOT / "configs" / file))["get_config"]()
        config.update_from_flattened_dict(settings | {"data.source": str(images)} | changes)
        monkeypatch.setattr(train, "_CONFIG", types.SimpleNamespace(value=config.lock()))
        with flagsaver.as_parsed(workdir=str(folder), restart=str(restart).lower()):
            flags.FLAGS.mark_as_parsed()
            train.main([])

    yield run
    logging.set_verbosity(verbosity)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return images_file(tmp_path_factory.mktemp("images"))
