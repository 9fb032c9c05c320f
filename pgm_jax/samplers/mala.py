"""Proximal MALA: the steps of a row as proposals, accepted or refused so that the chain is exact.

    x' = keep x + pull P(x) + noise xi
    accept with min(1, exp(U(x) - U(x')) q(x | x') / q(x' | x)),   q(x' | x) = N(x'; keep x + pull P(x), noise^2 I)

It needs the value of U = beta f + g and is exact at every step size, for a hard constraint too. On `proximal_rows` it
is the algorithm of Pereyra, Stat. Comput. 26 (2016).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from pgm_jax.proximal import Splitting, data_first
from pgm_jax.samplers.base import Sampler
from pgm_jax.samplers.rows import ChainState, Rows
from pgm_jax.types import Key, Potential, Scalar


class MALAInfo(NamedTuple):
    """What a row reports.

    Attributes:
        estimate: point P that the chain was drawn to.
        lam: level of P.
        accepted: whether the proposal was accepted.
    """

    estimate: Array
    lam: Array
    accepted: Array


def proximal_mala(
    prior: Potential, likelihood: Potential, split: Splitting = data_first, beta: Scalar = 1.0
) -> Sampler:
    """The Metropolis-adjusted proximal Langevin algorithm, for `proximal_rows`; it starts at P of the noisy start.

    Args:
        prior: g, by its prox and its value.
        likelihood: f, likewise.
        split: how the prox of U = beta f + g is put together; it shapes the proposals, not the law.
        beta: inverse temperature of the likelihood.
    """

    def mean(x: Array, row: Rows) -> tuple[Array, Array]:
        estimate = split(prior, likelihood, beta * row.weight)(x, row.lam)
        return row.keep * x + row.pull * estimate, estimate

    def log_target(x: Array, row: Rows) -> Array:
        return -(beta * row.weight * likelihood.value(x) + prior.value(x))

    def init(key: Key, x: Array, row: Rows) -> ChainState:
        start = x + jnp.sqrt(row.lam) * jax.random.normal(key, x.shape, x.dtype)
        return ChainState(split(prior, likelihood, beta * row.weight)(start, row.lam))

    def step(key: Key, state: ChainState, row: Rows) -> tuple[ChainState, MALAInfo]:
        key_noise, key_accept = jax.random.split(key)
        x = state.x
        centre, estimate = mean(x, row)
        proposal = centre + row.noise * jax.random.normal(key_noise, x.shape, x.dtype)
        back, _ = mean(proposal, row)
        log_forth = -jnp.sum((proposal - centre) ** 2) / (2 * row.noise**2)
        log_back = -jnp.sum((x - back) ** 2) / (2 * row.noise**2)
        log_ratio = log_target(proposal, row) - log_target(x, row) + log_back - log_forth
        # False for NaN, which is infinity less infinity: from outside a constraint to outside it.
        accepted = jnp.log(jax.random.uniform(key_accept, (), x.dtype)) < log_ratio
        return ChainState(jnp.where(accepted, proposal, x)), MALAInfo(estimate, row.lam, accepted)

    return Sampler(init, step)
