"""What potentials share: methods are documented here, and a subclass states its formulas."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pgm_jax.tracing import is_traced
from pgm_jax.types import Potential, Scalar, Scalars, pytree

ROUNDING = 1e-5  # a lam of float32 that is meant to be the largest step


def check_largest_step(prior: Any, lam: Scalars, given: str, instead: str) -> None:
    """Refuse steps at which a prior has no prox, as a learned proximal network above the noise of its training.

    Args:
        prior: g, with its `largest_step` if its prox has one.
        lam: the steps; where they are traced, nothing is known.
        given, instead: start of the message, what the steps are, and its end, what to do.

    Raises:
        ValueError: if the largest of the steps is too long.
    """
    largest = getattr(prior, "largest_step", None)
    if largest is None or is_traced((lam, largest)):
        return
    if (longest := float(np.max(np.asarray(lam)))) > float(largest) * (1 + ROUNDING):
        raise ValueError(
            f"{given} lam = {longest:.4g}, and the prox of {type(prior).__name__} is known up to {float(largest):.4g}: "
            f"{instead}"
        )


class ByAutodiff:
    """A potential whose gradient is that of its differentiable value."""

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """The value of the potential at a point x."""
        raise NotImplementedError(f"{type(self).__name__} must define value(x)")

    def grad(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The gradient of the value at a point x, by automatic differentiation."""
        return jax.grad(self.value)(x)

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The proximal map, `argmin_u g(u) + |u - v|^2 / (2 lam)`.

        Args:
            v, lam: point, and step of the prox, a variance in squared units of v, positive.
        """
        raise NotImplementedError(f"{type(self).__name__} must define prox(v, lam)")


@pytree
class Tempered(ByAutodiff):
    """A potential times a number, beta f; build it with `tempered`.

    Attributes:
        potential, beta: f, and the number, positive.
    """

    potential: Any
    beta: Scalar

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """The value, `beta f(x)`."""
        return self.beta * self.potential.value(x)

    def grad(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The gradient, `beta grad f(x)`."""
        return self.beta * self.potential.grad(x)

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox, `Prox_f^{beta lam}(v)`."""
        return self.potential.prox(v, self.beta * lam)

    @property
    def metric(self) -> Any:
        """`(mu, lam)` to the covariance of `beta f`, that of f at `beta lam` over beta, where f has one."""
        of_f = self.potential.metric
        return lambda mu, lam: dataclasses.replace(of_f(mu, self.beta * lam), lam=lam)

    @property
    def step_limit(self) -> Scalar:
        """A stable step along the gradient, that of f over beta; infinite where f knows none."""
        return getattr(self.potential, "step_limit", jnp.inf) / self.beta

    @property
    def largest_step(self) -> Scalar:
        """The largest lam of `prox`, that of f over beta; infinite where f says none."""
        return getattr(self.potential, "largest_step", jnp.inf) / self.beta


def tempered(potential: Potential, beta: Scalar) -> Tempered:
    """The potential beta f: as a likelihood, that of the posterior at the inverse temperature beta.

    Args:
        potential, beta: f, and the inverse temperature, positive; 1 for Bayes' posterior.
    """
    return Tempered(potential, beta)
