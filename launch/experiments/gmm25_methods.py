"""The samplers that are tried on the mixture of 25 Gaussians, and what others measured with guided ones.

To add a sampler is to add a line to `methods`: its name, a function (key, problem, count) -> samples `[count, d]`, and
how many proxes of the prior, or denoisers, a sample costs. It is compiled once for a dimension.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

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
    sample,
    with_corrector,
    with_last_prox,
)
from pgm_jax.schedules import Levels, geometric_levels
from pgm_jax.types import Key, Potential, Prior, Prox, Scalar

SIZE = 4  # measurements to which all problems are filled up, so that their number does not recompile
LAM_MIN = 1e-3  # far below the narrowest variance of the posteriors, sigma^2 / (sigma^2 + 1) or more
ROUNDS, RELAXATION = 10, 1.8

FLOOR, PRIOR, DDPM = "exact samples", "samples of the prior", "DDPM, posterior's denoiser"
SPLIT, BY_ROUNDS, EXACT = "PGM corrected, data first", "PGM corrected, prox by rounds", "PGM corrected, exact prox"


class Problem(NamedTuple):
    """A posterior as samplers see it; `known` is the prior with what is exact about it, its samples and denoiser."""

    prior: Mixture
    likelihood: Quadratic
    posterior: MixturePosterior
    known: MixturePosterior


class Place(NamedTuple):
    """A column of a table: dimension, sigma, number of measurements."""

    d: int
    sigma: float
    m: int


class Method(NamedTuple):
    """A sampler: (key, problem, count) -> samples `[count, d]`, and its proxes of the prior, or denoisers, for each."""

    draw: Callable[[Key, Problem, int], Array]
    calls: int = 0


def problem_of(measured: MixtureProblem, sigma: float) -> Problem:
    """The parts of a problem in the precision that is the default now; rows of zeros fill its measurements up."""
    means, matrix, y = (jnp.asarray(np.asarray(a), float) for a in (measured.prior.means, measured.matrix, measured.y))
    count, d = means.shape
    weights, more = jnp.full(count, 1 / count), SIZE - len(y)
    likelihood = dense_gaussian_likelihood(jnp.pad(matrix, ((0, more), (0, 0))), jnp.pad(y, (0, more)), sigma)
    posterior = mixture_posterior(weights, means, 1.0, matrix, y, sigma)
    known = MixturePosterior(jnp.log(weights), means, jnp.ones(d), jnp.eye(d))
    return Problem(Mixture(weights, means, jnp.asarray(1.0)), likelihood, posterior, known)


def by_rounds(prior: Prior, likelihood: Potential) -> Prox:
    """The prox of `U = f + g` by rounds of over-relaxed ADMM from v, with the penalty 1 / lam.

        x = Prox_f^{lam/2}((v + z - w) / 2),   x' = a x + (1 - a) z,   z = Prox_g^lam(x' + w),   w += x' - z

    A single prox of the prior at lam sees the data through noise of variance lam, and so takes a mode that they refuse.
    The price w adds up by how much they are missed, until the prior gives another.
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
    """The squared distance of neighbouring means, 64 in every other coordinate."""
    return 64.0 * -(-dimension // 2)


def grid(dimension: int, count: int) -> Levels:
    """Levels from where the prior is a single mode down to where the narrowest direction is resolved."""
    return geometric_levels(8.0 * spacing(dimension), LAM_MIN, count)


def steps_at(lam: Array, dimension: int, many: int, few: int) -> list[int]:
    """Steps at each level: many where chains still pass from mode to mode, few where modes are one or apart."""
    square = spacing(dimension)
    return [many if square / 50 <= level <= square else few for level in np.asarray(lam)]


def corrected(dimension: int, count: int, many: int, few: int) -> Rows:
    """Levels with correctors of the full rate."""
    levels = grid(dimension, count)
    return with_corrector(bridge(levels), steps_at(levels.lam[:-1], dimension, many, few), 1.0)


def lipschitz(problem: Problem) -> Array:
    """L of the gradient of f, the largest of its eigenvalues."""
    return jnp.max(problem.likelihood.eigenvalues)


def driven(rows: Rows, prox_of: Callable[[Problem], Prox], each: int = 1) -> Method:
    """The sampler of a prox, or of a denoiser, on rows from a start at 0, with so many calls in each row."""

    def draw(key: Key, problem: Problem, count: int) -> Array:
        return sample(key, pgm(prox_of(problem)), jnp.zeros_like(problem.posterior.values), rows, count)

    return Method(draw, each * rows.lam.shape[0])


def split_by(split: Splitting) -> Callable[[Problem], Prox]:
    return lambda problem: split(problem.prior, problem.likelihood)


def exact_prox(problem: Problem) -> Prox:
    return problem.posterior.prox


def capped(problem: Problem) -> Prox:
    """The gradient step capped at 1 / L: at large lam it would be unstable."""
    return forward_backward(problem.prior, problem.likelihood, max_step=1.0 / lipschitz(problem))


def partial_process(lam: Array, counts: list[int]) -> Method:
    """Partial Langevin, whose steps are `1 / (L + kappa)`, half of what is stable."""
    kappa = 1.0 / lam + lam

    def draw(key: Key, problem: Problem, count: int) -> Array:
        steps = langevin(lam, 1.0 / (lipschitz(problem) + kappa), counts, kappa=kappa)
        return driven(with_last_prox(steps, LAM_MIN), split_by(parallel)).draw(key, problem, count)

    return Method(draw, sum(counts) + 1)


def mala(steps: int) -> Method:
    """Proximal MALA from samples of the prior, with a step of the narrowest variance, 1 / (L + 1)."""

    def draw(key: Key, problem: Problem, count: int) -> Array:
        for_starts, for_chains = jax.random.split(key)
        rows = proximal_rows(1.0 / (lipschitz(problem) + 1.0), steps)
        parts = problem.prior, problem.likelihood
        sampler = proximal_mala(data_first(*parts), *parts)
        starts = problem.known.sample(for_starts, count)
        return jax.vmap(lambda key, x: run(key, sampler, x, rows)[0].x)(jax.random.split(for_chains, count), starts)

    return Method(draw, 2 * steps)


def methods(d: int) -> dict[str, Method]:
    """All samplers in dimension d, by name; the rows of PGM are spared at lam where modes no longer mix."""
    levels, few, full = bridge(grid(d, 100)), bridge(grid(d, 50)), corrected(d, 20, 30, 4)
    lam = jnp.geomspace(8.0 * spacing(d), LAM_MIN, 20)
    counts = steps_at(lam, d, 15, 3)
    return {
        FLOOR: Method(lambda key, problem, count: problem.posterior.sample(key, count)),
        PRIOR: Method(lambda key, problem, count: problem.known.sample(key, count)),
        "DDPM, prior's denoiser": driven(levels, lambda problem: problem.known.denoise),
        DDPM: driven(levels, lambda problem: problem.posterior.denoise),
        "PGM alone, data first": driven(few, split_by(data_first)),
        "PGM alone, exact prox": driven(few, exact_prox),
        SPLIT: driven(full, split_by(data_first)),
        BY_ROUNDS: driven(corrected(d, 16, 12, 1), split_by(by_rounds), ROUNDS),
        EXACT: driven(full, exact_prox),
        "PGM joint Langevin": driven(with_last_prox(langevin(lam, lam, counts), LAM_MIN), capped),
        "PGM partial Langevin": partial_process(lam, counts),
        "MALA from the prior": mala(50),
    }


class Quoted(NamedTuple):
    """Figures of an earlier implementation in float64: calls of a run, whether it differentiates its denoiser, and the
    sliced W1 as (mean, half interval), by dimension, in the order of QUOTED_CELLS."""

    calls: int
    jacobian: bool
    sliced: dict[int, tuple[tuple[float, float], ...]]


# (sigma, number of measurements)
QUOTED_CELLS = ((1.0, 1), (1.0, 2), (1.0, 4), (0.1, 1), (0.1, 2), (0.1, 4))

# fmt: off
QUOTED = {
    "DPS ζ 0.1": Quoted(1000, True, {
        8: ((2.76, 0.91), (3.79, 1.10), (1.71, 0.45), (2.64, 0.95), (0.96, 0.48), (0.54, 0.50)),
        80: ((1.77, 0.67), (2.79, 1.54), (0.34, 0.13), (2.08, 1.17), (1.04, 1.31), (0.06, 0.02))}),
    "ΠGDM": Quoted(1000, True, {
        8: ((1.49, 0.42), (1.07, 0.42), (0.46, 0.21), (2.31, 0.77), (0.81, 0.38), (0.08, 0.03)),
        80: ((0.97, 0.48), (0.92, 0.40), (0.33, 0.43), (1.72, 0.99), (0.78, 1.25), (0.06, 0.00))}),
    "TMPD": Quoted(1000, True, {
        8: ((1.22, 0.50), (1.13, 0.36), (0.90, 0.28), (2.57, 0.80), (1.16, 0.44), (0.25, 0.13)),
        80: ((0.91, 0.52), (0.93, 0.37), (0.80, 0.62), (1.81, 0.99), (1.37, 1.42), (0.23, 0.15))}),
    "DiffPIR λ 8, ζ 0.3": Quoted(1000, False, {
        8: ((3.44, 0.72), (3.73, 0.72), (2.88, 0.67), (3.71, 0.84), (3.79, 1.13), (1.01, 0.38)),
        80: ((4.43, 1.17), (6.49, 1.46), (6.86, 1.51), (5.15, 1.13), (7.77, 1.36), (6.16, 1.75))}),
    "DiffPIR λ 1, ζ 1": Quoted(1000, False, {
        8: ((1.40, 0.41), (1.57, 0.46), (0.94, 0.35), (2.94, 0.78), (2.77, 1.00), (0.35, 0.14)),
        80: ((3.14, 0.73), (4.04, 1.19), (4.30, 1.61), (4.33, 1.14), (6.02, 1.34), (4.10, 1.75))}),
    "DDRM": Quoted(100, False, {
        8: ((2.41, 0.70), (2.69, 0.78), (1.92, 0.80), (3.92, 0.88), (4.16, 1.21), (1.11, 0.47)),
        80: ((4.71, 1.13), (6.73, 1.77), (7.73, 1.45), (5.75, 1.10), (8.85, 1.38), (7.69, 1.59))}),
    "DAPS, true σ": Quoted(1000, False, {
        8: ((2.11, 0.58), (2.56, 0.66), (1.61, 0.51), (3.71, 0.84), (3.89, 1.15), (0.82, 0.30)),
        80: ((4.07, 0.87), (5.77, 1.50), (6.21, 1.55), (5.12, 1.09), (7.61, 1.44), (5.96, 1.74))}),
}
# fmt: on


def quoted_cells(quoted: Quoted, dimension: int) -> dict[tuple[float, int], tuple[float, float]]:
    """The figures of a dimension by (sigma, number of measurements); none where it was not measured."""
    return dict(zip(QUOTED_CELLS, quoted.sliced.get(dimension, ()), strict=False))
