"""The exact step on images: quality and calibration against calls, beside the plain step of the bundled prior.

    exact        P(v) = phi(Prox_f^lam(v), Sigma), the network of configs/exact_step.py, integrator alone
    data first   P(v) = phi(Prox_f^lam(v), lam I), the bundled network, with its usual rows of as many calls
    restore      what `restore` takes by default: the exact step, or data first with the same network where it misjudges

The network of the exact step was not trained on the operators of the last two tasks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes

from launch.config import known
from launch.experiments.findings import Cell, Claim, Findings, Table, bounded, mean_and_deviation
from launch.experiments.plots import labelled_rows, panelled, psnr_against_calls
from launch.operators import cartesian_sampling
from pgm_jax.evaluation import Case, restore_problem, simulate
from pgm_jax.networks import MetricProxNet
from pgm_jax.noise import GaussianNoise
from pgm_jax.operators import (
    average_downsampling,
    gaussian_blur,
    gaussian_sensing,
    motion_blur,
    random_mask,
)
from pgm_jax.pretrained import example_images, load_prior
from pgm_jax.proximal import data_first, exact
from pgm_jax.samplers import default_rows, exact_rows
from pgm_jax.types import Key, Operator, Shape

EXACT, PLAIN, USUAL = "exact step", "data first", "restore"
CHOSEN = 0  # stands for the number of calls that `restore` chooses
SHOWN = 6


class Task(NamedTuple):
    """An operator, the axis of its arrays along the images, None for one that they share, and if the network saw it."""

    operator: Operator
    axis: int | None = None
    trained: bool = True


def tasks_of(key: Key, shape: Shape, count: int) -> dict[str, Task]:
    """Four tasks of the training, and two that it did not see."""
    key_masks, key_lines, key_motion, key_sensing = jax.random.split(key, 4)
    keys = jax.random.split(key_masks, count)
    return {
        "inpainting": Task(jax.vmap(lambda key: random_mask(key, shape, 0.7))(keys), 0),
        "super-resolution": Task(average_downsampling(shape, 4)),
        "deblurring": Task(gaussian_blur(shape, 1.2, "reflect")),
        "Fourier samples": Task(cartesian_sampling(key_lines, shape, 3.0)),
        "motion blur": Task(motion_blur(key_motion, shape, 15), trained=False),
        "compressed sensing": Task(gaussian_sensing(key_sensing, shape, 256), trained=False),
    }


def run(config: Any, key: Key) -> Findings:
    """PSNR and calibration of the steps at all numbers of calls, for every task.

    Raises:
        FileNotFoundError: if the network is not there.
        ValueError: if it is of another kind.
    """
    c = config
    prior, plain = load_prior(c.prior), load_prior("fashion_mnist")
    if not isinstance(prior, MetricProxNet):
        raise ValueError(
            f"config.prior holds a {type(prior).__name__}; give a network of launch.train "
            "--config=configs/exact_step.py."
        )
    images = np.asarray(example_images()[: c.images])
    key_tasks, key_runs = jax.random.split(key)
    tasks = tasks_of(key_tasks, images.shape[1:], len(images))
    for name in c.tasks:
        known(name, tasks, "task of config.tasks")
    tasks = {name: tasks[name] for name in c.tasks}
    found: dict[str, dict[str, dict[int, list[Case]]]] = {}
    for place, (name, task) in enumerate(tasks.items()):
        of_task = jax.random.fold_in(key_runs, place)
        everything = (np.arange(len(images)), np.ones(len(images), bool))
        noise = GaussianNoise(c.sigma)
        problem = simulate(of_task, task.operator, images, noise, *everything, operator_axis=task.axis)
        found[name] = {EXACT: {}, PLAIN: {}, USUAL: {}}
        for calls in c.calls:
            options = dict(samples=1 if calls == 1 else c.samples, rows=exact_rows(calls), split=exact)
            found[name][EXACT][calls] = restore_problem(of_task, prior, problem, **options)
        for calls in c.plain_calls:
            options = dict(samples=c.samples, rows=default_rows(calls), split=data_first)
            found[name][PLAIN][calls] = restore_problem(of_task, plain, problem, **options)
        found[name][USUAL][CHOSEN] = restore_problem(of_task, prior, problem, samples=c.samples)
    panels = [curves(name, each) for name, each in found.items()]
    panels += [strip(each, c.shown) for each in found.values()]
    return Findings([table(c, found)], {"exact_step": panelled(panels, len(found))}, claims_of(c, tasks, found))


Found = Mapping[str, Mapping[str, Mapping[int, list[Case]]]]


def mean_of(cases: Sequence[Case], name: str) -> tuple[float, float]:
    """Mean and deviation of a metric over the images."""
    return mean_and_deviation([case.metrics[name] for case in cases])


def table(c: Any, found: Found) -> Table:
    """PSNR of the mean of the samples, and error over deviation, by step and calls."""
    rows: list[Sequence[Cell]] = []
    for step, counts in {EXACT: c.calls, PLAIN: c.plain_calls, USUAL: (CHOSEN,)}.items():
        for calls in counts:
            cells: list[Cell] = [f"{step}, {calls} call" + "s" * (calls > 1) if calls != CHOSEN else f"{step} (calls)"]
            for each in found.values():
                cases = each[step][calls]
                psnr = mean_of(cases, "psnr_mean")
                ratio = mean_of(cases, "error_in_stds")[0] if "error_in_stds" in cases[0].metrics else None
                taken = f" ({mean_of(cases, 'calls')[0]:.0f})" if calls == CHOSEN else ""
                cells.append(f"{psnr[0]:.2f} ± {psnr[1]:.2f}" + (f", {ratio:.2f}" if ratio else "") + taken)
            rows.append(cells)
    caption = (
        f"PSNR (dB, data range 2) of the mean of {c.samples} samples, of one at a single call, and the error of the "
        f"mean over the deviation of the samples ({np.sqrt(1 + 1 / c.samples):.2f} for exact ones); mean over "
        f"{c.images} bundled test images, PSNR ± deviation. Noise of deviation {c.sigma:g} for images in [-1, 1]. In "
        f"brackets the calls that {USUAL} takes by itself, the mean over the images."
    )
    return Table("The exact step", ("step", *found), rows, caption)


def claims_of(c: Any, tasks: Mapping[str, Task], found: Found) -> list[Claim]:
    """At few calls the exact step is as good as the plain one at many, and calibrated; by default no operator fails."""
    few, many = c.judged
    least, most = c.calibrated
    claims = []
    for name, each in found.items():
        quick, slow = each[EXACT][few], each[PLAIN][many]
        gain = mean_of(quick, "psnr_mean")[0] - mean_of(slow, "psnr_mean")[0]
        text = f"{name}: PSNR of {{}} over that of {PLAIN}, {many} calls (dB)"
        usual = mean_of(each[USUAL][CHOSEN], "psnr_mean")[0] - mean_of(slow, "psnr_mean")[0]
        claims.append(bounded(text.format(USUAL), usual, "≥", -c.slack))
        if tasks[name].trained:
            claims.append(bounded(text.format(f"{EXACT}, {few} calls,"), gain, "≥", 0.0))
            ratio = mean_of(quick, "error_in_stds")[0]
            claims.append(bounded(f"{name}: error over deviation, {few} calls", ratio, "≥", least))
            claims.append(bounded(f"{name}: error over deviation, {few} calls", ratio, "≤", most))
    return claims


def curves(name: str, each: Mapping[str, Mapping[int, list[Case]]]) -> Callable[[Axes], None]:
    """PSNR of the mean against calls."""
    chosen = {step: each[step] for step in (EXACT, PLAIN)}
    means = {step: {n: mean_of(cases, "psnr_mean")[0] for n, cases in of.items()} for step, of in chosen.items()}
    return psnr_against_calls(name, means)


def strip(each: Mapping[str, Mapping[int, list[Case]]], calls: tuple[int, int]) -> Callable[[Axes], None]:
    """Truths, means and samples of the exact step, and the mean of the plain one."""
    quick, slow = each[EXACT][calls[0]][:SHOWN], each[PLAIN][calls[1]][:SHOWN]
    return labelled_rows(
        {
            "truth": [case.truth for case in quick if case.truth is not None],
            f"mean, {EXACT}, {calls[0]}": [case.mean for case in quick],
            f"sample, {EXACT}, {calls[0]}": [case.samples[0] for case in quick],
            f"mean, {PLAIN}, {calls[1]}": [case.mean for case in slow],
        }
    )
