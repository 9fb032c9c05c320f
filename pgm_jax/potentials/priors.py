"""Convex priors of one line: normal, Laplace, box and ball.

All have a prox in another metric as well, for the exact step, `pgm_jax.proximal.exact`: the normal distribution in
every one, the others where Sigma is diagonal,

    prox_metric(mu, Sigma) = argmin_u g(u) + (u - mu)^T Sigma^{-1} (u - mu) / 2
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.operators.metric import Metric
from pgm_jax.potentials.base import ByAutodiff
from pgm_jax.potentials.diffused import SmoothedLaplace, soft_threshold
from pgm_jax.types import Scalar, pytree

_STEPS = 30  # of Newton's method, which takes fewer than ten


@pytree
class Gaussian(ByAutodiff):
    """Independent normal entries: `g(x) = |x - m|^2 / (2 s^2)`.

    Attributes:
        mean, std: m and s, positive, numbers or arrays that broadcast to x.
    """

    mean: Array | float
    std: Array | float

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        return jnp.sum(((x - self.mean) / self.std) ** 2) / 2

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox, `(s^2 v + lam m) / (s^2 + lam)`."""
        variance = jnp.square(self.std)
        return (variance * v + lam * self.mean) / (variance + lam)

    def prox_metric(self, mu: Float[Array, "..."], metric: Metric) -> Float[Array, "..."]:
        """The prox in the metric of Sigma, `m + S (Sigma + S)^{-1} (mu - m)` with `S = s^2`, a mean as well as a mode.

        Args:
            mu, metric: point, and Sigma. An s for each entry takes conjugate gradients.
        """
        apart = mu - self.mean
        return mu - (apart - metric.gain(apart, self.std))

    def denoise_metric(self, mu: Float[Array, "..."], metric: Metric) -> Float[Array, "..."]:
        """The mean of x given `x + N(0, Sigma) = mu`, which is `prox_metric`.

        Args:
            mu, metric: point, and Sigma.
        """
        return self.prox_metric(mu, metric)

    def diffused(self, variance: Scalar) -> "Gaussian":
        """The potential of `x + sqrt(s) eps`: the variance is `std^2 + s`.

        Args:
            variance: s of the noise, 0 or more.
        """
        return Gaussian(self.mean, jnp.sqrt(jnp.square(self.std) + variance))


@pytree
class Laplace(ByAutodiff):
    """Independent Laplace entries: `g(x) = |x|_1 / b`.

    Attributes:
        scale: b, positive.
    """

    scale: Scalar

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        return jnp.sum(jnp.abs(x)) / self.scale

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox, soft thresholding: `sign(v) max(|v| - lam / b, 0)`."""
        return soft_threshold(v, lam / self.scale)

    def prox_metric(self, mu: Float[Array, "..."], metric: Metric) -> Float[Array, "..."]:
        """The prox in the metric of a diagonal Sigma, soft thresholding entry by entry.

        Args:
            mu, metric: point, and Sigma.

        Raises:
            TypeError: if Sigma is not diagonal.
        """
        return soft_threshold(mu, metric.variances(mu) / self.scale)

    def diffused(self, variance: Scalar) -> SmoothedLaplace:
        """The potential of `x + sqrt(s) eps`.

        Args:
            variance: s of the noise, 0 or more.
        """
        return SmoothedLaplace(self.scale, variance)


@pytree
class Box(ByAutodiff):
    """The constraint `low <= x <= high`: 0 inside, infinite outside.

    Attributes:
        low, high: bounds, numbers or arrays that broadcast to x.
    """

    low: Array | float
    high: Array | float

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        return jnp.where(jnp.all((x >= self.low) & (x <= self.high)), 0.0, jnp.inf)

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox, the projection `clip(v, low, high)` whatever lam."""
        return jnp.clip(v, self.low, self.high)

    def prox_metric(self, mu: Float[Array, "..."], metric: Metric) -> Float[Array, "..."]:
        """The prox in the metric of a diagonal Sigma, the same projection.

        Args:
            mu, metric: point, and Sigma.

        Raises:
            TypeError: if Sigma is not diagonal.
        """
        metric.variances(mu)
        return jnp.clip(mu, self.low, self.high)


@pytree
class Ball(ByAutodiff):
    """The constraint `|x| <= r`: 0 inside, infinite outside.

    Attributes:
        radius: r, positive.
    """

    radius: Scalar

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """The value, 0 inside and infinity outside; the bound holds up to rounding."""
        slack = 1.0 + 4 * jnp.finfo(x.dtype).eps
        return jnp.where(jnp.sum(x**2) <= (slack * self.radius) ** 2, 0.0, jnp.inf)

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox, the projection `v min(1, r / |v|)` whatever lam."""
        # The square root keeps away from 0, where it has no derivative.
        square, bound = jnp.sum(v**2), jnp.square(self.radius)
        return jnp.where(square > bound, v * (self.radius / jnp.sqrt(jnp.maximum(square, bound))), v)

    def prox_metric(self, mu: Float[Array, "..."], metric: Metric) -> Float[Array, "..."]:
        """The prox in the metric of a diagonal Sigma, `mu_i / (1 + n s_i)` with the n >= 0 that ends on the sphere.

        Args:
            mu, metric: point, and Sigma, of the variances s.

        Raises:
            TypeError: if Sigma is not diagonal.
        """
        variances = metric.variances(mu)
        largest = jnp.max(variances)
        # Where all is known without noise there is nothing to move.
        variances = variances / jnp.where(largest > 0, largest, 1)
        outside = jnp.sum(mu**2) > jnp.square(self.radius)
        inside, mu = mu, jnp.where(outside, mu, 1.0)  # another point, where the derivatives of Newton's steps exist

        def newton(_: Array, n: Array) -> Array:
            # 1 / |u| - 1 / r is concave in n and almost linear: from the left its steps never pass the root.
            u = mu / (1 + n * variances)
            square = jnp.sum(u**2)
            slope = jnp.sum(u**2 * variances / (1 + n * variances))
            return n + (jnp.sqrt(square) / self.radius - 1) * square / jnp.where(slope > 0, slope, 1)

        n = jax.lax.fori_loop(0, _STEPS, newton, jnp.zeros((), mu.dtype))
        return jnp.where(outside, mu / (1 + n * variances), inside)
