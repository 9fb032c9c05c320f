"""PGM: the reverse process, driven by the prox of the posterior; and every other sampler that differs in P and rows.

    x <- keep x + pull P + noise xi        P = prox((x + probe xi) / mu, lam)

| method                        | prox                                     | rows                                      |
|-------------------------------|------------------------------------------|-------------------------------------------|
| PGM, corrected (the default)  | `data_first(prior, f)`                   | `default_rows(calls)`, `corrected_rows()` |
| PGM as published              | `forward_backward(prior, f, jnp.inf)`    | `bridge(levels)`                          |
| joint annealed Langevin       | `forward_backward(prior, f)`             | `langevin(lam, delta, counts)`            |
| partial annealed Langevin     | `parallel(prior, f)`                     | `langevin(..., kappa=1 / lam + lam)`      |
| P-ULA                         | `data_first(prior, f)`, or the exact one | `proximal_rows(delta, count)`             |
| MYULA                         | `parallel(prior, f)`                     | `langevin(lam, delta, count)`, one level  |
| subgradient Langevin          | `explicit(prior, f)`                     | the same at lam = 1, which has no effect  |
| DDPM; DDIM, its flow          | a denoiser                               | `bridge(levels, eta=1)`, `eta=0`          |
| Euler-Maruyama diffusion      | a denoiser                               | `euler(levels, eta)`                      |
| the same in a VP's own time   | a denoiser                               | `vp_euler(schedule, times, gamma, eta)`   |

Sources: PGM (arXiv 2605.13278); Pereyra, Stat. Comput. 26 (2016) (P-ULA); Durmus, Moulines and Pereyra, SIAM J. Imaging
Sci. 11 (2018) (MYULA); Durmus, Majewski and Miasojedow, JMLR 20 (2019) (subgradient Langevin); Ho et al., NeurIPS 2020
(DDPM); Song et al., ICLR 2021 (flow).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from pgm_jax.samplers.base import Sampler
from pgm_jax.samplers.rows import Rows
from pgm_jax.tracing import as_partial
from pgm_jax.types import Key, Prox


class ChainState(NamedTuple):
    """The state of a chain: x, one example, at the level of the next row."""

    x: Array


class ChainInfo(NamedTuple):
    """Diagnostics of a row.

    Attributes:
        estimate: the point P, an estimate of the clean image.
        lam: level at which it was taken.
        failed: whether P was not finite; the row was then left out, and x stayed where it was.
    """

    estimate: Array
    lam: Array
    failed: Array


def pgm(prox: Prox) -> Sampler:
    """The sampler that is pulled towards the prox of the posterior's potential; it starts at `mu (x + sqrt(lam) xi)`.

    Each row takes one prox. What it samples is decided by the prox and the rows, see the table above.

    Args:
        prox: `(v, lam) -> Prox_U^lam(v)`, exact (`posterior.prox`) or by a splitting (`data_first(prior, f)`).
    """
    return Sampler(Partial(_init), Partial(_step, as_partial(prox)))


def diffusion(denoise: Prox) -> Sampler:
    """The reverse diffusion of a denoiser: `pgm`, with a mean in place of a mode.

    Args:
        denoise: `(u, lam) -> E[x_0 | u = x_0 + sqrt(lam) eps]`, of a Stein score s `u + lam s(u, lam)`; a prior that
            was trained by `l2` has it as its `prox`.
    """
    return pgm(denoise)


def _init(key: Key, x: Array, row: Rows) -> ChainState:
    return ChainState(row.mu * (x + jnp.sqrt(row.lam) * jax.random.normal(key, x.shape, x.dtype)))


def _step(prox: Prox, key: Key, state: ChainState, row: Rows) -> tuple[ChainState, ChainInfo]:
    noise = jax.random.normal(key, state.x.shape, state.x.dtype)
    estimate = prox((state.x + row.probe * noise) / row.mu, row.lam)
    failed = ~jnp.all(jnp.isfinite(estimate))
    x = row.keep * state.x + row.pull * estimate + row.noise * noise
    return ChainState(jnp.where(failed, state.x, x)), ChainInfo(estimate, row.lam, failed)
