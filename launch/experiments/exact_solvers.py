"""Which integrator the exact step takes: the reverse diffusion, the probability flow, and a solver of second order.

    P(v) = phi(Prox_f^lam(v), Sigma)        the same network for all, n calls each

    with variance, η = 1     bridges with the variance that a mean leaves, the rows of `exact_rows`
    bridges, η = 1, 1/2, 0   bridges to P: the reverse SDE, half of its noise, and the probability flow (DDIM)
    DPM-Solver++(2M)         the probability flow by a method of second order
    correctors               the rows of the plain step: few levels, and Langevin steps at each

All but the last go down the same levels.

The images are not those whose figures the README and configs/toys/exact_step.py report.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.axes import Axes

from launch.config import known
from launch.experiments.exact_step import Task, tasks_of
from launch.experiments.findings import Cell, Findings, Table, mean_and_deviation
from launch.experiments.plots import panelled, psnr_against_calls
from launch.job import one_size
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


class Scores(NamedTuple):
    """PSNR of a sample and of the mean, with their deviations over the images, and the error of the mean over std."""

    sample: tuple[float, float]
    mean: tuple[float, float]
    ratio: float


def solvers(c: Any, calls: int) -> dict[str, tuple[Callable[[Any], Sampler], Any]]:
    """By name, the sampler as a function of P, and its rows of so many calls."""
    levels = geometric_levels(c.lam_max, c.lam_min, calls)
    each = {
        "with variance, η = 1": (pgm, exact_rows(calls, c.lam_max, c.lam_min)),
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
    key_tasks, *keys = jax.random.split(key, 3)
    shape = one_size(prior)
    tasks = tasks_of(key_tasks, shape, c.images)
    for name in c.tasks:
        known(name, tasks, "task of config.tasks")
    opened = open_source(c.source, "test", shape)
    images = to_float(np.stack([opened[i] for i in range(c.first, c.first + c.images)]))
    found: dict[str, dict[str, dict[int, Scores]]] = {}
    for name in c.tasks:
        found[name] = {}
        for calls in c.calls:
            for solver, (sampler, rows) in solvers(c, calls).items():
                scores = scored(keys, prior, tasks[name], jnp.asarray(images), sampler, rows, c)
                found[name].setdefault(solver, {})[calls] = scores
    panels = [curves(name, each) for name, each in found.items()]
    tables = [table(name, each, c) for name, each in found.items()]
    return Findings(tables, {"exact_solvers": panelled(panels, len(found))})


def scored(keys: Sequence[Key], prior: Any, task: Task, images: Array, sampler: Any, rows: Any, c: Any) -> Scores:
    """How good the samples of a solver are; every solver sees the same measurements."""
    noise = GaussianNoise(c.sigma)
    y = measure(keys[0], task.operator, images, noise, operator_axis=task.axis)

    def of_one(key: Key, operator: Operator, y: Array) -> Array:
        step = exact(prior, noise.likelihood(operator, y))
        return sample(key, sampler(step), jnp.zeros(operator.image_shape), rows, c.samples)

    drawn = jax.vmap(of_one, (0, task.axis, 0))(jax.random.split(keys[1], len(images)), task.operator, y)
    mean = jnp.mean(drawn, axis=1)
    error, spread = jnp.mean((mean - images) ** 2, (1, 2, 3)), jnp.mean(jnp.var(drawn, axis=1, ddof=1), (1, 2, 3))
    ratio = float(jnp.mean(jnp.sqrt(error / spread)))
    return Scores(mean_and_deviation(psnr(drawn[:, 0], images)), mean_and_deviation(psnr(mean, images)), ratio)


def table(task: str, found: Mapping[str, Mapping[int, Scores]], c: Any) -> Table:
    """PSNR of a sample and of the mean, and calibration, by solver and calls."""
    rows = []
    for solver, by_calls in found.items():
        cells: list[Cell] = [solver]
        for calls in c.calls:
            scores = by_calls.get(calls)
            cells.append(f"{scores.sample[0]:.1f} / {scores.mean[0]:.1f}, {scores.ratio:.2f}" if scores else None)
        rows.append(cells)
    spread = next(iter(found.values()))[c.calls[-1]].mean[1]
    caption = (
        f"PSNR (dB, data range 2) of one sample / of the mean of {c.samples}, and the error of the mean over the "
        f"deviation of the samples ({(1 + 1 / c.samples) ** 0.5:.2f} for exact ones); mean over {c.images} test images "
        f"from number {c.first:,} on, which spread by {spread:.1f} dB. Noise of deviation {c.sigma:g} for images in "
        "[-1, 1]."
    )
    return Table(f"Solvers of the exact step: {task}", ("solver", *(f"{n} calls" for n in c.calls)), rows, caption)


def curves(task: str, found: Mapping[str, Mapping[int, Scores]]) -> Callable[[Axes], None]:
    """PSNR of the mean against calls."""
    return psnr_against_calls(task, {name: {n: s.mean[0] for n, s in each.items()} for name, each in found.items()})
