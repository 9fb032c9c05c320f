"""The linear steps that nearly every sampler here takes, as rows of numbers.

    x <- keep x + pull P + noise xi        P = prox((x + probe xi) / mu, lam)

P is the point that the step is drawn to: a proximal map, a splitting of one, or a posterior mean. Methods differ in P
and in the rows, and nothing else: reverse diffusions, their correctors, annealed and plain Langevin processes. One
evaluation of P, the only costly thing, serves each row, and sweeping the numbers never recompiles.

The integrator. Freeze `P = Prox_U^lam(x_t / mu_t)` over the step from t to s < t. The reverse SDE is then linear, and
its solution is the Gaussian bridge to P (PGM, arXiv 2605.13278, here for every schedule and noise share eta):

    noise^2 = eta^2 mu_s^2 lam_s (1 - lam_s / lam_t)
    keep    = (mu_s / mu_t) sqrt((lam_s - eta^2 lam_s (1 - lam_s / lam_t)) / lam_t)
    pull    = mu_s - keep mu_t

eta = 1 is the reverse SDE, eta = 0 the probability flow. At lam_s = 0 the step returns P itself: no early stopping is
needed, and a hard constraint in the prior holds exactly.

A bridge to P is too narrow by what P leaves open: where P is the mean of x_0 given x_t, and V its variance there,
the step has the first two moments of the true one with `noise^2 + pull^2 V` (Bao et al., Analytic-DPM, arXiv
2201.06503, theorem 1). For white noise as the prior every step is right but the last, which
returns P.
"""

import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pgm_jax.operators.checks import check_array, check_number, check_whole
from pgm_jax.samplers.schemes import Scheme, euler_maruyama, exponential, half_probed, leimkuhler_matthews
from pgm_jax.schedules import Levels, geometric_levels
from pgm_jax.tracing import is_traced
from pgm_jax.types import Scalar, Scalars, pytree


@pytree
class Rows:
    """The grid of a run: steps `x <- keep x + pull P + noise xi`, `P = prox((x + probe xi) / mu, lam)`; all `[n]`.

    Attributes:
        mu: signal at the level where P is taken.
        lam: level of P, a variance in the squared units of x.
        keep: weight of the present point.
        pull: weight of P.
        noise: factor on xi, standard normal, in the step.
        probe: factor on the same xi in the point where P is taken.
    """

    mu: Float[Array, " n"]
    lam: Float[Array, " n"]
    keep: Float[Array, " n"]
    pull: Float[Array, " n"]
    noise: Float[Array, " n"]
    probe: Float[Array, " n"]


def bridge(levels: Levels, eta: Scalar = 1.0, variance: Scalars = 0.0) -> Rows:
    """The rows of the exponential integrator, one for each level; the last one returns P.

    Formula, for a step from t to s: `fresh = eta^2 lam_s (1 - lam_s / lam_t)`,
    `keep = (mu_s / mu_t) sqrt((lam_s - fresh) / lam_t)`, `pull = mu_s - keep mu_t`,
    `noise^2 = mu_s^2 fresh + pull^2 V`, without V in the last row.

    Args:
        levels: nodes of the grid, n + 1 of them, ending at lam = 0.
        eta: share of fresh noise in [0, 1]: 1 for the reverse SDE, 0 for the probability flow.
        variance: V, the variance of an entry of x_0 around P, in the squared units of x, at least 0: one number, or one
            for each row, `[n]`; 0 for a bridge to P.

    Raises:
        ValueError: if the levels do not fall, eta is not in [0, 1], or a variance is negative or not finite, or they
            are not n.
        TypeError: if eta is no number.
    """
    eta = check_number("eta is the share of fresh noise", eta, least=0, most=1)
    if not is_traced(levels) and np.any(np.diff(np.asarray(levels.lam)) >= 0):
        raise ValueError(f"The levels are to fall, and are {np.asarray(levels.lam)}.")
    given = check_array("the variance around P", variance)
    if not is_traced(given) and (least := np.min(np.asarray(given), initial=0)) < 0:
        raise ValueError(f"The variance around P goes down to {least:.4g}; it is at least 0.")
    variance = jnp.asarray(given, levels.lam.dtype)
    if variance.shape not in ((), levels.lam[1:].shape):
        raise ValueError(
            f"The variance around P has the shape {variance.shape}; give one number, or one for each of the "
            f"{levels.lam.shape[0] - 1} rows."
        )
    mu, mu_next = levels.mu[:-1], levels.mu[1:]
    lam, lam_next = levels.lam[:-1], levels.lam[1:]
    fresh = eta**2 * lam_next * (1.0 - lam_next / lam)
    keep = (mu_next / mu) * jnp.sqrt((lam_next - fresh) / lam)
    pull = mu_next - keep * mu
    noise = jnp.sqrt(mu_next**2 * fresh + jnp.where(lam_next > 0, pull**2 * variance, 0.0))
    return Rows(mu, lam, keep, pull, noise, jnp.zeros_like(lam))


def euler(levels: Levels, eta: Scalar = 1.0) -> Rows:
    """The rows of the Euler-Maruyama method for a reverse diffusion, in clean space with lam as its clock.

    Formula: `du = (1 + eta^2) / 2 (P - u) dlam / lam + eta sqrt(dlam) xi` for u = x / mu, lam falling. The first-order
    step reaches lam = 0 with the point itself weighted by (1 - eta^2) / 2: at eta = 1 it ends on P.

    Args:
        levels: nodes of the grid, n + 1 of them; the last may be lam = 0.
        eta: share of fresh noise in [0, 1]: 1 for the reverse SDE, 0 for the probability flow.
    """
    mu, mu_next = levels.mu[:-1], levels.mu[1:]
    lam, lam_next = levels.lam[:-1], levels.lam[1:]
    towards = 0.5 * (1.0 + eta**2) * (1.0 - lam_next / lam)
    # The last step, to lam = 0, is without noise, as in DDPM.
    noise = jnp.where(lam_next > 0, eta * jnp.sqrt(lam - lam_next), 0.0)
    return Rows(mu, lam, mu_next / mu * (1.0 - towards), mu_next * towards, mu_next * noise, jnp.zeros_like(lam))


def langevin(
    lam: Scalars,
    delta: Scalars,
    counts: int | Sequence[int] = 1,
    scheme: Scheme = euler_maruyama,
    kappa: Scalars | None = None,
    mu: Scalars = 1.0,
) -> Rows:
    """The rows of Langevin steps `du = (-kappa u + P / lam) dtau + sqrt(2) dB`, sum_i K_i of them.

    At one level they are a plain process; down a ladder of levels lam_1 > ... > lam_L an annealed one, the second form
    of PGM (arXiv 2605.13278): joint with the splitting `forward_backward`, partial with `parallel` and
    `kappa = 1 / lam + lam`. End it by `with_last_prox`.

    Args:
        lam: levels, `[L]` or one number, positive.
        delta: length of the steps at each level, likewise, in units of lam: `0.5 * lam` is a good start; a splitting
            with an explicit step on the data wants at most 1 / L.
        counts: steps K_i at each level: one number for all, or one for each.
        scheme: (kappa, delta) -> coefficients.
        kappa: linear rate at each level, likewise; 1 / lam if None.
        mu: signal at each level, likewise.

    Raises:
        ValueError: if a count is negative, or if they are not as many as the levels.
    """
    lam = jnp.atleast_1d(jnp.asarray(lam, float))
    mu, delta, kappa = (
        jnp.broadcast_to(jnp.asarray(a, lam.dtype), lam.shape)
        for a in (mu, delta, 1.0 / lam if kappa is None else kappa)
    )
    keep, force, noise, probe = scheme(kappa, delta)
    rows = Rows(mu, lam, keep, mu * force / lam, mu * noise, mu * probe)
    index = np.repeat(np.arange(lam.shape[0]), _repeated(counts, lam.shape[0]))
    return jax.tree.map(lambda a: a[index], rows)


def proximal_rows(delta: Scalar, count: int) -> Rows:
    """The rows of P-ULA and proximal MALA: `count` times the prox at lam = delta / 2 and noise of variance `delta`."""
    each = jnp.full((count,), jnp.asarray(delta, float))
    one, nothing = jnp.ones_like(each), jnp.zeros_like(each)
    return Rows(one, each / 2, nothing, one, jnp.sqrt(each), nothing)


def with_corrector(
    rows: Rows, steps: int | Sequence[int], rate: Scalar = 0.5, scheme: Scheme = leimkuhler_matthews
) -> Rows:
    """Put Langevin steps of the Moreau score before each row, at its level: n rows become n + sum_i K_i.

    Formula: `delta = c lam'` at the level `lam' = lam / (1 - q^2)`, q the probe of the scheme at lam = 1.

    The integrator alone does not converge to the posterior where the potential is not quadratic; with these steps it
    does, as the rate and the gaps between the levels shrink. What a finite rate c does to a variance v + lam, where v
    is that of the target in one direction: nothing under `leimkuhler_matthews`. The factor is `1 / (1 - c / 2)` where
    v << lam and 1 where v >> lam under `euler_maruyama`, `(2 - c / 2)^2 / ((4 - 2 c) (1 - c / 8))` and 1 under
    `half_probed`; 1 and `(1 + e^{-c}) / 2` under `exponential`.

    Args:
        rows: rows of a predictor, from `bridge`.
        steps: corrector steps K_i at each level, 0 or more: one number for all, or one for each row.
        rate: step c = delta / lam of the Langevin process, below 2 in the explicit schemes; infinity in `exponential`
            noises P afresh. Small rates are exact and slow, large ones fast.
        scheme: (kappa, delta) -> coefficients.

    Raises:
        ValueError: if a number of steps is negative, or if they are not as many as the rows.
    """
    counts = _repeated(steps, rows.lam.shape[0])
    # The chain stands at lam and looks from lam', where the probe's noise has been added.
    seen = rows.lam / (1.0 - scheme(1.0, rate).probe ** 2)
    corrector = langevin(seen, rate * seen, scheme=scheme, mu=rows.mu)

    # Row i of the corrector K_i times, then row i of the predictor.
    count = rows.lam.shape[0]
    order = np.concatenate([[i] * k + [count + i] for i, k in enumerate(counts)]).astype(int)
    return jax.tree.map(lambda c, p: jnp.concatenate([c, p])[order], corrector, rows)


def corrected_rows(
    levels: int = 10,
    correctors: int | Sequence[int] = 9,
    lam_max: Scalar = 4.0,
    lam_min: Scalar = 1e-3,
    rate: Scalar = 1.0,
    scheme: Scheme = leimkuhler_matthews,
) -> Rows:
    """The rows of the corrected sampler on a geometric grid: at every level Langevin steps, then one of the integrator.

    They tend to the posterior as levels and correctors grow and lam_min falls. A chain starts at zeros and noise of the
    variance lam_max, which is to be well above the spread of the prior about 0.

    Args:
        levels: number of levels, at least 1.
        correctors: Langevin steps at each level, 0 or more: one number for all, or one for each.
        lam_max, lam_min: highest and lowest level of the prox, variances in the squared units of the images.
        rate: step of the correctors in units of lam, see `with_corrector`.
        scheme: (kappa, delta) -> coefficients.

    Raises:
        ValueError: if there is no level, or a number of correctors that does not fit.
    """
    # The chain stands below the level that its probes see, which is not to be above lam_max.
    top = lam_max * (1.0 - scheme(1.0, rate).probe ** 2)
    return with_corrector(bridge(geometric_levels(top, lam_min, levels)), correctors, rate, scheme)


def default_rows(calls: int, setting: str = "calibrated") -> Rows:
    """The grid of `restore`: at each of a few levels correctors and one step of the integrator.

    A level takes 10 to 20 calls; what does not divide evenly goes to the last one. With fewer than twenty calls the
    integrator runs alone.

    Args:
        calls: number of evaluations of the prior's prox, at least 1.
        setting: "calibrated", whose samples spread about as much as they err, or "sharp", whose single samples have the
            highest PSNR and claim too much: on the bundled images the mean is then 1.5 to 1.8 deviations off, where
            exact samples would be 1.06.

    Raises:
        ValueError: if `calls` is below 1 or the setting unknown.
        TypeError: if `calls` is not a whole number.
    """
    calls = check_whole("calls is the number of network calls of each sample", calls, 1)
    if setting not in _SETTINGS:
        raise ValueError(f"The setting is {setting!r}; it is one of {', '.join(map(repr, _SETTINGS))}.")
    each, options = _SETTINGS[setting]
    if calls < 20:
        return corrected_rows(calls, 0, **{**options, "rate": 0.0})
    levels = max(min(calls // 10, 5), calls // each)
    correctors = np.full(levels, calls // levels - 1)
    correctors[-1] += calls % levels
    return corrected_rows(levels, correctors.tolist(), **options)


def exact_rows(
    calls: int, lam_max: Scalar = 25.0, lam_min: Scalar = 1e-3, *, share: Scalar = 0.4, std: Scalar = 0.5
) -> Rows:
    """The grid of `restore` for the exact step: the integrator alone, on geometric levels.

    Where P is the mean of the posterior, the integrator is the reverse diffusion of it, and needs no corrector. A
    single call is the mean of the posterior, up to the little that the starting point says at the highest level.

    Formula: `bridge` with the variance `share s^2 lam / (s^2 + lam)`, a share of what white noise of deviation s leaves
    at lam where nothing is measured. Where A measures less is left, and two or three calls are too wide.

    Args:
        calls: number of evaluations of the prior, at least 1.
        lam_max, lam_min: highest and lowest level, variances in the squared units of the images.
        share: in [0, 1]: 1 for white noise, less for images, whose pixels tell of each other, 0 for bridges to P.
        std: s, the deviation of the data, in the units of the images, positive.

    Raises:
        ValueError: if `calls` is below 1, the levels do not fall to a positive one, `share` is not in [0, 1], or `std`
            is not positive.
        TypeError: if `calls` is not a whole number, or one of the others no number.
    """
    calls = check_whole("calls is the number of network calls of each sample", calls, 1)
    share = check_number("share is how much of the variance of white noise the integrator adds", share, least=0, most=1)
    std = check_number("std is the deviation of the data", std, above=0)
    levels = geometric_levels(lam_max, lam_min, calls)
    return bridge(levels, variance=share * std**2 * levels.lam[:-1] / (std**2 + levels.lam[:-1]))


# Calls at a level, and the rest of the grid.
_SETTINGS: dict[str, tuple[int, dict[str, Any]]] = dict(
    calibrated=(16, dict(scheme=half_probed, rate=1.0, lam_max=4.0, lam_min=1e-3)),
    sharp=(10, dict(scheme=exponential, rate=1.0, lam_max=25.0, lam_min=4e-4)),
)


def with_last_prox(rows: Rows, lam: Scalar) -> Rows:
    """Append a row that returns P at a small level; it removes the noise that a Langevin process ends with.

    Args:
        rows, lam: rows of a process in clean space, mu = 1 at its end, and level of the last P.
    """
    last = Rows(*(jnp.asarray([value], rows.lam.dtype) for value in (1.0, lam, 0.0, 1.0, 0.0, 0.0)))
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), rows, last)


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


def _repeated(steps: int | Sequence[int], levels: int) -> tuple[int, ...]:
    """The number of steps at each level, from one number for all or from one for each."""
    text = f"{steps} steps were asked for at {levels} levels; give one number, or {levels}, from 0 up."
    try:
        counts = tuple(map(operator.index, np.repeat(np.atleast_1d(steps), 1 if np.ndim(steps) else levels)))
    except TypeError as error:
        raise TypeError(text) from error
    if len(counts) != levels or min(counts, default=0) < 0:
        raise ValueError(text)
    return counts
