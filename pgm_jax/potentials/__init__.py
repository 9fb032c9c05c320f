"""Potentials: Gaussian and Poisson likelihoods, and priors whose prox is known.

    posterior  pi(x) ~ exp(-[f(x) + g(x)])
    prox       argmin_u g(u) + |u - v|^2 / (2 lam)

Potentials are determined up to a constant; where a density is meant, its normalisation is left out. To add one: a
registered frozen dataclass with `value`, `grad` and `prox`, and a row in the law table of its tests.
"""

from pgm_jax.potentials.base import tempered
from pgm_jax.potentials.copies import consensus
from pgm_jax.potentials.diffused import Denoiser, SmoothedLaplace, marginals
from pgm_jax.potentials.likelihoods import GaussianLikelihood, PoissonLikelihood
from pgm_jax.potentials.mixture import Mixture, mixture_prox
from pgm_jax.potentials.priors import Ball, Box, Gaussian, Laplace
from pgm_jax.potentials.quadratic import Quadratic, dense_gaussian_likelihood, quadratic
from pgm_jax.potentials.total_variation import AnisotropicTotalVariation, TotalVariation

__all__ = [
    "AnisotropicTotalVariation",
    "Ball",
    "Box",
    "Denoiser",
    "Gaussian",
    "GaussianLikelihood",
    "Laplace",
    "Mixture",
    "PoissonLikelihood",
    "Quadratic",
    "SmoothedLaplace",
    "TotalVariation",
    "consensus",
    "dense_gaussian_likelihood",
    "marginals",
    "mixture_prox",
    "quadratic",
    "tempered",
]
