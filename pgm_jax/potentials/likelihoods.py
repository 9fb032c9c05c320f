"""Likelihoods of an operator: Gaussian and Poisson noise."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from pgm_jax.operators.solvers import ACCURATE, Misfit, SolveInfo, Stop, levenberg_marquardt, squares
from pgm_jax.types import Operator, Scalar


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GaussianLikelihood:
    """The negative log-likelihood of `y = A(x) + N(0, sigma^2)`: `f(x) = |y - A(x)|^2 / (2 sigma^2)`.

    With beta = 1 this is Bayes' posterior. PGM (arXiv 2605.13278) writes `f = |y - A(x)|^2`: its beta is
    `1 / (2 sigma^2)` times ours. Of a complex y the real and the imaginary part have the deviation sigma each.

    Attributes:
        operator: A, linear or not.
        y: measurement, finite; the values of entries that A does not observe are ignored.
        sigma: standard deviation of the noise, in the units of y, positive.
        max_step: cap of explicit gradient steps; `1 / L` by default, `L = |A|^2 / sigma^2`. State it where it is known:
            without a closed form |A| takes a power iteration each time.
        stop: when the data step of an operator without a closed form ends.
    """

    operator: Operator
    y: Inexact[Array, "..."]
    sigma: Scalar
    max_step: Scalar | None = None
    stop: Stop = ACCURATE

    def value(self, x: Float[Array, "h w c"]) -> Float[Array, ""]:
        """The value, `|y - A(x)|^2 / (2 sigma^2)` over the observed entries.

        Args:
            x: image.
        """
        return squares(self.operator.observed * (self.y - self.operator.forward(x))) / (2 * self.sigma**2)

    def grad(self, x: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        """The gradient, `J^T (A(x) - y) / sigma^2`, J the derivative of A at x.

        Args:
            x: image.
        """
        return self.operator.vjp(x, self.operator.forward(x) - self.y) / self.sigma**2

    def prox(self, v: Float[Array, "h w c"], lam: Scalar) -> Float[Array, "h w c"]:
        """The prox, `(A^T A + rho)^{-1} (A^T y + rho v)` with `rho = sigma^2 / lam`, or by Levenberg and Marquardt.

        Args:
            v: image.
            lam: step of the prox, positive.
        """
        return self.operator.solve(v, self.y, self.sigma**2 / lam, stop=self.stop)

    def prox_from(self, v: Float[Array, "h w c"], lam: Scalar, start: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        """`prox`, with a first guess for iterations that are few: optimisers know one that is better than v.

        What A hardly sees converges last, so that samplers, where v holds fresh noise, start at v.

        Args:
            v: image.
            lam: step of the prox, positive.
            start: first guess.
        """
        return self.operator.solve(v, self.y, self.sigma**2 / lam, start, self.stop)

    def prox_with_info(self, v: Float[Array, "h w c"], lam: Scalar) -> tuple[Float[Array, "h w c"], SolveInfo]:
        """`prox`, and how it ended: the residual that is left, relative to that at v, and the iterations it took.

        Args:
            v: image.
            lam: step of the prox, positive.
        """
        return self.operator.solve_with_info(v, self.y, self.sigma**2 / lam, stop=self.stop)

    @property
    def step_limit(self) -> Scalar:
        """The cap of explicit gradient steps: `max_step`, or `1 / L = sigma^2 / |A|^2`."""
        return self.sigma**2 / self.operator.norm() ** 2 if self.max_step is None else self.max_step


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PoissonLikelihood:
    """The negative log-likelihood of counts, `y ~ Poisson(I)`: `f(x) = sum I - y log I`, `I = gain A((x + 1) / 2) + b`.

    A measures intensities in [0, 1], which are the image mapped from [-1, 1]. Below I = b, where A is negative, f goes
    on by its second-order expansion, so that it is finite and once differentiable everywhere, and convex for linear A.

    Attributes:
        operator: A.
        y: counts, at least 0, floats; the values of entries that A does not observe are ignored.
        gain: expected counts of an intensity of 1, positive.
        background: b, expected counts of the dark, positive.
        stop: when the data step ends.
    """

    operator: Operator
    y: Float[Array, "..."]
    gain: Scalar
    background: Scalar
    stop: Stop = ACCURATE

    def value(self, x: Float[Array, "h w c"]) -> Float[Array, ""]:
        """The value, `sum I - y log I` over the observed entries.

        Args:
            x: image.
        """
        return self._misfit().value(self.operator.forward(0.5 * (x + 1)))

    def grad(self, x: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        """The gradient, `J^T [gain (1 - y / I)] / 2`.

        Args:
            x: image.
        """
        u = 0.5 * (x + 1)
        return 0.5 * self.operator.vjp(u, self._misfit().slope(self.operator.forward(u)))

    def prox(self, v: Float[Array, "h w c"], lam: Scalar) -> Float[Array, "h w c"]:
        """The prox, by damped Newton steps with conjugate gradients inside.

        Args:
            v: image.
            lam: step of the prox, positive.
        """
        return self.prox_with_info(v, lam)[0]

    def prox_with_info(self, v: Float[Array, "h w c"], lam: Scalar) -> tuple[Float[Array, "h w c"], SolveInfo]:
        """`prox`, and how it ended: the slope that is left, relative to that at v, and the iterations it took.

        Args:
            v: image.
            lam: step of the prox, positive.
        """
        u = 0.5 * (v + 1)
        u, info = levenberg_marquardt(self.operator, self._misfit(), u, 4.0 / lam, u, self.stop)
        return 2 * u - 1, info

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
