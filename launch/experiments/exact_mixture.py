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
from launch.experiments.mixture.methods import FLOOR, Problem, driven, grid, problem_of, split_by
from launch.experiments.mixture.tables import summary
from launch.experiments.plots import lines, panelled
from pgm_jax.posteriors import gmm25_problem
from pgm_jax.potentials import Denoiser
from pgm_jax.proximal import data_first, exact
from pgm_jax.samplers import Rows, bridge
from pgm_jax.types import Key

PLAIN, NARROW = "data first", "exact step, bridges to means"
CLOSED, LEARNED = "exact step, closed form", "exact step, learned"


def run(config: Any, key: Key) -> Findings:
    """Sliced W1 of the exact step by calls, over that of exact samples; Ctrl-C keeps the problems so far."""
    c = config
    key_examples, key_learn, key_problems = jax.random.split(key, 3)
    learned = learned_prior(key_examples, key_learn, c)

    def methods(d: int) -> dict[str, Callable[[Problem], Method]]:
        exactly = lambda p: exact(Denoiser(p.prior), p.likelihood)  # noqa: E731
        steps = {PLAIN: (rows, split_by(data_first)), NARROW: (rows, exactly), CLOSED: (wide, exactly)}
        if d == c.learned_in:
            steps[LEARNED] = wide, lambda p: exact(learned, p.likelihood)
        each = {f"{name}, {n}": driven(of(d, n), step) for name, (of, step) in steps.items() for n in c.calls}
        return {FLOOR: lambda p: Method(p.posterior.sample)} | each

    seeds = dict(zip(c.dimensions, c.at_most, strict=True))
    places = [Place(d, sigma, m) for d in seeds for sigma in c.sigmas for m in c.measurements]
    found = Found({place: [] for place in places}, {place: [] for place in places}, {}, {})
    measure_all(key_problems, c, seeds, found, methods)
    names = {d: list(methods(d)) for d in seeds}
    floors = {name: in_floors(name, names, found) for name in names[c.learned_in] if name != FLOOR}
    tables = [table_of(d, names[d], found, c) for d in seeds] + [standing(floors)]
    return Findings(tables, {"exact_mixture": figure(c, floors)}, claims_of(c, floors))


def rows(d: int, calls: int) -> Rows:
    """The integrator of the mixture's own experiment."""
    return bridge(grid(d, calls))


def wide(d: int, calls: int) -> Rows:
    """The same with the variance that a cluster, of variance 1, leaves around its mean."""
    levels = grid(d, calls)
    return bridge(levels, variance=levels.lam[:-1] / (1 + levels.lam[:-1]))


def learned_prior(key_examples: Key, key_learn: Key, c: Any) -> Denoiser:
    """The posterior mean that is learned from samples of the prior in one dimension, at all levels of the sampler."""
    problem = problem_of(gmm25_problem(key_examples, c.learned_in, 1, 1.0), 1.0)
    examples = problem.known.sample(key_examples, c.learn.examples)
    return learn(key_learn, examples, float(grid(c.learned_in, 1).lam[0]), c.learn.lam_min, c.learn)


def in_floors(name: str, names: Mapping[int, list[str]], found: Found) -> tuple[float, int]:
    """The geometric mean of the distance over that of exact samples, and over how many columns."""
    means = [
        np.mean(seeds, axis=0)[[names[place.d].index(name), 0]]
        for place, seeds in found.distances.items()
        if name in names[place.d]
    ]
    return float(np.exp(np.mean([np.log(mean / floor) for mean, floor in means]))), len(means)


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
        f"standard errors over {len(found.distances[places[0]])} problems. Data first takes the prior's prox.",
    )


def standing(floors: Mapping[str, tuple[float, int]]) -> Table:
    """All samplers in floors."""
    rows = [(name, value, count) for name, (value, count) in floors.items()]
    caption = "Sliced W1 over that of exact samples, the geometric mean over the columns."
    return Table("In floors", ("sampler, calls", "in floors", "columns"), rows, caption)


def claims_of(c: Any, floors: Mapping[str, tuple[float, int]]) -> list[Claim]:
    """Near the floor with the mean in closed form, and not far from it with a learned one."""
    bounds = {CLOSED: 1.5, LEARNED: 3.0}
    return [
        bounded(f"{name}, {c.judged} calls, in floors", floors[f"{name}, {c.judged}"][0], "≤", bound)
        for name, bound in bounds.items()
    ]


def figure(c: Any, floors: Mapping[str, tuple[float, int]]) -> Figure:
    """Floors against calls."""
    points = {
        name: (list(c.calls), [floors[f"{name}, {n}"][0] for n in c.calls]) for name in (PLAIN, NARROW, CLOSED, LEARNED)
    }

    def panel(axis: Axes) -> None:
        lines(axis, points, title="Mixture of 25 Gaussians", xlabel="calls", ylabel="sliced W1 in floors")
        marks = [1, 2, 5, 10, 20, 50]
        axis.set(xticks=c.calls, xticklabels=c.calls, yticks=marks, yticklabels=marks)
        axis.minorticks_off()

    return panelled([panel], 1)
