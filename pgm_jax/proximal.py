"""Proximal maps, Moreau envelopes and scores, and the splittings of the prox of a posterior.

One convention everywhere:

    Prox_g^lam(v) = argmin_u g(u) + |u - v|^2 / (2 lam)         lam is a variance, in squared units of v
    M_g^lam(v)    = min_u    g(u) + |u - v|^2 / (2 lam)         grad M = (v - Prox) / lam

A splitting makes, of a prior g and a likelihood f, a prox of U = f + g, or what stands for one, and that is all that a
sampler sees. Of another inverse temperature than 1 it is given `tempered(f, beta)`.

Source: PGM (arXiv 2605.13278) for the Moreau score; Moreau 1965 for the rest.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from pgm_jax.tracing import as_partial
from pgm_jax.types import Potential, Prior, Prox, Scalar

# (prior, likelihood) -> Prox of U = f + g; most ask a prior for its prox alone
Splitting = Callable[[Any, Any], Prox]


def moreau_envelope(potential: Potential, v: Float[Array, "..."], lam: Scalar) -> Float[Array, ""]:
    """The Moreau envelope, `M(v) = g(p) + |p - v|^2 / (2 lam)` with `p = Prox_g^lam(v)`.

    Args:
        potential: g.
        v, lam: point, and step of the prox, positive.
    """
    p = potential.prox(v, lam)
    return potential.value(p) + jnp.sum((p - v) ** 2) / (2 * lam)


def moreau_score(prox: Prox, x: Float[Array, "..."], lam: Scalar, mu: Scalar = 1.0) -> Float[Array, "..."]:
    """The Moreau score, `(mu Prox_U^lam(x / mu) - x) / (mu^2 lam)`; with mu = 1, `(Prox_U^lam(x) - x) / lam`.

    It stands where Tweedie's formula has the posterior mean of x_0 in place of the prox, its mode.

    Args:
        prox: proximal map of U.
        x: noisy point, `x = mu x_0 + sigma eps`.
        lam: level sigma^2 / mu^2, positive.
        mu: signal that is left in x.
    """
    return (mu * prox(x / mu, lam) - x) / (mu**2 * lam)


def conjugate(prox: Prox) -> Prox:
    """The proximal map `v - lam prox(v / lam, 1 / lam)` of the conjugate g* of a convex g, whose own is `prox`."""
    return Partial(_conjugate, as_partial(prox))


def _conjugate(prox: Prox, v: Array, lam: Scalar) -> Array:
    return v - lam * prox(v / lam, 1.0 / lam)


def data_first(prior: Prior, likelihood: Potential) -> Prox:
    """Implicit data step, then the prior: `P(v) = Prox_g^lam(Prox_f^lam(v))`.

    It has no step limit, and ends on the prior: a hard constraint in g holds exactly.

    Args:
        prior, likelihood: g and f, by their proximal maps.
    """
    return Partial(_data_first, prior, likelihood)


def _data_first(prior: Prior, likelihood: Potential, v: Array, lam: Scalar) -> Array:
    return prior.prox(likelihood.prox(v, lam), lam)


def prior_first(prior: Prior, likelihood: Potential) -> Prox:
    """The prior, then an implicit data step: `P(v) = Prox_f^lam(Prox_g^lam(v))`.

    The same two steps as `data_first`, and as half-quadratic splitting, taken in the other order: it ends on the data.
    A nonlinear operator is then linearised at an image, and not at one with the noise of the level.

    Args:
        prior, likelihood: g and f, by their proximal maps.
    """
    return Partial(_prior_first, prior, likelihood)


def _prior_first(prior: Prior, likelihood: Potential, v: Array, lam: Scalar) -> Array:
    return likelihood.prox(prior.prox(v, lam), lam)


def forward_backward(prior: Prior, likelihood: Potential, max_step: Scalar | None = None) -> Prox:
    """A gradient step on the data, then the prior: `P(v) = Prox_g^lam(v - min(lam, h) grad f(v))`.

    With h infinite it is the splitting of PGM, stable only while the step is below 2 / L, L the Lipschitz constant of
    grad f.

    Args:
        prior, likelihood: g, by its prox, and f, by its gradient.
        max_step: cap h of the gradient step; by default the `step_limit` of a likelihood that has one, 1 / L for an
            operator's, and infinite, as in the paper, for any other.
    """
    cap = getattr(likelihood, "step_limit", jnp.inf) if max_step is None else max_step
    return Partial(_forward_backward, prior, likelihood, jnp.asarray(cap, float))


def _forward_backward(prior: Prior, likelihood: Potential, cap: Array, v: Array, lam: Scalar) -> Array:
    return prior.prox(v - jnp.minimum(lam, cap).astype(v.dtype) * likelihood.grad(v), lam)


def exact(prior: Any, likelihood: Any) -> Prox:
    """The data step, then the prior in the metric of what is left to know: `P(v) = Prox_g^Sigma(Prox_f^lam(v))`.

    With `Sigma = (A^T A / sigma^2 + I / lam)^{-1}` this *is* the prox of U = f + g for Gaussian noise and a linear A,
    in one data step and one call of the prior; of a prior that answers with means, `E[x_0 | v, y]`. A nonlinear A is
    linearised at the data step.

    Args:
        prior: g, with `prox_metric(mu, Sigma)`: a `MetricProxNet`, a `Gaussian`, a `Mixture` or a `Denoiser` of one of
            the two, a `Quadratic`, or for masks `Laplace`, `Box` and `Ball`.
        likelihood: f, with `metric(mu, lam)`, as that of Gaussian noise has it.

    Raises:
        TypeError: if the prior or the likelihood has no such method.
        ValueError: when the prox is called, if `prox_metric` returns no real array of the shape that it was given.
    """
    if not callable(getattr(prior, "prox_metric", None)):
        raise TypeError(
            f"{type(prior).__name__.lstrip('_')} has no `prox_metric(mu, Sigma)`: it knows noise that is the same "
            "everywhere, and the exact step needs its answer for noise of any covariance. Take `data_first`."
        )
    if not hasattr(likelihood, "metric"):
        raise TypeError(
            f"{type(likelihood).__name__} has no `metric(mu, lam)`, the covariance that its measurement leaves; that "
            "of Gaussian noise has. Take `data_first`."
        )
    return Partial(_exact, prior, likelihood)


def _exact(prior: Any, likelihood: Any, v: Array, lam: Scalar) -> Array:
    mu = likelihood.prox(v, lam)
    out = prior.prox_metric(mu, likelihood.metric(mu, lam))
    if getattr(out, "shape", None) != mu.shape or jnp.iscomplexobj(out):
        given = f"{out.dtype} of the shape {out.shape}" if hasattr(out, "dtype") else type(out).__name__
        raise ValueError(
            f"`prox_metric` of the prior, a {type(prior).__name__}, returned {given} for a point of {mu.shape}; it is "
            "to return a real point of the same shape."
        )
    return out


def parallel(prior: Prior, likelihood: Potential) -> Prox:
    """The prior's prox and the data's gradient at one point: `P(v) = Prox_g^lam(v) - lam grad f(v)`.

    Then `(P(v) - v) / lam = -grad(f + M_g^lam)(v)`: only the prior is smoothed. A hard constraint in g does not hold
    exactly. It is for Langevin steps, stable while their length times L is below 2.

    Args:
        prior, likelihood: g, by its prox, and f, by its gradient.
    """
    return Partial(_parallel, prior, likelihood)


def _parallel(prior: Prior, likelihood: Potential, v: Array, lam: Scalar) -> Array:
    return prior.prox(v, lam) - lam * likelihood.grad(v)


def explicit(prior: Potential, likelihood: Potential) -> Prox:
    """A gradient step on both: `P(v) = v - lam (grad f(v) + grad g(v))`.

    Not a prox: the step that methods without proximal maps take, with a subgradient where g has a kink.

    Args:
        prior, likelihood: g, by its gradient or a subgradient, and f, by its gradient.
    """
    return Partial(_explicit, prior, likelihood)


def _explicit(prior: Potential, likelihood: Potential, v: Array, lam: Scalar) -> Array:
    return v - lam * (likelihood.grad(v) + prior.grad(v))
