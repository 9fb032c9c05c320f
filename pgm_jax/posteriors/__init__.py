"""Exact posteriors, by which samplers are judged.

    posterior  pi(x) ~ exp(-U(x)),  U = beta f + g
    sample     independent exact samples
    prox       argmin_u U(u) + |u - v|^2 / (2 lam): (prox(v, lam) - v) / lam is the Moreau score
    denoise    E[x | x + sqrt(lam) eps = v] for x ~ pi: (denoise(v, lam) - v) / lam is the score of x + sqrt(lam) eps

The posteriors of one number have in addition a density, a distribution function and its inverse. A quadratic on a ball
has no `denoise`: that mean is not in closed form. An exact prox stands in for a splitting of `pgm_jax.proximal` as
`lambda prior, likelihood, beta: posterior.prox`.
"""

from pgm_jax.posteriors.ball import BallQuadratic, random_ball_quadratic
from pgm_jax.posteriors.gaussian import Normal, gaussian_posterior
from pgm_jax.posteriors.mixture import MixturePosterior, MixtureProblem, gmm25_problem, mixture_posterior
from pgm_jax.posteriors.one_dimensional import LaplacePosterior, TruncatedNormal

__all__ = [
    "BallQuadratic",
    "LaplacePosterior",
    "MixturePosterior",
    "MixtureProblem",
    "Normal",
    "TruncatedNormal",
    "gaussian_posterior",
    "gmm25_problem",
    "mixture_posterior",
    "random_ball_quadratic",
]
