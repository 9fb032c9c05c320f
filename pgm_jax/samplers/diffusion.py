"""Diffusion sampling by a Stein score, of the prior or of an exact posterior: what PGM is compared with.

    x <- keep x + pull D + noise xi        D(u, lam) = E[x_0 | u = x_0 + sqrt(lam) eps] = u + lam s(u, lam)

With `bridge(levels, eta=1)` it is the ancestral sampling of DDPM (Ho et al., NeurIPS 2020, eq. 6-7), with `eta=0` the
probability flow as DDIM integrates it (Song et al., ICLR 2021), with `euler` the Euler-Maruyama method for either.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from pgm_jax.samplers.base import Sampler
from pgm_jax.samplers.rows import Rows, follow
from pgm_jax.schedules import Levels
from pgm_jax.types import Prox, Scalar


def diffusion(denoise: Prox) -> Sampler:
    """The reverse diffusion of a denoiser, exact or learned.

    Args:
        denoise: (u, lam) -> D, the posterior mean of the clean image given u; a prior that was trained by `l2` has
            it as its `prox`.
    """
    return follow(lambda u, row: denoise(u, row.lam))


def tweedie(score: Callable[[Array, Scalar], Array]) -> Prox:
    """The denoiser of a Stein score by Tweedie's formula, `D(u, lam) = u + lam s(u, lam)`.

    Args:
        score: (u, lam) -> s, the gradient of the log density of u = x_0 + sqrt(lam) eps.
    """
    return lambda u, lam: u + lam * score(u, lam)


def euler(levels: Levels, eta: Scalar = 1.0) -> Rows:
    """The rows of the Euler-Maruyama method in clean space, with lam as its clock.

    Formula: `du = (1 + eta^2) / 2 (D - u) dlam / lam + eta sqrt(dlam) xi` for u = x / mu, lam falling. The first-order
    step reaches lam = 0 with the point itself weighted by (1 - eta^2) / 2: at eta = 1 it ends on D.

    Args:
        levels: nodes of the grid, n + 1 of them; the last may be lam = 0.
        eta: share of fresh noise in [0, 1]: 1 for the reverse SDE, 0 for the probability flow.
    """
    mu, mu_next = levels.mu[:-1], levels.mu[1:]
    lam, lam_next = levels.lam[:-1], levels.lam[1:]
    towards = 0.5 * (1.0 + eta**2) * (1.0 - lam_next / lam)
    # The last step, to lam = 0, is without noise, as in DDPM.
    noise = jnp.where(lam_next > 0, eta * jnp.sqrt(lam - lam_next), 0.0)
    zero, one = jnp.zeros_like(lam), jnp.ones_like(lam)
    return Rows(mu, lam, mu_next / mu * (1.0 - towards), mu_next * towards, mu_next * noise, zero, one)
