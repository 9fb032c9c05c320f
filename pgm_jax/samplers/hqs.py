"""Half-quadratic splitting: alternate between the data and the prior, at levels that fall.

    x  = Prox_f^lam(z)          the data side
    z+ = Prox_g^lam(x)                 the prior side

These are alternating minimisations of `f(x) + g(z) + |x - z|^2 / (2 lam)`. At a constant lam they are proximal
gradient steps on the Moreau envelope of the data term, `z+ = Prox_g^lam(z - lam grad M_f^lam(z))`, and converge
to the minimiser of `M_f^lam + g`, which is off that of `f + g` by O(lam). Hence levels that fall, but not
too fast: while they are at lam the error can only shrink by a factor of about `1 - lam m` a row, m the modulus of
convexity. For strongly convex U a run reaches the minimiser if the levels are square-summable and not summable, as
1 / k is; a geometric grid stops short, the nearer the more rows it has. `fista` and `admm` have no such limit.

Sources: Geman and Yang, IEEE Trans. Image Processing 4 (1995); Passty, J. Math. Anal. Appl. 72 (1979) for the levels.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array

from pgm_jax.samplers.base import Sampler
from pgm_jax.types import Key, Potential, Prior, Scalar


class HQSState(NamedTuple):
    """What a run carries: x, the prior side z and the point to return, so that a constraint in g holds exactly."""

    x: Array


class HQSInfo(NamedTuple):
    """What a row reports; all norms are the largest entry.

    Attributes:
        estimate: z+, the prior side.
        data: x, the data side.
        residual: `max |z+ - z| / lam`, in units of U per x; it is 0 at a minimiser of `M_f^lam + g` alone.
        gap: `max |x - z+|`, in units of x; what is left of it at residual 0 is the error of the splitting, O(lam).
    """

    estimate: Array
    data: Array
    residual: Array
    gap: Array


def hqs(prior: Prior, likelihood: Potential) -> Sampler:
    """The minimiser of `f + g` by half-quadratic splitting at levels that fall, `z <- Prox_g^lam(Prox_f^lam(z))`.

    The rows are the levels lam, `[n]`, a plain array of positive numbers, see the head of this file. `init` starts at
    the given point, without noise, and no key is used. It is the iteration of the splitting `data_first`, and so what
    `pgm` does on rows with mu = 1, keep = 0, pull = 1 and noise = 0; here the two sides are reported.

    Args:
        prior, likelihood: g and f, by their proximal maps.
    """
    return Sampler(Partial(_init), Partial(_step, prior, likelihood))


def _init(key: Key, x: Array, lam: Scalar) -> HQSState:
    return HQSState(x)


def _step(prior: Prior, likelihood: Potential, key: Key, state: HQSState, lam: Scalar) -> tuple[HQSState, HQSInfo]:
    data = likelihood.prox(state.x, lam)
    x = prior.prox(data, lam)
    return HQSState(x), HQSInfo(x, data, jnp.max(jnp.abs(x - state.x)) / lam, jnp.max(jnp.abs(data - x)))
