"""The distribution that a sampler of a Gaussian posterior reaches, by recursion in float64, and scores against it.

A prior N(m, C), a measurement y = A x + N(0, sigma^2) and affine targets P(u) = M u + c make every step affine:

    x' = F x + f + G xi      F = keep + pull M / mu,  f = pull c,  G = noise + pull (probe / mu) M
    mean' = F mean + f       cov' = F cov F^T + G G^T

Only the numbers of the rows come from the code under test: M and c are built here from C, H = A^T A / sigma^2 and
b = A^T y / sigma^2, by inverses that no sampler would use.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from pgm_jax.samplers import Rows
from pgm_jax.types import Key

Matrix = Float[np.ndarray, "d d"]
Vector = Float[np.ndarray, " d"]
AffineMap = tuple[Matrix, Vector]
NOTHING = 1e-4  # of the largest standard deviation; a direction with less counts as having no spread


class Moments(NamedTuple):
    """A mean and a covariance."""

    mean: Vector
    covariance: Matrix


class Problem(NamedTuple):
    """A measurement `y = A x + N(0, sigma^2)` of `x ~ N(m, C)`; all float64."""

    prior: Moments
    matrix: Float[np.ndarray, "m d"]
    y: Vector
    sigma: float

    @property
    def hessian(self) -> Matrix:
        """H."""
        return self.matrix.T @ self.matrix / self.sigma**2

    @property
    def linear(self) -> Vector:
        """b, of `grad f = H x - b`."""
        return self.matrix.T @ self.y / self.sigma**2

    @property
    def posterior(self) -> Moments:
        """The posterior by the gain `K = C A^T (A C A^T + sigma^2)^{-1}`, which needs no inverse of C."""
        (mean, covariance), a = self.prior, self.matrix
        gain = covariance @ a.T @ np.linalg.inv(a @ covariance @ a.T + self.sigma**2 * np.eye(len(a)))
        left = np.eye(len(mean)) - gain @ a
        # Joseph's form, which stays symmetric and positive.
        return Moments(mean + gain @ (self.y - a @ mean), left @ covariance @ left.T + self.sigma**2 * gain @ gain.T)


def random_problem(key: Key, variances: Vector, gains: Vector, sigma: float) -> Problem:
    """A problem with given prior variances and singular values of A, in random bases; its truth is from the prior."""
    keys = jax.random.split(key, 5)
    axes, left, right = (
        _basis(k, size) for k, size in zip(keys, (len(variances), len(gains), len(variances)), strict=False)
    )
    prior = Moments(_normal(keys[3], (len(variances),)), (axes * variances) @ axes.T)
    problem = Problem(prior, (left * gains) @ right[:, : len(gains)].T, np.zeros(len(gains)), sigma)
    return problem._replace(y=simulate(problem, keys[4], 1)[1][0])


def simulate(p: Problem, key: Key, count: int) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n m"]]:
    """Truths from the prior, and a measurement of each."""
    key_truth, key_noise = jax.random.split(key)
    values, axes = np.linalg.eigh(p.prior.covariance)
    root = axes * np.sqrt(np.maximum(values, 0.0))
    truths = p.prior.mean + _normal(key_truth, (count, len(values))) @ root.T
    return truths, truths @ p.matrix.T + p.sigma * _normal(key_noise, (count, len(p.matrix)))


def _normal(key: Key, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(jax.random.normal(key, shape), np.float64)


def _basis(key: Key, size: int) -> Matrix:
    return np.linalg.qr(_normal(key, (size, size)))[0]


Target = Callable[[Problem, float], AffineMap]  # (problem, lam) -> P


def prior_map(p: Problem, lam: float) -> AffineMap:
    """The prox of the prior, `C (C + lam)^-1 (v - m) + m`, which exists even where C has no inverse."""
    mean, covariance = p.prior
    shrink = covariance @ np.linalg.inv(covariance + lam * np.eye(len(mean)))
    return shrink, mean - shrink @ mean


def data_map(p: Problem, lam: float) -> AffineMap:
    """The prox of the likelihood, `(I + lam H)^-1 (v + lam b)`."""
    shrink = np.linalg.inv(np.eye(len(p.hessian)) + lam * p.hessian)
    return shrink, shrink @ (lam * p.linear)


def gradient_map(p: Problem, step: float) -> AffineMap:
    """A gradient step on the likelihood, `v - h (H v - b)`."""
    return np.eye(len(p.hessian)) - step * p.hessian, step * p.linear


def capped_gradient_map(p: Problem, lam: float) -> AffineMap:
    """A gradient step on the likelihood of `min(lam, 1 / |H|)`."""
    return gradient_map(p, min(lam, 1 / float(np.linalg.norm(p.hessian, 2))))


def then(first: Target, second: Target) -> Target:
    """One map after the other."""

    def both(p: Problem, lam: float) -> AffineMap:
        (a, b), (slope, shift) = first(p, lam), second(p, lam)
        return slope @ a, slope @ b + shift

    return both


data_first, prior_first = then(data_map, prior_map), then(prior_map, data_map)
forward_backward, capped_forward_backward = then(gradient_map, prior_map), then(capped_gradient_map, prior_map)


def parallel(p: Problem, lam: float) -> AffineMap:
    """The prox of the prior minus a gradient step of the likelihood at the same point."""
    shrink, shift = prior_map(p, lam)
    return shrink - lam * p.hessian, shift + lam * p.linear


def explicit(p: Problem, lam: float) -> AffineMap:
    """A gradient step on both, `v - lam (H v - b + C^-1 (v - m))`."""
    precision = np.linalg.inv(p.prior.covariance)
    slope, shift = gradient_map(p, lam)
    return slope - lam * precision, shift + lam * precision @ p.prior.mean


def exact(p: Problem, lam: float) -> AffineMap:
    """The prox of the posterior, which for a Gaussian is also the mean of x given `x + sqrt(lam) eps = v`."""
    return prior_map(p._replace(prior=p.posterior), lam)


def recursion(rows: Rows, target: Callable[[float], AffineMap], size: int) -> Moments:
    """The moments of chains after all rows with a target lam -> P, from a start at `mu (0 + sqrt(lam) xi)`."""
    columns = (rows.mu, rows.lam, rows.keep, rows.pull, rows.noise, rows.probe)
    eye = np.eye(size)
    end = Moments(np.zeros(size), float(rows.mu[0]) ** 2 * float(rows.lam[0]) * eye)
    for mu, lam, keep, pull, noise, probe in zip(*(np.asarray(a, np.float64) for a in columns), strict=True):
        slope, shift = target(lam)
        forth = keep * eye + pull / mu * slope
        stir = noise * eye + pull * probe / mu * slope
        end = Moments(forth @ end.mean + pull * shift, forth @ end.covariance @ forth.T + stir @ stir.T)
    return end


class Scores(NamedTuple):
    """The largest |z| of means and covariances, their number, and the distance along directions without spread."""

    largest: float
    count: int
    off_plane: float


def scores(points: Float[np.ndarray, "n d"], truth: Moments) -> Scores:
    """z-scores of the mean and the covariance of points against a Gaussian, along its principal axes.

    In these axes, each of unit variance, the scores `sqrt(n) mean_i` and `sqrt(n - 1) (S_ij - 1_ij) / sqrt(1 + 1_ij)`
    are nearly independent, and narrow directions count as much as wide ones.
    """
    n = len(points)
    values, axes = np.linalg.eigh(truth.covariance)
    spread = values > NOTHING**2 * values[-1]
    along = (points - truth.mean) @ axes
    off_plane = float(np.abs(along[:, ~spread]).max(initial=0.0))
    white = along[:, spread] / np.sqrt(values[spread])
    eye = np.eye(white.shape[1])
    of_mean = np.sqrt(n) * white.mean(axis=0)
    of_covariance = np.sqrt((n - 1) / (1 + eye)) * (np.atleast_2d(np.cov(white.T)) - eye)
    each = np.concatenate([of_mean, of_covariance[np.triu_indices(len(eye))]])
    return Scores(float(np.abs(each).max()), each.size, off_plane)
