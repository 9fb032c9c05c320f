"""The samplers that are tried on a Gaussian posterior, each with its rows and its target in dense matrices."""

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from launch.experiments.gaussian import recursion as dense
from pgm_jax import samplers
from pgm_jax.posteriors import Normal, gaussian_posterior
from pgm_jax.potentials import Quadratic, dense_gaussian_likelihood, quadratic
from pgm_jax.proximal import data_first, explicit, forward_backward, parallel, prior_first
from pgm_jax.proximal import exact as exact_step
from pgm_jax.samplers import (
    Rows,
    Sampler,
    bridge,
    diffusion,
    euler,
    langevin,
    pgm,
    proximal_mala,
    proximal_rows,
    with_last_prox,
)
from pgm_jax.samplers.schemes import Scheme
from pgm_jax.schedules import Levels, LinearVP, geometric_levels

SINGULAR = 1e6  # from this condition number on, C counts as singular
LADDER = 12  # levels of annealed and of corrected processes
SHORT = 20  # corrector steps at a level, for samplers that need not reach the posterior


class Parts(NamedTuple):
    """A problem as samplers see it: potentials in float32, and the exact posterior for those that use it."""

    prior: Quadratic | Normal
    likelihood: Quadratic
    posterior: Normal


class Tried(NamedTuple):
    """A sampler with its target in dense matrices.

    Attributes:
        sampler: pair (init, step).
        rows: its rows.
        target: (problem, lam) -> P; None where a step is not affine.
        plane: whether the sampler needs only the prior's prox and is tried on a singular C too.
        each: calls of the prior's prox, or of a score, in a row.
    """

    sampler: Sampler
    rows: Rows
    target: dense.Target | None
    plane: bool = False
    each: int = 1


def parts_of(problem: dense.Problem) -> Parts:
    """The potentials of a problem; where C has no inverse the prior has only a prox."""
    mean, covariance = problem.prior
    if np.linalg.cond(covariance) < SINGULAR:
        precision = np.linalg.inv(covariance)
        prior = quadratic((precision + precision.T) / 2, -precision @ mean)
    else:
        values, vectors = np.linalg.eigh(covariance)
        prior = Normal(single(mean), single(np.where(values > values[-1] / SINGULAR, values, 0.0)), single(vectors))
    y = single(problem.y)
    posterior = gaussian_posterior(single(mean), single(covariance), single(problem.matrix), y, problem.sigma)
    return Parts(prior, likelihood_of(problem, y), posterior)


def single(a: np.ndarray) -> Array:
    """An array in float32."""
    return jnp.asarray(a, jnp.float32)


def likelihood_of(problem: dense.Problem, y: Array) -> Quadratic:
    """The likelihood of another measurement; y may be traced."""
    return dense_gaussian_likelihood(problem.matrix, y, problem.sigma)


def capped(prior: Any, likelihood: Quadratic) -> Sampler:
    return pgm(forward_backward(prior, likelihood, max_step=1.0 / jnp.max(likelihood.eigenvalues)))


def levels(count: int, c: Any, lam_max: float = 1e3) -> Levels:
    """Geometric levels of a variance-preserving process, so that mu is not 1."""
    return geometric_levels(lam_max, c.lam_min, count, LinearVP())


def corrected(steps: int, rate: float, scheme: Any, c: Any) -> Rows:
    """The integrator from the variances of the posterior down, with the same number of steps at each level.

    At lam, a corrector step of rate c forgets a share c lam / v, with v the variance along a direction, and the
    splitting error is about lam / v. With equal numbers of steps at geometric levels the remainder is the same for
    all v.
    """
    return samplers.with_corrector(bridge(levels(LADDER, c, 0.3)), steps, rate, scheme)


def tried(parts: Parts, c: Any) -> dict[str, Tried]:
    """The samplers that suit the prior, by name; lam and steps are in units of x^2, and are chosen for `|H| = 100`."""
    prior, likelihood, posterior = parts
    few, many = (levels(count, c) for count in c.levels)
    n = c.levels[1]
    schemes = {"EM": samplers.euler_maruyama, "exponential": samplers.exponential, "IMEX": samplers.imex}
    # Many steps at the level that forgets the start, few below.
    ladder = jnp.geomspace(c.stable, c.lam_min, LADDER)
    counts = (300, *[20] * (LADDER - 1))

    def down(scheme: Scheme, kappa: Array | None = None) -> Rows:
        return with_last_prox(langevin(ladder, ladder, counts, scheme, kappa), c.lam_min)

    lm = samplers.leimkuhler_matthews
    full, short = corrected(c.correctors, c.rate, lm, c), partial(corrected, SHORT, c=c)
    first, joint, smoothed = (pgm(split(prior, likelihood)) for split in (data_first, forward_backward, parallel))
    last = pgm(prior_first(prior, likelihood))
    safe, exact, denoised = capped(prior, likelihood), pgm(posterior.prox), diffusion(posterior.denoise)
    df, fb, safe_fb = dense.data_first, dense.forward_backward, dense.capped_forward_backward
    each = {
        f"PGM, {c.levels[0]} levels": Tried(first, bridge(few), df),
        f"PGM, {n} levels": Tried(first, bridge(many), df, True),
        f"PGM, {n} levels, η = 1/2": Tried(first, bridge(many, 0.5), df),
        f"PGM, {n} levels, η = 0": Tried(first, bridge(many, 0.0), df),
        f"PGM, {n} levels, FB, capped": Tried(safe, bridge(many), safe_fb),
        f"PGM, {n} levels, FB, λ < 1/L": Tried(joint, bridge(levels(n, c, c.stable)), fb),
        "PGM corrected": Tried(first, full, df, True),
        "PGM corrected, FB, capped": Tried(safe, full, safe_fb),
        "PGM corrected, exact prox, short": Tried(exact, short(1.5, lm), dense.exact, True),
        "PGM corrected, prior first, short": Tried(last, short(1.5, lm), dense.prior_first),
        "PGM corrected, short": Tried(first, short(1.5, lm), df),
        **{f"PGM corrected, {name}, short": Tried(first, short(1.0, s), df) for name, s in schemes.items()},
        **{f"joint Langevin, {name}": Tried(joint, down(s), fb, name == "EM") for name, s in schemes.items()},
        **{
            f"partial Langevin, {name}": Tried(smoothed, down(s, 1 / ladder + ladder), dense.parallel, name == "EM")
            for name, s in schemes.items()
        },
        "DDPM": Tried(denoised, bridge(many), dense.exact, True),
        "DDIM": Tried(denoised, bridge(many, 0.0), dense.exact),
        "Euler-Maruyama": Tried(denoised, euler(many), dense.exact),
        "Euler": Tried(denoised, euler(many, 0.0), dense.exact),
        "P-ULA": Tried(first, proximal_rows(5e-3, c.steps), df, True),
        "MYULA": Tried(smoothed, langevin(0.01, 5e-3, c.steps), dense.parallel),
    }
    if isinstance(prior, Quadratic):
        subgradient = pgm(explicit(prior, likelihood))
        mala = proximal_mala(data_first(prior, likelihood), prior, likelihood)
        return each | {
            f"exact step, {n} levels": Tried(pgm(exact_step(prior, likelihood)), bridge(many), dense.exact),
            "subgradient Langevin": Tried(subgradient, langevin(1.0, 2e-3, c.steps), dense.explicit),
            "proximal MALA": Tried(mala, proximal_rows(6e-3, c.steps // 2), None, each=2),
        }
    return {name: t for name, t in each.items() if t.plane}
