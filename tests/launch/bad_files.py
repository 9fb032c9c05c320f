"""The files that bad inputs name, and two priors, three configurations and a module of operators beside them."""

import gzip
import json
import pathlib
import pickle
from typing import Any

import jax
import numpy as np
from PIL import Image

from pgm_jax.files import write_arrays
from pgm_jax.networks import Preconditioned, TimedNetwork, UNet
from pgm_jax.pretrained import save_prior
from pgm_jax.schedules import LinearVP

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNET: dict[str, Any] = dict(
    channels=(8,), blocks=(1,), attention=(False,), patch=2, head_channels=8, embedding=16, dtype=np.float32
)

OPERATORS = """
import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np

from pgm_jax.operators import LinearOperator, NonlinearOperator, from_function, mask
from pgm_jax.types import pytree


@pytree
class Scaled(LinearOperator):
    gain: jax.Array
    image_shape: tuple = dataclasses.field(metadata=dict(static=True))

    def forward(self, x):
        return self.gain * x


class Unknown(LinearOperator):
    image_shape = (8, 8, 1)


@pytree
class Unsolved(Scaled):
    def solve(self, v, y, rho, solver=None, start=None):
        return v[:2]


def of(forward):
    @pytree
    class Own(NonlinearOperator):
        image_shape: tuple = dataclasses.field(metadata=dict(static=True))

        def forward(self, x):
            return forward(x)

    return Own


def make(shape):
    return Scaled(jnp.ones(shape), shape)


def needs(shape, strength):
    return make(shape)


def nothing(shape):
    pass


def number(shape):
    return 3


def cropped(shape):
    return make((4, *shape[1:]))


def unknown(shape):
    return Unknown()


def divides(shape):
    return make((shape[0] // 0, *shape[1:]))


def leaves(shape):
    sys.exit(0)


def talks(shape):
    raise RuntimeError("\\n".join(["the first of many lines"] + 50 * ["and another one"]))


def silent(shape):
    raise RuntimeError


def gives_nan(shape):
    return Scaled(jnp.full(shape, jnp.nan), shape)


def draws_nan(key, shape):
    return gives_nan(shape)


def gives_inf(shape):
    return of(lambda x: 1 / (x - x))(shape)


def raises(shape):
    return of(lambda x: dict()["sensor"])(shape)


def ends(shape):
    return of(lambda x: sys.exit(0))(shape)


def empty(shape):
    return of(lambda x: x[:0])(shape)


def blind(shape):
    return mask(shape, np.zeros(shape))


def in_numpy(shape):
    return of(lambda x: np.fft.fft2(np.asarray(x)).real)(shape)


def with_if(shape):
    return of(lambda x: x if x.sum() > 0 else -x)(shape)


def whole(shape):
    return of(lambda x: (x > 0).astype(jnp.int32))(shape)


def pair(shape):
    return of(lambda x: (x, x))(shape)


def endless(shape):
    def forward(x):
        return forward(x)

    return of(forward)(shape)


def unsolved(shape):
    return Unsolved(jnp.ones(shape), shape)
"""

CONFIG = """
import ml_collections
from configs.fashion_mnist import get_config as whole

def get_config():
    config = whole()
"""

TOY = "from ml_collections import ConfigDict\n\ndef get_config():\n    return ConfigDict(dict({}))\n"

TEXTS = {
    "notes.txt": "notes",
    "text.png": "no image",
    "texts/a.png": "no image",
    "text.npy": "no array",
    "text.npz": "no archive",
    "nothing.png": "",
    "text_config.py": "it is no Python",
    "none_config.py": "def get_config():\n    pass\n",
    "fails.py": "numbers = [3]\nnumbers[0] / 0\n",
    "broken.py": "def make(shape:\n",
    "leaves.py": "import sys\n\nsys.exit(0)\n",
    "mine.py": OPERATORS,
    "number_task.py": CONFIG + "    del config['tasks']['blur']\n    config.tasks.blur = 3\n    return config\n",
    "no_tasks.py": CONFIG + "    del config['tasks']\n    return config\n",
    "no_sampler.py": CONFIG + "    del config['sampler']\n    return config\n",
    "words.py": CONFIG + "    del config.sampler['samples']\n    config.sampler.samples = 'many'\n    return config\n",
    "no_experiment.py": TOY.format("samples=3"),
    "gausian.py": TOY.format("experiment='gausian'"),
    "trained/config.json": json.dumps(dict(kind="train", config={})),
    "restored/config.json": json.dumps(dict(kind="restore", config={})),
    "torn/config.json": '{"kind": "rest',
}

HOLES = np.where(np.arange(64).reshape(8, 8, 1) % 2, np.nan, 0.5)

ARRAYS = {
    "y": np.full((8, 8, 1), -0.5),
    "all_nan": np.full((8, 8, 1), np.nan),
    "second_nan": np.stack([HOLES, np.full((8, 8, 1), np.nan)]),
    "y1e300": np.where(np.arange(64).reshape(8, 8, 1) == 3, 1e300, HOLES),
    "whole1e300": np.full((8, 8, 1), 1e300),
    "y_inf": np.full((8, 8, 1), np.inf),
    "y255": np.linspace(0.0, 255.0, 64).reshape(8, 8, 1),
    "holes255": np.where(np.isnan(HOLES), np.nan, 255.0),
    "holes": HOLES,
    "y_int": np.ones((8, 8, 1), np.int64),
    "y_bool": np.ones((8, 8, 1), bool),
    "y_complex": np.ones((8, 8, 1), complex),
    "words": np.array(["a", "words"]),
    "empty": np.zeros(0),
    "none": np.zeros((0, 8, 8, 1)),
    "scalar": np.float64(0.5),
    "y5": np.zeros((5, 5, 1)),
    "first": np.zeros((3, 8, 8)),
    "all": np.ones((8, 8)),
    "zeros": np.zeros((8, 8)),
}

IMAGES = np.arange(12 * 64, dtype=np.uint8).reshape(12, 8, 8)

ARCHIVES = {
    "x": dict(x=np.zeros(3)),
    "nan": dict(images=np.full((2, 8, 8, 1), np.nan)),
    "inf": dict(images=np.full((2, 8, 8, 1), np.inf)),
    "bytes": dict(images=np.linspace(0.0, 255.0, 128).reshape(2, 8, 8, 1)),
    "int": dict(images=np.zeros((2, 8, 8, 1), np.int64)),
    "words": dict(images=np.array(["a", "words"])),
    "none": dict(images=np.zeros((0, 8, 8, 1), np.uint8)),
    "large": dict(images=np.zeros((2, 12, 12, 1), np.float32)),
    "scalar": dict(images=np.float32(0.5)),
    "ones": dict(images=np.zeros((2, 8, 8, 1), np.float32)),
    "first": dict(images=np.zeros((2, 3, 8, 8), np.float32)),
    "first8": dict(images=np.zeros((2, 3, 8, 8), np.uint8)),
    "observed": dict(measurement=np.zeros((8, 8, 1)), observed=np.ones((3, 3))),
    "observed_words": dict(measurement=np.zeros((8, 8, 1)), observed=np.array(["yes", "no"])),
    "two": dict(a=np.ones((3, 3)), b=np.ones((3, 3))),
    "images": dict(
        train=IMAGES,
        test=IMAGES,
        one=IMAGES[0],
        large=np.zeros((2, 12, 12), np.uint8),
        colour=IMAGES.reshape(4, 8, 8, 3),
    ),
    "labels": dict(train=np.zeros((2, 28, 28), np.uint8), train_label=np.zeros(1, np.uint8)),
    "no_train": dict(train=np.zeros((0, 28, 28), np.uint8), test=np.zeros((0, 28, 28), np.uint8)),
    "fashion": dict(train=np.zeros((2, 28, 28), np.uint8), test=np.zeros((2, 28, 28), np.uint8)),
}


def write_files(folder: pathlib.Path) -> None:
    """Write the files of all rows into an empty folder."""
    for name in ("empty", "hidden/.cache", "photos", "photos.npz", "texts", "idx", "trained", "restored", "torn"):
        (folder / name).mkdir(parents=True)
    (folder / "configs").symlink_to(ROOT / "configs")
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    for name, array in ARRAYS.items():
        np.save(folder / f"{name}.npy", array)
    for name, arrays in ARCHIVES.items():
        np.savez(folder / f"{name}.npz", **arrays)
    (folder / "object.npy").write_bytes(_objects())
    np.savez(folder / "object.npz", images=np.array([dict(a=1)], dtype=object))

    photo = Image.fromarray(IMAGES[0] * 4)
    for name in ("good.png", "photos/a.png", "hidden/.a.png", "hidden/._b.jpg", "hidden/.cache/c.png"):
        photo.save(folder / name)
    Image.new("L", (10, 12), 90).save(folder / "large.png")
    Image.new("L", (8, 8)).save(folder / "black.png")
    Image.fromarray(np.linspace(0, 0.5, 64, dtype=np.float32).reshape(8, 8)).save(folder / "float.tif")
    Image.fromarray(np.linspace(0, 4095, 64).astype(np.int32).reshape(8, 8)).save(folder / "int32.tif")
    (folder / "loop.png").symlink_to("loop.png")
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / "idx" / f"{name}-ubyte.gz").write_bytes(gzip.compress(b"no idx file")[:-4])

    module = UNet(**UNET)
    networks = dict(
        prior=Preconditioned(module, (8, 8, 1)),
        colour=Preconditioned(module, (8, 8, 3)),
        timed=TimedNetwork(module, (8, 8, 1), LinearVP(0.1, 20.0)),
    )
    for name, network in networks.items():
        save_prior(folder / f"{name}.npz", network.prior(network.init(jax.random.key(0))))
    with np.load(folder / "prior.npz") as arrays:
        broken = {key: array if key == "network" else np.full_like(array, np.nan) for key, array in arrays.items()}
    write_arrays(folder / "nan_prior.npz", broken)
    for name, whole in (("cut", "images"), ("damaged", "ones"), ("cut_prior", "prior")):
        data = bytearray((folder / f"{whole}.npz").read_bytes())
        if name == "damaged":
            data[150] ^= 255
        (folder / f"{name}.npz").write_bytes(data if name == "damaged" else data[: len(data) // 2])


def _objects() -> bytes:
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    text = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    return header + text.ljust(117) + b"\n" + pickle.dumps([1])
