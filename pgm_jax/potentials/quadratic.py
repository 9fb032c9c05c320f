"""Quadratic potentials `q(x) = x^T A x / 2 + b^T x` of vectors, kept by the eigendecomposition of A.

With `A = V diag(e) V^T`, V of orthonormal columns, `s = V^T b` and `r = b - V s`, every prox is in closed form:

    Prox_q^lam(v) = (I + lam A)^{-1} (v - lam b) = v - lam [r + V (s + e V^T v) / (1 + lam e)]
    Prox_q^Sigma(mu) = (Sigma^{-1} + A)^{-1} (Sigma^{-1} mu - b)        also the mean of x given x + N(0, Sigma) = mu
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from pgm_jax.operators.metric import Metric
from pgm_jax.operators.solvers import ACCURATE, Solver
from pgm_jax.potentials.base import ByAutodiff
from pgm_jax.types import Scalar, pytree


@pytree
class Quadratic(ByAutodiff):
    """The potential `q(x) = x^T A x / 2 + b^T x`; build it with `quadratic` or `dense_gaussian_likelihood`.

    Attributes:
        basis: V, eigenvectors of A as columns; those of the eigenvalue 0 may be left out.
        eigenvalues: e, not negative.
        slopes: V^T b.
        rest: what V leaves of b, `b - V V^T b`; q is then linear along it.
    """

    basis: Float[Array, "d k"]
    eigenvalues: Float[Array, " k"]
    slopes: Float[Array, " k"]
    rest: Float[Array, " d"]

    @property
    def entrywise(self) -> bool:
        """A is not known to be diagonal."""
        return False

    def value(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        along = x @ self.basis
        return jnp.sum(along * (self.eigenvalues * along / 2 + self.slopes)) + jnp.sum(self.rest * x)

    def grad(self, x: Float[Array, " d"]) -> Float[Array, " d"]:
        """The gradient, `A x + b`."""
        return self.basis @ (self.eigenvalues * (x @ self.basis) + self.slopes) + self.rest

    def normal(self, x: Float[Array, " d"]) -> Float[Array, " d"]:
        """The product A x."""
        return self.basis @ (self.eigenvalues * (x @ self.basis))

    def prox(self, v: Float[Array, " d"], lam: Scalar) -> Float[Array, " d"]:
        """The prox, `(I + lam A)^{-1} (v - lam b)`."""
        slopes = (self.slopes + self.eigenvalues * (v @ self.basis)) / (1 + lam * self.eigenvalues)
        return v - lam * (self.basis @ slopes + self.rest)

    def prox_metric(self, mu: Float[Array, " d"], metric: Metric) -> Float[Array, " d"]:
        """The prox in another metric, for the exact step; the precision is formed as a matrix.

        Args:
            mu, metric: point, and Sigma, of noise that is not 0.
        """
        columns = jax.vmap(lambda unit: metric.precision(unit) + self.normal(unit))(jnp.eye(len(mu), dtype=mu.dtype))
        linear = self.grad(jnp.zeros_like(mu))
        return jnp.linalg.solve((columns + columns.T) / 2, metric.precision(mu) - linear)

    def metric(self, mu: Float[Array, " d"], lam: Scalar) -> Metric:
        """The covariance `(A + I / lam)^{-1}`, the same at every point mu.

        Args:
            mu, lam: point, and step of the prox, positive.
        """
        return Metric(self, 1 / lam, lam)

    def resolvent(self, r: Float[Array, " d"], rho: Scalar, solver: Solver = ACCURATE) -> Float[Array, " d"]:
        """`rho (A + rho)^{-1} r`, in closed form.

        Args:
            r: vector.
            rho: positive.
            solver: not needed.
        """
        return r - self.seen(r, rho, solver)

    def seen(self, r: Float[Array, " d"], rho: Scalar, solver: Solver = ACCURATE) -> Float[Array, " d"]:
        """`(A + rho)^{-1} A r`, r less the resolvent, to its own digits.

        Args:
            r: vector.
            rho: positive.
            solver: not needed.
        """
        return self.basis @ (self.eigenvalues / (self.eigenvalues + rho) * (r @ self.basis))


def quadratic(matrix: ArrayLike, linear: ArrayLike) -> Quadratic:
    """The potential `q(x) = x^T A x / 2 + b^T x`.

    Args:
        matrix: A, `[d, d]`, symmetric and positive semidefinite; it may be singular.
        linear: b, `[d]`.

    Raises:
        ValueError: where the shapes do not fit, or A is not symmetric or has a negative eigenvalue.
    """
    a, b = np.asarray(matrix, np.float64), np.asarray(linear, np.float64)
    if a.ndim != 2 or a.shape != (b.size, b.size) or b.ndim != 1:
        raise ValueError(f"matrix has shape {a.shape} and linear {b.shape}; expected [d, d] and [d]")
    slack = 1e-5 * max(np.abs(a).max(initial=0.0), np.finfo(np.float64).tiny)
    if np.abs(a - a.T).max(initial=0.0) > slack:
        raise ValueError("matrix is not symmetric; x^T A x only sees (A + A^T) / 2, so pass that")
    eigenvalues, basis = np.linalg.eigh((a + a.T) / 2)
    if eigenvalues.min(initial=0.0) < -slack:
        raise ValueError(
            f"matrix has the eigenvalue {eigenvalues.min():.3g}; without a positive semidefinite matrix the prox "
            "does not exist at every lam"
        )
    parts = (basis, np.maximum(eigenvalues, 0.0), basis.T @ b, np.zeros_like(b))
    return Quadratic(*(jnp.asarray(part, float) for part in parts))


def dense_gaussian_likelihood(
    matrix: ArrayLike, y: Float[Array, " m"] | Float[np.ndarray, " m"], sigma: Scalar
) -> Quadratic:
    """The negative log-likelihood of `y = M x + N(0, sigma^2)` for a vector x, less the constant `|y|^2 / (2 sigma^2)`.

        q(x) = |y - M x|^2 / (2 sigma^2) - |y|^2 / (2 sigma^2),   A = M^T M / sigma^2,   b = -M^T y / sigma^2

    Only the thin singular value decomposition of M is kept: a prox costs 2 d min(m, d) multiplications.

    Args:
        matrix: M, `[m, d]`.
        y: measurement, `[m]`; it may be traced.
        sigma: standard deviation of the noise, in the units of y, positive; it may be traced.

    Raises:
        ValueError: where the shapes do not fit.
    """
    m = np.asarray(matrix, np.float64)
    if m.ndim != 2 or y.shape != m.shape[:1]:
        raise ValueError(f"matrix has shape {m.shape} and y {y.shape}; expected [m, d] and [m]")
    u, gains, rows = (jnp.asarray(part, float) for part in np.linalg.svd(m, full_matrices=False))
    return Quadratic(rows.T, gains**2 / sigma**2, -gains * (y @ u) / sigma**2, jnp.zeros(m.shape[1]))
