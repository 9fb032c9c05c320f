"""A posterior mean under noise of any covariance that is learned from samples of the mixture alone.

The network is one normalised layer of radial units. With centres c_k, logarithms of weights a_k and a width s

    phi(mu, Sigma) = sum_k r_k [c_k + S (Sigma + S)^{-1} (mu - c_k)],   r = softmax(a_k - |mu - c_k|^2 / 2),   S = s^2 I

with distances in the metric of Sigma + S. It is the posterior mean of the mixture of N(c_k, S), and of any distribution
in the limit of many units. Centres, weights and width are found by regression of samples of the prior on what random
measurements leave of them.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from launch.experiments.learning import fit_by_squares
from pgm_jax.networks.prox_net import prox_coefficients
from pgm_jax.operators.metric import Metric
from pgm_jax.potentials import Denoiser, Mixture, Quadratic
from pgm_jax.schedules import VE
from pgm_jax.training.draws import Seen, stratified_times
from pgm_jax.types import Key, Shape, pytree


@dataclasses.dataclass(frozen=True)
class RadialNetwork:
    """Radial units that start at some of the examples, the points `starts`, in units of `std`, the data's deviation."""

    starts: tuple[tuple[float, ...], ...]
    std: float

    @property
    def image_shape(self) -> Shape:
        return (1, 1, len(self.starts[0]))

    def init(self, key: Key) -> dict[str, Array]:
        """Units of equal weights, as wide as the data have room for them; `width` is the logarithm of s / std."""
        del key
        count, d = len(self.starts), len(self.starts[0])
        return dict(centres=jnp.asarray(self.starts), weights=jnp.zeros(count), width=-jnp.log(float(count)) / d)

    def prior(self, params: dict[str, Array]) -> Denoiser:
        weights, centres = jax.nn.softmax(params["weights"]), self.std * params["centres"]
        return Denoiser(Mixture(weights, centres, self.std * jnp.exp(params["width"])))

    def scale(self, metric: Metric) -> Array:
        """c_out of the network of images at the level lam, `[B]`."""
        return prox_coefficients(metric.lam, self.std)[1]

    def apply(self, params: dict[str, Array], mu: Array, metric: Metric) -> Array:
        answer = self.prior(params).prox_metric
        return jax.vmap(answer)(mu.reshape(len(mu), -1), metric).reshape(mu.shape)


@pytree
class PointDraws:
    """Points under the noise that 0 to `most` random measurements leave, `most` at most d; sigma in the units of y."""

    schedule: VE
    sigma_min: float
    sigma_max: float
    most: int = dataclasses.field(metadata=dict(static=True))

    def draw(self, key: Key, images: Array) -> Seen:
        key_points, key_times = jax.random.split(key)
        keys, times = jax.random.split(key_points, len(images)), stratified_times(key_times, len(images))
        points = images.reshape(len(images), -1)
        mu, metric = jax.vmap(self._measured)(keys, points, jax.vmap(self.schedule.lam)(times))
        return Seen(mu.reshape(images.shape), (metric,), images)

    def _measured(self, key: Key, x: Array, lam: Array) -> tuple[Array, Metric]:
        for_rows, for_gains, for_count, for_sigma, for_y, for_u = jax.random.split(key, 6)
        rows = jnp.linalg.qr(jax.random.normal(for_rows, (len(x), self.most)))[0]
        seen = jnp.arange(self.most) < jax.random.randint(for_count, (), 0, self.most + 1)
        gains = jnp.where(seen, jax.random.uniform(for_gains, (self.most,)), 0.0)
        least, most = jnp.log(self.sigma_min), jnp.log(self.sigma_max)
        sigma = jnp.exp(jax.random.uniform(for_sigma, (), minval=least, maxval=most))
        y = gains * (x @ rows) + sigma * jax.random.normal(for_y, (self.most,))
        f = Quadratic(rows, (gains / sigma) ** 2, -gains * y / sigma**2, jnp.zeros_like(x))
        mu = f.prox(x + jnp.sqrt(lam) * jax.random.normal(for_u, x.shape), lam)
        return mu, f.metric(mu, lam)


def learn(key: Key, examples: Array, lam_max: float, lam_min: float, c: Any) -> Denoiser:
    """Train on samples `[N, d]` of the prior, at levels from lam_max down to lam_min."""
    std = float(jnp.std(examples))
    network = RadialNetwork(tuple(tuple(map(float, point)) for point in np.asarray(examples[: c.units]) / std), std)
    draws = PointDraws(VE(lam_min**0.5, lam_max**0.5), c.noise[0], c.noise[1], c.most)
    return fit_by_squares(key, network, draws, examples.reshape(-1, *network.image_shape), c)
