"""Likelihoods of an operator: Gaussian and Poisson noise."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from pgm_jax.operators.metric import Metric
from pgm_jax.operators.solvers import ACCURATE, Misfit, Solver, levenberg_marquardt, squares
from pgm_jax.potentials.base import ByAutodiff
from pgm_jax.types import Operator, Scalar, pytree


@pytree
class GaussianLikelihood(ByAutodiff):
    """The negative log-likelihood of `y = A(x) + N(0, sigma^2)`: `f(x) = |y - A(x)|^2 / (2 sigma^2)`.

    With beta = 1 this is Bayes' posterior. PGM (arXiv 2605.13278) writes `f = |y - A(x)|^2`: its beta is
    `1 / (2 sigma^2)` times ours. Of a complex y the real and the imaginary part have the deviation sigma each.

    Attributes:
        operator: A, linear or not.
        y: measurement, finite; the values of entries that A does not observe are ignored.
        sigma: standard deviation of the noise, in the units of y, positive.
        solver: when the data step of an operator without a closed form ends.
    """

    operator: Operator
    y: Inexact[Array, "..."]
    sigma: Scalar
    solver: Solver = ACCURATE

    def value(self, x: Float[Array, "h w c"]) -> Float[Array, ""]:
        """The value, `|y - A(x)|^2 / (2 sigma^2)` over the observed entries."""
        return squares(self.operator.observed * (self.y - self.operator.forward(x))) / (2 * self.sigma**2)

    def grad(self, x: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        """The gradient, `J^T (A(x) - y) / sigma^2`, J the derivative of A at x."""
        return self.operator.vjp(x, self.operator.forward(x) - self.y) / self.sigma**2

    def prox(self, v: Float[Array, "h w c"], lam: Scalar) -> Float[Array, "h w c"]:
        """The prox, `(A^T A + rho)^{-1} (A^T y + rho v)` with `rho = sigma^2 / lam`, or by Levenberg and Marquardt."""
        return self.operator.solve(v, self.y, self.sigma**2 / lam, self.solver)

    def prox_from(self, v: Float[Array, "h w c"], lam: Scalar, start: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        """`prox`, with a first guess for iterations that are few: optimisers know one that is better than v.

        What A hardly sees converges last, so that samplers, where v holds fresh noise, start at v.

        Args:
            v, lam, start: image, step of the prox, positive, and first guess.
        """
        return self.operator.solve(v, self.y, self.sigma**2 / lam, self.solver, start)

    def metric(self, mu: Float[Array, "h w c"], lam: Scalar) -> Metric:
        """The covariance `(J^T J / sigma^2 + I / lam)^{-1}` of what is left to know, J the derivative of A at mu.

        Args:
            mu: the image at which a nonlinear operator is linearised, as the method of Gauss and Newton does.
            lam: step of the prox, positive.
        """
        operator: Any = self.operator
        return Metric(operator.linearize(mu)[1], self.sigma**2 / lam, lam, self.solver)

    @property
    def step_limit(self) -> Scalar:
        """A stable step along the gradient, `1 / L = sigma^2 / |A|^2`; without a closed form |A| takes an iteration."""
        return self.sigma**2 / self.operator.norm() ** 2


@pytree
class PoissonLikelihood(ByAutodiff):
    """The negative log-likelihood of counts, `y ~ Poisson(I)`: `f(x) = sum I - y log I`, `I = gain A((x + 1) / 2) + b`.

    A measures intensities in [0, 1], which are the image mapped from [-1, 1]. Below I = b, where A is negative, f goes
    on by its second-order expansion, so that it is finite and once differentiable everywhere, and convex for linear A.

    Attributes:
        operator: A.
        y: counts, at least 0, floats; the values of entries that A does not observe are ignored.
        gain, background: expected counts of an intensity of 1, and b, those of the dark, both positive.
        solver: when the data step ends.
    """

    operator: Operator
    y: Float[Array, "..."]
    gain: Scalar
    background: Scalar
    solver: Solver = ACCURATE

    def value(self, x: Float[Array, "h w c"]) -> Float[Array, ""]:
        """The value, `sum I - y log I` over the observed entries."""
        return self._misfit().value(self.operator.forward(0.5 * (x + 1)))

    def grad(self, x: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        """The gradient, `J^T [gain (1 - y / I)] / 2`."""
        u = 0.5 * (x + 1)
        return 0.5 * self.operator.vjp(u, self._misfit().slope(self.operator.forward(u)))

    def prox(self, v: Float[Array, "h w c"], lam: Scalar) -> Float[Array, "h w c"]:
        """The prox, by damped Newton steps with conjugate gradients inside."""
        u = 0.5 * (v + 1)
        u, _ = levenberg_marquardt(self.operator, self._misfit(), u, 4.0 / lam, u, self.solver)
        return 2 * u - 1

    def _misfit(self) -> Misfit:
        seen, y, gain, dark = self.operator.observed, self.y, self.gain, self.background

        def beyond(z: jax.Array) -> tuple[jax.Array, jax.Array]:
            """The intensity, cut off below at b, and how far it lies below."""
            intensity = gain * z + dark
            return jnp.maximum(intensity, dark), jnp.minimum(intensity - dark, 0)

        def value(z: jax.Array) -> jax.Array:
            i, below = beyond(z)
            return jnp.sum(seen * (i - y * jnp.log(i) + (1 - y / i) * below + 0.5 * y * (below / i) ** 2))

        def slope(z: jax.Array) -> jax.Array:
            i, below = beyond(z)
            return seen * gain * (1 - y / i + y * below / i**2)

        def curvature(z: jax.Array) -> jax.Array:
            return seen * gain**2 * y / beyond(z)[0] ** 2

        return Misfit(value, slope, curvature)
