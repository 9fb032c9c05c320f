"""The samplers that are tried on the mixture of 25 Gaussians.

To add a sampler, add a line to `tried`: its name, and a function from a problem to its `Method`. It is compiled once
for a dimension.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from launch.experiments.chains import Method, chains
from pgm_jax.posteriors import MixturePosterior, MixtureProblem, mixture_posterior
from pgm_jax.potentials import Mixture, Quadratic, dense_gaussian_likelihood
from pgm_jax.proximal import Splitting, data_first, forward_backward, parallel
from pgm_jax.samplers import (
    Rows,
    bridge,
    langevin,
    pgm,
    proximal_mala,
    proximal_rows,
    run,
    with_corrector,
    with_last_prox,
)
from pgm_jax.schedules import Levels, geometric_levels
from pgm_jax.types import Key, Potential, Prior, Prox, Scalar

SIZE = 4  # measurements; smaller problems are padded to it, so that their size does not trigger recompilation
LAM_MIN = 1e-3  # far below the narrowest variance of the posteriors, at least sigma^2 / (sigma^2 + 1)
ROUNDS, RELAXATION = 10, 1.8

FLOOR, PRIOR, DDPM = "exact samples", "samples of the prior", "DDPM, posterior's denoiser"
SPLIT, BY_ROUNDS, EXACT = "PGM corrected, data first", "PGM corrected, prox by rounds", "PGM corrected, exact prox"


class Problem(NamedTuple):
    """A posterior as samplers see it; `known` is the prior with its exact samples and denoiser."""

    prior: Mixture
    posterior: MixturePosterior
    known: MixturePosterior
    likelihood: Quadratic


def problem_of(measured: MixtureProblem, sigma: float) -> Problem:
    """The parts of a problem in the current default precision; rows of zeros pad its measurements."""
    arrays = (measured.prior.means, measured.matrix, measured.y)
    means, matrix, y = (jnp.asarray(np.asarray(a), float) for a in arrays)
    prior, posterior, known = _mixtures(means, matrix, y, sigma)
    more = SIZE - len(y)
    likelihood = dense_gaussian_likelihood(jnp.pad(matrix, ((0, more), (0, 0))), jnp.pad(y, (0, more)), sigma)
    return Problem(prior, posterior, known, likelihood)


@jax.jit
def _mixtures(means: Array, matrix: Array, y: Array, sigma: Scalar) -> tuple[Any, Any, Any]:
    # The prior, the posterior, and the prior as a posterior.
    count, d = means.shape
    weights = jnp.full(count, 1 / count)
    known = MixturePosterior(jnp.log(weights), means, jnp.ones(d), jnp.eye(d))
    posterior = mixture_posterior(weights, means, 1.0, matrix, y, sigma)
    return Mixture(weights, means, jnp.asarray(1.0)), posterior, known


def by_rounds(prior: Prior, likelihood: Potential) -> Prox:
    """The prox of `U = f + g` by rounds of over-relaxed ADMM from v, with penalty 1 / lam.

        x = Prox_f^{lam/2}((v + z - w) / 2),   x' = a x + (1 - a) z,   z = Prox_g^lam(x' + w),   w += x' - z

    A single prox of the prior at lam sees the data through noise of variance lam, and so can pick a mode that the data
    rule out. The dual w accumulates the misfit until the prior picks another mode.
    """

    return Partial(_by_rounds, prior, likelihood)


def _by_rounds(prior: Prior, likelihood: Potential, v: Array, lam: Scalar) -> Array:
    def one(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        z, w = state
        x = likelihood.prox((v + z - w) / 2, lam / 2)
        x = RELAXATION * x + (1 - RELAXATION) * z
        z = prior.prox(x + w, lam)
        return z, w + x - z

    return jax.lax.fori_loop(0, ROUNDS, one, (v, jnp.zeros_like(v)))[0]


def spacing(dimension: int) -> float:
    """The squared distance between neighbouring means, 64 in every other coordinate."""
    return 64.0 * -(-dimension // 2)


def grid(dimension: int, count: int) -> Levels:
    """Levels from where the prior has a single mode down to where the narrowest direction is resolved."""
    return geometric_levels(8.0 * spacing(dimension), LAM_MIN, count)


def steps_at(lam: Array, dimension: int, many: int, few: int) -> list[int]:
    """Steps at each level: many while chains still move between modes, few where modes have merged or separated."""
    square = spacing(dimension)
    return [many if square / 50 <= level <= square else few for level in np.asarray(lam)]


def with_steps(dimension: int, count: int, many: int, few: int) -> Rows:
    """Levels with correctors of full rate."""
    levels = grid(dimension, count)
    return with_corrector(bridge(levels), steps_at(levels.lam[:-1], dimension, many, few), 1.0)


def lipschitz(problem: Problem) -> Array:
    """L of the gradient of f, the largest of its eigenvalues."""
    return jnp.max(problem.likelihood.eigenvalues)


def driven(rows: Rows, prox_of: Callable[[Problem], Prox], each: int = 1) -> Callable[[Problem], Method]:
    """The sampler of a prox, or of a denoiser, on rows, with `each` calls in a row."""
    return lambda problem: chains(pgm(prox_of(problem)), rows, problem.posterior.values.shape, each)


def split_by(split: Splitting) -> Callable[[Problem], Prox]:
    return lambda problem: split(problem.prior, problem.likelihood)


def exact_prox(problem: Problem) -> Prox:
    return problem.posterior.prox


def capped(problem: Problem) -> Prox:
    """Forward-backward with its gradient step capped at 1 / L, since it would be unstable at large lam."""
    return forward_backward(problem.prior, problem.likelihood, max_step=1.0 / lipschitz(problem))


def partial_process(lam: Array, counts: list[int]) -> Callable[[Problem], Method]:
    """Partial Langevin with steps `1 / (L + kappa)`, half of the stable limit."""
    kappa = 1.0 / lam + lam

    def method(problem: Problem) -> Method:
        steps = langevin(lam, 1.0 / (lipschitz(problem) + kappa), counts, kappa=kappa)
        return driven(with_last_prox(steps, LAM_MIN), split_by(parallel))(problem)

    return method


def mala(problem: Problem, steps: int = 50) -> Method:
    """Proximal MALA from samples of the prior, with a step of the narrowest variance, 1 / (L + 1)."""
    rows, parts = proximal_rows(1.0 / (lipschitz(problem) + 1.0), steps), (problem.prior, problem.likelihood)
    sampler = proximal_mala(data_first(*parts), *parts)

    def draw(key: Key, count: int) -> Array:
        for_starts, for_chains = jax.random.split(key)
        starts = problem.known.sample(for_starts, count)
        return jax.vmap(lambda key, x: run(key, sampler, x, rows)[0].x)(jax.random.split(for_chains, count), starts)

    return Method(draw, 2 * steps)


def tried(d: int) -> dict[str, Callable[[Problem], Method]]:
    """All samplers in dimension d, by name; PGM spends few rows at levels whose modes no longer mix."""
    levels, few, full = bridge(grid(d, 100)), bridge(grid(d, 50)), with_steps(d, 20, 30, 4)
    lam = jnp.geomspace(8.0 * spacing(d), LAM_MIN, 20)
    counts = steps_at(lam, d, 15, 3)
    return {
        FLOOR: lambda problem: Method(problem.posterior.sample),
        PRIOR: lambda problem: Method(problem.known.sample),
        "DDPM, prior's denoiser": driven(levels, lambda problem: problem.known.denoise),
        DDPM: driven(levels, lambda problem: problem.posterior.denoise),
        "PGM alone, data first": driven(few, split_by(data_first)),
        "PGM alone, exact prox": driven(few, exact_prox),
        SPLIT: driven(full, split_by(data_first)),
        BY_ROUNDS: driven(with_steps(d, 16, 12, 1), split_by(by_rounds), ROUNDS),
        EXACT: driven(full, exact_prox),
        "PGM joint Langevin": driven(with_last_prox(langevin(lam, lam, counts), LAM_MIN), capped),
        "PGM partial Langevin": partial_process(lam, counts),
        "MALA from the prior": mala,
    }
