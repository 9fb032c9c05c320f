"""What a training step of the exact step sees: estimates whose noise is what a random measurement leaves.

    y = A x_0 + sigma eps_2,   u = x_0 + sqrt(lam) eps_1,   mu = Prox_f^lam(u)        target x_0

mu is x_0 plus Gaussian noise of the covariance `Sigma = (A^T A / sigma^2 + I / lam)^{-1}`, without a square root of it.
A measured image has a level of the schedule above sigma^2 / 4, for operators of norm about 1: further down u says more
than y does, and Sigma is close to lam I.
Operators come from families, each a stack of operators of one kind; a fixed share of every batch has no measurement,
Sigma = lam I, so that the network of PGM is inside the one that is trained.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pgm_jax.networks.metric_net import MetricNetwork
from pgm_jax.noise import GaussianNoise
from pgm_jax.operators.checks import SizedShape, fits
from pgm_jax.training.draws import Seen, stratified_times
from pgm_jax.types import Images, Key, Schedule, pytree


@pytree
class MetricDraws:
    """Images under the noise that random measurements leave; build it with `metric_draws`.

    Attributes:
        schedule: distribution of the levels, lam(t), t uniform; of a measured image from the t of sigma^2 / 4 on.
        families: stacks of operators, one for each kind, with a leading axis on their arrays.
        noise_min, noise_max: log sigma is uniform between them, in the units of the measurements.
        network: says what it is told of Sigma (static).
        shares: share of the batch of each family (static); the rest has no measurement.
    """

    schedule: Schedule
    families: tuple[Any, ...]
    noise_min: Array
    noise_max: Array
    network: MetricNetwork = dataclasses.field(metadata=dict(static=True))
    shares: tuple[float, ...] = dataclasses.field(metadata=dict(static=True))

    def draw(self, key: Key, images: Images) -> Seen:
        """The estimates, what the network is told of their noise, and the clean images.

        Args:
            key, images: random key, and clean images `[B, H, W, C]`.
        """
        key_time, key_order, key_sigma, key_noise = jax.random.split(key, 4)
        count = len(images)
        # Families are parts of the batch, and each is to see low and high levels.
        times = jax.random.permutation(key_order, stratified_times(key_time, count))
        log_sigma = jax.random.uniform(
            key_sigma, (count,), minval=jnp.log(self.noise_min), maxval=jnp.log(self.noise_max)
        )
        keys = jax.random.split(key_noise, count)
        starts = np.round(np.cumsum((0.0, *self.shares)) * count).astype(int)
        if np.any(empty := np.diff(starts) == 0):
            raise ValueError(f"A share of {self.shares[int(np.argmax(empty))]} of {count} images is none; give more.")
        rest = int(starts[-1])
        parts = [
            jax.vmap(lambda *of_image, family=family: self._measured(family, *of_image))(
                keys[a:b], images[a:b], times[a:b], jnp.exp(log_sigma[a:b])
            )
            for family, a, b in zip(self.families, starts[:-1], starts[1:], strict=True)
        ]
        noise = jax.vmap(lambda k: jax.random.normal(k, images.shape[1:]))(keys[rest:])
        lam = jax.vmap(self.schedule.lam)(times[rest:])
        alone = images[rest:] + jnp.sqrt(lam[:, None, None, None]) * noise
        parts.append((alone, *self.network.isotropic(alone, lam)))
        point, *conditions = (jnp.concatenate(each) for each in zip(*parts, strict=True))
        return Seen(point, tuple(conditions), images)

    def previews(self, key: Key, images: Images) -> list[Seen]:
        """The images as each of the families leaves them, not the rest, at a high level.

        Args:
            key, images: random key, and clean images `[B, H, W, C]`.
        """
        keys, times = jax.random.split(key, len(images)), jnp.full(len(images), 0.8)
        sigma = jnp.full(len(images), self.noise_min)
        seen = [jax.vmap(lambda *of, f=f: self._measured(f, *of))(keys, images, times, sigma) for f in self.families]
        return [Seen(point, tuple(conditions), images) for point, *conditions in seen]

    def _measured(self, family: Any, key: Key, x: Array, time: Array, sigma: Array) -> tuple[Array, ...]:
        key_operator, key_y, key_u = jax.random.split(key, 3)
        which = jax.random.randint(key_operator, (), 0, jax.tree.leaves(family)[0].shape[0])
        operator = jax.tree.map(lambda a: a[which], family)
        earliest = jnp.clip(self.schedule.time_of_lam(jnp.maximum(sigma**2 / 4, self.schedule.lam(0.0))), 0.0, 1.0)
        lam = self.schedule.lam(earliest + (1.0 - earliest) * time)
        noise = GaussianNoise(sigma)
        f = noise.likelihood(operator, noise.sample(key_y, operator.forward(x)))
        mu = f.prox(x + jnp.sqrt(lam) * jax.random.normal(key_u, x.shape), lam)
        return mu, *self.network.conditions(mu, f.metric(mu, lam))


def metric_draws(
    network: MetricNetwork,
    schedule: Schedule,
    families: Sequence[Any],
    shares: Sequence[float],
    noise_min: float = 0.01,
    noise_max: float = 1.0,
) -> MetricDraws:
    """Images under the noise that measurements by random operators leave.

    Args:
        network: network to train, which says what it is told.
        schedule: distribution of the levels; that of `VE` makes log lam uniform.
        families: of each kind some operators, which differ in their numbers alone: `[random_mask(key, shape), ...]`.
        shares: share of the batch of each kind, positive; what they leave of 1 has no measurement.
        noise_min, noise_max: range of the deviation of the noise of the measurements, in their units.

    Raises:
        ValueError: if the shares do not fit the families or add up to more than 1, the deviations are no range, or the
            operators of a family are of other images, or of arrays of different shapes. In a step, if a share of its
            batch is less than half an image.
    """
    shares = tuple(map(float, shares))
    if len(shares) != len(families) or min(shares, default=1) <= 0 or sum(shares) > 1 + 1e-6:
        raise ValueError(
            f"The shares are {shares} for {len(families)} families; give each a positive one, at most 1 together."
        )
    if not 0 < noise_min <= noise_max:
        raise ValueError(
            f"noise_min is {noise_min} and noise_max {noise_max}; give two positive numbers, the smaller first."
        )
    stacks = tuple(_stack(place, family, network.image_shape) for place, family in enumerate(families))
    return MetricDraws(schedule, stacks, jnp.asarray(noise_min), jnp.asarray(noise_max), network, shares)


def _stack(place: int, family: Any, image_shape: SizedShape) -> Any:
    """The operators of a family as one, with a leading axis on its arrays."""
    if not isinstance(family, Sequence) or not family:
        raise ValueError(
            f"Family {place} is a {type(family).__name__}; give some operators, [random_mask(key, shape), ...]."
        )
    for operator in family:
        if not fits(operator.image_shape, image_shape):
            raise ValueError(
                f"A {type(operator).__name__} of family {place} measures images of {tuple(operator.image_shape)}, and "
                f"the network takes {tuple(image_shape)}: build it for the network's."
            )
    shapes = {(jax.tree.structure(each), *map(jnp.shape, jax.tree.leaves(each))) for each in family}
    if len(shapes) > 1:
        raise ValueError(
            f"The operators of family {place} have arrays of {len(shapes)} different shapes, and are to differ in "
            "their numbers alone: fix what sizes them, as radius does for a blur."
        )
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *family)
