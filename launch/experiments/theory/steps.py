"""Theorem 6 of PGM (arXiv 2605.13278): the terms D1 exp(-m T) and D3 delta^(1/2), without sampling.

    W1 <= D1 exp(-m T) + D2 M + D3 delta^(1/2)         T time, M error of the score, delta step

A Gaussian target has M = 0, and the sampler maps Gaussians to Gaussians: mean and variance follow a recursion.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes

from launch.experiments.findings import Claim, Table, bounded
from launch.experiments.plots import FAINT, lines
from launch.experiments.theory.distributions import folded
from launch.experiments.theory.parts import Line, Part, slope
from pgm_jax.samplers import Rows, bridge
from pgm_jax.schedules import Levels, LinearVP, geometric_levels, uniform_levels

MEAN, STD = 1.5, 0.8
COUNTS = (50, 100, 200, 400, 800)  # of levels


@jax.jit
def gaussian_end(rows: Rows, mean: Array, variance: Array) -> tuple[Array, Array]:
    """Mean and deviation of x after all rows with the exact prox of N(MEAN, STD^2), from a Gaussian start."""

    def step(moments: tuple[Array, Array], row: Rows) -> tuple[tuple[Array, Array], None]:
        mean, variance = moments
        share = STD**2 / (STD**2 + row.lam)
        mean = row.keep * mean + row.pull * (share * mean / row.mu + (1 - share) * MEAN)
        return (mean, (row.keep + row.pull * share / row.mu) ** 2 * variance + row.noise**2), None

    (mean, variance), _ = jax.lax.scan(step, (mean, variance), rows)
    return mean, jnp.sqrt(variance)


def step_and_time() -> Part:
    """A Gaussian target: W1 against the step, and against the largest level, where chains start."""
    counts = np.array(COUNTS)
    grids: dict[str, Callable[[int], Levels]] = {
        "VE, step of log λ": lambda n: geometric_levels(1e4, 1e-12, n),
        "VP, linear, step of t": lambda n: uniform_levels(LinearVP(), n),
    }
    steps = {"VE, step of log λ": np.log(1e16) / (counts - 1), "VP, linear, step of t": 1 / counts}
    errors = {name: np.array([_exact_start_error(grid, int(n)) for n in counts]) for name, grid in grids.items()}
    slopes = {name: slope(steps[name][1:], errors[name][1:]) for name in grids}
    tops = np.geomspace(1.0, 1e5, 11)
    late = np.array([_start_error(top) for top in tops])
    late_slope = slope(tops[4:], late[4:])

    def panel_step(axis: Axes) -> None:
        curves = {f"{name}: slope {slopes[name]:.2f}": (steps[name], w1) for name, w1 in errors.items()}
        lines(axis, curves, title="Theorem 6: the step, M = 0", xlabel="step δ", ylabel="W1")
        guide = np.array([steps["VP, linear, step of t"][-1], 1.0])
        axis.loglog(guide, 0.5 * guide**0.5, color=FAINT, ls="--", label="√δ, the claim")

    def panel_time(axis: Axes) -> None:
        labels = dict(title="Theorem 6: the time", xlabel="λ at the start, exp(T)", ylabel="W1 due to the start")
        lines(axis, {f"slope {late_slope:.2f}": (tops, late)}, **labels)

    names = [*grids]
    table = Table(
        "Theorem 6: W1 against the step where the score is exact",
        ("levels", *(column for name in names for column in (f"δ ({name})", f"W1 ({name.partition(',')[0]})"))),
        [
            (int(n), *(float(value) for name in names for value in (steps[name][i], errors[name][i])))
            for i, n in enumerate(counts)
        ],
        f"Target N({MEAN:g}, {STD:g}²), exact prox, start at the noised target; by the recursion of mean and variance.",
    )
    worst = min(slopes.values())
    found = " and ".join(f"δ^{value:.2f} ({name.partition(',')[0]})" for name, value in slopes.items())
    summary = [
        Line(
            "Theorem 6: W1 ~ δ^(1/2) where M = 0",
            "Gaussian target, closed form",
            f"W1 falls as {found}",
            "yes, better than stated",
        ),
        Line(
            "Theorem 6: the start costs exp(-m T)",
            "the same, started at N(0, λ) instead of the noised target",
            f"λ^{late_slope:.2f}, with λ = exp(T)",
            "yes",
        ),
    ]
    claims = [
        bounded("Theorem 6: W1 ~ δ^s for a Gaussian, the smallest s", worst, "≥", 0.5),
        Claim("Theorem 6: the start costs λ^s, λ = exp(T)", late_slope, "-1 ± 0.05", abs(late_slope + 1) <= 0.05),
    ]
    return Part(summary, claims, [table], [panel_step, panel_time])


@jax.jit(static_argnames=("grid", "count"))
def _exact_start_error(grid: Callable[[int], Levels], count: int) -> Float[Array, ""]:
    levels = grid(count)
    mu, lam = levels.mu[0], levels.lam[0]
    mean, std = gaussian_end(bridge(levels), mu * MEAN, mu**2 * (STD**2 + lam))
    return folded(mean - MEAN, std - STD)


@jax.jit
def _start_error(top: float) -> Float[Array, ""]:
    rows = bridge(geometric_levels(top, 1e-12, 2000))
    lam = rows.lam[0]
    (mean, std), (mean_0, std_0) = (
        gaussian_end(rows, *start) for start in ((MEAN + 0 * lam, STD**2 + lam), (0 * lam, lam))
    )
    return folded(mean - mean_0, std - std_0)
