"""Means and covariances of the chains of all samplers, against their recursions and against the posterior."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from launch.experiments.chains import chains
from launch.experiments.findings import Cell, Claim, Table, bounded, mean_and_deviation
from launch.experiments.gaussian.methods import SHORT, Tried, parts_of, tried
from launch.experiments.gaussian.recursion import Moments, Problem, Scores, recursion, scores
from launch.experiments.plots import COLOURS
from pgm_jax.metrics import gelbrich
from pgm_jax.types import Key

EXACT_SETS = 40  # sets of exact samples, whose distance is the floor
ABOVE_4 = math.erfc(4 / 2**0.5)  # of a standard normal number


class Found(NamedTuple):
    """What a sampler reached: its moments by the recursion, its points, and their scores against both truths."""

    end: Moments | None
    points: np.ndarray
    own: Scores | None
    posterior: Scores
    calls: int


def against_the_truth(what: str, problem: Problem, key: Key, c: Any) -> tuple[Table, dict[str, Found], list[Claim]]:
    """Means and covariances of all samplers, against their recursions and against the posterior."""
    parts, truth = parts_of(problem), problem.posterior
    each = tried(parts, c)
    key_exact, key_chains = jax.random.split(key)
    keys = jax.random.split(key_chains, len(each))
    found = {name: find(t, problem, k, c.samples) for (name, t), k in zip(each.items(), keys, strict=True)}
    sets = [np.asarray(parts.posterior.sample(k, c.samples), float) for k in jax.random.split(key_exact, EXACT_SETS)]
    floor = mean_and_deviation([distance(moments(x), truth) for x in sets])

    rows: list[tuple[Cell, ...]] = [("exact samples", None, None, scores(sets[0], truth).largest, floor, 0.0, "1 to 1")]
    for name, f in found.items():
        reached = moments(f.points)
        widths = along_axes(f.end or reached, truth)[1]
        far = (distance(reached, truth), f.end and distance(f.end, truth))
        ratio = f"{widths.min():.3f} to {widths.max():.3f}"
        rows.append((name, f.calls, f.own and f.own.largest, f.posterior.largest, *far, ratio))
    columns = (
        "sampler",
        "calls",
        "|z|, own recursion",
        "|z|, posterior",
        "Gelbrich",
        "by recursion",
        "std over posterior's",
    )
    return Table(f"Gaussian posterior, {what}", columns, rows, caption(found, c)), found, claims_of(what, found, c)


def caption(found: dict[str, Found], c: Any) -> str:
    """What the columns are."""
    counts = [f.own.count for f in found.values() if f.own]
    by_chance = 1 - (1 - ABOVE_4) ** sum(counts)
    return (
        f"{c.samples:,} chains. |z|: the largest of {counts[0]} scores of means and covariances along the principal "
        f"axes. Of {sum(counts)} independent normal scores, the number against own recursions, one exceeds 4 with "
        f"probability {by_chance:.2g}. Gelbrich: distance to the posterior; its floor is the mean ± deviation of "
        f"{EXACT_SETS} sets of exact samples. By recursion: the same without chains. FB: forward-backward. Unless "
        f"stated otherwise, η is 1 and the splitting is data first. Corrected: {c.correctors} steps at each level; "
        f"short: {SHORT}. Projected samplers and proximal MALA are not affine: the first are not tried, the second has "
        "no recursion. PGM with the exact prox is DDPM."
    )


def claims_of(what: str, found: dict[str, Found], c: Any) -> list[Claim]:
    """All samplers match their recursions, the exact ones sample the posterior, the integrator alone does not."""
    own = [f.own for f in found.values() if f.own]
    count, largest = sum(s.count for s in own), float(np.max([s.largest for s in own]))
    text = f"{what}: {len(own)} samplers against their own recursions, largest of {count} |z|"
    exact = ("PGM corrected", "PGM corrected, FB, capped", "PGM corrected, exact prox, short", "proximal MALA")
    z = {name: f.posterior.largest for name, f in found.items()}
    judged = [bounded(f"{what}: {n} against the posterior, largest |z|", z[n], "<", 4) for n in exact if n in z]
    for name in (f"PGM, {n} levels" for n in c.levels if f"PGM, {n} levels" in z):
        judged.append(bounded(f"{what}: {name}, uncorrected, misses the posterior, largest |z|", z[name], "≥", 10))
    return [bounded(text, largest, "<", 4), *judged]


def find(t: Tried, problem: Problem, key: Key, count: int) -> Found:
    """Run the chains of a sampler, and its recursion."""
    size, target = len(problem.prior.mean), t.target
    method = chains(t.sampler, t.rows, (size,), t.each)
    points = np.asarray(method.draw(key, count), np.float64)
    end = target and recursion(t.rows, partial(target, problem), size)
    return Found(end, points, end and scores(points, end), scores(points, problem.posterior), method.calls)


def moments(points: np.ndarray) -> Moments:
    """Mean and covariance of points."""
    return Moments(points.mean(axis=0), np.cov(points.T))


def distance(reached: Moments, truth: Moments) -> float:
    """The Gelbrich distance, in double precision."""
    with jax.enable_x64(True):
        return float(gelbrich(*(jnp.asarray(a) for a in (*reached, *truth))))


def along_axes(reached: Moments, truth: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation along the principal axes of the truth, widest first, in units of its deviations."""
    values, axes = np.linalg.eigh(truth.covariance)
    values, axes = values[::-1], axes[:, ::-1]
    seen = values > 1e-8 * values[0]
    axes, std = axes[:, seen], np.sqrt(values[seen])
    return (reached.mean - truth.mean) @ axes / std, np.sqrt(np.diag(axes.T @ reached.covariance @ axes)) / std


def eigen_panels(truth: Moments, found: dict[str, Found]) -> list[Callable[[Axes], None]]:
    """Deviations and means along the axes of the posterior, lines by recursion, dots by chains."""

    def panel(axis: Axes, which: int, show: Callable[[np.ndarray], np.ndarray]) -> None:
        for (name, f), colour in zip(found.items(), COLOURS, strict=False):
            reached = moments(f.points)
            line, dots = (show(along_axes(of, truth)[which]) for of in (f.end or reached, reached))
            place = np.arange(1, len(line) + 1)
            axis.plot(place, line, color=colour, lw=1.2)
            axis.plot(place, dots, "o", color=colour, ms=4)
            if which:
                axis.plot([], [], "o-", color=colour, ms=4, lw=1.2, label=name)
        axis.set_xlabel("principal axis of the posterior, widest first")

    def widths(axis: Axes) -> None:
        axis.axhline(1.0, color="black", lw=1)
        panel(axis, 1, np.asarray)
        axis.set(title="Standard deviation over the posterior's", ylabel="below 1: overconfident")

    def means(axis: Axes) -> None:
        noise = 2 / len(next(iter(found.values())).points) ** 0.5
        axis.axhspan(0.0, noise, color="#e6e6e6")
        axis.text(1.0, 1.25e-4, "grey: two standard errors of the dots", fontsize=8.5)
        panel(axis, 0, np.abs)
        axis.set(title="Error of the mean, in the posterior's deviations", yscale="log", ylim=(1e-4, None))

    return [widths, means]
