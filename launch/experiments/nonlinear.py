"""Nonlinear measurements: data steps by Gauss and Newton against the single gradient step of the paper.

    implicit    P = Prox_f^lam(Prox_g^lam(v))           the data step by Levenberg and Marquardt, from the prior's image
    gradient    P = Prox_g^lam(v - min(lam, h) grad f(v))   the splitting of PGM (arXiv 2605.13278)

Both take one network call a row, on the same rows. The gradient's step h is 1 / L, L = |J|^2 / sigma^2 at mid-grey, or
the best of several that were tried on other images, which may lie beyond 2 / L: A is less steep elsewhere.

Phase retrieval has several runs, of which the one that fits the measurement best is kept, as its papers do; a picture
and the same turned by 180 degrees have equal magnitudes.
"""

import dataclasses
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from matplotlib.figure import Figure

from launch.experiments.findings import Claim, Findings, Table
from launch.figures import seen
from pgm_jax.metrics import data_misfit, psnr
from pgm_jax.noise import GaussianNoise, measure
from pgm_jax.operators import Solver, phase_retrieval, synthetic_blur
from pgm_jax.potentials import GaussianLikelihood
from pgm_jax.pretrained import example_images, load_prior
from pgm_jax.proximal import forward_backward, prior_first
from pgm_jax.restoration import restore
from pgm_jax.samplers import Rows, bridge, default_rows
from pgm_jax.schedules import geometric_levels
from pgm_jax.types import Key, Operator, Prox, Scalar

IMPLICIT, SAFE, TUNED = "Gauss–Newton", "gradient step, 1 / L", "gradient step, tuned"


class Outcome(NamedTuple):
    """What a method made of the images: chains `[n, s, H, W, C]`, their misfits `[n, s]`, seconds of it all."""

    samples: Array
    misfit: Array
    seconds: float


def grids(calls: int) -> dict[str, Rows]:
    """The rows of both samplers, with as many network calls each."""
    return {"integrator alone": bridge(geometric_levels(25.0, 4e-4, calls)), "corrected": default_rows(calls, "sharp")}


def gauss_newton(solver: Solver, prior: Any, likelihood: GaussianLikelihood) -> Prox:
    """The splitting whose data step ends as the solver says."""
    return prior_first(prior, dataclasses.replace(likelihood, solver=solver))


def gradient(factor: Scalar, prior: Any, likelihood: GaussianLikelihood) -> Prox:
    """The splitting whose gradient step is at most factor / L."""
    return forward_backward(prior, likelihood, max_step=factor * likelihood.step_limit)


@jax.jit
def misfits(operator: Operator, samples: Array, y: Array, noise: GaussianNoise) -> Array:
    """How well each chain explains its measurement, `[n, s]`."""
    of_one = jax.vmap(lambda x, y: data_misfit(operator, x, y, noise), (0, None))
    return jax.vmap(of_one)(samples, y)


def outcomes(
    key: Key, prior: Any, operator: Operator, y: Array, tuned: Any, config: Any
) -> dict[tuple[str, str], Outcome]:
    """Both samplers with every data step, from the same measurements and keys; `tuned`: steps of the samplers."""
    noise, implicit = GaussianNoise(config.sigma), Partial(gauss_newton, Solver(*config.solver))
    found = {}
    for sampler, rows in grids(config.calls).items():
        # Partial, so that another step does not compile again.
        steps = {IMPLICIT: implicit, SAFE: Partial(gradient, 1.0), TUNED: Partial(gradient, tuned[sampler])}
        for data_step, split in steps.items():
            start = time.monotonic()
            restored = restore(key, prior, operator, y, noise, samples=config.chains, rows=rows, split=split)
            misfit = jax.block_until_ready(misfits(operator, restored.samples, y, noise))
            found[sampler, data_step] = Outcome(restored.samples, misfit, time.monotonic() - start)
    return found


def spread(values: Array) -> tuple[float, float]:
    """Mean and standard deviation over the images."""
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0


def best_of(outcome: Outcome) -> Array:
    """The chain of every image that fits its measurement best; one that is no number fits nothing."""
    index = jnp.argmin(jnp.where(jnp.isfinite(outcome.misfit), outcome.misfit, jnp.inf), axis=1)
    return outcome.samples[jnp.arange(len(index)), index]


def decibels(images: Array, truth: Array) -> Array:
    """PSNR, of a chain too that diverged."""
    return psnr(jnp.clip(images, -1, 1), truth)


def up_to_a_turn(images: Array, truth: Array) -> Array:
    """PSNR against the truth or the same turned by 180 degrees, which has the same magnitudes of frequencies."""
    return jnp.maximum(decibels(images, truth), decibels(images, truth[..., ::-1, ::-1, :]))


def run(config: Any, key: Key) -> Findings:
    """Both tasks with both samplers and every data step; the gain of the implicit one, and the rate of success."""
    prior, truth = load_prior("fashion_mnist"), example_images()[: config.images]
    for_blur, for_noise, for_chains = jax.random.split(key, 3)
    operators: dict[str, Operator] = {
        "nonlinear blur": synthetic_blur(for_blur, prior.network.image_shape, widths=tuple(config.widths)),
        "phase retrieval": phase_retrieval(prior.network.image_shape),
    }
    found, measured = {}, {}
    for index, (task, operator) in enumerate(operators.items()):
        of_noise, of_chains = (jax.random.fold_in(k, index) for k in (for_noise, for_chains))
        measured[task] = measure(of_noise, operator, truth, GaussianNoise(config.sigma))
        found[task] = outcomes(of_chains, prior, operator, measured[task], config.tuned[task], config)

    blur, phases = found["nonlinear blur"], found["phase retrieval"]
    tables = [blur_table(blur, truth, config), phase_table(phases, truth, config)]
    claims = []
    for sampler in grids(config.calls):
        one, *others = (
            decibels(blur[sampler, step].samples, truth[:, None]).mean() for step in (IMPLICIT, SAFE, TUNED)
        )
        for name, other in zip((SAFE, TUNED), others, strict=True):
            gain = float(one - other)
            words = f"nonlinear blur, {sampler}: {IMPLICIT} over {name}, dB"
            claims.append(Claim(words, gain, "≥ 1.5", gain >= 1.5))
    rates = [success(phases["corrected", step], truth, config) for step in (IMPLICIT, TUNED)]
    words = f"phase retrieval, corrected: share retrieved by {IMPLICIT}, best of {config.chains}"
    claims.append(Claim(words, rates[0], f"≥ {rates[1]:.3g}, by the {TUNED}", rates[0] >= rates[1]))
    return Findings(tables, dict(nonlinear=figure_of(found, measured, truth, config)), claims)


def success(outcome: Outcome, truth: Array, config: Any) -> float:
    """The share of images whose best chain is the truth, or the truth turned."""
    return float(jnp.mean(up_to_a_turn(best_of(outcome), truth) >= config.success))


def blur_table(found: dict[tuple[str, str], Outcome], truth: Array, config: Any) -> Table:
    """PSNR of a sample and of the mean, misfit and time of each method."""
    rows = []
    for (sampler, step), outcome in found.items():
        sample = decibels(outcome.samples, truth[:, None]).mean(axis=1)
        mean = decibels(outcome.samples.mean(axis=1), truth)
        rows.append((sampler, step, spread(sample), spread(mean), spread(outcome.misfit.mean(axis=1)), outcome.seconds))
    columns = ("sampler", "data step", "one sample (dB)", f"mean of {config.chains} (dB)", "misfit", "seconds")
    return Table("Nonlinear blur", columns, rows, caption(config))


def phase_table(found: dict[tuple[str, str], Outcome], truth: Array, config: Any) -> Table:
    """How often a phase is retrieved, by one chain and by the best of several."""
    rows = []
    for (sampler, step), outcome in found.items():
        each = up_to_a_turn(outcome.samples, truth[:, None])
        best = best_of(outcome)
        rows.append(
            (
                sampler,
                step,
                spread(decibels(best, truth)),
                spread(up_to_a_turn(best, truth)),
                100 * success(outcome, truth, config),
                100 * float(jnp.mean(each >= config.success)),
                spread(outcome.misfit.min(axis=1)),
                outcome.seconds,
            )
        )
    columns = (
        "sampler",
        "data step",
        f"best of {config.chains} (dB)",
        "or turned (dB)",
        "retrieved (%)",
        "single chains (%)",
        "misfit of the best",
        "seconds",
    )
    words = (
        f"{caption(config)} Retrieved: {config.success:g} dB or more, for the image or the same turned by 180 degrees."
    )
    return Table("Phase retrieval", columns, rows, words)


def caption(config: Any) -> str:
    """What the numbers of both tables are."""
    return (
        f"{config.images} bundled test images, {config.chains} chains each, {config.calls} network calls a chain, "
        f"σ = {config.sigma:g} in [-1, 1]; mean ± standard deviation over the images, PSNR on [0, 1] after clipping. "
        "The best chain is that of the least misfit; seconds are of all chains, compilation included."
    )


def figure_of(found: Any, measured: dict[str, Array], truth: Array, config: Any) -> Figure:
    """Some images of each task: truth, measurement, and what both data steps of the corrected sampler made of it."""
    count = min(config.shown, len(truth))
    heads = ["truth", "measurement"] + [
        f"{step},\n{part}" for step in (IMPLICIT, TUNED) for part in ("best of the chains", "std")
    ]
    figure = Figure(figsize=(1.35 * len(heads), 1.35 * len(found) * count + 0.5), layout="constrained")
    axes = np.atleast_2d(figure.subplots(len(found) * count, len(heads)))
    top = 0.6
    for block, (task, of_task) in enumerate(found.items()):
        for i in range(count):
            cells = [seen(np.asarray(truth[i])), seen(np.asarray(measured[task][i]))]
            for step in (IMPLICIT, TUNED):
                outcome = of_task["corrected", step]
                cells += [seen(np.asarray(best_of(outcome)[i])), np.asarray(outcome.samples[i].std(axis=0))[..., 0]]
            for axis, cell in zip(axes[block * count + i], cells, strict=True):
                axis.imshow(cell, **(dict(cmap="magma", vmin=0, vmax=top) if cell.ndim == 2 else {}))
                axis.set_xticks([])
                axis.set_yticks([])
            axes[block * count + i, 0].set_ylabel(task, fontsize=8)
    for axis, head in zip(axes[0], heads, strict=True):
        axis.set_title(head, fontsize=8)
    return figure
