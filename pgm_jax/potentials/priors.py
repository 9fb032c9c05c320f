"""Convex priors of one line: normal, Laplace, box and ball."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.potentials.base import ByAutodiff
from pgm_jax.potentials.diffused import SmoothedLaplace, soft_threshold
from pgm_jax.types import Scalar, pytree


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
