"""Langevin processes at one level, without acceptance: what annealed and corrected sampling are compared with.

    p_ula                   x <- Prox_U^{delta/2}(x) + sqrt(delta) xi
    myula                   x <- x - delta beta grad f(x) - (delta / lam) (x - Prox_g^lam(x)) + sqrt(2 delta) xi
    subgradient_langevin    x <- x - delta (beta grad f(x) + dg(x)) + sqrt(2 delta) xi

All three are biased, by the step and MYULA by lam as well. Sources: Pereyra, Stat. Comput. 26 (2016) (P-ULA);
Durmus, Moulines and Pereyra, SIAM J. Imaging Sci. 11 (2018) (MYULA); Durmus, Majewski and Miasojedow,
JMLR 20 (2019) (subgradient Langevin).
"""

import jax.numpy as jnp

from pgm_jax.proximal import Splitting, data_first, explicit, parallel
from pgm_jax.samplers.base import Sampler
from pgm_jax.samplers.pgm import pgm
from pgm_jax.samplers.rows import Rows, langevin
from pgm_jax.types import Potential, Prior, Scalar


def p_ula(prior: Prior, likelihood: Potential, split: Splitting = data_first, beta: Scalar = 1.0) -> Sampler:
    """The proximal unadjusted Langevin algorithm, `x <- Prox_U^{delta/2}(x) + sqrt(delta) xi`, on `proximal_rows`.

    Args:
        prior: g, by its prox.
        likelihood: f.
        split: how the prox of U = beta f + g is put together, or an exact one.
        beta: inverse temperature of the likelihood.
    """
    return pgm(prior, likelihood, split, beta)


def myula(prior: Prior, likelihood: Potential, beta: Scalar = 1.0) -> Sampler:
    """The Moreau-Yosida unadjusted Langevin algorithm, `x <- x - delta grad(beta f + M_g^lam)(x) + sqrt(2 delta) xi`.

    Run it on `constant_rows(lam, delta, count)`; `lam = 1 / (beta L)` and `delta <= 1 / (beta L + 1 / lam)` are usual.

    Args:
        prior: g, by its prox.
        likelihood: f, by its gradient of Lipschitz constant L.
        beta: inverse temperature of the likelihood.
    """
    return pgm(prior, likelihood, parallel, beta)


def subgradient_langevin(prior: Potential, likelihood: Potential, beta: Scalar = 1.0) -> Sampler:
    """Langevin steps along a subgradient, `x <- x - delta (beta grad f + dg)(x) + sqrt(2 delta) xi`.

    Run it on `constant_rows(1, delta, count)`; lam has no effect. It knows nothing of a hard constraint, whose
    subgradient is 0 inside and does not exist outside.

    Args:
        prior: g, by its gradient where it has one.
        likelihood: f, by its gradient.
        beta: inverse temperature of the likelihood.
    """
    return pgm(prior, likelihood, explicit, beta)


def constant_rows(lam: Scalar, delta: Scalar, count: int) -> Rows:
    """The rows of a process at one level: `count` Euler-Maruyama steps of length delta.

    Args:
        lam: level of the prox.
        delta: step.
        count: number of steps.
    """
    each = jnp.full((count,), jnp.asarray(lam, float))
    return langevin(each, jnp.full_like(each, delta))


def proximal_rows(delta: Scalar, count: int) -> Rows:
    """The rows of P-ULA and proximal MALA: the prox at lam = delta / 2, and noise of variance delta.

    Args:
        delta: step.
        count: number of steps.
    """
    each = jnp.full((count,), jnp.asarray(delta, float))
    one, nothing = jnp.ones_like(each), jnp.zeros_like(each)
    return Rows(one, each / 2, nothing, one, jnp.sqrt(each), nothing, one)
