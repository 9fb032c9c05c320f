"""A network as the posterior mean, or the proximal map, of a prior under noise of any covariance Sigma.

Of `mu = x_0 + N(0, Sigma)` the network F is wrapped as in `prox_net`, pixel by pixel, with the variances s_i of Sigma
in place of lam and their mean in place of its condition,

    phi(mu, Sigma) = m + c_skip (mu - m) + c_out F(c_in (mu - m), log(mean s) / 4, maps)

so that a pixel that was measured without noise keeps its value, whatever F says. The maps tell how the noise is shaped:

    log(s_i / mean s) / 4      how well each pixel is known
    Sigma d / mean s - d       what is left of a comb d of single pixels of random signs

Both are 0 for noise that is the same everywhere, Sigma = lam I: there the network is that of `Preconditioned`, and its
weights are a start for this one. Masks, whose Sigma is diagonal, are all told by the first. Of other operators Sigma
acts on the comb by one data step, and one variance, `d^T Sigma d / d^T d`, stands for all pixels.
"""

import dataclasses
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from pgm_jax.networks.prox_net import as_batch, prox_coefficients
from pgm_jax.types import Key, Scalar, Shape, pytree

_LEAST = 1e-12  # of a variance whose logarithm is taken
_LEAST_SHARE = 1e-8  # of the mean


@dataclasses.dataclass(frozen=True)
class MetricNetwork:
    """A flax module with its preconditioning: `init` and `apply` are pure functions of a plain dict of parameters.

    Attributes:
        module: maps (images `[B, H, W, C]`, condition `[B]`, maps `[B, H, W, 2 C]`) to images.
        image_shape: (H, W, C).
        mean, std: mean m and standard deviation of the data, in the units of the images.
        period: pixels from tooth to tooth of the comb; one that no decimation divides.
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
        height, width, channels = self.image_shape
        maps = jnp.zeros((1, height, width, 2 * channels))
        return self.module.init(key, jnp.zeros((1, *self.image_shape)), jnp.zeros((1,)), maps)["params"]

    def prior(self, params: PyTree) -> "MetricProxNet":
        """The trained network as a prior, with its `params`."""
        return MetricProxNet(params, self)

    def conditions(self, metric: Any) -> tuple[Float[Array, "h w c"], Float[Array, "h w c"]]:
        """What the network is told of Sigma: the variances, and `Sigma d / mean s - d` of the comb d.

        Args:
            metric: Sigma.
        """
        if metric.entrywise:
            variances = metric.apply(jnp.ones(self.image_shape))
            return variances, jnp.zeros_like(variances)
        comb = self._comb()
        left = metric.apply(comb)
        variance = jnp.sum(comb * left) / jnp.sum(comb**2)
        return jnp.broadcast_to(variance, comb.shape), left / variance - comb

    def scale(self, variances: Float[Array, "b h w c"], coupling: Float[Array, "b h w c"]) -> Array:
        """The unit of a residual of training, c_out of every pixel.

        Args:
            variances, coupling: what `conditions` says of Sigma, of a batch.
        """
        del coupling
        return prox_coefficients(variances, self.std)[1]

    def apply(
        self, params: PyTree, mu: Float[Array, "*b h w c"], variances: Float[Array, "*b h w c"], coupling: Array
    ) -> Array:
        """Evaluate phi(mu, Sigma), for a batch or for one image.

        Args:
            params: what `init` returned, or trained from it.
            mu: `[B, H, W, C]` or `[H, W, C]`, in [-1, 1] plus noise.
            variances, coupling: what `conditions` says of Sigma, of the shape of mu.

        Raises:
            ValueError: if mu is of another shape than `image_shape`.
        """
        batched = as_batch(mu, self.image_shape)
        variances, coupling = (a.reshape(batched.shape) for a in (variances, coupling))
        c_skip, c_out, c_in = prox_coefficients(variances, self.std)
        level = jnp.maximum(jnp.mean(variances, axis=(1, 2, 3)), _LEAST)
        share = jnp.maximum(variances / level[:, None, None, None], _LEAST_SHARE)
        maps = jnp.concatenate([0.25 * jnp.log(share), coupling], axis=-1)
        centred = batched - self.mean
        learned = cast(Array, self.module.apply({"params": params}, c_in * centred, 0.25 * jnp.log(level), maps))
        # m + c_skip (mu - m), written so that mu comes back to the last bit where its variance is 0.
        out = batched - (1.0 - c_skip) * centred + c_out * learned
        return out if mu.ndim == 4 else out[0]

    def _comb(self) -> Array:
        rows, columns = (np.arange(min(self.period // 2, side - 1), side, self.period) for side in self.image_shape[:2])
        # Of one sign, teeth whose responses meet would add up, to a frequency that nobody asked for.
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (len(rows), len(columns), 1))
        comb = np.zeros(self.image_shape, np.float32)
        comb[np.ix_(rows, columns)] = signs
        return jnp.asarray(comb)


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
    def image_shape(self) -> Shape:
        """(H, W, C) of the images that the network takes."""
        return self.network.image_shape

    @property
    def every_metric(self) -> bool:
        """It answers for every Sigma, so that `restore` takes the exact step."""
        return True

    def prox(self, v: Float[Array, "h w c"], lam: Scalar) -> Float[Array, "h w c"]:
        """What was learned, for noise that is the same everywhere: phi(v, lam I).

        Args:
            v, lam: one image, in [-1, 1] plus noise, and step of the prox; 0 returns v.

        Raises:
            ValueError: if v is of another shape than `image_shape`.
        """
        variances = jnp.full_like(v, lam)
        return self.network.apply(self.params, v, variances, jnp.zeros_like(v))

    def prox_metric(self, mu: Float[Array, "h w c"], metric: Any) -> Float[Array, "h w c"]:
        """What was learned, for noise of covariance Sigma: phi(mu, Sigma).

        Args:
            mu, metric: one image, in [-1, 1] plus noise, and Sigma.

        Raises:
            ValueError: if mu is of another shape than `image_shape`.
        """
        return self.network.apply(self.params, mu, *self.network.conditions(metric))
