"""The Gaussian likelihood of an operator."""

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
