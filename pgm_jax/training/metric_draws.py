"""What a training step of the exact step sees: estimates whose noise is what a random measurement leaves.

    y = A x_0 + sigma eps_2,   u = x_0 + sqrt(lam) eps_1,   mu = Prox_f^lam(u)        target x_0

mu is x_0 plus Gaussian noise of the covariance `Sigma = (A^T A / sigma^2 + I / lam)^{-1}`, without a square root of it.
Operators come from families, each a stack of operators of one kind; a fixed share of every batch has no measurement,
Sigma = lam I, so that the network of PGM is inside the one that is trained.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pgm_jax.networks.metric_net import MetricNetwork
from pgm_jax.noise import GaussianNoise
from pgm_jax.training.draws import Seen, stratified_times
from pgm_jax.types import Images, Key, Schedule, pytree


@pytree
class MetricDraws:
    """Images under the noise that random measurements leave; build it with `metric_draws`.

    Attributes:
        schedule: distribution of the levels, lam(t), t uniform.
        families: stacks of operators, one for each kind, with a leading axis on their arrays.
        sigma_min, sigma_max: log sigma is uniform between them, in the units of the measurements.
        network: says what it is told of Sigma (static).
        shares: share of the batch of each family (static); the rest has no measurement.
    """

    schedule: Schedule
    families: tuple[Any, ...]
    sigma_min: Array
    sigma_max: Array
    network: MetricNetwork = dataclasses.field(metadata=dict(static=True))
    shares: tuple[float, ...] = dataclasses.field(metadata=dict(static=True))

    def draw(self, key: Key, images: Images) -> Seen:
        """The estimates, what the network is told of their noise, and the clean images.

        Args:
            key, images: random key, and clean images `[B, H, W, C]`.
        """
        key_time, key_order, key_sigma, key_noise = jax.random.split(key, 4)
        count = len(images)
        # Families are parts of the batch, and each is to see all levels.
        times = jax.random.permutation(key_order, stratified_times(key_time, count))
        lam = jax.vmap(self.schedule.lam)(times)
        log_sigma = jax.random.uniform(
            key_sigma, (count,), minval=jnp.log(self.sigma_min), maxval=jnp.log(self.sigma_max)
        )
        keys = jax.random.split(key_noise, count)
        ends = np.cumsum([round(share * count) for share in self.shares])
        starts, rest = [0, *ends[:-1]], int(ends[-1]) if len(ends) else 0
        parts = [
            jax.vmap(lambda *of_image, family=family: self._measured(family, *of_image))(
                keys[a:b], images[a:b], lam[a:b], jnp.exp(log_sigma[a:b])
            )
            for family, a, b in zip(self.families, starts, ends, strict=True)
        ]
        noise = jax.vmap(lambda k: jax.random.normal(k, images.shape[1:]))(keys[rest:])
        alone = images[rest:] + jnp.sqrt(lam[rest:, None, None, None]) * noise
        parts.append((alone, *self.network.isotropic(alone, lam[rest:])))
        point, *conditions = (jnp.concatenate(each) for each in zip(*parts, strict=True))
        return Seen(point, tuple(conditions), images)

    def _measured(self, family: Any, key: Key, x: Array, lam: Array, sigma: Array) -> tuple[Array, ...]:
        key_operator, key_y, key_u = jax.random.split(key, 3)
        which = jax.random.randint(key_operator, (), 0, jax.tree.leaves(family)[0].shape[0])
        operator = jax.tree.map(lambda a: a[which], family)
        noise = GaussianNoise(sigma)
        f = noise.likelihood(operator, noise.sample(key_y, operator.forward(x)))
        mu = f.prox(x + jnp.sqrt(lam) * jax.random.normal(key_u, x.shape), lam)
        return mu, *self.network.conditions(mu, f.metric(mu, lam))


def metric_draws(
    network: MetricNetwork,
    schedule: Schedule,
    families: tuple[Any, ...],
    shares: tuple[float, ...],
    sigma_min: float = 0.01,
    sigma_max: float = 1.0,
) -> MetricDraws:
    """Images under the noise that measurements by random operators leave.

    Args:
        network: network to train, which says what it is told.
        schedule: distribution of the levels; that of `VE` makes log lam uniform.
        families: stacks of operators, of one kind each: `jax.vmap(lambda key: random_mask(key, shape))(keys)`.
        shares: share of the batch of each, positive; what they leave of 1 has no measurement.
        sigma_min, sigma_max: range of the deviation of the noise of the measurements, in their units.

    Raises:
        ValueError: if the shares do not fit the families or add up to more than 1, the deviations are no range, or a
            family is of other images.
    """
    shares = tuple(map(float, shares))
    if len(shares) != len(families) or min(shares, default=1) <= 0 or sum(shares) > 1 + 1e-6:
        raise ValueError(
            f"The shares are {shares} for {len(families)} families; give each a positive one, at most 1 together."
        )
    if not 0 < sigma_min <= sigma_max:
        raise ValueError(f"sigma lies between {sigma_min} and {sigma_max}; give two positive numbers, in order.")
    for family in families:
        if tuple(family.image_shape) != tuple(network.image_shape):
            raise ValueError(
                f"A family of {type(family).__name__} measures images of {family.image_shape}, and the network takes "
                f"{network.image_shape}: build its operators for the network's."
            )
    return MetricDraws(schedule, tuple(families), jnp.asarray(sigma_min), jnp.asarray(sigma_max), network, shares)
