"""What a configuration trains: the network, what it sees, and its optimizer.

network.unet                       the prox at every level, for PGM             configs/fashion_mnist.py
network.unet and network.metric    the same under noise of any shape            configs/exact_step.py
network.local_unet                 the same for pictures of any size            configs/photos.py
network.unet and network.timed     the prox at every time, for ProxDM           configs/proxdm.py
network.icnn or network.conv_icnn  the gradient of a convex network, an LPN     configs/lpn.py
"""

from typing import Any, NamedTuple

import jax
import optax

from launch.config import DEFAULT, known, known_settings, usual_config
from launch.families import read_families
from pgm_jax.networks import ConvexNetwork, MetricNetwork, TimedNetwork
from pgm_jax.networks.descriptions import Described, network_of
from pgm_jax.schedules import VE
from pgm_jax.training.convexity import keep_nonnegative
from pgm_jax.training.draws import Draws, LevelDraws, step_draws
from pgm_jax.training.metric_draws import metric_draws


class Trained(NamedTuple):
    """What is trained, on what, and how."""

    network: Described
    draws: Draws
    optimizer: optax.GradientTransformation


def usual_of(config: Any) -> Any:
    """The configuration of the file that trains the same kind of network."""
    for kind, file in dict(
        local_unet="configs/photos.py", timed="configs/proxdm.py", metric="configs/exact_step.py"
    ).items():
        if kind in config.network:
            return usual_config(file)
    return usual_config(DEFAULT if "unet" in config.network else "configs/lpn.py")


def read_network(config: Any) -> Trained:
    """What a configuration trains.

    Raises:
        ValueError: if a setting is unknown, or there is no such network, draw or optimizer.
    """
    c, usual = config.train, usual_of(config)
    known_settings(config.data, usual.data, "config.data")
    for setting in config.train:
        known(setting, usual.train, "setting of config.train")
    network = checked_network(config)
    optimizer = optimizer_of(c)
    if isinstance(network, ConvexNetwork):
        return Trained(
            network, LevelDraws(VE(network.sigma, network.sigma)), optax.chain(optimizer, keep_nonnegative())
        )
    if isinstance(network, TimedNetwork):
        return Trained(network, step_draws(network.schedule, c.counts, c.weights, backward=c.backward), optimizer)
    if c.sigma_min >= c.sigma_max:
        raise ValueError(f"config.train.sigma_min is {c.sigma_min}; it must be below sigma_max, {c.sigma_max}.")
    levels = VE(c.sigma_min, c.sigma_max)
    if isinstance(network, MetricNetwork):
        families, shares = read_families(c.families, c.seed, tuple(config.data.image_shape))
        return Trained(network, metric_draws(network, levels, families, shares, c.noise_min, c.noise_max), optimizer)
    return Trained(network, LevelDraws(levels), optimizer)


def checked_network(config: Any) -> Described:
    """The network of the configuration, once it is known that it takes the images."""
    try:
        shape = tuple(config.data.image_shape)
        if "local_unet" in config.network:  # which takes pictures of any size, and is trained on crops
            shape = (None, None, *shape[2:])
        network = network_of(config.network.to_dict() | dict(image_shape=shape))
        jax.eval_shape(network.init, jax.random.key(0))
    except (TypeError, ValueError, IndexError, KeyError, ZeroDivisionError) as error:
        reason = f"it has no setting {error}" if isinstance(error, KeyError) else error
        advice = (
            " Give channels, blocks and attention one entry a level, and images whose sides are multiples of patch * "
            "2^(levels - 1)."
        )
        raise ValueError(
            f"config.network makes no network for images of {tuple(config.data.image_shape)} ({reason})."
            + advice * ("unet" in config.network)
        ) from error
    return network


def optimizer_of(train_config: Any) -> optax.GradientTransformation:
    """AdamW with clipping; the learning rate warms up, stays, and falls linearly to 0 over the last part."""
    c = train_config
    decay_steps = int(c.steps * c.decay_share)
    rise = optax.schedules.linear_schedule(0.0 if c.warmup_steps else c.learning_rate, c.learning_rate, c.warmup_steps)
    fall = optax.schedules.linear_schedule(1.0, 0.0, decay_steps, transition_begin=c.steps - decay_steps)
    return optax.chain(
        optax.clip_by_global_norm(c.clip_norm),
        optax.adamw(lambda step: rise(step) * fall(step), b2=c.adam_b2, weight_decay=c.weight_decay),
    )
