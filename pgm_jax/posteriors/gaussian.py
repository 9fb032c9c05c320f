"""The posterior of a Gaussian prior and a linear measurement with Gaussian noise, of any rank."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.types import Key, Scalar, pytree

# By default accelerators round the factors of a product to fewer bits, and an exact posterior would be no longer exact.
full_precision = jax.default_matmul_precision("highest")


@pytree
class Normal:
    """A normal distribution `N(m, S)`, S = V diag(s) V^T, possibly degenerate.

    Attributes:
        mean: m, `[d]`.
        values: s, the eigenvalues of S, `[d]`; 0 where x does not vary.
        vectors: V, the eigenvectors of S as columns, `[d, d]`.
    """

    mean: Float[Array, " d"]
    values: Float[Array, " d"]
    vectors: Float[Array, "d d"]

    @property
    @full_precision
    def covariance(self) -> Float[Array, "d d"]:
        """The covariance, `S = V diag(s) V^T`."""
        return (self.vectors * self.values[None, :]) @ self.vectors.T

    @full_precision
    def sample(self, key: Key, count: int) -> Float[Array, "n d"]:
        """Independent samples `m + V sqrt(s) eps`, `[count, d]`."""
        eps = jax.random.normal(key, (count, *self.mean.shape), self.mean.dtype)
        return self.mean[None, :] + (jnp.sqrt(self.values)[None, :] * eps) @ self.vectors.T

    @full_precision
    def prox(self, v: Float[Array, " d"], lam: Scalar) -> Float[Array, " d"]:
        """The prox, `m + S (S + lam)^{-1} (v - m)`; it stays on the plane of a singular S."""
        # A direction without variance has no way to go, also where lam = 0.
        share = self.values / jnp.where(self.values > 0, self.values + lam, 1.0)
        return self.mean + self.vectors @ (share * (self.vectors.T @ (v - self.mean)))

    def denoise(self, v: Float[Array, " d"], lam: Scalar) -> Float[Array, " d"]:
        """The mean of x given `x + sqrt(lam) eps = v`: the prox, as mode and mean of a Gaussian are one."""
        return self.prox(v, lam)


@full_precision
def gaussian_posterior(
    prior_mean: Float[Array, " d"],
    prior_covariance: Float[Array, "d d"],
    matrix: Float[Array, "m d"],
    y: Float[Array, " m"],
    sigma: Scalar,
) -> Normal:
    """The posterior of `x ~ N(m0, C)` given `y = A x + N(0, sigma^2)`, without an inverse of C.

    With C = R R^T and A R / sigma = U diag(t) W^T,
    `m = m0 + R W diag(t / (1 + t^2)) U^T (y - A m0) / sigma` and `S = T T^T`, `T = R W diag(1 / sqrt(1 + t^2))`,
    which is `S = C - C A^T (A C A^T + sigma^2)^{-1} A C` without its cancellation.

    Args:
        prior_mean: m0, `[d]`.
        prior_covariance: C, symmetric and positive semi-definite, `[d, d]`; it may be singular. Eigenvalues below
            d times the rounding unit of the largest count as 0.
        matrix, y: A, `[m, d]`, and the measurement, `[m]`.
        sigma: standard deviation of the noise, in the units of y, positive.
    """
    count, size = matrix.shape
    eps = size * jnp.finfo(prior_mean.dtype).eps
    variances, axes = jnp.linalg.eigh(prior_covariance)
    variances = jnp.where(variances > eps * variances[-1], variances, 0.0)
    root = axes * jnp.sqrt(variances)[None, :]

    u, gains, wh = jnp.linalg.svd(matrix @ root / sigma)
    rank = min(count, size)
    gains = jnp.zeros(size, gains.dtype).at[:rank].set(gains)
    rotated = root @ wh.T
    seen = u[:, :rank].T @ (y - matrix @ prior_mean) / sigma
    mean = prior_mean + rotated[:, :rank] @ (gains[:rank] / (1 + gains[:rank] ** 2) * seen)

    vectors, deviations, _ = jnp.linalg.svd(rotated / jnp.sqrt(1 + gains**2)[None, :])
    deviations = jnp.where(deviations > eps * deviations[0], deviations, 0.0)
    return Normal(mean, deviations**2, vectors)
