"""A Gaussian prior and a Gaussian measurement: every sampler against its own recursion, and against the posterior.

The prior is N(m, C) with a full C, or one on a plane; the measurement y = A x + N(0, sigma^2) sees part of x. Steps are
affine, so that where each sampler ends is known, right or wrong; and the posterior is known.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.axes import Axes

from launch.experiments.chains import Method
from launch.experiments.coverage import (
    Calibration,
    calibrate,
    calibrated,
    coverage_panels,
    coverage_table,
    not_calibrated,
)
from launch.experiments.findings import Cell, Claim, Findings, Table
from launch.experiments.gaussian_recursion import Moments, Problem, Scores, random_problem, recursion, scores, simulate
from launch.experiments.gaussian_samplers import (
    SHORT,
    Parts,
    Tried,
    capped,
    corrected,
    levels,
    likelihood_of,
    parts_of,
    tried,
)
from launch.experiments.panels import COLOURS
from launch.experiments.theory_panels import figure_of
from pgm_jax import samplers
from pgm_jax.metrics import gelbrich
from pgm_jax.proximal import data_first
from pgm_jax.samplers import bridge, pgm
from pgm_jax.types import Key

EXACT_SETS = 40  # sets of exact samples, whose distance is the floor
ABOVE_4 = math.erfc(4 / 2**0.5)  # of a standard normal number


class Found(NamedTuple):
    """Where a sampler ended: its moments by the recursion, its points, and their scores against both truths."""

    end: Moments | None
    points: np.ndarray
    own: Scores | None
    posterior: Scores


def run(config: Any, key: Key) -> Findings:
    """The samplers on a regular and on a singular prior, the optimisers, and the calibration of PGM."""
    c = config
    key_problem, key_regular, key_singular, key_many = jax.random.split(key, 4)
    with jax.default_matmul_precision("highest"):
        regular, singular = (
            random_problem(key_problem, np.array(v), np.array(c.gains), c.sigma) for v in (c.variances, c.plane)
        )
        table, found, claims = against_the_truth("full C", regular, key_regular, c)
        plane_table, on_plane, plane_claims = against_the_truth("C on a plane", singular, key_singular, c)
        optimiser_table, optimiser_claims = optimisers(parts_of(regular), regular.posterior)
        calibrations = simulated(regular, key_many, c)
    names = ("PGM corrected", *(f"PGM, {n} levels" for n in c.levels), "DDPM", "joint Langevin, exponential", "MYULA")
    panels = [
        *eigen_panels(regular.posterior, {name: found[name] for name in names}),
        *coverage_panels(calibrations),
    ]
    off = on_plane["PGM corrected"].posterior.off_plane
    claims = [
        *claims,
        *plane_claims,
        Claim("C on a plane: farthest sample of PGM corrected from it", off, "≤ 1e-5, rounding", off <= 1e-5),
        *optimiser_claims,
        *calibrated(calibrations[0]),
        *map(not_calibrated, calibrations[1:]),
    ]
    tables = [table, plane_table, optimiser_table, coverage_table("Gaussian posterior: calibration", calibrations)]
    return Findings(tables, {"gaussian": figure_of(panels, across=2)}, claims)


def against_the_truth(what: str, problem: Problem, key: Key, c: Any) -> tuple[Table, dict[str, Found], list[Claim]]:
    """Means and covariances of all samplers, against their recursions and against the posterior."""
    parts, truth = parts_of(problem), problem.posterior
    each = tried(parts, c)
    key_exact, key_chains = jax.random.split(key)
    keys = jax.random.split(key_chains, len(each))
    found = {name: find(t, problem, k, c.samples) for (name, t), k in zip(each.items(), keys, strict=True)}
    sets = [np.asarray(parts.posterior.sample(k, c.samples), float) for k in jax.random.split(key_exact, EXACT_SETS)]
    floors = np.array([distance(moments(x), truth) for x in sets])
    floor = (float(floors.mean()), float(floors.std(ddof=1)))

    rows: list[tuple[Cell, ...]] = [("exact samples", None, None, scores(sets[0], truth).largest, floor, 0.0, "1 to 1")]
    for name, f in found.items():
        reached = moments(f.points)
        widths = along_axes(f.end or reached, truth)[1]
        far = (distance(reached, truth), f.end and distance(f.end, truth))
        ratio = f"{widths.min():.3f} to {widths.max():.3f}"
        rows.append((name, each[name].method.total, f.own and f.own.largest, f.posterior.largest, *far, ratio))
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
        f"{c.samples:,} chains; |z|: the largest of {counts[0]} scores of means and covariances along the principal "
        f"axes. Of {sum(counts)} independent normal scores, as many as against own recursions, one is above 4 with "
        f"probability {by_chance:.2g}. Gelbrich: to the posterior, its floor the mean ± deviation of {EXACT_SETS} sets "
        "of exact samples. By recursion: the same without chains. FB: forward-backward. η is 1 and the splitting data "
        f"first where nothing is said; corrected: {c.correctors} steps at each level, short: {SHORT}. Projected "
        "samplers are not affine and not tried; proximal MALA is not affine either. PGM with the exact prox is DDPM."
    )


def claims_of(what: str, found: dict[str, Found], c: Any) -> list[Claim]:
    """That all samplers end where their recursions do, that the exact ones sample the posterior, and which do not."""
    own = [f.own for f in found.values() if f.own]
    count, largest = sum(s.count for s in own), float(np.max([s.largest for s in own]))
    first = f"{what}: {len(own)} samplers against their own recursions, largest of {count} |z|"
    claims = [Claim(first, largest, "< 4", largest < 4)]
    for name in ("PGM corrected", "PGM corrected, FB, capped", "PGM corrected, exact prox, short", "proximal MALA"):
        if name in found:
            z = found[name].posterior.largest
            claims.append(Claim(f"{what}: {name} against the posterior, largest |z|", z, "< 4", z < 4))
    for name in (f"PGM, {n} levels" for n in c.levels):
        if name in found:
            z = found[name].posterior.largest
            claims.append(Claim(f"{what}: {name}, uncorrected, is not the posterior, largest |z|", z, "≥ 10", z >= 10))
    return claims


def find(t: Tried, problem: Problem, key: Key, count: int) -> Found:
    """Run the chains of a sampler, and its recursion."""
    size, target = len(problem.prior.mean), t.target
    points = np.asarray(t.method.draw(key, count, (size,)), np.float64)
    end = target and recursion(t.method.rows, partial(target, problem), size)
    return Found(end, points, end and scores(points, end), scores(points, problem.posterior))


def moments(points: np.ndarray) -> Moments:
    """Mean and covariance of points."""
    return Moments(points.mean(axis=0), np.cov(points.T))


def distance(reached: Moments, truth: Moments) -> float:
    """The Gelbrich distance, in double precision."""
    with jax.enable_x64(True):
        return float(gelbrich(*(jnp.asarray(a) for a in (*reached, *truth))))


def along_axes(reached: Moments, truth: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation in the principal axes of the truth and in its deviations, widest axis first."""
    values, axes = np.linalg.eigh(truth.covariance)
    values, axes = values[::-1], axes[:, ::-1]
    seen = values > 1e-8 * values[0]
    axes, std = axes[:, seen], np.sqrt(values[seen])
    return (reached.mean - truth.mean) @ axes / std, np.sqrt(np.diag(axes.T @ reached.covariance @ axes)) / std


def eigen_panels(truth: Moments, found: dict[str, Found]) -> list[Callable[[Axes], None]]:
    """Deviations and means in the axes of the posterior, in one set of colours: lines by recursion, dots by chains."""

    def panel(axis: Axes, which: int, show: Callable[[np.ndarray], np.ndarray]) -> None:
        for f, colour in zip(found.values(), COLOURS, strict=False):
            reached = moments(f.points)
            line, dots = (show(along_axes(of, truth)[which]) for of in (f.end or reached, reached))
            place = np.arange(1, len(line) + 1)
            axis.plot(place, line, color=colour, lw=1.2)
            axis.plot(place, dots, "o", color=colour, ms=4)
        axis.set_xlabel("principal axis of the posterior, widest first")

    def widths(axis: Axes) -> None:
        axis.axhline(1.0, color="black", lw=1)
        panel(axis, 1, np.asarray)
        for name, colour in zip(found, COLOURS, strict=False):
            axis.plot([], [], "o-", color=colour, ms=4, lw=1.2, label=name)
        axis.set(title="Standard deviation over the posterior's", ylabel="below 1: too sure")

    def means(axis: Axes) -> None:
        noise = 2 / len(next(iter(found.values())).points) ** 0.5
        axis.axhspan(0.0, noise, color="#e6e6e6")
        axis.text(1.0, 1.25e-4, "grey: two standard errors of the dots", fontsize=8.5)
        panel(axis, 0, np.abs)
        axis.set(title="Mean: how far off, in deviations of the posterior", yscale="log", ylim=(1e-4, None))

    return [widths, means]


def optimisers(parts: Parts, truth: Moments) -> tuple[Table, list[Claim]]:
    """FISTA, ADMM and HQS end at the mean of the posterior, which is its mode."""
    lipschitz = float(jnp.max(parts.likelihood.eigenvalues))
    each = {
        "FISTA": (samplers.fista, jnp.full(400, 1 / lipschitz), 1e-3),
        "ADMM": (samplers.admm, jnp.full(400, 3 / lipschitz), 1e-3),
        "HQS": (samplers.hqs, 0.5 / jnp.arange(1.0, 4001.0), 1e-2),
    }
    rows, claims = [], []
    for name, (build, steps, bound) in each.items():
        method = Method(build(parts.prior, parts.likelihood), steps)
        end = np.asarray(method.draw(jax.random.key(0), 1, truth.mean.shape)[0], np.float64)
        off = float(np.abs(along_axes(Moments(end, truth.covariance), truth)[0]).max())
        rows.append((name, method.total, off))
        claims.append(
            Claim(f"{name} ends at the mean of the posterior, off by deviations", off, f"≤ {bound:g}", off <= bound)
        )
    columns = ("optimiser", "rows", "off the mean of the posterior, in its deviations")
    return Table("Gaussian posterior, full C: optimisers", columns, rows), claims


def simulated(problem: Problem, key: Key, c: Any) -> Sequence[Calibration]:
    """The calibration of PGM over truths from the prior, along the principal axes of the posterior."""
    parts, truth = parts_of(problem), problem.posterior
    key_truth, key_chains, key_judge = jax.random.split(key, 3)
    truths, ys = simulate(problem, key_truth, c.simulations)
    # The measurement is in the slopes of the likelihood alone.
    slopes = jax.vmap(lambda y: likelihood_of(problem, y).slopes)(jnp.asarray(ys, jnp.float32))
    keys = jax.random.split(key_chains, c.simulations)
    axes = jnp.asarray(np.linalg.eigh(truth.covariance)[1], jnp.float32)
    low, many = (bridge(levels(n, c)) for n in c.levels)

    def methods(slopes: Array) -> dict[str, Method]:
        likelihood = dataclasses.replace(parts.likelihood, slopes=slopes)
        first = pgm(data_first(parts.prior, likelihood))
        full = corrected(c.correctors_many, c.rate, samplers.leimkuhler_matthews, c)
        return {
            "PGM corrected": Method(first, full),
            f"PGM alone, {c.levels[0]} levels": Method(first, low),
            f"PGM alone, {c.levels[1]} levels": Method(first, many),
            f"PGM alone, FB, {c.levels[1]} levels": Method(capped(parts.prior, likelihood), many),
        }

    found = []
    for name, method in methods(slopes[0]).items():
        draw = jax.vmap(lambda key, slopes, name=name: methods(slopes)[name].draw(key, c.draws, truth.mean.shape))
        samples = draw(keys, slopes) @ axes
        found.append(calibrate(key_judge, name, method.total, samples, jnp.asarray(truths, jnp.float32) @ axes))
    return found
