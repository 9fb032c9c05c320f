"""The posterior of a mixture of Gaussians and a linear measurement with Gaussian noise: again such a mixture."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pgm_jax.posteriors.gaussian import full_precision
from pgm_jax.potentials import Mixture, Quadratic, dense_gaussian_likelihood, mixture_prox
from pgm_jax.types import Key, Scalar, pytree


@pytree
class MixturePosterior:
    """A mixture `sum_j exp(l_j) N(x; m_j, S)` of J components with one covariance, S = V diag(s) V^T.

    Attributes:
        log_weights: l_j, `[J]`, the logarithms of weights that add up to 1.
        means: m_j, `[J, d]`.
        values: s, the eigenvalues of S, `[d]`, positive.
        vectors: V, the eigenvectors of S as columns, `[d, d]`.
    """

    log_weights: Float[Array, " j"]
    means: Float[Array, "j d"]
    values: Float[Array, " d"]
    vectors: Float[Array, "d d"]

    @property
    @full_precision
    def mean(self) -> Float[Array, " d"]:
        """The mean, `sum_j exp(l_j) m_j`."""
        return jnp.exp(self.log_weights) @ self.means

    @property
    @full_precision
    def covariance(self) -> Float[Array, "d d"]:
        """The covariance, `S + sum_j exp(l_j) (m_j - mean) (m_j - mean)^T`."""
        spread = jnp.exp(self.log_weights / 2)[:, None] * (self.means - self.mean[None, :])
        return (self.vectors * self.values[None, :]) @ self.vectors.T + spread.T @ spread

    @full_precision
    def sample(self, key: Key, count: int) -> Float[Array, "n d"]:
        """Independent samples `m_j + V sqrt(s) eps` with j drawn by weight, `[count, d]`."""
        for_component, for_noise = jax.random.split(key)
        component = jax.random.categorical(for_component, self.log_weights, shape=(count,))
        eps = jax.random.normal(for_noise, (count, *self.values.shape), self.means.dtype)
        return self.means[component] + (jnp.sqrt(self.values)[None, :] * eps) @ self.vectors.T

    @full_precision
    def prox(self, v: Float[Array, " d"], lam: Scalar) -> Float[Array, " d"]:
        """The `prox(v, lam)` of minus the log-density, the best of its modes."""
        turned = mixture_prox(self.log_weights, self.means @ self.vectors, self.values, self.vectors.T @ v, lam)
        return self.vectors @ turned

    @full_precision
    def denoise(self, v: Float[Array, " d"], lam: Scalar) -> Float[Array, " d"]:
        """The mean of x given `x + sqrt(lam) eps = v`, `c + S (S + lam)^{-1} (v - c)`.

        The centre `c = sum_j r_j m_j` weighs the components by `r_j ~ exp(l_j) N(v; m_j, S + lam)`.
        """
        offsets = (v[None, :] - self.means) @ self.vectors
        log_shares = self.log_weights - jnp.sum(offsets**2 / (self.values + lam)[None, :], axis=1) / 2
        offset = jax.nn.softmax(log_shares) @ offsets
        return v - self.vectors @ (lam / (self.values + lam) * offset)


@full_precision
def mixture_posterior(
    weights: Float[Array, " j"],
    means: Float[Array, "j d"],
    std: Scalar,
    matrix: Float[Array, "m d"],
    y: Float[Array, " m"],
    sigma: Scalar,
) -> MixturePosterior:
    """The posterior of `x ~ sum_j w_j N(m_j, std^2 I)` given `y = A x + N(0, sigma^2)`.

    With A = U diag(t) W^T and residuals `e_j = U^T y - diag(t) W^T m_j`, in the basis W,
    `m_j + std^2 t e_j / (std^2 t^2 + sigma^2)` are the means, `std^2 sigma^2 / (std^2 t^2 + sigma^2)` the variances,
    and `w_j exp(-e_j^2 / (2 (std^2 t^2 + sigma^2)))` the weights, by the evidence `N(y; A m_j, std^2 A A^T + sigma^2)`.

    Args:
        weights: w_j of the prior, `[J]`, positive; they need not add up to 1.
        means: m_j of the prior, `[J, d]`.
        std: standard deviation of every component of the prior, positive.
        matrix, y: A, `[m, d]`, and the measurement, `[m]`.
        sigma: standard deviation of the noise, in the units of y, positive.
    """
    u, gains, wh = jnp.linalg.svd(matrix)
    rank = min(matrix.shape)
    evidence = std**2 * gains**2 + sigma**2
    # y - A m_j before the rotation: two large numbers are subtracted once only.
    residuals = (y[None, :] - means @ matrix.T) @ u[:, :rank]
    log_weights = jnp.log(weights) - jnp.sum(residuals**2 / evidence[None, :], axis=1) / 2
    moved = means + (residuals * (std**2 * gains / evidence)[None, :]) @ wh[:rank]
    values = jnp.full(matrix.shape[1], std**2, means.dtype).at[:rank].mul(sigma**2 / evidence)
    return MixturePosterior(jax.nn.log_softmax(log_weights), moved, values, wh.T)


class MixtureProblem(NamedTuple):
    """A linear measurement of a mixture of Gaussians, with its exact posterior.

    Attributes:
        prior: mixture that the truth is drawn from.
        likelihood: `|y - A x|^2 / (2 sigma^2)`.
        posterior: distribution of x given y.
        matrix, y: A, `[m, d]`, and the measurement, `[m]`.
        truth: x that was measured, `[d]`.
    """

    prior: Mixture
    likelihood: Quadratic
    posterior: MixturePosterior
    matrix: Float[Array, "m d"]
    y: Float[Array, " m"]
    truth: Float[Array, " d"]


@full_precision
def gmm25_problem(key: Key, dimension: int = 8, measurements: int = 1, sigma: Scalar = 1.0) -> MixtureProblem:
    """A random measurement of the mixture of 25 Gaussians at `(8 i, 8 j, 8 i, 8 j, ...)`, i, j = -2 ... 2.

    The covariances are I and the weights equal. `A = U diag(s) V^T` has the singular vectors of a Gaussian matrix and
    sorted singular values from U(0, 1); `y = A x + N(0, sigma^2)` for an x of the prior.

    Sources: Cardoso et al. (MCGdiff, arXiv 2308.07983); equal weights and a given sigma as in Boys et al. (TMPD, arXiv
    2310.06721).

    Args:
        key: key of A, x and the noise.
        dimension: d, at least 2; 8, 80 and 800 in the papers.
        measurements: m, from 1 to d; 1, 2 and 4 in the papers.
        sigma: standard deviation of the noise, in the units of y, positive.

    Raises:
        ValueError: if `dimension` is below 2, or `measurements` is not between 1 and `dimension`.
    """
    if dimension < 2 or not 1 <= measurements <= dimension:
        raise ValueError(
            f"{measurements} measurements in dimension {dimension} were asked for; the dimension is to be at least 2, "
            "and the measurements between 1 and the dimension."
        )
    for_matrix, for_gains, for_truth, for_noise = jax.random.split(key, 4)
    u, _, vh = jnp.linalg.svd(jax.random.normal(for_matrix, (measurements, dimension)), full_matrices=False)
    gains = jnp.sort(jax.random.uniform(for_gains, (measurements,)), descending=True)
    matrix = (u * gains[None, :]) @ vh

    places = jnp.array([(8.0 * i, 8.0 * j) for i in range(-2, 3) for j in range(-2, 3)])
    means = places[:, np.arange(dimension) % 2]
    weights = jnp.full(25, 1 / 25)
    for_component, for_spread = jax.random.split(for_truth)
    truth = means[jax.random.randint(for_component, (), 0, 25)] + jax.random.normal(for_spread, (dimension,))
    y = matrix @ truth + sigma * jax.random.normal(for_noise, (measurements,))
    likelihood = dense_gaussian_likelihood(matrix, y, sigma)
    posterior = mixture_posterior(weights, means, 1.0, matrix, y, sigma)
    return MixtureProblem(Mixture(weights, means, 1.0), likelihood, posterior, matrix, y, truth)
