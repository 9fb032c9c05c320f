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

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.operators.solvers import ACCURATE, Solver, conjugate_gradients
from pgm_jax.types import Scalar, pytree


@pytree
class Metric:
    """`Sigma = lam rho (A^T A + rho)^{-1}`; a likelihood builds it: `likelihood.metric(mu, lam)`.

    Attributes:
        data: A, an operator or a `Quadratic`, with `normal`, `resolvent`, `seen` and `entrywise`.
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
        """Whether Sigma is known to be diagonal, as for masks."""
        return self.data.entrywise

    def apply(self, r: Float[Array, "..."]) -> Float[Array, "..."]:
        """Sigma r, by one data step.

        Args:
            r: of the shape of an image.
        """
        return self.lam * self.data.resolvent(r, self.rho, self.solver)

    def precision(self, r: Float[Array, "..."]) -> Float[Array, "..."]:
        """`Sigma^{-1} r = (A^T A / sigma^2 + 1 / lam) r`, for noise that is not 0.

        Args:
            r: of the shape of an image.
        """
        return (self.data.normal(r) / self.rho + r) / self.lam

    def gain(self, r: Float[Array, "..."], std: Array | float) -> Float[Array, "..."]:
        """`S (Sigma + S)^{-1} r` with `S = std^2`, how much of r a normal prior believes, by one data step.

        Formula: `c r + (1 - c) (A^T A + rho / c)^{-1} A^T A r`, `c = S / (S + lam)`, a sum of which nothing cancels.

        Args:
            r: of the shape of an image.
            std: of the prior, positive: a number, or one for each entry, which takes conjugate gradients.
        """
        variance = jnp.square(jnp.asarray(std, r.dtype))
        if self.entrywise:
            return variance / (self.variances(r) + variance) * r
        if variance.ndim == 0:
            share = variance / (variance + self.lam)
            return share * r + (1 - share) * self.data.seen(r, self.rho / share, self.solver)
        return variance * conjugate_gradients(lambda z: self.apply(z) + variance * z, r, solver=self.solver)[0]

    def variances(self, like: Float[Array, "..."]) -> Float[Array, "..."]:
        """The variance of every entry, the diagonal of Sigma, where Sigma is diagonal.

        Args:
            like: an array of the shape and the type of an image.

        Raises:
            TypeError: where it is not known to be.
        """
        if not self.entrywise:
            raise TypeError(
                "This prior takes the exact step only where Sigma is known to be diagonal, as for masks, and a "
                f"{type(self.data).__name__} leaves a full one: take `data_first`."
            )
        return self.apply(jnp.ones_like(like))

    def dense(self, like: Float[Array, "..."]) -> Float[Array, "d d"]:
        """Sigma as a symmetric matrix, for images of few numbers.

        Args:
            like: an array of the shape and the type of an image, of d numbers.
        """
        units = jnp.eye(like.size, dtype=like.dtype).reshape(like.size, *like.shape)
        columns = jax.vmap(self.apply)(units).reshape(like.size, like.size)
        return (columns + columns.T) / 2
