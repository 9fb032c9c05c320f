"""Which integrator the exact step takes: the reverse diffusion, the probability flow, and a solver of second order.

    P(v) = phi(Prox_f^lam(v), Sigma)        the same network and the same levels for all, n calls each

    with variance, η = 1     bridges with the variance that a mean leaves, the rows of `exact_rows`
    bridges, η = 1, 1/2, 0   bridges to P: the reverse SDE, half of its noise, and the probability flow (DDIM)
    DPM-Solver++(2M)         the probability flow by a method of second order
    correctors               the rows of the plain step: few levels, and Langevin steps at each

The images are not those whose figures the README and configs/toys/exact_step.py report.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.axes import Axes

from launch.config import known
from launch.experiments.exact_step import Task, tasks_of
from launch.experiments.findings import Cell, Findings, Table, mean_and_deviation
from launch.experiments.plots import lines, panelled
from pgm_jax.metrics import psnr
from pgm_jax.noise import GaussianNoise, measure
from pgm_jax.pretrained import load_prior
from pgm_jax.proximal import exact
from pgm_jax.samplers import Sampler, bridge, default_rows, dpm_solver_rows, exact_rows, multistep, pgm, sample
from pgm_jax.schedules import geometric_levels
from pgm_jax.training.data import open_source
from pgm_jax.training.images import to_float
from pgm_jax.types import Key, Operator

LEAST_CORRECTED = 20  # calls, below which `default_rows` has no correctors

# Mean and deviation over the images of the PSNR of a sample and of the mean, and error over deviation.
Scores = tuple[tuple[float, float], tuple[float, float], float]


def solvers(calls: int) -> dict[str, tuple[Callable[[Any], Sampler], Any]]:
    """By name, the sampler as a function of P, and its rows of so many calls."""
    levels = geometric_levels(25.0, 1e-3, calls)
    each = {
        "with variance, η = 1": (pgm, exact_rows(calls)),
        "bridges, η = 1": (pgm, bridge(levels)),
        "bridges, η = 1/2": (pgm, bridge(levels, 0.5)),
        "bridges, η = 0": (pgm, bridge(levels, 0.0)),
        "DPM-Solver++(2M)": (multistep, dpm_solver_rows(levels)),
    }
    return each | ({"correctors": (pgm, default_rows(calls))} if calls >= LEAST_CORRECTED else {})


def run(config: Any, key: Key) -> Findings:
    """PSNR and calibration of every solver at all numbers of calls, for every task."""
    c = config
    prior = load_prior(c.prior)
    key_tasks, key_runs = jax.random.split(key)
    tasks = tasks_of(key_tasks, prior.image_shape, c.images)
    for name in c.tasks:
        known(name, tasks, "task of config.tasks")
    opened = open_source(c.source, "test", prior.image_shape)
    images = to_float(np.stack([opened[i] for i in range(c.first, c.first + c.images)]))
    found: dict[str, dict[str, dict[int, Scores]]] = {}
    for name in c.tasks:
        found[name] = {}
        for calls in c.calls:
            for solver, (sampler, rows) in solvers(calls).items():
                scores = scored(key_runs, prior, tasks[name], jnp.asarray(images), sampler, rows, c)
                found[name].setdefault(solver, {})[calls] = scores
    panels = [curves(name, each) for name, each in found.items()]
    tables = [table(name, each, c) for name, each in found.items()]
    return Findings(tables, {"exact_solvers": panelled(panels, len(found))})


def scored(key: Key, prior: Any, task: Task, images: Array, sampler: Any, rows: Any, c: Any) -> Scores:
    """How good the samples of a solver are; every solver sees the same measurements."""
    noise = GaussianNoise(c.sigma)
    y = measure(key, task.operator, images, noise, operator_axis=task.axis)

    def of_one(key: Key, operator: Operator, y: Array) -> Array:
        step = exact(prior, noise.likelihood(operator, y))
        return sample(key, sampler(step), jnp.zeros(operator.image_shape), rows, c.samples)

    keys = jax.random.split(jax.random.fold_in(key, 1), len(images))
    drawn = jax.jit(jax.vmap(of_one, (0, task.axis, 0)))(keys, task.operator, y)
    mean = jnp.mean(drawn, axis=1)
    error, spread = jnp.mean((mean - images) ** 2, (1, 2, 3)), jnp.mean(jnp.var(drawn, axis=1, ddof=1), (1, 2, 3))
    ratio = float(jnp.mean(jnp.sqrt(error / spread)))
    return mean_and_deviation(psnr(drawn[:, 0], images)), mean_and_deviation(psnr(mean, images)), ratio


def table(task: str, found: Mapping[str, Mapping[int, Scores]], c: Any) -> Table:
    """PSNR of a sample and of the mean, and calibration, by solver and calls."""
    rows = []
    for solver, by_calls in found.items():
        cells: list[Cell] = [solver]
        for calls in c.calls:
            one, mean, ratio = by_calls.get(calls, (None, None, 0.0))
            cells.append(f"{one[0]:.1f} / {mean[0]:.1f}, {ratio:.2f}" if one and mean else None)
        rows.append(cells)
    some = next(iter(found.values()))[c.calls[-1]][1][1]
    caption = (
        f"PSNR (dB, data range 2) of one sample / of the mean of {c.samples}, and the error of the mean over the "
        f"deviation of the samples ({(1 + 1 / c.samples) ** 0.5:.2f} for exact ones); mean over {c.images} test images "
        f"from number {c.first:,} on, which spread by {some:.1f} dB. Noise of deviation {c.sigma:g} for images in "
        "[-1, 1]."
    )
    return Table(f"Solvers of the exact step: {task}", ("solver", *(f"{n} calls" for n in c.calls)), rows, caption)


def curves(task: str, found: Mapping[str, Mapping[int, Scores]]) -> Callable[[Axes], None]:
    """PSNR of the mean against calls."""

    def panel(axis: Axes) -> None:
        means = {name: [mean for _, (mean, _), _ in by_calls.values()] for name, by_calls in found.items()}
        points = {name: (list(found[name]), each) for name, each in means.items()}
        lines(axis, points, title=task, xlabel="calls", ylabel="PSNR of the mean (dB)")
        ticks = sorted({calls for by_calls in found.values() for calls in by_calls})
        axis.set(yscale="linear", xticks=ticks, xticklabels=ticks)
        axis.minorticks_off()

    return panel
