"""The samplers that are tried on a Gaussian posterior, each with its rows and its target in dense matrices."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from launch.experiments import gaussian_recursion as dense
from launch.experiments.chains import Method
from pgm_jax import samplers
from pgm_jax.posteriors import Normal, gaussian_posterior
from pgm_jax.potentials import Quadratic, dense_gaussian_likelihood, quadratic
from pgm_jax.proximal import forward_backward, prior_first
from pgm_jax.samplers import Rows, Sampler, annealed, bridge, constant_rows, euler, pgm, proximal_rows, with_last_prox
from pgm_jax.schedules import Levels, geometric_levels, linear_vp

SINGULAR = 1e6  # condition number of C from which on it counts as singular
LADDER = 12  # levels of annealed and of corrected processes
SHORT = 20  # corrector steps at a level where the posterior is not to be reached


class Parts(NamedTuple):
    """A problem as samplers see it: potentials in float32, and the exact posterior for those that are given it."""

    prior: Quadratic | Normal
    likelihood: Quadratic
    posterior: Normal


class Tried(NamedTuple):
    """A sampler, its target in dense matrices, and whether it can do with a prior that is concentrated on a plane.

    Attributes:
        method: sampler, rows and potentials.
        target: (problem, lam, weight) -> P; None where a step is not affine.
        plane: whether the prior's prox is all that it asks for, and it is tried on a singular C too.
    """

    method: Method
    target: Callable[[dense.Problem, float, float], dense.AffineMap] | None
    plane: bool = False


def parts_of(problem: dense.Problem) -> Parts:
    """The potentials of a problem; where C has no inverse the prior has a prox alone."""
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


def with_prior_first(prior: Any, likelihood: Any) -> Sampler:
    return pgm(prior, likelihood, prior_first)


def with_capped_steps(prior: Any, likelihood: Any) -> Sampler:
    return pgm(prior, likelihood, partial(forward_backward, max_step=1.0 / jnp.max(likelihood.eigenvalues)))


def with_exact_prox(posterior: Any, likelihood: Any) -> Sampler:
    return pgm(posterior, likelihood, lambda posterior, likelihood, beta: posterior.prox)


def with_exact_denoiser(posterior: Any, likelihood: Any) -> Sampler:
    return samplers.diffusion(posterior.denoise)


def levels(count: int, c: Any, lam_max: float = 1e3) -> Levels:
    """Geometric levels of a variance-preserving process, so that mu is not 1."""
    return geometric_levels(linear_vp(), count, lam_max, c.lam_min)


def corrected(steps: int, rate: float, scheme: Any, c: Any) -> Rows:
    """The integrator from the variances of the posterior down, with as many steps at each level.

    At lam the corrector forgets a share c lam / v in each step of rate c, v the variance along a direction, and the
    splitting is off by about lam / v: with as many steps at each geometric level, what is left is the same for all v.
    """
    return samplers.with_corrector(bridge(levels(LADDER, c, 0.3)), steps, rate, scheme)


def tried(parts: Parts, c: Any) -> dict[str, Tried]:
    """All samplers, by name; lam and steps are in units of x^2, and suit `|H| = 100`."""
    prior, likelihood, posterior = parts
    few, many = (levels(count, c) for count in c.levels)
    n = c.levels[1]
    toy = partial(Method, prior=prior, likelihood=likelihood)
    exact = partial(Method, prior=posterior, likelihood=likelihood)
    schemes = {"EM": samplers.euler_maruyama, "exponential": samplers.exponential, "IMEX": samplers.imex}
    # Many steps where the start is forgotten, few below.
    ladder = jnp.geomspace(c.stable, c.lam_min, LADDER)
    rungs = partial(annealed, ladder, (300, *[20] * (LADDER - 1)), samplers.linear_step(1.0))

    def down(**settings: Any) -> Rows:
        return with_last_prox(rungs(**settings), c.lam_min)

    lm = samplers.leimkuhler_matthews
    full, short = corrected(c.correctors, c.rate, lm, c), partial(corrected, SHORT, c=c)
    df, pf, fb, capped = dense.data_first, dense.prior_first, dense.forward_backward, dense.capped_forward_backward
    return {
        f"PGM, {c.levels[0]} levels": Tried(toy(pgm, bridge(few)), df),
        f"PGM, {n} levels": Tried(toy(pgm, bridge(many)), df, True),
        f"PGM, {n} levels, η = 1/2": Tried(toy(pgm, bridge(many, 0.5)), df),
        f"PGM, {n} levels, η = 0": Tried(toy(pgm, bridge(many, 0.0)), df),
        f"PGM, {n} levels, FB, capped": Tried(toy(with_capped_steps, bridge(many)), capped),
        f"PGM, {n} levels, FB, λ < 1/L": Tried(toy(samplers.joint_langevin, bridge(levels(n, c, c.stable))), fb),
        "PGM corrected": Tried(toy(pgm, full), df, True),
        "PGM corrected, FB, capped": Tried(toy(with_capped_steps, full), capped),
        "PGM corrected, exact prox, short": Tried(exact(with_exact_prox, short(1.5, lm)), dense.exact, True),
        "PGM corrected, prior first, short": Tried(toy(with_prior_first, short(1.5, lm)), pf),
        "PGM corrected, short": Tried(toy(pgm, short(1.5, lm)), df),
        **{f"PGM corrected, {name}, short": Tried(toy(pgm, short(1.0, s)), df) for name, s in schemes.items()},
        **{
            f"joint Langevin, {name}": Tried(toy(samplers.joint_langevin, down(scheme=s)), fb, name == "EM")
            for name, s in schemes.items()
        },
        "joint Langevin, EM, weights from 1/4": Tried(
            toy(samplers.joint_langevin, down(weight=jnp.linspace(0.25, 1.0, LADDER))), fb
        ),
        **{
            f"partial Langevin, {name}": Tried(
                toy(samplers.partial_langevin, down(scheme=s, kappa=samplers.partial_rate)),
                dense.parallel,
                name == "EM",
            )
            for name, s in schemes.items()
        },
        "DDPM": Tried(exact(with_exact_denoiser, bridge(many)), dense.exact, True),
        "DDIM": Tried(exact(with_exact_denoiser, bridge(many, 0.0)), dense.exact),
        "Euler-Maruyama": Tried(exact(with_exact_denoiser, euler(many)), dense.exact),
        "Euler": Tried(exact(with_exact_denoiser, euler(many, 0.0)), dense.exact),
        "P-ULA": Tried(toy(samplers.p_ula, proximal_rows(5e-3, c.steps)), df, True),
        "MYULA": Tried(toy(samplers.myula, constant_rows(0.01, 5e-3, c.steps)), dense.parallel),
        "subgradient Langevin": Tried(
            toy(samplers.subgradient_langevin, constant_rows(1.0, 2e-3, c.steps)), dense.explicit
        ),
        "proximal MALA": Tried(toy(samplers.proximal_mala, proximal_rows(6e-3, c.steps // 2), calls=2), None),
    }
