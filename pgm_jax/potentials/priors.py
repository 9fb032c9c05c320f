"""Potentials: the Gaussian likelihood of an operator, and priors whose prox is known.

    posterior  pi(x) ~ exp(-[beta f(x) + g(x)])
    prox       argmin_u g(u) + |u - v|^2 / (2 lam)

Potentials are determined up to a constant; where a density is meant, its normalisation is left out.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.types import Operator, Scalar


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GaussianLikelihood:
    """The negative log-likelihood of `y = A x + N(0, sigma^2)`: `f(x) = |y - A x|^2 / (2 sigma^2)`.

    With beta = 1 this is Bayes' posterior. PGM (arXiv 2605.13278) writes `f = |y - A x|^2`: its beta is
    `1 / (2 sigma^2)` times ours.

    Attributes:
        operator: A.
        y: measurement; entries that A does not observe are ignored.
        sigma: standard deviation of the noise, in the units of y, positive.
    """

    operator: Operator
    y: Float[Array, "..."]
    sigma: Scalar

    def value(self, x: Float[Array, "h w c"]) -> Float[Array, ""]:
        """The value, `|y - A x|^2 / (2 sigma^2)` over the observed entries.

        Args:
            x: image.
        """
        return jnp.sum((self.operator.observed * (self.y - self.operator.forward(x))) ** 2) / (2 * self.sigma**2)

    def grad(self, x: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        """The gradient, `A^T (A x - y) / sigma^2`.

        Args:
            x: image.
        """
        return self.operator.adjoint(self.operator.forward(x) - self.y) / self.sigma**2

    def prox(self, v: Float[Array, "h w c"], lam: Scalar) -> Float[Array, "h w c"]:
        """The prox, `(A^T A + rho)^{-1} (A^T y + rho v)` with `rho = sigma^2 / lam`.

        Args:
            v: image.
            lam: step of the prox, positive.
        """
        return self.operator.solve(v, self.y, self.sigma**2 / lam)


class _ByAutodiff:
    """The gradient of whatever has a differentiable value."""

    def grad(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The gradient of the value, by automatic differentiation.

        Args:
            x: point.
        """
        return jax.grad(self.value)(x)

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """The value of the potential.

        Args:
            x: point.
        """
        raise NotImplementedError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gaussian(_ByAutodiff):
    """Independent normal entries: `g(x) = |x - m|^2 / (2 s^2)`.

    Attributes:
        mean: m, a number or an array that broadcasts to x.
        std: s, positive, likewise.
    """

    mean: Array | float
    std: Array | float

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """The value, `|x - m|^2 / (2 s^2)`.

        Args:
            x: point.
        """
        return jnp.sum(((x - self.mean) / self.std) ** 2) / 2

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox, `(s^2 v + lam m) / (s^2 + lam)`.

        Args:
            v: point.
            lam: step of the prox.
        """
        variance = jnp.square(self.std)
        return (variance * v + lam * self.mean) / (variance + lam)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Laplace(_ByAutodiff):
    """Independent Laplace entries: `g(x) = |x|_1 / b`.

    Attributes:
        scale: b, positive.
    """

    scale: Scalar

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """The value, `|x|_1 / b`.

        Args:
            x: point.
        """
        return jnp.sum(jnp.abs(x)) / self.scale

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox, soft thresholding: `sign(v) max(|v| - lam / b, 0)`.

        Args:
            v: point.
            lam: step of the prox.
        """
        return jnp.sign(v) * jnp.maximum(jnp.abs(v) - lam / self.scale, 0.0)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Box(_ByAutodiff):
    """The constraint `low <= x <= high`: 0 inside, infinite outside.

    Attributes:
        low: lower bound.
        high: upper bound.
    """

    low: Array | float
    high: Array | float

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """The value, 0 inside and infinity outside.

        Args:
            x: point.
        """
        return jnp.where(jnp.all((x >= self.low) & (x <= self.high)), 0.0, jnp.inf)

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox, the projection `clip(v, low, high)` whatever lam.

        Args:
            v: point.
            lam: step of the prox, of no effect.
        """
        return jnp.clip(v, self.low, self.high)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ball(_ByAutodiff):
    """The constraint `|x| <= r`: 0 inside, infinite outside.

    Attributes:
        radius: r, positive.
    """

    radius: Scalar

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """The value, 0 inside and infinity outside; the bound holds to rounding.

        Args:
            x: point.
        """
        slack = 1.0 + 4 * jnp.finfo(x.dtype).eps
        return jnp.where(jnp.sum(x**2) <= (slack * self.radius) ** 2, 0.0, jnp.inf)

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox, the projection `v min(1, r / |v|)` whatever lam.

        Args:
            v: point.
            lam: step of the prox, of no effect.
        """
        # The square root keeps away from 0, where it has no derivative.
        square, bound = jnp.sum(v**2), jnp.square(self.radius)
        return jnp.where(square > bound, v * (self.radius / jnp.sqrt(jnp.maximum(square, bound))), v)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mixture(_ByAutodiff):
    """A mixture of J spherical Gaussians: `g(x) = -log sum_j w_j N(x; m_j, s^2)`, not convex.

    Attributes:
        weights: w_j, `[J]`, positive.
        means: m_j, `[J, ...]`.
        std: s, one for all components.
    """

    weights: Float[Array, " j"]
    means: Float[Array, "j ..."]
    std: Scalar

    def _log_components(self, x: Array) -> Array:
        axes = tuple(range(1, self.means.ndim))
        return jnp.log(self.weights) - jnp.sum((x[None] - self.means) ** 2, axis=axes) / (2 * self.std**2)

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """The value, `-log sum_j w_j exp(-|x - m_j|^2 / (2 s^2))`.

        Args:
            x: point.
        """
        return -jax.nn.logsumexp(self._log_components(x))

    def prox(self, v: Float[Array, "..."], lam: Scalar, iterations: int = 200) -> Float[Array, "..."]:
        """The prox: the best of J descents, each started at the prox of one component alone.

        A descent majorises g by a quadratic at the present responsibilities r_j and minimises that:
        `u <- (v s^2 + lam sum_j r_j(u) m_j) / (s^2 + lam)`. No step increases the objective.

        Args:
            v: point.
            lam: step of the prox.
            iterations: steps of each descent.
        """
        variance = self.std**2

        def descend(start: Array) -> Array:
            def step(_: Array, u: Array) -> Array:
                centre = jnp.tensordot(jax.nn.softmax(self._log_components(u)), self.means, axes=1)
                return (variance * v + lam * centre) / (variance + lam)

            return jax.lax.fori_loop(0, iterations, step, start)

        ends = jax.vmap(descend)((variance * v[None] + lam * self.means) / (variance + lam))
        # Multiplied by lam, so that lam = 0 compares distances and returns v.
        objective = jax.vmap(lambda u: lam * self.value(u) + jnp.sum((u - v) ** 2) / 2)(ends)
        return ends[jnp.argmin(objective)]
