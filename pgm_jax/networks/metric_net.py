"""A network as the posterior mean, or the proximal map, of a prior under noise of any covariance Sigma.

Of `mu = x_0 + N(0, Sigma)` the network F corrects the posterior mean of a Gaussian prior N(m, S), S = s^2 I,

    phi(mu, Sigma) = m + w + c_out F(c_in (mu - m), log(mean v) / 4, maps),   w = S (Sigma + S)^{-1} (mu - m)

with c_in and c_out those of `prox_net` at the variances v of the pixels, the diagonal of Sigma. A pixel that a mask
shows without noise keeps its value, whatever F says. The maps tell what is known:

    w / s                      the image as far as a Gaussian prior believes it: what was measured, with little noise
    log(v / mean v) / 4        how well each pixel is known
    Sigma d / mean v - d       what is left of a comb d of single pixels of random signs

For noise that is the same everywhere, Sigma = lam I, w is c_skip (mu - m) and the other maps are 0: the weights of a
`Preconditioned` network are a start for this one, and before the first step of training it is that network. Masks,
whose Sigma is diagonal, have a v for each pixel and no comb. Of other operators Sigma acts on the comb by one data step
a level, and one variance, `d^T Sigma d / d^T d`, stands for all pixels; w takes another one for each call.
"""

import dataclasses
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from pgm_jax.networks.prox_net import as_batch, prox_coefficients, smallest
from pgm_jax.operators.checks import SizedShape
from pgm_jax.types import Key, Scalar, Scalars, Shape, pytree

_LEAST = 1e-12  # of a variance whose logarithm is taken
_LEAST_SHARE = 1e-8  # of the mean


@dataclasses.dataclass(frozen=True)
class MetricNetwork:
    """A flax module with its preconditioning: `init` and `apply` are pure functions of a plain dict of parameters.

    Attributes:
        module: maps (images `[B, H, W, C]`, condition `[B]`, maps `[B, H, W, 3 C]`) to images.
        image_shape: (H, W, C).
        mean, std: mean m and standard deviation of the data, in the units of the images.
        period: pixels from tooth to tooth of the comb; one without a factor in common with any decimation.
    """

    module: nn.Module
    image_shape: Shape
    mean: float = 0.0
    std: float = 0.5
    period: int = 7

    def __post_init__(self):
        if not 1 <= self.period <= min(self.image_shape[:2]):
            raise ValueError(
                f"The period of the comb is {self.period}; give 1 to {min(self.image_shape[:2])} pixels, for images of "
                f"{tuple(self.image_shape)}."
            )

    def init(self, key: Key) -> PyTree:
        """Draw the parameters."""
        height, width, channels = smallest(self.image_shape, self.module)
        x, maps = jnp.zeros((1, height, width, channels)), jnp.zeros((1, height, width, 3 * channels))
        return self.module.init(key, x, jnp.zeros((1,)), maps)["params"]

    def prior(self, params: PyTree) -> "MetricProxNet":
        """The trained network as a prior, with its `params`."""
        return MetricProxNet(params, self)

    def conditions(self, mu: Float[Array, "h w c"], metric: Any) -> tuple[Array, Array, Array]:
        """What the network is told beside mu: the variances v, the comb, and w, of the shape of an image each.

        Args:
            mu, metric: one image, in [-1, 1] plus noise, and Sigma.
        """
        believed = metric.gain(mu - self.mean, self.std)
        if metric.entrywise:
            return metric.variances(mu), jnp.zeros_like(mu), believed
        comb = self._comb(mu.shape).astype(mu.dtype)
        left = metric.apply(comb)
        # What rounding leaves of a variance far below lam may be nothing, or less.
        variance = jnp.maximum(jnp.sum(comb * left) / jnp.sum(comb**2), jnp.finfo(mu.dtype).eps * metric.lam)
        return jnp.broadcast_to(variance, comb.shape), left / variance - comb, believed

    def isotropic(self, mu: Float[Array, "*b h w c"], lam: Scalars) -> tuple[Array, Array, Array]:
        """`conditions` for Sigma = lam I, of one image or of a batch.

        Args:
            mu, lam: images, and the variance, one or `[B]`.
        """
        variances = jnp.broadcast_to(jnp.reshape(jnp.asarray(lam, mu.dtype), (*jnp.shape(lam), 1, 1, 1)), mu.shape)
        return variances, jnp.zeros_like(mu), prox_coefficients(variances, self.std)[0] * (mu - self.mean)

    def scale(self, variances: Float[Array, "b h w c"], *others: Array) -> Array:
        """The unit of a residual of training, c_out of every pixel.

        Args:
            variances, others: what `conditions` says of a batch.
        """
        del others
        return prox_coefficients(variances, self.std)[1]

    def apply(
        self, params: PyTree, mu: Float[Array, "*b h w c"], variances: Array, coupling: Array, believed: Array
    ) -> Array:
        """Evaluate phi(mu, Sigma), for a batch or for one image.

        Args:
            params: what `init` returned, or trained from it.
            mu: `[B, H, W, C]` or `[H, W, C]`, in [-1, 1] plus noise.
            variances, coupling, believed: what `conditions` says, of the shape of mu.

        Raises:
            ValueError: if mu is of another shape than `image_shape`.
        """
        return self._evaluate(params, mu, variances, coupling, believed, jnp.mean(variances, axis=(-3, -2, -1)))

    def _evaluate(
        self, params: PyTree, mu: Array, variances: Array, coupling: Array, believed: Array, level: Array
    ) -> Array:
        batched = as_batch(mu, self.image_shape)
        variances, coupling, believed = (a.reshape(batched.shape) for a in (variances, coupling, believed))
        _, c_out, c_in = prox_coefficients(variances, self.std)
        level = jnp.maximum(level.reshape(-1), _LEAST)
        share = jnp.maximum(variances / level[:, None, None, None], _LEAST_SHARE)
        maps = jnp.concatenate([believed / self.std, 0.25 * jnp.log(share), coupling], axis=-1)
        centred = batched - self.mean
        learned = self._learned(params, c_in * centred, 0.25 * jnp.log(level), maps)
        # m + w, written so that mu comes back to the last bit where all of it is believed.
        out = batched - (centred - believed) + c_out * learned
        return out if mu.ndim == 4 else out[0]

    def _learned(self, params: PyTree, x: Array, condition: Array, maps: Array) -> Array:
        return cast(Array, self.module.apply({"params": params}, x, condition, maps))

    def _comb(self, image_shape: Shape) -> Array:
        rows, columns = (np.arange(min(self.period, side) // 2, side, self.period) for side in image_shape[:2])
        # Of one sign, teeth whose responses meet would add up, to a frequency that nobody asked for; or, over the
        # channels, to grey.
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (len(rows), len(columns), image_shape[2]))
        # Made where it is used: an array of the size of the picture is no constant of a program.
        return jnp.zeros(image_shape).at[rows[:, None], columns[None]].set(signs)


@pytree
class MetricProxNet:
    """A trained network as a prior for noise of any covariance, the prior of the exact step.

    Attributes:
        params: parameters (traced: another set of weights does not recompile).
        network: what evaluates them (static).
    """

    params: PyTree
    network: MetricNetwork = dataclasses.field(metadata=dict(static=True))

    @property
    def image_shape(self) -> SizedShape:
        """(H, W, C) of the images that the network takes; None for sides that may be any."""
        return self.network.image_shape

    @property
    def every_metric(self) -> bool:
        """It answers for every Sigma: `restore` takes the exact step by default, where there is one."""
        return True

    def prox(self, v: Float[Array, "h w c"], lam: Scalar) -> Float[Array, "h w c"]:
        """What was learned, for noise that is the same everywhere: phi(v, lam I).

        Args:
            v, lam: one image, in [-1, 1] plus noise, and step of the prox; 0 returns v.

        Raises:
            ValueError: if v is of another shape than `image_shape`.
        """
        return self.network.apply(self.params, v, *self.network.isotropic(v, lam))

    def prox_metric(self, mu: Float[Array, "h w c"], metric: Any) -> Float[Array, "h w c"]:
        """What was learned, for noise of covariance Sigma: phi(mu, Sigma).

        Args:
            mu, metric: one image, in [-1, 1] plus noise, and Sigma.

        Raises:
            ValueError: if mu is of another shape than `image_shape`.
        """
        return self.network.apply(self.params, mu, *self.network.conditions(mu, metric))
