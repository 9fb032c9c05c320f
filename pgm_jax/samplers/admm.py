"""ADMM: the alternating direction method of multipliers, for the mode of `pi ~ exp(-U)`, `U = f + g`.

    x+ = Prox_f^lam(z - lam y)          (3.5), the data side
    z+ = Prox_g^lam(x+ + lam y)                (3.6), the prior side
    y+ = y + (x+ - z+) / lam                   (3.7), the price of x = z

The source has `rho = 1 / lam` and the scaled dual `u = lam y`. Here y itself is carried: u has to be rescaled whenever
lam changes, by the ratio of the new to the old one, and y never, so that lam may differ from row to row.

With convex f and g a run converges at every constant lam > 0, and at one that changes in finitely many rows or by
amounts with a finite sum (He, Yang and Wang, J. Optim. Theory Appl. 106, 2000); lam sets the speed and not the limit.
At the limit x = z, y is a gradient of g and -y one of f.

It is the iteration of a map of the point z + lam y alone (Eckstein and Bertsekas, Math. Program. 55, 1992), which moves
by x+ - z in a row. For convex f and g, at a constant lam, that map does not expand: from the second row on the length
of this move never grows, while the largest entries of the residuals may.

Other orders of the updates are the same method: x, y, z is that of `admm(likelihood, prior)`, f and g exchanged, and
z, x, y starts it a step later. Several priors are one of as many copies of the image, see
`pgm_jax.potentials.consensus`.

Source: Boyd et al., Foundations and Trends in Machine Learning 3 (2011), whose equations are numbered above.
"""

import warnings
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array

from pgm_jax.operators.checks import check_number, check_whole
from pgm_jax.potentials.base import check_largest_step
from pgm_jax.samplers.base import Sampler
from pgm_jax.tracing import is_traced
from pgm_jax.types import Key, Prior, Scalar


class ADMMState(NamedTuple):
    """What a run carries.

    Attributes:
        x: z of the formulas, the prior side and the point to return: a constraint in g holds exactly at every row, and
            with a learned prior it is the image that the network made.
        y: the dual, in units of U per x; it is 0 at the start.
        correction: what the data step of the last row added to its point; a data step that iterates starts from it.
    """

    x: Array
    y: Array
    correction: Array


class ADMMInfo(NamedTuple):
    """What a row reports; all norms but that of `move` are the largest entry.

    Attributes:
        estimate: z+, the prior side.
        data: x+, the data side.
        primal: `max |x+ - z+|`, in units of x.
        dual: `max |z+ - z| / lam`, in units of U per x.
        residual: `max(primal / lam, dual)`, 0 at a minimiser alone; `primal / lam` is the step of y.
        move: `|x+ - z|`, Euclidean, in units of x: the fixed-point residual, which never grows for convex f and g.
    """

    estimate: Array
    data: Array
    primal: Array
    dual: Array
    residual: Array
    move: Array


def admm(prior: Prior, likelihood: Prior) -> Sampler:
    """The minimiser of `f + g` by alternating proximal steps that agree on a dual.

    The rows are the steps lam = 1 / rho, `[n]`, a plain array of positive numbers that may vary, see the head of this
    file. The result is `state.x`, the z of the formulas, which is the prior's side. `init` starts at the given point,
    without noise, and no key is used.

    A prior whose prox is that of no convex g, a learned one, is taken to a fixed point
    `z = Prox_g^lam(z - lam grad f(z))` if the run converges; where its prox disregards lam, the fixed point
    depends on lam, which is then the strength of the data term.

    Args:
        prior, likelihood: g and f, by their proximal maps.
    """
    return Sampler(Partial(_init), Partial(_step, prior, likelihood))


def _init(key: Key, x: Array, lam: Scalar) -> ADMMState:
    return ADMMState(x, jnp.zeros_like(x), jnp.zeros_like(x))


def _step(prior: Prior, likelihood: Any, key: Key, state: ADMMState, lam: Scalar) -> tuple[ADMMState, ADMMInfo]:
    # With the last correction as first guess few iterations a row converge with the rows. It lies in the range of the
    # adjoint, and so touches nothing that A does not see.
    data_step = getattr(likelihood, "prox_from", lambda v, lam, start: likelihood.prox(v, lam))
    v = state.x - lam * state.y
    data = data_step(v, lam, v + state.correction)
    x = prior.prox(data + lam * state.y, lam)
    primal, dual = jnp.max(jnp.abs(data - x)), jnp.max(jnp.abs(x - state.x)) / lam
    info = ADMMInfo(x, data, primal, dual, jnp.maximum(primal / lam, dual), jnp.linalg.norm(data - state.x))
    return ADMMState(x, state.y + (data - x) / lam, data - v), info


def plug_and_play_rows(prior: Any, likelihood: Any, lam: Scalar, count: int) -> Array:
    """The rows of `admm` with a learned prior: one step lam, `[n]`, whose `rho = 1 / lam` is held against its bound.

    With a learned proximal network of 0 < alpha < 1, whose prior need not be convex, ADMM is known to converge for
    `rho > |A^T A|`, thus for rho above the Lipschitz constant of grad f: `lam < step_limit`. Source: LPN (Fang,
    Buchanan and Sulam, ICLR 2024). A network that was trained at sigma has no prox above `lam = sigma^2`.

    Args:
        prior: g, with its `largest_step` if its prox has one.
        likelihood: f, with its `step_limit`.
        lam: step, positive.
        count: number of rows n, at least 1.

    Raises:
        ValueError: if lam is not positive, or above the largest step of the prior, or `count` is below 1.
        TypeError: if `count` is not a whole number.

    Warns:
        UserWarning: if lam is at the bound or above, or the likelihood has none, with the numbers.
    """
    count = check_whole("count is the number of rows", count, 1)
    lam = check_number("lam is the step of ADMM", lam, above=0)
    check_largest_step(prior, lam, "The step of ADMM is", "take a smaller lam.")
    limit = getattr(likelihood, "step_limit", jnp.inf)
    if not is_traced((lam, limit)) and not float(lam) < float(limit) < float("inf"):
        rho = f"rho = 1 / lam = {1 / float(lam):.4g}"
        if float(limit) == float("inf"):
            said = f"{type(likelihood).__name__} has no `step_limit`: whether ADMM converges at {rho} is not known."
        else:
            said = (
                "ADMM with a learned proximal network is known to converge where rho is above "
                f"{1 / float(limit):.4g}, and {rho}; "
                "it often does below: `residual` and `move` of its info tell. Take a smaller lam to be sure."
            )
        warnings.warn(said, stacklevel=2)
    return jnp.full((count,), lam, float)
