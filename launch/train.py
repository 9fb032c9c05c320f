"""Trains a network on clean images alone: the prox of PGM, also for the exact step or proximal diffusion, or an LPN.

  Fashion-MNIST, prepared by launch.prepare:
    python -m launch.train --config=configs/fashion_mnist.py --workdir=runs/fashion_mnist
  your own images, a folder or an .npz:
    python -m launch.train --workdir=runs/mine --config.data.source=./photos --config.data.image_shape='(64, 64, 3)'
  the networks of the exact step, of proximal diffusion, and a learned proximal network:
    python -m launch.train --config=configs/exact_step.py --workdir=runs/exact_step
    python -m launch.train --config=configs/proxdm.py --workdir=runs/proxdm
    python -m launch.train --config=configs/lpn.py --workdir=runs/lpn
  another setting of the configuration, on all devices of this machine, the state shared out among them:
    python -m launch.train --workdir=runs/large --config.train.batch_size=256 --config.train.sharding=fsdp

WORKDIR/ gets checkpoints/, config.json, metrics.jsonl and tensorboard/, sheets/ of restored images, and at the end
prior.npz; launch.restore and launch.evaluate take those of PGM and of the exact step by --prior.
Re-run the command to resume a run that was stopped, by Ctrl-C (exit status 130, weights so far in
unfinished_prior.npz), SIGTERM (143) or a crash; with more --config.train.steps it extends a finished one.
"""

import contextlib
import functools
import logging
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from absl import flags
from absl import logging as absl_logging
from jaxtyping import PyTree

from launch.config import DATA_DIR, define_config, known, one_line_errors, run
from launch.networks import read_network
from launch.runs import LOCK, RECORD, differences, former_run, machine_memory, remove, run_record, write_json
from pgm_jax.files import local_path, only_writer
from pgm_jax.networks.descriptions import Described
from pgm_jax.operators.base import check_image_shape
from pgm_jax.pretrained import load_prior, save_prior
from pgm_jax.training.crops import centre_crop, open_pictures, random_crop
from pgm_jax.training.data import batches, open_source
from pgm_jax.training.hosts import join_processes, together
from pgm_jax.training.images import to_float
from pgm_jax.training.loop import Cadence, Interrupted, train
from pgm_jax.training.losses import l1, l2, matching_objective
from pgm_jax.training.sharding import fully_sharded, replicated, whole
from pgm_jax.training.step import TrainState, init_state

PRIOR, UNFINISHED = "prior.npz", "unfinished_prior.npz"
WRITES = ("checkpoints", "metrics.jsonl", "tensorboard", "sheets", PRIOR, UNFINISHED)
WARM_UPS = {"l1": l1, "l2": l2}
SHARDINGS = {"replicated": replicated, "fsdp": fully_sharded}
LIMITS: list[tuple[str, Callable[[float], bool], str]] = [
    ("steps batch_size log_every save_every", lambda value: value >= 1, "at least 1"),
    ("steps", lambda value: value < 2**31, "below 2^31"),
    ("warmup_steps sheet_every weight_decay stages", lambda value: 0 <= value < np.inf, "at least 0"),
    (
        "learning_rate clip_norm sigma_min sigma_max noise_min noise_max zeta_start zeta_end",
        lambda value: 0 < value < np.inf,
        "positive",
    ),
    ("warm_share decay_share", lambda value: 0 <= value <= 1, "from 0 to 1"),
    ("adam_b2 ema_decay", lambda value: 0 <= value < 1, "from 0 to below 1"),
]


_CONFIG = define_config()
flags.declare_key_flag("config")
_WORKDIR = flags.DEFINE_string("workdir", "runs/train", "Folder of the run; a run that is in it is resumed.")
flags.declare_key_flag("data_dir")
_RESTART = flags.DEFINE_bool("restart", False, "Remove the run that is in --workdir and start from the beginning.")
_MULTI_HOST = flags.DEFINE_bool(
    "multi_host",
    False,
    "Join the processes of a pod before anything else. Outside a cluster that JAX knows, JAX_COORDINATOR_ADDRESS "
    "(host:port of the first process), JAX_NUM_PROCESSES and JAX_PROCESS_ID say of whom.",
)


def check(train_config: Any, image_shape: tuple[int, ...]) -> None:
    """Raise a ValueError for a number that the training cannot have."""
    c, image_shape = train_config, check_image_shape(image_shape)
    for names, allowed, words in LIMITS:
        for name in (name for name in names.split() if name in c):
            if not isinstance(value := getattr(c, name), int | float) or not allowed(value):
                raise ValueError(f"config.train.{name} is {value!r}; it must be {words}.")
    size = 4 * c.batch_size * math.prod(image_shape) // jax.process_count()
    if size > (memory := machine_memory()):
        raise ValueError(
            f"config.train.batch_size is {c.batch_size}; its images of {tuple(image_shape)} take {size / 2**30:.3g} "
            f"GiB, and this machine has {memory / 2**30:.3g} GiB."
        )
    if c.batch_size % jax.device_count():
        raise ValueError(
            f"config.train.batch_size is {c.batch_size}; it must be a multiple of the {jax.device_count()} devices."
        )


def open_workdir(folder: Path, record: dict[str, Any], restart: bool) -> tuple[dict[str, Any] | None, list[str]]:
    """Write config.json; the record of the run in the folder, and how the new one differs, which it says.

    Raises:
        ValueError: as `former_run` does.
    """
    former = None
    if restart:
        own = {*WRITES, RECORD, LOCK}
        if any(path.name not in own and path.suffix != ".part" for path in folder.iterdir()):
            former_run(folder, "train")  # files of others: only where this is a training
        with only_writer(folder / "checkpoints"):
            remove(folder, [*WRITES, RECORD, "*.part"])
    else:
        former = former_run(folder, "train")
    was, now = (
        {name: run["config"].get(name) for name in ("data", "network", "train")} for run in (former or record, record)
    )
    if changed := list(differences(was, now)):
        print(f"The configuration differs from that of the run in {folder}:", *changed, sep="\n  ", flush=True)
    if changed or not former:
        history = [*(former or {}).get("changed", []), *(f"{record['started']}: {change}" for change in changed)]
        write_json(folder / RECORD, record | dict(changed=history))
    return former, changed


@one_line_errors()
def main(_: list[str]) -> None:
    """Read the configuration, train, and write the averaged weights as a prior."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    for name in ("absl", "asyncio"):  # where orbax tells of each step of each save, and of errors that it raises too
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if _MULTI_HOST.value:
        join_processes()
    config: Any = _CONFIG.value
    folder, first = local_path(_WORKDIR.value), jax.process_index() == 0
    with contextlib.ExitStack() as stack:
        with together():
            c = config.train
            check(c, config.data.image_shape)
            network, draws, optimizer = read_network(config)
            known(c.warm_up, WARM_UPS, "config.train.warm_up")
            known(c.sharding, SHARDINGS, "config.train.sharding")
            warm_steps = int(c.steps * c.warm_share)
            zetas = c.zeta_start, c.zeta_end, c.stages or None
            objective = matching_objective(WARM_UPS[c.warm_up], warm_steps, c.steps, *zetas)
            source, augment, preview, held_out = read_data(config.data)
            start = read_start(c.get("start"), network, optimizer) if not newest_step(folder) else None
            shard = (jax.process_index(), jax.process_count())
            dataset = batches(source, c.batch_size, c.seed, flip=config.data.flip, augment=augment, shard=shard)
        former, changed = None, []
        with together():
            if first:
                stack.enter_context(only_writer(folder))
                former, changed = open_workdir(folder, run_record("train", config, c.seed), restart=_RESTART.value)
        before = newest_step(folder)
        try:
            state = train(
                jax.random.key(c.seed),
                network,
                optimizer,
                draws,
                objective,
                dataset,
                folder=folder,
                steps=c.steps,
                ema_decay=c.ema_decay,
                cadence=Cadence(c.log_every, c.save_every, c.sheet_every),
                preview=preview,
                state_sharding=SHARDINGS[c.sharding],
                start=start,
                held_out=held_out,
            )
        except Interrupted as stop:
            save_weights(folder / UNFINISHED, network, stop.state, c.steps)
            sys.exit(128 + stop.number)
        finally:
            if former and newest_step(folder) == before:
                write_json(folder / RECORD, former)  # no step was taken: the run in the folder is still what it was
        save_weights(folder / PRIOR, network, state, c.steps)
        if former and newest_step(folder) == before and any(not text.startswith("train.steps ") for text in changed):
            raise ValueError(
                f"The run in {folder} is finished, with other settings than these, and nothing was trained: give more "
                "steps, another folder, or --restart."
            )
        if first:
            (folder / UNFINISHED).unlink(missing_ok=True)


class Data(NamedTuple):
    """What a run is trained on and looked at with."""

    source: Any  # images, or pictures of any size
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None
    preview: np.ndarray
    held_out: np.ndarray | None


def read_data(data: Any) -> Data:
    """The images of a configuration; where `data.held_out` names a split, crops of pictures of any size."""
    if "held_out" not in data:
        source = open_source(data.source, data.split, data.image_shape, DATA_DIR.value)
        return Data(source, None, to_float(np.stack([source[i] for i in range(min(12, len(source)))])), None)
    height, width, channels = check_image_shape(data.image_shape)
    pictures, others = (
        open_pictures(data.source, split, channels, DATA_DIR.value) for split in (data.split, data.held_out)
    )
    preview = [centre_crop(others[i], (height, width)) for i in range(min(12, len(others)))]
    held_out = [centre_crop(others[i], (2 * height, 2 * width)) for i in range(min(24, len(others)))]
    crop = functools.partial(random_crop, size=(height, width))
    return Data(pictures, crop, to_float(np.stack(preview)), to_float(np.stack(held_out)))


def read_start(name: str | None, network: Described, optimizer: optax.GradientTransformation) -> PyTree | None:
    """The weights of a prior that a new run starts from; a ValueError where they are not for this network."""
    if not name:
        return None
    prior = load_prior(name)
    for scaling in ("mean", "std"):
        theirs, ours = (getattr(each, scaling, None) for each in (prior.network, network))
        if theirs != ours:
            raise ValueError(
                f"config.network.{scaling} is {ours}, and that of {name} {theirs}: its weights mean nothing under "
                "another scaling; give the same, or no config.train.start."
            )
    jax.eval_shape(lambda key: init_state(key, network, optimizer, prior.params), jax.random.key(0))
    return prior.params


def newest_step(folder: Path) -> int:
    """The newest step that is saved; 0 where there is none."""
    return max((int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit()), default=0)


def save_weights(path: Path, network: Described, state: TrainState, steps: int) -> None:
    """Write the averaged weights of a state as a prior, and say so; all processes of a pod call it."""
    ema = whole(state.ema)
    if jax.process_index() == 0:
        save_prior(path, network.prior(ema))
        print(f"{int(state.step)} of {steps} steps; the averaged weights are in {path}", flush=True)


if __name__ == "__main__":
    run(main)
