"""N(0, 1) restricted to [-1, 1], by every sampler: the share of samples inside, and their distance to exact ones.

f = x^2 / 2 is the likelihood, and the prior g is the indicator of the interval. Its prox is the projection, or a
network trained on samples of the prior alone, which are uniform on the interval.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from launch.experiments.chains import Method, chains, corrected, paper_rows
from launch.experiments.findings import Claim, Findings, Table, bounded, mean_and_deviation
from launch.experiments.learning import learn_prox
from launch.experiments.plots import INK, histogram, lines, plain
from pgm_jax.metrics import wasserstein_1d
from pgm_jax.posteriors import TruncatedNormal
from pgm_jax.potentials import Box, Gaussian
from pgm_jax.proximal import data_first, explicit, forward_backward, parallel
from pgm_jax.samplers import bridge, diffusion, langevin, pgm, project_each, project_last, proximal_mala, proximal_rows
from pgm_jax.schedules import geometric_levels
from pgm_jax.types import Key

BOX, LIKELIHOOD, TARGET = Box(-1.0, 1.0), Gaussian(0.0, 1.0), TruncatedNormal(-1.0, 1.0)
IMPLICIT, OF_THE_PAPER = pgm(data_first(BOX, LIKELIHOOD)), pgm(forward_backward(BOX, LIKELIHOOD))
PAPER = "98.45 %, peak at -0.02"


def projected(x: Array) -> Array:
    return BOX.prox(x, 1.0)


def methods(config: ConfigDict, learned: Any) -> dict[str, Method]:
    """The samplers, by name."""
    steps = bridge(geometric_levels(9.0, 1e-4, config.steps))
    learnt = corrected(config.learned_calls, **config.learned_corrected)
    free = diffusion(LIKELIHOOD.prox)  # of N(0, 1), whose posterior mean is its prox
    learned_prox = pgm(data_first(learned, LIKELIHOOD))
    mala = proximal_mala(data_first(BOX, LIKELIHOOD), BOX, LIKELIHOOD)
    return {
        "DDPM, N(0, 1) without the constraint": chains(free, steps),
        "the same, projected at each step": chains(project_each(free, projected), steps),
        "the same, projected at the end": chains(project_last(free, projected), steps),
        "DDPM, exact Stein score of the target": chains(diffusion(TARGET.denoise), steps),
        "subgradient Langevin": chains(pgm(explicit(BOX, LIKELIHOOD)), langevin(1.0, 0.01, config.calls)),
        "MYULA": chains(pgm(parallel(BOX, LIKELIHOOD)), langevin(0.01, 0.005, config.calls)),
        "P-ULA": chains(IMPLICIT, proximal_rows(0.01, config.calls)),
        "proximal MALA": chains(mala, proximal_rows(0.1, config.calls // 2), each=2),
        "PGM, integrator as in the paper, K = 20": chains(OF_THE_PAPER, paper_rows(20)),
        "PGM, integrator as in the paper, K = 200": chains(OF_THE_PAPER, paper_rows(200)),
        "PGM, integrator, implicit data step": chains(IMPLICIT, steps),
        "PGM, corrected": chains(IMPLICIT, corrected(config.steps, **config.corrected)),
        "PGM, corrected, more calls": chains(IMPLICIT, corrected(config.calls, **config.corrected)),
        "PGM, integrator, learned prox": chains(learned_prox, paper_rows(20)),
        "PGM, corrected, learned prox": chains(learned_prox, learnt),
    }


def peak(samples: Array) -> float:
    """The position of the peak of a histogram of 20 bins."""
    counts, edges = np.histogram(samples, 20, (-1.0, 1.0))
    top = int(np.argmax(counts))
    return float(edges[top] + edges[top + 1]) / 2


def run(config: ConfigDict, key: Key) -> Findings:
    """The table of samplers, their histograms, and W1 against the number of calls."""
    for_learning, for_exact, for_chains, for_curves = jax.random.split(key, 4)
    learned = learn_prox(for_learning, uniform(config.learning.examples), config.learning)
    exact = jax.vmap(lambda k: TARGET.sample(k, config.samples))(jax.random.split(for_exact, 2 * config.pairs))
    floor = mean_and_deviation(jax.jit(jax.vmap(wasserstein_1d))(exact[::2], exact[1::2]))
    to_exact = jax.jit(lambda samples, others: jnp.mean(jax.vmap(wasserstein_1d, (None, 0))(samples, others)))

    def distance(samples: Array) -> float:
        """W1 to an exact set, averaged over several."""
        return float(to_exact(samples, exact[:10]))

    shown: dict[str, Array] = {}
    rows: list[tuple] = [("exact samples", None, 100.0, peak(exact[0]), floor, 1.0)]
    for index, (name, method) in enumerate(methods(config, learned).items()):
        keys = jax.random.split(jax.random.fold_in(for_chains, index), config.repeats)
        sets = [method.draw(k, config.samples) for k in keys]
        w1 = mean_and_deviation([distance(samples) for samples in sets])
        inside = 100 * float(np.mean([jnp.mean(jnp.abs(samples) <= 1) for samples in sets]))
        shown[name] = sets[0]
        rows.append((name, method.calls, inside, peak(sets[0]), w1, w1[0] / floor[0]))

    table = Table(
        "Truncated normal",
        ("sampler", "prox or score calls", "inside [-1, 1] (%)", "peak", "W1 to exact samples", "in floors"),
        rows,
        f"{config.samples} samples, mean ± standard deviation over {config.repeats} runs; the floor is the W1 of "
        f"{config.pairs} pairs of exact sets. The paper, with a learned prox: {PAPER}.",
    )
    curves = against_calls(config, learned, for_curves, distance)
    return Findings([table], dict(truncated_normal=figure_of(shown, curves, floor[0])), claims_of(rows))


def claims_of(rows: list[tuple]) -> list[Claim]:
    """The corrected samplers stay inside and are near the floor."""
    measured = {row[0]: (row[2], row[-1]) for row in rows}
    best, learnt = measured["PGM, corrected, more calls"], measured["PGM, corrected, learned prox"]
    alone = measured["PGM, integrator, learned prox"]
    return [
        bounded("exact prox, corrected: share inside (%)", best[0], "=", 100),
        bounded("exact prox, corrected: W1 in floors, at most 2,000 calls", best[1], "≤", 1.3),
        bounded("learned prox, corrected: share inside (%)", learnt[0], "≥", 98.45),
        bounded("learned prox, corrected: W1 in floors", learnt[1], "≤", 2),
        bounded("learned prox, integrator alone: share inside (%)", alone[0], "≥", 98.45),
    ]


def uniform(count: int) -> Array:
    """Samples of the prior as images of one pixel; fixed, so that every seed trains on the same data."""
    return jax.random.uniform(jax.random.key(20), (count, 1, 1, 1), minval=-1.0, maxval=1.0)


def against_calls(
    config: ConfigDict, learned: Any, key: Key, distance: Callable[[Array], float]
) -> dict[str, tuple[list[int], list[float]]]:
    """W1 of each kind of PGM against the number of calls."""
    curves: dict[str, tuple[list[int], list[float]]] = {}
    for calls in config.curve:
        kinds = {
            "integrator as in the paper": chains(OF_THE_PAPER, paper_rows(calls)),
            "integrator, implicit": chains(IMPLICIT, bridge(geometric_levels(9.0, 1e-4, calls))),
            "corrected": chains(IMPLICIT, corrected(calls, **config.corrected)),
        }
        if calls <= config.learned_calls:
            rows = corrected(calls, **config.learned_corrected)
            kinds["corrected, learned prox"] = chains(pgm(data_first(learned, LIKELIHOOD)), rows)
        for name, method in kinds.items():
            x, y = curves.setdefault(name, ([], []))
            x.append(calls)
            y.append(distance(method.draw(key, config.samples)))
    return curves


def figure_of(shown: dict[str, Array], curves: dict[str, tuple[list[int], list[float]]], floor: float) -> Figure:
    """Histograms of most samplers over the density, and the curves."""
    chosen = [name for name in shown if not name.startswith(("subgradient", "MYULA", "PGM, integrator, implicit"))]
    chosen.remove("PGM, corrected")
    figure = Figure(figsize=(13, 8.5), layout="constrained")
    grid = figure.subplots(3, 4)
    x = jnp.linspace(-1.5, 1.5, 301)
    density = jnp.exp(TARGET.log_density(x))
    for axis, name in zip(grid.flat, chosen, strict=False):
        histogram(axis, np.asarray(shown[name]), np.asarray(x), np.asarray(density), name)
    last = grid.flat[-1]
    lines(last, curves, xlabel="prox calls", ylim=(floor / 2, 4.0))
    last.axhline(floor, color=INK, linestyle=":", label="floor")
    last.set_title("W1 to exact samples", fontsize=8.5)
    last.legend(frameon=False, fontsize=7, loc="upper right")
    plain(last)
    return figure
