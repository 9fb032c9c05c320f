"""Proximal-based generative modelling: the reverse process, driven by the prox of the posterior.

    x <- keep x + pull P + noise xi        P ~ Prox_{beta f + g}^lam(x / mu), by a splitting

`bridge` gives the rows of the reverse process, `with_corrector` those of the corrected one. Source: PGM (arXiv
2605.13278); the splittings are in `pgm_jax.proximal`.
"""

from jax import Array

from pgm_jax.proximal import Splitting, data_first
from pgm_jax.samplers.base import Sampler
from pgm_jax.samplers.rows import Rows, follow
from pgm_jax.types import Potential, Prior, Scalar


def pgm(prior: Prior, likelihood: Potential, split: Splitting = data_first, beta: Scalar = 1.0) -> Sampler:
    """The sampler of the posterior `pi ~ exp(-[beta f + g])` that is driven by proximal maps.

    Each row takes one prox of the prior and, by default, one of the likelihood, and no gradient of either.

    Args:
        prior: g, exact or learned.
        likelihood: f.
        split: how the prox of the posterior is put together, see `pgm_jax.proximal`.
        beta: inverse temperature of the likelihood; 1 for Bayes' posterior.
    """

    def target(u: Array, row: Rows) -> Array:
        return split(prior, likelihood, beta * row.weight)(u, row.lam)

    return follow(target)
