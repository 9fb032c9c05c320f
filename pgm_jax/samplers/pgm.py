"""Proximal-based generative modelling: the reverse process, driven by the prox of the posterior.

    x <- keep x + pull P + noise xi        P ~ Prox_{beta f + g}^lam(x / mu), by a splitting

`bridge` gives the rows of the reverse process, `with_corrector` those of the corrected one. Source: PGM (arXiv
2605.13278); the splittings are in `pgm_jax.proximal`.
"""

from typing import Protocol

from jax import Array

from pgm_jax.proximal import Splitting, data_first
from pgm_jax.samplers.base import Sampler
from pgm_jax.samplers.rows import Rows, follow
from pgm_jax.types import Potential, Prior, Scalar


class Linearizable(Potential, Protocol):
    """A likelihood that can be taken for the operator linearised at an image."""

    def linearized(self, at: Array, /) -> Potential: ...


def pgm(prior: Prior, likelihood: Potential, split: Splitting = data_first, beta: Scalar = 1.0) -> Sampler:
    """The sampler of the posterior `pi ~ exp(-[beta f + g])` that is driven by proximal maps.

    Each row takes one prox of the prior and, by default, one of the likelihood, and no gradient of either.

    Args:
        prior: g, exact or learned.
        likelihood: f.
        split: how the prox of the posterior is put together, see `pgm_jax.proximal`.
        beta: inverse temperature of the likelihood; 1 for Bayes' posterior.
    """

    def target(u: Array, row: Rows, _: Array) -> Array:
        return split(prior, likelihood, beta * row.weight)(u, row.lam)

    return follow(target)


def linearized_pgm(
    prior: Prior, likelihood: Linearizable, split: Splitting = data_first, beta: Scalar = 1.0
) -> Sampler:
    """`pgm` for a nonlinear operator: A is linearised anew at each row, at the estimate P of the row before.

    Formula: with s the last P, `f(x) = |y - A(s) - J(s) (x - s)|^2 / (2 sigma^2)` takes the place of f.

    The point u of a row holds the noise of its level and may lie far outside the images that A is made for; the last
    estimate is an image. The data step becomes one implicit Gauss-Newton step, of any length. For a linear operator
    this is `pgm`.

    Args:
        prior: g, exact or learned.
        likelihood: f, that of an operator.
        split: how the prox of the posterior is put together, see `pgm_jax.proximal`.
        beta: inverse temperature of the likelihood; 1 for Bayes' posterior.
    """

    def target(u: Array, row: Rows, previous: Array) -> Array:
        return split(prior, likelihood.linearized(previous), beta * row.weight)(u, row.lam)

    return follow(target)
