"""Exact posteriors, against which samplers are tested.

    posterior             pi(x) ~ exp(-U(x)),  U = beta f + g
    sample(key, count)    independent exact samples, `[count, ...]`
    prox(v, lam)          argmin_u U(u) + |u - v|^2 / (2 lam): (prox(v, lam) - v) / lam is the Moreau score
    denoise(v, lam)       E[x | x + sqrt(lam) eps = v]: (denoise(v, lam) - v) / lam is the score of x + sqrt(lam) eps

Points v are `[d]`, numbers of any shape on the line; lam is a variance in squared units of x, positive.
The posteriors of one number have in addition a density, a distribution function and its inverse. A quadratic on a ball
has no `denoise`: that mean is not in closed form. An exact prox stands in for a splitting of `pgm_jax.proximal` as
`lambda prior, likelihood: posterior.prox`.
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
