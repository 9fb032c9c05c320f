"""A training of seconds, and the processes that tests start, stop and kill: `python tests/toy_training.py ...`.

slow FOLDER STEPS            an affine network, twenty milliseconds a step
train FOLDER HOLD            the toy run, which waits before batch HOLD for a file `release` in FOLDER
launch FOLDER HOLD FLAG...   the same for launch.train with its flags
copy FROM TO ...             checkpoints are read on the devices of this process and written again
process RANK PORT FOLDER HOLD   one of two processes that train together
"""

import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import grain  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from flax import linen as nn  # noqa: E402

from pgm_jax.networks import Preconditioned, UNet  # noqa: E402
from pgm_jax.schedules import VE  # noqa: E402
from pgm_jax.training import checkpoint  # noqa: E402
from pgm_jax.training.data import batches, open_source  # noqa: E402
from pgm_jax.training.loop import Cadence, Interrupted, _identity, train  # noqa: E402
from pgm_jax.training.losses import l2, matching_objective  # noqa: E402
from pgm_jax.training.sharding import device_mesh, fully_sharded, replicated, whole  # noqa: E402
from pgm_jax.training.step import TrainState, init_state  # noqa: E402

STEPS = 24
SHAPE = (8, 8, 1)
UNET = dict(
    channels=(8,), blocks=(1,), attention=(False,), patch=2, head_channels=8, embedding=16, dtype=np.dtype("float32")
)
NETWORK = Preconditioned(UNet(**UNET), SHAPE)
OPTIMIZER = optax.adam(1e-3)
DESCRIPTION = _identity(NETWORK, jax.eval_shape(OPTIMIZER.init, {}))
OBJECTIVE = matching_objective(l2, 8, STEPS, 2.0, 1.0)


class Affine(nn.Module):
    """An affine map of each pixel, the same at all levels, by way of 8 channels; it compiles at once."""

    @nn.compact
    def __call__(self, x: jax.Array, c: jax.Array) -> jax.Array:
        """Map images and their condition to images."""
        return nn.Dense(1)(nn.Dense(8)(x))


SMALLEST = Preconditioned(Affine(), SHAPE)
SMALLEST_DESCRIPTION = _identity(SMALLEST, jax.eval_shape(OPTIMIZER.init, {}))


def images_file(folder: pathlib.Path) -> pathlib.Path:
    """An .npz of 60 random images, the same everywhere."""
    path = folder / "images.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, train=np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8))
    return path


def toy_batches(folder: pathlib.Path, shard: tuple[int, int] = (0, 1)) -> grain.MapDataset:
    """Batches of 8 from the file of images in a folder."""
    return batches(open_source(images_file(folder), "train", SHAPE), 8, 0, flip=True, shard=shard)


def run(folder: pathlib.Path, dataset: grain.MapDataset | None = None, **changes: Any) -> TrainState:
    """Train in a folder, on one device unless told otherwise; every 4th step is saved, every step is logged."""
    settings: dict[str, Any] = dict(
        network=NETWORK,
        optimizer=OPTIMIZER,
        schedule=VE(),
        objective=OBJECTIVE,
        dataset=toy_batches(folder) if dataset is None else dataset,
        key=jax.random.key(0),
        folder=folder,
        steps=STEPS,
        cadence=Cadence(log=1, save=4, sheet=0),
        mesh=device_mesh(jax.devices()[:1]),
    )
    return train(**settings | changes)


def held(dataset: grain.MapDataset, index: int, release: pathlib.Path) -> grain.MapDataset:
    """The same batches; that of an index comes once there is a file."""

    def wait(i: int, batch: np.ndarray) -> np.ndarray:
        while i == index and not release.exists():
            time.sleep(0.02)
        return batch

    return dataset.map_with_index(wait)


def target_on(mesh: jax.sharding.Mesh, sharding=replicated, network: Preconditioned = NETWORK) -> TrainState:
    """What a toy state is read into."""
    shapes = jax.eval_shape(lambda key: init_state(key, network, OPTIMIZER), jax.random.key(0))
    return jax.tree.map(
        lambda s, where: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=where), shapes, sharding(mesh, shapes)
    )


def everything_sharded(mesh: jax.sharding.Mesh, tree: Any) -> Any:
    """FSDP for networks as small as this one."""
    return fully_sharded(mesh, tree, smallest=1)


def scalars(folder: pathlib.Path) -> list[dict[str, float]]:
    """The log of a run but for its speed."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "images_per_second"} for row in rows]


def same_bits(a: Any, b: Any) -> bool:
    """Whether two trees agree in every bit."""
    equal = jax.tree.map(lambda x, y: np.asarray(x).tobytes() == np.asarray(y).tobytes(), a, b)
    return all(jax.tree.leaves(equal))


def start(*arguments: Any, **environment: str) -> subprocess.Popen[str]:
    """This file in a process of its own, which is ended after five minutes; its errors come with its output."""
    command = [sys.executable, str(pathlib.Path(__file__).resolve()), *map(str, arguments)]
    pipe, errors = subprocess.PIPE, subprocess.STDOUT
    child = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=pipe, stderr=errors, text=True)
    watch = threading.Timer(300, child.kill)
    watch.daemon = True
    watch.start()
    return child


def read_until(child: subprocess.Popen[str], text: str) -> str:
    """What a process prints up to the line that holds a text."""
    assert child.stdout is not None
    lines = []
    for line in child.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"no {text!r} in\n{''.join(lines)}")


def _slowly(batch: np.ndarray) -> np.ndarray:
    time.sleep(0.02)
    return batch


def _launch(folder: pathlib.Path, hold: int, flags: list[str]) -> None:
    sys.argv = ["launch.train", *flags]
    from launch import config
    from launch import train as door

    plain = door.batches
    door.batches = lambda *args, **named: held(plain(*args, **named), hold, folder / "release")
    config.run(door.main)


def _copy(folders: list[str]) -> None:
    for source, copy in zip(folders[::2], folders[1::2], strict=True):
        with checkpoint.open_checkpoints(source) as old, checkpoint.open_checkpoints(copy) as new:
            found = checkpoint.load(old, target_on(device_mesh()), DESCRIPTION)
            assert found is not None
            checkpoint.save(new, found.step, found.state, DESCRIPTION, 0.0)
    print("devices", jax.device_count())


def _process(rank: int, port: str, folder: pathlib.Path, hold: int) -> None:
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=rank)
    dataset = held(toy_batches(folder / f"images_{rank}", (rank, 2)), hold, folder / "release")
    preview, cadence = np.zeros((2, *SHAPE), np.float32), Cadence(log=1, save=4, sheet=2)
    what: dict[str, Any] = dict(network=SMALLEST, preview=preview, cadence=cadence)
    try:
        state = run(folder, dataset, mesh=None, state_sharding=everything_sharded, **what)
    except Interrupted as stop:
        state = stop.state
    np.savez(folder / f"ema_{rank}.npz", *jax.tree.leaves(whole(state.ema)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["train", folder, hold]:
            path = pathlib.Path(folder)
            run(path, held(toy_batches(path), int(hold), path / "release"))
        case ["slow", folder, steps]:
            path = pathlib.Path(folder)
            what = dict(network=SMALLEST, steps=int(steps), cadence=Cadence(log=5, save=4, sheet=0))
            run(path, toy_batches(path).map(_slowly), **what)
        case ["launch", folder, hold, *flags]:
            _launch(pathlib.Path(folder), int(hold), flags)
        case ["copy", *folders]:
            _copy(folders)
        case ["process", rank, port, folder, hold]:
            _process(int(rank), port, pathlib.Path(folder), int(hold))
        case other:
            sys.exit(f"unknown: {other}")
