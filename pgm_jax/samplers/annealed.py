"""Annealed proximal Langevin: the Langevin process of the Moreau score, down a ladder of levels lam_1 > ... > lam_L.

    u <- keep u + force F + noise xi          (keep, force, noise) = scheme(kappa, delta)
    joint      F = Prox_g^lam(u - beta lam grad f(u)) / lam      kappa = 1 / lam          towards exp(-M_U^lam)
    partial    F = Prox_g^lam(u) / lam - beta grad f(u)          kappa = 1 / lam + lam    towards
                                                                 exp(-[beta f + M_g^lam + lam |u|^2 / 2])

K_i steps of length delta_i are taken at level i, with the weight w_i on the likelihood. It is the second form of PGM
(arXiv 2605.13278) in its authors' code, which tunes the weights for point estimates; 1, Bayes' weight, is the default.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pgm_jax.proximal import forward_backward, parallel
from pgm_jax.samplers.base import Sampler
from pgm_jax.samplers.pgm import pgm
from pgm_jax.samplers.rows import Rows, Scheme, euler_maruyama, langevin, repeated
from pgm_jax.types import Potential, Prior, Scalar, Scalars

# lam -> delta
StepRule = Callable[[Array], Array]


def joint_langevin(prior: Prior, likelihood: Potential, beta: Scalar = 1.0) -> Sampler:
    """The joint form: the gradient step on the data is taken inside the prox of the prior.

    Formula: `F = Prox_g^lam(u - min(beta lam, h) grad f(u)) / lam`, h as in `forward_backward`; run it on
    `annealed(...)`.

    Args:
        prior: g, by its prox.
        likelihood: f, by its gradient; without a cap h stable while `beta lam L < 2`, L the Lipschitz constant of
            grad f.
        beta: inverse temperature of the likelihood.
    """
    return pgm(prior, likelihood, forward_backward, beta)


def partial_langevin(prior: Prior, likelihood: Potential, beta: Scalar = 1.0) -> Sampler:
    """The partial form: only the prior is smoothed, the data pull by their gradient.

    Formula: `F = Prox_g^lam(u) / lam - beta grad f(u)`; run it on `annealed(..., kappa=partial_rate)`.

    Args:
        prior: g, by its prox.
        likelihood: f, by its gradient; stable while `delta (beta L + kappa) < 2`.
        beta: inverse temperature of the likelihood.
    """
    return pgm(prior, likelihood, parallel, beta)


def joint_rate(lam: Float[Array, " n"]) -> Float[Array, " n"]:
    """The linear rate of the joint form, `kappa = 1 / lam`.

    Args:
        lam: levels.
    """
    return 1.0 / lam


def partial_rate(lam: Float[Array, " n"]) -> Float[Array, " n"]:
    """The linear rate of the partial form, `kappa = 1 / lam + lam`.

    Args:
        lam: levels.
    """
    return 1.0 / lam + lam


def linear_step(rate: Scalar) -> StepRule:
    """The step rule `delta = c lam`.

    Args:
        rate: c; 0.5 is a good start.
    """
    return lambda lam: rate * lam


def half_lam(lam: Float[Array, " n"]) -> Float[Array, " n"]:
    """The default step rule, `delta = lam / 2`.

    Args:
        lam: levels.
    """
    return 0.5 * lam


def quadratic_step(rate: Scalar) -> StepRule:
    """The step rule `delta = c lam^2`.

    Args:
        rate: c, in units of 1 / lam.
    """
    return lambda lam: rate * lam**2


def harmonic_step(rate: Scalar) -> StepRule:
    """The step rule `delta = c / (lam + 1 / lam)`, in which `kappa delta = c` for the partial form.

    Args:
        rate: c.
    """
    return lambda lam: rate / (lam + 1.0 / lam)


def capped(rule: StepRule, cap: Scalar) -> StepRule:
    """A step rule with a largest step, `delta = min(rule(lam), cap)`.

    Args:
        rule: step rule.
        cap: largest step, for instance 1 / (beta L) for the gradient of the data.
    """
    return lambda lam: jnp.minimum(rule(lam), cap)


def apportion(budget: int, shares: Sequence[float] | np.ndarray) -> tuple[int, ...]:
    """Split a number of steps among levels by their shares, one step at least for each; they add up to the budget.

    A process at lam needs a number of steps in proportion to 1 / lam to forget where it was, so `lam**-0.5` is a good
    compromise between the levels of a ladder.

    Args:
        budget: number of steps in all.
        shares: weight of each level, positive; their scale does not matter.

    Raises:
        ValueError: if there are fewer steps than levels, no level, or a share that is not positive.
    """
    weights = np.asarray(shares, float)
    if weights.ndim != 1 or not 1 <= weights.size <= budget or not np.all(weights > 0):
        raise ValueError(
            f"{budget} steps were asked for in the shares {shares}; give positive shares, one for each level, and at "
            "least one step a level."
        )
    exact = (budget - weights.size) * weights / weights.sum()
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: budget - weights.size - counts.sum()]] += 1
    return tuple(int(count) + 1 for count in counts)


def u_shaped(levels: int, budget: int) -> tuple[int, ...]:
    """How many steps to take at each level: most at both ends of the ladder, half as many in its middle.

    Formula: in proportion to `1 + (2 i / (L - 1) - 1)^2`.

    Args:
        levels: number of levels L, at least 1.
        budget: number of steps in all, at least one for each level.

    Raises:
        ValueError: if there are fewer steps than levels, or no level.
    """
    return apportion(budget, 1.0 + np.linspace(-1.0, 1.0, levels) ** 2)


def annealed(
    lam: Float[Array, " l"],
    counts: int | Sequence[int],
    rule: StepRule = half_lam,
    scheme: Scheme = euler_maruyama,
    kappa: Callable[[Array], Array] = joint_rate,
    weight: Scalars | str = "bayes",
) -> Rows:
    """The rows of an annealed Langevin process, `sum_i K_i` of them; end it by `with_last_prox`.

    Args:
        lam: ladder of levels, `[L]`, for instance `jnp.geomspace(lam_max, lam_min, L)`.
        counts: steps K_i at each level: one number for all, or one for each.
        rule: length of the steps at a level, lam -> delta: `half_lam`, `linear_step(c)`, `quadratic_step(c)` or
            `harmonic_step(c)`, or one of them `capped`.
        scheme: (kappa, delta) -> coefficients: `euler_maruyama`, `exponential` or `imex`.
        kappa: linear rate at a level: `joint_rate` or `partial_rate`.
        weight: factor on the likelihood at each level, `[L]` or one number; "bayes" is 1.

    Raises:
        ValueError: if the counts or weights are not as many as the levels, or `weight` is another word than "bayes".
    """
    levels = lam.shape[0]
    if isinstance(weight, str) and weight != "bayes":
        raise ValueError(f'The weight is "{weight}"; it is "bayes", a number, or one number for each level.')
    weights = jnp.asarray(1.0 if isinstance(weight, str) else weight, lam.dtype)
    if weights.shape not in ((), (levels,)):
        raise ValueError(f"The weights have the shape {weights.shape}; give one number, or {levels}, one a level.")
    index = np.repeat(np.arange(levels), repeated(counts, levels))
    each = lam[index]
    return langevin(each, rule(each), scheme, kappa(each), weight=jnp.broadcast_to(weights, (levels,))[index])
