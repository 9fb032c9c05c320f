"""The exact step on the mixture of 25 Gaussians, with the posterior mean of its prior in closed form and learned.

    P(v) = D_Sigma(Prox_f^lam(v)),   D_Sigma(mu) = E[x_0 | x_0 + N(0, Sigma) = mu]

Problems, metric and floor are those of the mixture's own experiment; the sampler is the integrator alone, with and
without the variance that the mean of a cluster leaves.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from launch.experiments.chains import Method
from launch.experiments.findings import Cell, Claim, Findings, Table, bounded
from launch.experiments.mixture.bench import Found, Place, measure_all
from launch.experiments.mixture.learned import learn
from launch.experiments.mixture.methods import FLOOR, SIZE, Problem, driven, grid, problem_of
from launch.experiments.mixture.tables import summary
from launch.experiments.plots import lines, panelled
from pgm_jax.posteriors import gmm25_problem
from pgm_jax.potentials import Denoiser
from pgm_jax.proximal import data_first, exact
from pgm_jax.samplers import Rows, bridge
from pgm_jax.types import Key, Prox

PLAIN, NARROW = "data first", "exact step, bridges to means"
CLOSED, LEARNED = "exact step, closed form", "exact step, learned"


def run(config: Any, key: Key) -> Findings:
    """Sliced W1 of the exact step by calls, over that of exact samples; Ctrl-C keeps the problems so far.

    Raises:
        ValueError: if the settings fit no table.
    """
    c = config
    if c.learned_in not in c.dimensions or c.judged not in c.calls or len(c.problems) != len(c.dimensions):
        raise ValueError(
            f"config has dimensions {c.dimensions}, problems {c.problems}, learned_in {c.learned_in}, calls {c.calls} "
            f"and judged {c.judged}; give problems for each dimension, and one of the dimensions and one of the calls."
        )
    if not 1 <= min(c.measurements) <= max(c.measurements) <= SIZE:
        raise ValueError(f"config.measurements is {tuple(c.measurements)}; give numbers from 1 to {SIZE}.")
    key_examples, key_learn, key_problems = jax.random.split(key, 3)
    learned = learned_prior(key_examples, key_learn, c)

    def methods(d: int) -> dict[str, Callable[[Problem], Method]]:
        steps = {PLAIN: (True, plain_mean), NARROW: (False, exact_mean), CLOSED: (True, exact_mean)}
        if d == c.learned_in:
            steps[LEARNED] = True, lambda problem: exact(learned, problem.likelihood)
        each = {
            f"{name}, {n}": driven(integrator(d, n, wide), step)
            for name, (wide, step) in steps.items()
            for n in c.calls
        }
        return {FLOOR: lambda problem: Method(problem.posterior.sample)} | each

    problems = dict(zip(c.dimensions, c.problems, strict=True))
    places = [Place(d, sigma, m) for d in problems for sigma in c.sigmas for m in c.measurements]
    found = Found({place: [] for place in places}, {place: [] for place in places}, {}, {})
    measure_all(key_problems, c, problems, found, methods)
    names = {d: list(methods(d)) for d in problems}
    floors = {
        name: [in_floors(name, names, found, only) for only in (tuple(problems), *((d,) for d in problems))]
        for name in names[c.learned_in]
        if name != FLOOR
    }
    tables = [table_of(d, names[d], found, c) for d in problems] + [standing(list(problems), floors)]
    return Findings(tables, {"exact_mixture": figure(c, floors)}, claims_of(c, floors))


def plain_mean(problem: Problem) -> Prox:
    """The posterior mean of the prior at the data step, as if its noise were the same everywhere."""
    return data_first(Denoiser(problem.prior), problem.likelihood)


def exact_mean(problem: Problem) -> Prox:
    """The mean of the posterior."""
    return exact(Denoiser(problem.prior), problem.likelihood)


def integrator(d: int, calls: int, wide: bool) -> Rows:
    """The rows of the mixture's own experiment; if wide, with the variance that a cluster, of variance 1, leaves."""
    levels = grid(d, calls)
    return bridge(levels, variance=levels.lam[:-1] / (1 + levels.lam[:-1]) if wide else 0.0)


def learned_prior(key_examples: Key, key_learn: Key, c: Any) -> Denoiser:
    """The posterior mean that is learned from samples of the prior in one dimension, at all levels of the sampler."""
    key_problem, key_sample = jax.random.split(key_examples)
    problem = problem_of(gmm25_problem(key_problem, c.learned_in, 1, 1.0), 1.0)
    examples = problem.known.sample(key_sample, c.learn.examples)
    return learn(key_learn, examples, float(grid(c.learned_in, 1).lam[0]), c.learn.lam_min, c.learn)


Floors = Mapping[str, list[float]]


def in_floors(name: str, names: Mapping[int, list[str]], found: Found, dimensions: tuple[int, ...]) -> float:
    """The geometric mean of the distance over that of exact samples; NaN where a dimension has no such sampler."""
    if not all(name in names[d] for d in dimensions):
        return float("nan")
    means = [
        np.mean(seeds, axis=0)[[names[place.d].index(name), 0]]
        for place, seeds in found.distances.items()
        if place.d in dimensions
    ]
    return float(np.exp(np.mean([np.log(mean / floor) for mean, floor in means])))


def table_of(d: int, names: list[str], found: Found, c: Any) -> Table:
    """Sliced W1 of every sampler in one dimension."""
    places = [place for place in found.distances if place.d == d]
    rows: list[tuple[Cell, ...]] = [
        (name, *(summary([seed[index] for seed in found.distances[place]]) for place in places))
        for index, name in enumerate(names)
    ]
    return Table(
        f"Exact step on the mixture, d = {d}",
        ("sampler, calls", *(f"σ {place.sigma:g}, dy {place.m}" for place in places)),
        rows,
        f"Sliced W1 along {c.directions} directions between {c.samples} samples and as many exact ones, mean ± 1.96 "
        f"standard errors over {len(found.distances[places[0]])} problems.",
    )


def standing(dimensions: list[int], floors: Floors) -> Table:
    """All samplers in floors."""
    rows = [(name, *(None if np.isnan(value) else value for value in values)) for name, values in floors.items()]
    caption = "Sliced W1 over that of exact samples, the geometric mean over the columns."
    return Table("In floors", ("sampler, calls", "all", *(f"d = {d}" for d in dimensions)), rows, caption)


def of_name(name: str, floors: Floors) -> float:
    """The mean over all columns, or over those of the one dimension that has the sampler."""
    return next(value for value in floors[name] if not np.isnan(value))


def claims_of(c: Any, floors: Floors) -> list[Claim]:
    """Near the floor with the mean in closed form, and not far from it with a learned one."""
    bounds = {CLOSED: 1.5, LEARNED: 3.0}
    return [
        bounded(f"{name}, {c.judged} calls, in floors", of_name(f"{name}, {c.judged}", floors), "≤", bound)
        for name, bound in bounds.items()
    ]


def figure(c: Any, floors: Floors) -> Figure:
    """Floors against calls."""
    points = {
        name: (list(c.calls), [of_name(f"{name}, {n}", floors) for n in c.calls])
        for name in (PLAIN, NARROW, CLOSED, LEARNED)
    }

    def panel(axis: Axes) -> None:
        lines(axis, points, title="Mixture of 25 Gaussians", xlabel="calls", ylabel="sliced W1 in floors")
        marks = [1, 2, 5, 10, 20, 50]
        axis.set(xticks=c.calls, xticklabels=c.calls, yticks=marks, yticklabels=marks)
        axis.minorticks_off()

    return panelled([panel], 1)
