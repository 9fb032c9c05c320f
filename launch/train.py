"""Train a prox network on clean images alone.

    python -m launch.train --config=configs/fashion_mnist.py --workdir=runs/fashion_mnist
    python -m launch.train --config=configs/fashion_mnist.py --workdir=runs/mine --config.data.source=./photos
    python -m launch.train ... --config.train.batch_size=256 --config.train.sharding=fsdp

The folder gets checkpoints, metrics.jsonl, TensorBoard files, sheets of images, config.json, and at the end prior.npz,
which `launch.restore` and `launch.evaluate` take by --prior. Start the same command again to go on after a stop.
"""

import json
from pathlib import Path

import jax
import ml_collections
import numpy as np
import optax
from absl import app, flags
from ml_collections import config_flags

from launch.output import run_record
from pgm_jax.networks import ProxNet
from pgm_jax.pretrained import describe, network_of, save_prior
from pgm_jax.schedules import ve
from pgm_jax.training.data import batches, open_source
from pgm_jax.training.images import to_float
from pgm_jax.training.loop import Cadence, train
from pgm_jax.training.losses import l1, l2, matching_objective
from pgm_jax.training.sharding import fully_sharded, replicated

_CONFIG = config_flags.DEFINE_config_file("config", "configs/fashion_mnist.py", "What to train, on what, and how.")
_WORKDIR = flags.DEFINE_string("workdir", "runs/train", "Folder of the run; a run that is in it goes on.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TFDS sets lie; TFDS's own place by default.")
_MULTI_HOST = flags.DEFINE_bool("multi_host", False, "Join the processes of a pod before anything else.")

WARM_UPS = {"l1": l1, "l2": l2}
SHARDINGS = {"replicated": replicated, "fsdp": fully_sharded}


def choose(table: dict, name: str, what: str):
    """Look a name of the configuration up, and name the known ones where it is unknown."""
    if name not in table:
        raise ValueError(f"config.train.{what} is {name!r}; it must be one of {', '.join(table)}.")
    return table[name]


def optimizer_of(train_config: ml_collections.ConfigDict) -> optax.GradientTransformation:
    """AdamW with clipping; the learning rate warms up, stays, and falls linearly to 0 over the last part."""
    c = train_config
    decay_steps = int(c.steps * c.decay_share)
    rate = optax.schedules.join_schedules(
        [
            optax.schedules.linear_schedule(0.0, c.learning_rate, c.warmup_steps),
            optax.schedules.linear_schedule(c.learning_rate, 0.0, decay_steps),
        ],
        [c.steps - decay_steps],
    )
    return optax.chain(
        optax.clip_by_global_norm(c.clip_norm), optax.adamw(rate, b2=c.adam_b2, weight_decay=c.weight_decay)
    )


def main(argv: list[str]) -> None:
    """Read the configuration, train, and write the averaged weights as a prior."""
    if len(argv) > 1:
        raise app.UsageError(f"Arguments that are no flags: {' '.join(argv[1:])}")
    if _MULTI_HOST.value:
        jax.distributed.initialize()
    config, folder = _CONFIG.value, Path(_WORKDIR.value)
    c = config.train
    network = network_of(config.network.to_dict() | dict(image_shape=config.data.image_shape))
    source = open_source(config.data.source, config.data.split, config.data.image_shape, _DATA_DIR.value)
    shard = (jax.process_index(), jax.process_count())
    dataset = batches(source, c.batch_size, c.seed, flip=config.data.flip, shard=shard)
    description = json.loads(json.dumps(dict(network=describe(network), optimizer="adamw")))
    folder.mkdir(parents=True, exist_ok=True)
    if jax.process_index() == 0:
        (folder / "config.json").write_text(json.dumps(run_record(config, c.seed), indent=2))
    state = train(
        network,
        optimizer_of(c),
        ve(c.sigma_min, c.sigma_max),
        matching_objective(choose(WARM_UPS, c.warm_up, "warm_up"), int(c.steps * c.warm_share), c.steps, c.zeta_start, c.zeta_end),
        dataset,
        jax.random.key(c.seed),
        folder=folder,
        steps=c.steps,
        description=description,
        ema_decay=c.ema_decay,
        cadence=Cadence(c.log_every, c.save_every, c.sheet_every),
        preview=to_float(np.stack([source[i] for i in range(min(12, len(source)))])),
        state_sharding=choose(SHARDINGS, c.sharding, "sharding"),
    )
    if jax.process_index() == 0:
        save_prior(folder / "prior.npz", ProxNet(jax.device_get(state.ema), network))
        print(f"{int(state.step)} of {c.steps} steps; the averaged weights are in {folder / 'prior.npz'}")


if __name__ == "__main__":
    app.run(main)
