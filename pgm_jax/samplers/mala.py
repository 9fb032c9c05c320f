"""Proximal MALA: the steps of a row as proposals, accepted or refused so that the chain is exact.

    x' = keep x + pull P(x) + noise xi
    accept with min(1, exp(U(x) - U(x')) q(x | x') / q(x' | x)),   q(x' | x) = N(x'; keep x + pull P(x), noise^2 I)

It needs the value of U and is exact at every step size, for a hard constraint too. On `proximal_rows` it is the
algorithm of Pereyra, Stat. Comput. 26 (2016).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from pgm_jax.samplers.base import Sampler
from pgm_jax.samplers.pgm import ChainState
from pgm_jax.samplers.rows import Rows
from pgm_jax.tracing import as_partial
from pgm_jax.types import Key, Potential, Prox


class MALAInfo(NamedTuple):
    """Diagnostics of a row.

    Attributes:
        estimate: point P that the chain was drawn to.
        lam: level of P.
        accepted: whether the proposal was accepted.
    """

    estimate: Array
    lam: Array
    accepted: Array


def proximal_mala(prox: Prox, *potentials: Potential) -> Sampler:
    """The Metropolis-adjusted proximal Langevin algorithm, for `proximal_rows`; it starts at P of the noisy start.

    Args:
        prox: `(v, lam) -> Prox_U^lam(v)`, exact or by a splitting; it shapes the proposals, not the distribution.
        potentials: what U is the sum of, by their values: prior and likelihood, or U itself; at least one.

    Raises:
        ValueError: if there is no potential, which would accept every proposal.
    """
    if not potentials:
        raise ValueError("No potential was given; give proximal_mala(prox, prior, likelihood), whose values count.")
    return Sampler(Partial(_init, as_partial(prox)), Partial(_step, as_partial(prox), potentials))


def _init(prox: Prox, key: Key, x: Array, row: Rows) -> ChainState:
    return ChainState(prox(x + jnp.sqrt(row.lam) * jax.random.normal(key, x.shape, x.dtype), row.lam))


def _step(
    prox: Prox, potentials: tuple[Potential, ...], key: Key, state: ChainState, row: Rows
) -> tuple[ChainState, MALAInfo]:
    def value(x: Array) -> Array:
        return sum((potential.value(x) for potential in potentials), start=jnp.zeros((), x.dtype))

    key_noise, key_accept = jax.random.split(key)
    x, estimate = state.x, prox(state.x, row.lam)
    centre = row.keep * x + row.pull * estimate
    proposal = centre + row.noise * jax.random.normal(key_noise, x.shape, x.dtype)
    back = row.keep * proposal + row.pull * prox(proposal, row.lam)
    log_forth = -jnp.sum((proposal - centre) ** 2) / (2 * row.noise**2)
    log_back = -jnp.sum((x - back) ** 2) / (2 * row.noise**2)
    log_ratio = value(x) - value(proposal) + log_back - log_forth
    # False for NaN, which is infinity less infinity: from outside a constraint to outside it.
    accepted = jnp.log(jax.random.uniform(key_accept, (), x.dtype)) < log_ratio
    return ChainState(jnp.where(accepted, proposal, x)), MALAInfo(estimate, row.lam, accepted)
