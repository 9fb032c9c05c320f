"""A drawing of 142 points, sampled by proximal and by score steps of exact oracles: distance against calls.

    p_0 = sum_j delta(x - x_j) / 142        p_t: a mixture of Gaussians of means mu(t) x_j and variance sigma(t)^2

Nothing is learned: the prox of -log p_t and the posterior mean are exact at every t, so that what is left is the error
of the steps. All samplers run on `LinearVP(0.1, 20)`, each on its own grid.

Source: after ProxDM (arXiv 2507.08956), with a drawing of our own and the second-order solvers beside the Euler steps.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from scipy.optimize import linear_sum_assignment

from launch.experiments.chains import Method, chains
from launch.experiments.findings import Cell, Claim, Findings, Table, bounded, mean_and_deviation
from launch.experiments.plots import COLOURS, against_calls, cloud, panelled
from pgm_jax.potentials import Mixture, marginals
from pgm_jax.samplers import (
    backward_rows,
    bridge,
    diffusion,
    dpm_solver_rows,
    ended_times,
    heun_rows,
    hybrid_rows,
    left_point,
    multistep,
    proxdm,
    vp_euler,
)
from pgm_jax.schedules import LinearVP, geometric_levels, karras_levels, uniform_levels
from pgm_jax.types import Key

# The outline of a long-necked dinosaur from its snout over the back, and its eye.
OUTLINE = (
    (1.0, 8.5), (1.3, 9.1), (2.0, 9.5), (2.8, 9.2), (3.2, 8.4), (3.3, 7.2), (3.6, 6.2), (4.4, 5.7), (5.6, 5.8),
    (6.7, 5.4), (7.6, 4.5), (8.5, 3.4), (9.3, 2.5), (10.0, 2.2), (9.1, 2.1), (8.2, 2.6), (7.5, 3.1), (7.2, 2.2),
    (7.3, 0.8), (6.2, 0.8), (6.1, 2.3), (5.3, 2.1), (4.6, 2.3), (4.5, 0.8), (3.4, 0.8), (3.4, 2.8), (2.8, 4.2),
    (2.4, 5.8), (2.3, 7.2), (2.1, 8.1), (1.5, 8.1), (1.0, 8.5),
)  # fmt: skip
EYE = (2.2, 8.9)
COUNT = 142
EULER = "Euler–Maruyama"


def drawing() -> np.ndarray:
    """The points, `[142, 2]`: equally spaced along the outline, and the eye; between -1 and 1."""
    corners = np.array(OUTLINE)
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    along = np.arange(COUNT - 1) / (COUNT - 1) * lengths[-1]
    outline = np.stack([np.interp(along, lengths, corners[:, axis]) for axis in (0, 1)], axis=1)
    return (np.concatenate([outline, [EYE]]) - np.array([5.5, 5.15])) / 4.5


def methods(c: Any, prior: Mixture, calls: int) -> dict[str, Method]:
    """All samplers of so many calls; Heun's method, whose calls are odd, makes one less."""
    schedule = LinearVP()
    exact = marginals(prior, schedule)
    uniform = 1.0 - jnp.arange(calls + 1) / calls
    denoised, solver, proximal = diffusion(exact.denoise), multistep(exact.denoise), proxdm(exact)
    top, low = schedule.lam(1.0), schedule.lam(c.end)

    def explicit(times: jax.Array, **options: Any) -> Method:
        return chains(denoised, vp_euler(schedule, times, left_point(schedule, times), **options), (2,))

    each = {
        f"{EULER}, last noise kept": explicit(uniform, last_noise=1.0),
        f"{EULER}": explicit(uniform),
        **{f"{EULER}, end at {end:g}": explicit(ended_times(calls, end)) for end in c.ends},
        "probability flow, Euler": explicit(ended_times(calls, c.end), eta=0.0),
        "DDPM": chains(denoised, bridge(uniform_levels(schedule, calls)), (2,)),
        "DDIM": chains(denoised, bridge(uniform_levels(schedule, calls), 0.0), (2,)),
        "Heun (EDM)": chains(solver, heun_rows(karras_levels(c.edm[0], c.edm[1], (calls + 1) // 2)), (2,)),
        "DPM-Solver++(2M)": chains(solver, dpm_solver_rows(geometric_levels(top, low, calls)), (2,)),
        "ProxDM hybrid": chains(proximal, hybrid_rows(schedule, calls), (2,)),
        "ProxDM hybrid, flow": chains(proximal, hybrid_rows(schedule, calls, 0.0), (2,)),
    }
    if calls >= c.backward_from:
        each["ProxDM backward"] = chains(proximal, backward_rows(schedule, calls), (2,))
        each["ProxDM backward, flow"] = chains(proximal, backward_rows(schedule, calls, 0.0), (2,))
    return each


def transport(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """W1 and W2 of two sets of as many points each, by an optimal assignment; infinite where a point is not finite."""
    if not np.all(np.isfinite(a)):
        return float("inf"), float("inf")
    squares = np.sum((a[:, None] - b[None]) ** 2, axis=-1)
    costs = np.sqrt(squares), squares
    w1, w2 = (float(cost[linear_sum_assignment(cost)].mean()) for cost in costs)
    return w1, w2**0.5


def run(config: Any, key: Key) -> Findings:
    """Both distances of every sampler at every number of calls."""
    c, points = config, drawing()
    prior = Mixture(jnp.full(COUNT, 1 / COUNT), jnp.asarray(points, jnp.float32), 0.0)
    target = np.repeat(points, c.copies, axis=0)
    sets = jax.random.split(key, c.repeats)
    found: dict[str, dict[int, list[tuple[float, float]]]] = {}
    shown: dict[str, np.ndarray] = {}
    for calls in c.calls:
        for name, method in methods(c, prior, calls).items():
            # The same keys for all, so that methods of as many rows start from the same noise.
            drawn = [np.asarray(method.draw(each, len(target)), np.float64) for each in sets]
            found.setdefault(name, {})[calls] = [transport(x, target) for x in drawn]
            if calls == c.shown and name in CLOUDS:
                shown[name] = drawn[0]
    chosen = [np.asarray(jax.random.choice(each, points, (len(target),)), np.float64) for each in sets]
    floor = [transport(x, target) for x in chosen]
    tables = [table(c, order, found, floor) for order in (2, 1)]
    clouds = [
        cloud(f"{name}, {c.shown} calls", x, points, COLOURS[name.startswith("ProxDM")], (1.3, 1.3))
        for name, x in shown.items()
    ]
    figure = panelled([curves(c, found, floor), *clouds], across=4)
    return Findings(tables, {"dino": figure}, claims_of(c, found))


Distances = Mapping[str, Mapping[int, Sequence[tuple[float, float]]]]


def table(c: Any, order: int, found: Distances, floor: Sequence[tuple[float, float]]) -> Table:
    """Mean and deviation of one distance over the sets of samples."""

    def cell(pairs: Sequence[tuple[float, float]] | None) -> Cell:
        return mean_and_deviation([pair[order - 1] for pair in pairs]) if pairs else None

    rows: list[list[Cell]] = [["points drawn at random", *[cell(floor)] * len(c.calls)]]
    rows += [[name, *(cell(each.get(calls)) for calls in c.calls)] for name, each in found.items()]
    caption = (
        f"Exact optimal transport between {COUNT * c.copies} samples and the {COUNT} points, mean ± deviation of "
        f"{c.repeats} sets. Heun's method makes a call less where the number is even. A backward step wants gamma < 2, "
        f"thus {c.backward_from} calls."
    )
    return Table(f"Dino: W{order} by calls", ("sampler", *map(str, c.calls)), rows, caption)


def claims_of(c: Any, found: Distances) -> list[Claim]:
    """The proximal steps are ahead of every Euler-Maruyama variant where calls are few."""

    def distance(name: str, calls: int) -> float:
        return mean_and_deviation([w2 for _, w2 in found[name][calls]])[0]

    claims = []
    for calls in c.judged:
        euler = {name: distance(name, calls) for name in found if name.startswith(EULER)}
        best = min(euler, key=euler.__getitem__)
        for name in ("ProxDM hybrid", "ProxDM backward"):
            words = f"{euler[best]:.4g}, the best of {len(euler)}: {best}"
            claims.append(bounded(f"{name}, {calls} calls: W2", distance(name, calls), "<", euler[best], words))
    return claims


STYLES = {
    f"{EULER}, end at 0.001": (COLOURS[0], "o-"),
    f"{EULER}, last noise kept": (COLOURS[0], "s:"),
    "DDIM": (COLOURS[3], "o-"),
    "Heun (EDM)": (COLOURS[4], "o-"),
    "DPM-Solver++(2M)": (COLOURS[5], "o-"),
    "ProxDM hybrid": (COLOURS[1], "o-"),
    "ProxDM hybrid, flow": (COLOURS[1], "s:"),
    "ProxDM backward": (COLOURS[2], "o-"),
}

CLOUDS = (
    EULER,
    f"{EULER}, end at 0.001",
    "DDIM",
    "Heun (EDM)",
    "DPM-Solver++(2M)",
    "ProxDM hybrid",
    "ProxDM backward",
)


def curves(c: Any, found: Distances, floor: Sequence[tuple[float, float]]) -> Callable[[Axes], None]:
    """W2 against calls."""

    def panel(axis: Axes) -> None:
        for name, (colour, style) in STYLES.items():
            if name in found:
                means = [np.mean([w2 for _, w2 in pairs]) for pairs in found[name].values()]
                axis.plot(list(found[name]), means, style, color=colour, markersize=4, linewidth=1.4, label=name)
        axis.set_title("W2 to the drawing")
        against_calls(axis, c.calls, float(np.mean([w2 for _, w2 in floor])), "random points")

    return panel
