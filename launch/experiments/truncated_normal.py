"""N(0, 1) restricted to [-1, 1], by every sampler: what stays inside, and how far samples are from exact ones.

f = x^2 / 2 is the likelihood, the prior g the indicator of the interval; its prox is the projection, or is learned from
samples of the prior alone, which are uniform on the interval.
"""

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
from launch.experiments.panels import INK, histogram, lines
from pgm_jax.metrics import wasserstein_1d
from pgm_jax.posteriors import TruncatedNormal
from pgm_jax.potentials import Box, Gaussian
from pgm_jax.proximal import data_first, explicit, forward_backward, parallel
from pgm_jax.samplers import (
    Rows,
    apportion,
    bridge,
    diffusion,
    langevin,
    pgm,
    project_each,
    project_last,
    proximal_mala,
    proximal_rows,
    with_corrector,
)
from pgm_jax.schedules import geometric_levels, log_linear, uniform_levels
from pgm_jax.types import Key

BOX, LIKELIHOOD, TARGET = Box(-1.0, 1.0), Gaussian(0.0, 1.0), TruncatedNormal(-1.0, 1.0)
IMPLICIT, OF_THE_PAPER = pgm(data_first(BOX, LIKELIHOOD)), pgm(forward_backward(BOX, LIKELIHOOD))
PAPER = "98.45 %, peak at -0.02"


def corrected(calls: int, lam_max: float, lam_min: float, levels: int, rate: float, power: float) -> Rows:
    """Rows of the integrator with correctors, in proportion to lam^-power at each level; `calls` in all."""
    levels = min(levels, calls // 2)
    grid = geometric_levels(lam_max, lam_min, levels)
    return with_corrector(bridge(grid), apportion(calls - levels, np.asarray(grid.lam[:-1]) ** -power), rate)


def paper_rows(calls: int) -> Rows:
    """The integrator on the grid of the paper, uniform in the time of its own schedule."""
    return bridge(uniform_levels(log_linear(), calls))


def projected(x: Array) -> Array:
    return BOX.prox(x, 1.0)


def methods(config: ConfigDict, learned: Any) -> dict[str, Method]:
    """The rows of the table, by name; those of `PGM` and `learned` are drawn in the figure."""
    steps = bridge(geometric_levels(9.0, 1e-4, config.steps))
    learnt = corrected(config.learned_calls, **config.learned_corrected)
    free = diffusion(LIKELIHOOD.prox)  # of N(0, 1), whose posterior mean is its prox
    learned_prox = pgm(data_first(learned, LIKELIHOOD))
    mala = proximal_mala(data_first(BOX, LIKELIHOOD), BOX, LIKELIHOOD)
    return {
        "DDPM, N(0, 1) without the constraint": Method(free, steps),
        "the same, projected at each step": Method(project_each(free, projected), steps),
        "the same, projected at the end": Method(project_last(free, projected), steps),
        "DDPM, exact Stein score of the target": Method(diffusion(TARGET.denoise), steps),
        "subgradient Langevin": Method(pgm(explicit(BOX, LIKELIHOOD)), langevin(1.0, 0.01, config.calls)),
        "MYULA": Method(pgm(parallel(BOX, LIKELIHOOD)), langevin(0.01, 0.005, config.calls)),
        "P-ULA": Method(IMPLICIT, proximal_rows(0.01, config.calls)),
        "proximal MALA": Method(mala, proximal_rows(0.1, config.calls // 2), 2),
        "PGM, integrator as in the paper, K = 20": Method(OF_THE_PAPER, paper_rows(20)),
        "PGM, integrator as in the paper, K = 200": Method(OF_THE_PAPER, paper_rows(200)),
        "PGM, integrator, implicit data step": Method(IMPLICIT, steps),
        "PGM, corrected": Method(IMPLICIT, corrected(config.steps, **config.corrected)),
        "PGM, corrected, more calls": Method(IMPLICIT, corrected(config.calls, **config.corrected)),
        "PGM, integrator, learned prox": Method(learned_prox, paper_rows(20)),
        "PGM, corrected, learned prox": Method(learned_prox, learnt),
    }


def peak(samples: Array) -> float:
    """Where a histogram of 20 bins is highest."""
    counts, edges = np.histogram(samples, 20, (-1.0, 1.0))
    top = int(np.argmax(counts))
    return float(edges[top] + edges[top + 1]) / 2


def run(config: ConfigDict, key: Key) -> Findings:
    """The table of samplers, histograms over the density, and W1 against the number of calls."""
    for_learning, for_exact, for_chains, for_curves = jax.random.split(key, 4)
    learned = learn_prox(for_learning, uniform(config.learning.examples), config.learning)
    exact = jax.vmap(lambda k: TARGET.sample(k, config.samples))(jax.random.split(for_exact, 2 * config.pairs))
    floors = np.asarray(jax.jit(jax.vmap(wasserstein_1d))(exact[::2], exact[1::2]))
    floor = float(floors.mean())
    to_exact = jax.jit(lambda samples, others: jnp.mean(jax.vmap(wasserstein_1d, (None, 0))(samples, others)))

    def distance(samples: Array) -> float:
        """W1 to an exact set, the mean over several."""
        return float(to_exact(samples, exact[:10]))

    shown: dict[str, Array] = {}
    measured: dict[str, tuple[float, float, float]] = {}
    rows: list[tuple] = [("exact samples", None, 100.0, peak(exact[0]), (floor, float(floors.std(ddof=1))), 1.0)]
    for index, (name, method) in enumerate(methods(config, learned).items()):
        keys = jax.random.split(jax.random.fold_in(for_chains, index), config.repeats)
        sets = [method.draw(k, config.samples) for k in keys]
        distances = np.array([distance(samples) for samples in sets])
        inside = float(np.mean([jnp.mean(jnp.abs(samples) <= 1) for samples in sets]))
        shown[name], measured[name] = sets[0], (inside, float(distances.mean()), float(distances.mean()) / floor)
        spread = float(distances.std(ddof=1)) if config.repeats > 1 else 0.0
        rows.append((name, method.total, 100 * inside, peak(sets[0]), (measured[name][1], spread), measured[name][2]))

    table = Table(
        "Truncated normal",
        ("sampler", "prox or score calls", "inside [-1, 1] (%)", "peak", "W1 to exact samples", "in floors"),
        rows,
        f"{config.samples} samples, mean ± standard deviation over {config.repeats} runs; the floor is that of "
        f"{config.pairs} pairs of exact sets. The paper has {PAPER}, with a learned prox.",
    )
    best, learnt = measured["PGM, corrected, more calls"], measured["PGM, corrected, learned prox"]
    plain = measured["PGM, integrator, learned prox"]
    claims = [
        Claim("exact prox, corrected: share inside (%)", 100 * best[0], "= 100", best[0] == 1.0),
        Claim("exact prox, corrected: W1 in floors, at most 2,000 calls", best[2], "≤ 1.3", best[2] <= 1.3),
        Claim("learned prox, corrected: share inside (%)", 100 * learnt[0], "≥ 98.45", learnt[0] >= 0.9845),
        Claim("learned prox, corrected: W1 in floors", learnt[2], "≤ 2", learnt[2] <= 2.0),
        Claim("learned prox, integrator alone: share inside (%)", 100 * plain[0], "≥ 98.45", plain[0] >= 0.9845),
    ]
    curves = against_calls(config, learned, for_curves, distance)
    return Findings([table], dict(truncated_normal=figure_of(shown, curves, floor)), claims)


def uniform(count: int) -> Array:
    """The prior's samples, as images of one pixel: fixed, so that every seed of the samplers has the same data."""
    return jax.random.uniform(jax.random.key(20), (count, 1, 1, 1), minval=-1.0, maxval=1.0)


def against_calls(config: ConfigDict, learned: Any, key: Key, distance: Any) -> dict[str, list[tuple[int, float]]]:
    """W1 of each kind of PGM for several numbers of calls."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for calls in config.curve:
        kinds = {
            "integrator as in the paper": Method(OF_THE_PAPER, paper_rows(calls)),
            "integrator, implicit": Method(IMPLICIT, bridge(geometric_levels(9.0, 1e-4, calls))),
            "corrected": Method(IMPLICIT, corrected(calls, **config.corrected)),
        }
        if calls <= config.learned_calls:
            rows = corrected(calls, **config.learned_corrected)
            kinds["corrected, learned prox"] = Method(pgm(data_first(learned, LIKELIHOOD)), rows)
        for name, method in kinds.items():
            curves.setdefault(name, []).append((calls, distance(method.draw(key, config.samples))))
    return curves


def figure_of(shown: dict[str, Array], curves: dict[str, list[tuple[int, float]]], floor: float) -> Figure:
    """Histograms over the density, and the curves."""
    chosen = [name for name in shown if not name.startswith(("subgradient", "MYULA", "PGM, integrator, implicit"))]
    chosen.remove("PGM, corrected")
    figure = Figure(figsize=(13, 8.5), layout="constrained")
    grid = figure.subplots(3, 4)
    x = jnp.linspace(-1.5, 1.5, 301)
    density = jnp.exp(TARGET.log_density(x))
    for axis, name in zip(grid.flat, chosen, strict=False):
        histogram(axis, np.asarray(shown[name]), np.asarray(x), np.asarray(density), name)
    last = grid.flat[-1]
    for unused in list(grid.flat)[len(chosen) : -1]:
        unused.set_axis_off()
    lines(last, curves)
    last.axhline(floor, color=INK, linestyle=":", label="floor")
    last.set(xscale="log", yscale="log", xlabel="prox calls", ylim=(floor / 2, 4.0))
    last.set_title("W1 to exact samples", fontsize=8.5)
    last.legend(frameon=False, fontsize=7, loc="upper right")
    return figure
