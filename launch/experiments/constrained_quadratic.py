"""A quadratic restricted to the unit ball in eight dimensions: feasibility, optimality, and distance to exact samples.

f(x) = x^T A x / 2 + b^T x, pi ~ exp(-beta f) on |x| <= 1. The prior is uniform on the ball; its prox is the projection,
or a network trained on its samples alone. *Feasibility* is the share of samples in the ball. *Optimality* is f(best
feasible sample) - f*, an extreme order statistic that measures no distribution; the tables give it for exact samples
too.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from launch.experiments.chains import Method, chains, corrected, paper_rows
from launch.experiments.findings import Cell, Findings, Table, bounded
from launch.experiments.learning import learn_prox
from launch.experiments.plots import COLOURS, EXACT, INK, outlines, plain
from pgm_jax.metrics import sliced_wasserstein
from pgm_jax.posteriors import BallQuadratic, random_ball_quadratic
from pgm_jax.potentials import Ball, Quadratic, quadratic
from pgm_jax.proximal import data_first, forward_backward
from pgm_jax.samplers import Rows, Sampler, bridge, pgm, proximal_mala, proximal_rows
from pgm_jax.schedules import geometric_levels, log_linear
from pgm_jax.types import Key

BALL = Ball(1.0)
PAPER_FEASIBILITY = {0: 0.0, 1: 7.43, 5: 97.43, 10: 99.61, 20: 99.73}  # %, by K at beta = 10
PAPER_OPTIMALITY = {0.0: 0.2365, 0.1: 0.2094, 1.0: 0.0701, 2.0: 0.0438, 10.0: 0.0164}  # by beta at K = 10


def of_the_paper(likelihood: Quadratic) -> Sampler:
    """PGM with the splitting of the paper, gradient steps up to 1."""
    return pgm(forward_backward(BALL, likelihood, max_step=1.0))


def implicit(prior: Any, likelihood: Quadratic) -> Sampler:
    """PGM with an implicit data step."""
    return pgm(data_first(prior, likelihood))


def short_rows(calls: int, config: ConfigDict) -> Rows:
    """The integrator from the largest level that the network was trained on."""
    c = config.learned_corrected
    return bridge(geometric_levels(c.lam_max, c.lam_min, calls))


# Compiled once for all temperatures.
_exact = jax.jit(BallQuadratic.sample, static_argnums=2)
_minimum = jax.jit(lambda target: target.minimum()[1])
_distance = jax.jit(functools.partial(sliced_wasserstein, directions=500))


class Toy:
    """One instance at one temperature: its likelihood, exact samples and minimum."""

    def __init__(self, target: BallQuadratic, beta: float, key: Key, samples: int) -> None:
        self.target = BallQuadratic(target.matrix, target.linear, beta, target.radius)
        self.likelihood: Quadratic = quadratic(beta * target.matrix, beta * target.linear)
        for_one, for_two, self.directions = jax.random.split(key, 3)
        self.exact, self.other = (_exact(self.target, k, samples) for k in (for_one, for_two))
        self.floor = self.distance(self.other)
        self.minimum = float(_minimum(self.target))

    def distance(self, samples: Array) -> float:
        """Sliced W1 to the exact set."""
        return float(_distance(self.directions, samples, self.exact))

    def values(self, samples: Array) -> Array:
        """f of each sample."""
        t = self.target
        return jax.vmap(lambda x: x @ (t.matrix @ x) / 2 + t.linear @ x)(samples)

    def optimality(self, samples: Array) -> float | None:
        """f of the best feasible sample minus f*; None if no sample is feasible."""
        inside = jnp.linalg.norm(samples, axis=1) <= 1.0 + 1e-6
        best = float(jnp.min(jnp.where(inside, self.values(samples), jnp.inf)))
        return best - self.minimum if np.isfinite(best) else None


def feasible(samples: Array, tolerance: float = 1e-6) -> float:
    """The share of samples in the ball (%); the default tolerance is that of rounding."""
    return 100 * float(jnp.mean(jnp.linalg.norm(samples, axis=1) <= 1.0 + tolerance))


def run(config: ConfigDict, key: Key) -> Findings:
    """Feasibility against K, optimality against beta, and the distance of all samplers at beta = 10."""
    for_toys, for_learning, for_chains = jax.random.split(key, 3)
    instance = random_ball_quadratic(jax.random.key(config.instance), config.dimension)
    learned = learn_prox(for_learning, ball_samples(config.learning.examples, config.dimension), config.learning)
    toys = {
        beta: Toy(instance, beta, jax.random.fold_in(for_toys, i), config.samples)
        for i, beta in enumerate(PAPER_OPTIMALITY)
    }
    k_table = over_k(for_chains, toys[10.0], learned, config)
    beta_table = over_beta(for_chains, toys, learned, config)
    table, sets = samplers_at_ten(for_chains, toys[10.0], learned, config)
    best: Any = {row[0]: row for row in table.rows}["PGM, corrected, exact prox"]
    shares: dict[Any, Any] = {row[0]: row[2] for row in k_table.rows}
    claims = [
        bounded("exact prox, corrected: feasibility (%)", best[2], "=", 100),
        bounded("exact prox, corrected: sliced W1 in floors", best[-1], "≤", 1.5),
        *(
            bounded(f"learned prox, K = {k}: feasibility (%), tolerance 0", shares[k], "≥", PAPER_FEASIBILITY[k])
            for k in (10, 20)
        ),
    ]
    figure = figure_of(toys[10.0], k_table, sets)
    return Findings([k_table, beta_table, table], dict(constrained_quadratic=figure), claims)


def ball_samples(count: int, dimension: int) -> Array:
    """Samples of the prior, uniform in the ball, as images of one pixel and d channels; fixed for all seeds."""
    for_direction, for_radius = jax.random.split(jax.random.key(21))
    x = jax.random.normal(for_direction, (count, dimension))
    radius = jax.random.uniform(for_radius, (count, 1)) ** (1 / dimension)
    return (radius * x / jnp.linalg.norm(x, axis=1, keepdims=True)).reshape(count, 1, 1, dimension)


def over_k(key: Key, toy: Toy, learned: Any, config: ConfigDict) -> Table:
    """Feasibility for each number of steps K at beta = 10, as in the paper."""
    rows, shape = [], (config.dimension,)
    start = jnp.sqrt(log_linear().lam(1.0)) * jax.random.normal(key, (config.samples, *shape))
    for k, paper in PAPER_FEASIBILITY.items():
        if k == 0:
            exact = ours = start
        else:
            exact = chains(of_the_paper(toy.likelihood), paper_rows(k), shape).draw(key, config.samples)
            short = chains(implicit(learned, toy.likelihood), short_rows(k, config), shape)
            ours = short.draw(key, config.samples)
        distances = (toy.distance(ours) / toy.floor, toy.distance(exact) / toy.floor)
        rows.append((k, paper, feasible(ours, 0.0), feasible(ours, 0.01), feasible(exact), *distances))
    columns = (
        "K",
        "paper, learned (%)",
        "learned (%)",
        "learned, within 1 % (%)",
        "exact prox (%)",
        "learned: sliced W1 in floors",
        "exact prox: in floors",
    )
    caption = (
        "Share of samples in the ball, beta = 10, integrator alone. The exact prox is used as in the paper, with "
        "gradient steps up to 1; the learned one with implicit data steps on a grid from "
        f"λ = {config.learned_corrected.lam_max}."
    )
    return Table("Feasibility over K", columns, rows, caption)


def over_beta(key: Key, toys: dict[float, Toy], learned: Any, config: ConfigDict) -> Table:
    """Optimality for each beta at K = 10, beside that of exact samples."""
    rows, shape = [], (config.dimension,)
    for beta, paper in PAPER_OPTIMALITY.items():
        toy = toys[beta]
        tried = (
            chains(implicit(learned, toy.likelihood), short_rows(10, config), shape),
            chains(of_the_paper(toy.likelihood), paper_rows(10), shape),
            chains(implicit(BALL, toy.likelihood), corrected(config.calls, **config.corrected), shape),
        )
        sets = [method.draw(key, config.samples) for method in tried]
        optima = map(toy.optimality, (*sets, toy.other))
        rows.append((beta, paper, *optima, toy.distance(sets[-1]) / toy.floor))
    columns = (
        "beta",
        "paper, learned",
        "learned, K = 10",
        "exact prox, K = 10",
        "corrected",
        "exact samples",
        "corrected: sliced W1 in floors",
    )
    caption = (
        f"f(best of {config.samples} samples) - f*. A value below that of exact samples is bias, not merit. The A and "
        "b of the paper are not known: compare its trend, not its values."
    )
    return Table("Optimality over beta", columns, rows, caption)


def samplers_at_ten(key: Key, toy: Toy, learned: Any, config: ConfigDict) -> tuple[Table, dict[str, Array]]:
    """Every sampler at beta = 10: feasibility, optimality, sliced W1; and the samples."""
    best = corrected(config.calls, **config.corrected)
    learnt = corrected(config.learned_calls, **config.learned_corrected)
    f, exact = toy.likelihood, implicit(BALL, toy.likelihood)
    mala = proximal_mala(data_first(BALL, f), BALL, f)
    shape = (config.dimension,)
    kinds: dict[str, Method] = {
        "PGM, integrator as in the paper, K = 200": chains(of_the_paper(f), paper_rows(200), shape),
        "PGM, integrator, implicit, K = 200": chains(exact, paper_rows(200), shape),
        "PGM, corrected, exact prox": chains(exact, best, shape),
        "PGM, corrected, learned prox": chains(implicit(learned, f), learnt, shape),
        "proximal MALA": chains(mala, proximal_rows(0.02, config.calls // 2), shape, each=2),
    }
    rows: list[tuple[Cell, ...]] = [("exact samples", None, 100.0, 100.0, toy.optimality(toy.other), toy.floor, 1.0)]
    sets = dict[str, Array]()
    for index, (name, method) in enumerate(kinds.items()):
        x = sets[name] = method.draw(jax.random.fold_in(key, index), config.samples)
        shares, distance = (feasible(x), feasible(x, 0.01)), toy.distance(x)
        rows.append((name, method.calls, *shares, toy.optimality(x), distance, distance / toy.floor))
    columns = ("sampler", "prox calls", "feasible (%)", "within 1 % (%)", "optimality", "sliced W1", "in floors")
    caption = f"beta = 10, {config.samples} samples, 500 directions."
    return Table("Ball-constrained quadratic", columns, rows, caption), sets


def figure_of(toy: Toy, k_table: Table, sets: dict[str, Array]) -> Figure:
    """Feasibility against K, and the distributions of |x| and of f(x)."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    ks = [row[0] for row in k_table.rows]
    styles = {1: ("paper, learned", "o:"), 4: ("exact prox", "s-"), 2: ("learned", "^--")}
    for (column, (name, style)), colour in zip(styles.items(), COLOURS, strict=False):
        left.plot([row[column] for row in k_table.rows], style, color=colour, markersize=5, label=name)
    left.set_xticks(range(len(ks)), [str(k) for k in ks])
    left.set(xlabel="K", title="Feasible samples (%), beta = 10")
    quantities = {
        middle: ("|x|", lambda x: jnp.linalg.norm(x, axis=1), (0.8, 1.02)),
        right: ("f(x) - f*", lambda x: toy.values(x) - toy.minimum, None),
    }
    for axis, (title, quantity, limits) in quantities.items():
        exact = np.asarray(quantity(toy.exact))
        low, high = limits or (0.0, float(np.quantile(exact, 0.995)))
        edges = np.linspace(low, high, 60)
        heights = axis.hist(exact, edges, density=True, color=EXACT, label="exact samples")[0]
        outlines(axis, {name: quantity(x) for name, x in sets.items()}, list(edges), (*COLOURS, INK))
        axis.set(title=title, yticks=[], ylim=(0, 1.9 * float(np.max(heights))))
    for axis in (left, middle, right):
        plain(axis)
    left.legend(frameon=False, fontsize=8)
    right.legend(frameon=False, fontsize=7)
    return figure
