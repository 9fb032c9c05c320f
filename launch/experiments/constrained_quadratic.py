"""A quadratic restricted to the unit ball in eight dimensions: feasibility, optimality, and distance to exact samples.

f(x) = x^T A x / 2 + b^T x, pi ~ exp(-beta f) on |x| <= 1. The prior is uniform on the ball; its prox is the projection,
or is learned from its samples alone. *Feasibility* is the share of samples in the ball, *optimality* f(best feasible
sample) - f*: an extreme order statistic that measures no distribution, so that of exact samples stands beside it.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from launch.experiments.chains import Method
from launch.experiments.findings import Claim, Findings, Table
from launch.experiments.learning import learn_prox
from launch.experiments.panels import COLOURS, INK, plain
from launch.experiments.truncated_normal import corrected, paper_rows
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
    return pgm(forward_backward(BALL, likelihood, max_step=1.0))


def implicit(prior: Any, likelihood: Quadratic) -> Sampler:
    return pgm(data_first(prior, likelihood))


def short_rows(calls: int, config: ConfigDict) -> Rows:
    """The integrator from a level that the learned prox saw in training: a network knows no farther."""
    c = config.learned_corrected
    return bridge(geometric_levels(c.lam_max, c.lam_min, calls))


# Compiled once for all temperatures.
_exact = jax.jit(BallQuadratic.sample, static_argnums=2)
_minimum = jax.jit(lambda target: target.minimum()[1])
_distance = jax.jit(functools.partial(sliced_wasserstein, directions=500))


class Toy:
    """One instance at one temperature: its likelihood, exact samples and minimum."""

    def __init__(self, target: BallQuadratic, beta: float, key: Key, samples: int):
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
        """f of the best feasible sample, less f*; None where no sample is feasible."""
        inside = jnp.linalg.norm(samples, axis=1) <= 1.0 + 1e-6
        best = float(jnp.min(jnp.where(inside, self.values(samples), jnp.inf)))
        return best - self.minimum if np.isfinite(best) else None


def feasible(samples: Array, tolerance: float = 1e-6) -> float:
    """The share of samples in the ball (%); the smallest tolerance is that of rounding."""
    return 100 * float(jnp.mean(jnp.linalg.norm(samples, axis=1) <= 1.0 + tolerance))


def run(config: ConfigDict, key: Key) -> Findings:
    """Feasibility against K, optimality against beta, and the samplers' distances to the exact samples at beta = 10."""
    for_toys, for_learning, for_chains = jax.random.split(key, 3)
    instance = random_ball_quadratic(jax.random.key(config.instance), config.dimension)
    learned = learn_prox(for_learning, ball_samples(config.learning.examples, config.dimension), config.learning)
    toys = {
        beta: Toy(instance, beta, jax.random.fold_in(for_toys, i), config.samples)
        for i, beta in enumerate(PAPER_OPTIMALITY)
    }
    k_table, k_sets = over_k(for_chains, toys[10.0], learned, config)
    beta_table = over_beta(for_chains, toys, learned, config)
    table, sets, measured = samplers_at_ten(for_chains, toys[10.0], learned, config)
    best = measured["PGM, corrected, exact prox"]
    claims = [
        Claim("exact prox, corrected: feasibility (%)", best[0], "= 100", best[0] == 100.0),
        Claim("exact prox, corrected: sliced W1 in floors", best[1], "≤ 1.5", best[1] <= 1.5),
        *(
            Claim(
                f"learned prox, K = {k}: feasibility (%), tolerance 0",
                feasible(k_sets[k], 0.0),
                f"≥ {PAPER_FEASIBILITY[k]}",
                feasible(k_sets[k], 0.0) >= PAPER_FEASIBILITY[k],
            )
            for k in (10, 20)
        ),
    ]
    figure = figure_of(toys[10.0], k_table, sets)
    return Findings([k_table, beta_table, table], dict(constrained_quadratic=figure), claims)


def ball_samples(count: int, dimension: int) -> Array:
    """The prior's samples, uniform in the ball, as images of one pixel and d channels; always the same."""
    for_direction, for_radius = jax.random.split(jax.random.key(21))
    x = jax.random.normal(for_direction, (count, dimension))
    radius = jax.random.uniform(for_radius, (count, 1)) ** (1 / dimension)
    return (radius * x / jnp.linalg.norm(x, axis=1, keepdims=True)).reshape(count, 1, 1, dimension)


def over_k(key: Key, toy: Toy, learned: Any, config: ConfigDict) -> tuple[Table, dict[int, Array]]:
    """Feasibility for each number of steps K at beta = 10, as the paper has it, and the learned samples by K."""
    rows, sets, size = [], {}, (config.samples, (config.dimension,))
    start = jnp.sqrt(log_linear().lam(1.0)) * jax.random.normal(key, (config.samples, config.dimension))
    for k, paper in PAPER_FEASIBILITY.items():
        if k == 0:
            exact = sets[k] = start
        else:
            exact = Method(of_the_paper(toy.likelihood), paper_rows(k)).draw(key, *size)
            sets[k] = Method(implicit(learned, toy.likelihood), short_rows(k, config)).draw(key, *size)
        distances = (toy.distance(sets[k]) / toy.floor, toy.distance(exact) / toy.floor)
        rows.append((k, paper, feasible(sets[k], 0.0), feasible(sets[k], 0.01), feasible(exact), *distances))
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
        "Share of samples in the ball, beta = 10, by the integrator alone: the exact prox as in the paper, gradient"
        " steps up to 1; the learned one by implicit data steps on a grid from "
        f"λ = {config.learned_corrected.lam_max}."
    )
    return Table("Feasibility over K", columns, rows, caption), sets


def over_beta(key: Key, toys: dict[float, Toy], learned: Any, config: ConfigDict) -> Table:
    """Optimality for each beta at K = 10, beside that of exact samples."""
    rows = []
    for beta, paper in PAPER_OPTIMALITY.items():
        toy = toys[beta]
        tried = (
            Method(implicit(learned, toy.likelihood), short_rows(10, config)),
            Method(of_the_paper(toy.likelihood), paper_rows(10)),
            Method(implicit(BALL, toy.likelihood), corrected(config.calls, **config.corrected)),
        )
        sets = [method.draw(key, config.samples, (config.dimension,)) for method in tried]
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
        f"f(best of {config.samples} samples) - f*. Below that of exact samples it is bias, not merit; the paper's A "
        "and b are not known, so its figures compare in kind only."
    )
    return Table("Optimality over beta", columns, rows, caption)


def samplers_at_ten(
    key: Key, toy: Toy, learned: Any, config: ConfigDict
) -> tuple[Table, dict[str, Array], dict[str, tuple[float, float]]]:
    """Every sampler at beta = 10: feasibility, optimality, sliced W1."""
    best = corrected(config.calls, **config.corrected)
    learnt = corrected(config.learned_calls, **config.learned_corrected)
    f, exact = toy.likelihood, implicit(BALL, toy.likelihood)
    mala = proximal_mala(data_first(BALL, f), BALL, f)
    kinds = {
        "PGM, integrator as in the paper, K = 200": Method(of_the_paper(f), paper_rows(200)),
        "PGM, integrator, implicit, K = 200": Method(exact, paper_rows(200)),
        "PGM, corrected, exact prox": Method(exact, best),
        "PGM, corrected, learned prox": Method(implicit(learned, f), learnt),
        "proximal MALA": Method(mala, proximal_rows(0.02, config.calls // 2), 2),
    }
    floor_row: tuple = ("exact samples", None, 100.0, 100.0, toy.optimality(toy.other), toy.floor, 1.0)
    rows, sets, measured = [floor_row], dict[str, Array](), dict[str, tuple[float, float]]()
    for index, (name, method) in enumerate(kinds.items()):
        x = sets[name] = method.draw(jax.random.fold_in(key, index), config.samples, (config.dimension,))
        distance = toy.distance(x)
        measured[name] = (feasible(x), distance / toy.floor)
        rows.append(
            (name, method.total, feasible(x), feasible(x, 0.01), toy.optimality(x), distance, measured[name][1])
        )
    columns = ("sampler", "prox calls", "feasible (%)", "within 1 % (%)", "optimality", "sliced W1", "in floors")
    caption = f"beta = 10, {config.samples} samples, 500 directions."
    return Table("Ball-constrained quadratic", columns, rows, caption), sets, measured


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
        heights, *_ = axis.hist(exact, edges, density=True, color="#dddddd", label="exact samples")
        for (name, x), colour in zip(sets.items(), (*COLOURS, INK), strict=False):
            axis.hist(np.asarray(quantity(x)), edges, density=True, histtype="step", color=colour, label=name)
        axis.set(title=title, yticks=[], ylim=(0, 1.9 * heights.max()))
    for axis in (left, middle, right):
        plain(axis)
    left.legend(frameon=False, fontsize=8)
    right.legend(frameon=False, fontsize=7)
    return figure
