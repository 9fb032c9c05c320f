"""The prox of a toy prior, learned from samples of the prior alone.

The network knows neither the distribution nor the constraint: it sees u = x_0 + sqrt(lam) eps and predicts x_0.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax
from jax import Array
from ml_collections import ConfigDict

from pgm_jax.networks import MLP, Flattened, Preconditioned
from pgm_jax.schedules import VE
from pgm_jax.training import fit
from pgm_jax.training.losses import l1, l2, matching_objective
from pgm_jax.types import Key

DEFAULTS: dict[str, Any] = dict(
    examples=100_000,  # samples of the prior, which the experiment draws
    width=32,
    blocks=2,
    embedding=32,
    # log lam is uniform between the squares of these, in the units of x.
    sigma_min=0.05,
    sigma_max=2.0,
    steps=4_000,
    batch_size=512,
    learning_rate=4e-3,
    ema_decay=0.995,
    # Warm start with `l1` or `l2` for this share of the steps, then proximal matching with falling zeta, in units of
    # c_out. Without matching the network learns the posterior mean.
    warm_up="l2",
    warm_share=1.0,
    zeta_start=2.0,
    zeta_end=1.0,
)
WARM_UPS = {"l1": l1, "l2": l2}


def resolved(settings: Mapping[str, Any] | ConfigDict) -> ConfigDict:
    """The settings with their defaults.

    Raises:
        ValueError: if a setting is unknown.
    """
    if unknown := sorted(set(settings) - set(DEFAULTS)):
        raise ValueError(f"Unknown setting of the learning {', '.join(unknown)}; known are {', '.join(DEFAULTS)}.")
    return ConfigDict(DEFAULTS | dict(settings))


def learn_prox(key: Key, examples: Array, settings: Mapping[str, Any] | ConfigDict) -> Flattened:
    """Train a network on samples of a prior; its prox takes a point of any shape with the size of one sample.

    The preconditioning takes its mean and standard deviation from the examples.

    Args:
        key: for the initialisation and the batches.
        examples: samples of the prior, `[N, ...]`.
        settings: those that differ from `DEFAULTS`.
    """
    c: Any = resolved(settings)
    images = examples.reshape(len(examples), 1, 1, -1)
    module = MLP(c.width, c.blocks, c.embedding)
    network = Preconditioned(module, images.shape[1:], float(jnp.mean(images)), float(jnp.std(images)))
    objective = matching_objective(
        WARM_UPS[c.warm_up], round(c.warm_share * c.steps), c.steps, c.zeta_start, c.zeta_end
    )
    rate = optax.schedules.warmup_cosine_decay_schedule(0.0, c.learning_rate, c.steps // 20, c.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate, b2=0.99))
    levels = VE(c.sigma_min, c.sigma_max)
    sizes = dict(steps=c.steps, batch_size=c.batch_size, ema_decay=c.ema_decay)
    prior, _ = fit(key, network, optimizer, levels, objective, images, **sizes)
    return Flattened(prior)


def fit_by_squares(key: Key, network: Any, draws: Any, examples: Array, c: Any) -> Any:
    """Train a network to a posterior mean, and return its prior.

    Args:
        key, network, draws, examples: as for `fit`.
        c: has `steps`, `batch_size`, `learning_rate` and `ema_decay`.
    """
    rate = optax.schedules.warmup_cosine_decay_schedule(0.0, c.learning_rate, c.steps // 20, c.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate, b2=0.99))
    squares = matching_objective(l2, c.steps, c.steps, 1.0, 1.0)
    sizes: Any = dict(steps=c.steps, batch_size=c.batch_size, ema_decay=c.ema_decay)
    return fit(key, network, optimizer, draws, squares, examples, **sizes)[0]
