"""The covariance of the noise that is left once a measurement is taken into account.

Of u = x_0 + sqrt(lam) eps and y = A x_0 + N(0, sigma^2) the data step `mu = Prox_f^lam(u)` is an unbiased estimate of
x_0, whose error is Gaussian with the covariance

    Sigma = (A^T A / sigma^2 + I / lam)^{-1} = lam rho (A^T A + rho)^{-1},   rho = sigma^2 / lam

small where A measures and lam where it does not. Completing the square, for every g and a linear A,

    Prox_{f+g}^lam(u) = Prox_g^Sigma(mu) = argmin_x g(x) + (x - mu)^T Sigma^{-1} (x - mu) / 2
    E[x_0 | u, y]     = E[x_0 | x_0 + N(0, Sigma) = mu]

A metric is Sigma by its action, which needs nothing but the data step of the operator: that at y = 0 is
`rho (A^T A + rho)^{-1}`, its resolvent.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.operators.solvers import ACCURATE, Solver
from pgm_jax.types import Scalar, pytree


@pytree
class Metric:
    """`Sigma = lam rho (A^T A + rho)^{-1}`; a likelihood builds it: `likelihood.metric(mu, lam)`.

    Attributes:
        data: A, an operator or a `Quadratic`, with `resolvent(r, rho, solver)` and `entrywise`.
        rho: sigma^2 / lam, at least 0, in the units of |A|^2.
        lam: the variance that is left where A does not measure, positive, in squared units of the images.
        solver: when the data step of an operator without a closed form ends.
    """

    data: Any
    rho: Scalar
    lam: Scalar
    solver: Solver = ACCURATE

    @property
    def entrywise(self) -> bool:
        """Whether Sigma is diagonal, as for masks."""
        return self.data.entrywise

    def apply(self, r: Float[Array, "..."]) -> Float[Array, "..."]:
        """Sigma r, by one data step.

        Args:
            r: of the shape of an image.
        """
        return self.lam * self.data.resolvent(r, self.rho, self.solver)

    def at(self, lam: Scalar) -> "Metric":
        """The covariance for the same measurement and another lam, `(A^T A / sigma^2 + I / lam)^{-1}`.

        Args:
            lam: positive.
        """
        return Metric(self.data, self.rho * (self.lam / lam), lam, self.solver)

    def variances(self, image_shape: tuple[int, ...]) -> Float[Array, "..."]:
        """The variance of every entry, the diagonal of Sigma, where it is diagonal.

        Args:
            image_shape: of an image.

        Raises:
            TypeError: where Sigma couples entries.
        """
        if not self.entrywise:
            raise TypeError(
                f"Sigma couples the entries of an image, by a {type(self.data).__name__}, and only for masks has this "
                "prior a prox in its metric: take `data_first`."
            )
        return self.apply(jnp.ones(image_shape))

    def dense(self, image_shape: tuple[int, ...]) -> Float[Array, "d d"]:
        """Sigma as a symmetric matrix, for images of few numbers.

        Args:
            image_shape: of an image of d numbers.
        """
        size = math.prod(image_shape)
        columns = jax.vmap(self.apply)(jnp.eye(size).reshape(size, *image_shape)).reshape(size, size)
        return (columns + columns.T) / 2
