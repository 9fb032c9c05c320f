"""FISTA: the accelerated proximal gradient method, for the mode of `pi ~ exp(-U)`, `U = f + g`.

    x+ = Prox_g^tau(z - tau grad f(z))                   (4.1)
    t+ = (1 + sqrt(1 + 4 t^2)) / 2                            (4.2)
    z+ = x+ + (t - 1) / t+ (x+ - x)                           (4.3)
    restart: t+ = 1 and z+ = x+ where <z - x+, x+ - x> > 0

It is the one that needs no prox of the likelihood: only its gradient, with a step below `1 / L`, L the Lipschitz
constant of grad f; `|A|^2 / sigma^2` for the Gaussian likelihood of an operator.

For convex f and g, a constant step tau and no restart, `U(x_k) - U* <= 2 |x_0 - x*|^2 / (tau (k + 1)^2)` (4.4). The
restart drops the momentum when it points uphill; where U is strongly convex the error then falls geometrically, without
the modulus having to be known.

Sources: Beck and Teboulle, SIAM J. Imaging Sciences 2 (2009), whose equations are numbered above; O'Donoghue and
Candes, Found. Comput. Math. 15 (2015), for the gradient scheme of adaptive restart.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array

from pgm_jax.samplers.base import Sampler
from pgm_jax.types import Key, Potential, Prior, Scalar


class FISTAState(NamedTuple):
    """What a run carries.

    Attributes:
        x: the iterate, the point to return; it comes out of the prior's prox, so that a constraint in g holds exactly.
        z: the extrapolated point, from which the next step is taken.
        t: the momentum's counter, 1 at the start and after a restart.
    """

    x: Array
    z: Array
    t: Array


class FISTAInfo(NamedTuple):
    """Diagnostics of a row.

    Attributes:
        estimate: x+.
        residual: `max |z - x+| / tau`, the largest entry of the gradient mapping at z, in units of U per x; it is 0
            at a minimiser alone, and `dist(0, dU(x+)) <= 2 |z - x+| / tau` for `tau <= 1 / L`.
        restarted: whether the momentum was dropped.
    """

    estimate: Array
    residual: Array
    restarted: Array


def fista(prior: Prior, likelihood: Potential) -> Sampler:
    """The minimiser of `f + g` by accelerated proximal gradient steps with adaptive restart.

    The rows are the steps tau, `[n]`, a plain array: positive, constant or falling, at most `1 / L`, see the head of
    this file. `init` starts at the given point, without noise, and no key is used.

    A prior whose prox is that of no convex g, a learned one, is taken to a fixed point
    `x = Prox_g^tau(x - tau grad f(x))`; where its prox disregards tau, the fixed point depends on tau.

    Args:
        prior, likelihood: g, by its prox, and f, by its gradient alone.
    """
    return Sampler(Partial(_init), Partial(_step, prior, likelihood))


def _init(key: Key, x: Array, tau: Scalar) -> FISTAState:
    return FISTAState(x, x, jnp.ones((), x.dtype))


def _step(prior: Prior, likelihood: Any, key: Key, state: FISTAState, tau: Scalar) -> tuple[FISTAState, FISTAInfo]:
    x = prior.prox(state.z - tau * likelihood.grad(state.z), tau)
    restarted = jnp.sum((state.z - x) * (x - state.x)) > 0
    t = jnp.where(restarted, 1.0, (1.0 + jnp.sqrt(1.0 + 4.0 * state.t**2)) / 2.0)
    z = x + jnp.where(restarted, 0.0, (state.t - 1.0) / t) * (x - state.x)
    return FISTAState(x, z, t), FISTAInfo(x, jnp.max(jnp.abs(state.z - x)) / tau, restarted)
