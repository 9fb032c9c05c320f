"""Training in memory: the training step of `pgm_jax.training.step`, scanned over random batches of an array.

The way to learn the prox of a toy in seconds: one compiled loop, no folder and no checkpoint. `pgm_jax.training.loop`
is the way for all else.
"""

import functools
from typing import Any

import jax
import optax
from jaxtyping import Array, Float

from pgm_jax.training.draws import Draws, as_draws
from pgm_jax.training.losses import Objective
from pgm_jax.training.step import Network, TrainState, check_pairing, init_state, make_step
from pgm_jax.types import Key, Schedule, as_key


def fit(
    key: Key,
    network: Network,
    optimizer: optax.GradientTransformation,
    schedule: Schedule | Draws,
    objective: Objective,
    examples: Float[Array, "n h w c"],
    *,
    steps: int,
    batch_size: int,
    ema_decay: float = 0.999,
) -> tuple[Any, dict[str, Array]]:
    """Train a network on examples in memory, each batch drawn from them with replacement.

    The arguments other than key, examples and schedule are static: the same objects do not trigger recompilation.

    Args:
        key: random key of the parameters, the batches, the levels and the noise.
        network, optimizer, schedule, ema_decay: as for `make_step`.
        objective: as for `make_step`; it is to count on as many `steps`.
        examples: clean images `[N, H, W, C]`, in the units of the network's mean and std.
        steps, batch_size: number of training steps, and of images of a step.

    Returns:
        The prior that the network makes of its averaged parameters, and the scalars of `make_step`, `[steps]` each.

    Raises:
        TypeError: if `key` is no key.
        ValueError: if the examples are not images of the network, a number is below 1, or the levels are not those of
            the network.
    """
    key = as_key(key)
    check_pairing(network, as_draws(schedule))  # here, where numbers are known
    if examples.shape[1:] != network.image_shape or not len(examples):
        raise ValueError(
            f"The examples have the shape {examples.shape}; the network takes "
            f"[N, {', '.join(map(str, network.image_shape))}], N at least 1."
        )
    if min(steps, batch_size) < 1:
        raise ValueError(f"{steps} steps of {batch_size} images were requested; give at least 1 of both.")
    state, history = _scan(key, examples, schedule, network, objective, optimizer, steps, batch_size, ema_decay)
    return network.prior(state.ema), history


@functools.partial(jax.jit, static_argnames=("network", "objective", "optimizer", "steps", "batch_size", "ema_decay"))
def _scan(key, examples, schedule, network, objective, optimizer, steps, batch_size, ema_decay):
    key_params, key_batches, key_run = jax.random.split(key, 3)
    step = make_step(network, optimizer, schedule, objective, ema_decay)

    def body(state: TrainState, _: None) -> tuple[TrainState, dict[str, Array]]:
        rows = jax.random.randint(jax.random.fold_in(key_batches, state.step), (batch_size,), 0, len(examples))
        return step(state, examples[rows], key_run)

    return jax.lax.scan(body, init_state(key_params, network, optimizer), length=steps)
