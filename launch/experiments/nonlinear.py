"""Nonlinear measurements: Gauss-Newton data steps against the single gradient step of the paper.

    implicit    P = Prox_f^lam(Prox_g^lam(v))           the data step by Levenberg-Marquardt, from the prior's image
    gradient    P = Prox_g^lam(v - min(lam, h) grad f(v))   the splitting of PGM (arXiv 2605.13278)

Both take one network call a row, on the same rows. The step h of the gradient is 1 / L, L = |J|^2 / sigma^2 at
mid-grey, or the best of several that were tried on other images. The best may exceed 2 / L, since A is less steep
elsewhere.

Phase retrieval has several runs and keeps the one that fits the measurement best, as its papers do. An image and the
same image rotated by 180 degrees have equal magnitudes.
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

from launch.experiments.findings import Claim, Findings, Table, bounded, mean_and_deviation
from launch.experiments.plots import lattice, picture
from launch.figures import rgb, seen
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
    """The result of a method: chains `[n, s, H, W, C]`, their misfits `[n, s]`, and seconds in total."""

    samples: Array
    misfit: Array
    seconds: float


def grids(calls: int) -> dict[str, Rows]:
    """The rows of both samplers, with the same number of network calls."""
    return {"integrator alone": bridge(geometric_levels(25.0, 4e-4, calls)), "corrected": default_rows(calls, "sharp")}


def gauss_newton(solver: Solver, prior: Any, likelihood: GaussianLikelihood) -> Prox:
    """The splitting with an implicit data step by a solver."""
    return prior_first(prior, dataclasses.replace(likelihood, solver=solver))


def gradient(factor: Scalar, prior: Any, likelihood: GaussianLikelihood) -> Prox:
    """The splitting with a gradient step of at most factor / L."""
    return forward_backward(prior, likelihood, max_step=factor * likelihood.step_limit)


@jax.jit
def misfits(operator: Operator, samples: Array, y: Array, noise: GaussianNoise) -> Array:
    """The data misfit of each chain, `[n, s]`."""
    of_one = jax.vmap(lambda x, y: data_misfit(operator, x, y, noise), (0, None))
    return jax.vmap(of_one)(samples, y)


def outcomes(
    key: Key, prior: Any, operator: Operator, y: Array, tuned: Any, config: Any
) -> dict[tuple[str, str], Outcome]:
    """Both samplers with every data step, from the same measurements and keys; `tuned` has the steps by sampler."""
    noise, implicit = GaussianNoise(config.sigma), Partial(gauss_newton, Solver(*config.solver))
    found = {}
    for sampler, rows in grids(config.calls).items():
        # Partial, so that changing the step does not trigger recompilation.
        steps = {IMPLICIT: implicit, SAFE: Partial(gradient, 1.0), TUNED: Partial(gradient, tuned[sampler])}
        for data_step, split in steps.items():
            start = time.monotonic()
            restored = restore(key, prior, operator, y, noise, samples=config.chains, rows=rows, split=split)
            misfit = jax.block_until_ready(misfits(operator, restored.samples, y, noise))
            found[sampler, data_step] = Outcome(restored.samples, misfit, time.monotonic() - start)
    return found


def best_of(outcome: Outcome) -> Array:
    """The chain of every image that fits its measurement best; a chain that is not finite never does."""
    index = jnp.argmin(jnp.where(jnp.isfinite(outcome.misfit), outcome.misfit, jnp.inf), axis=1)
    return outcome.samples[jnp.arange(len(index)), index]


def decibels(images: Array, truth: Array) -> Array:
    """PSNR after clipping, which is finite even for a chain that diverged."""
    return psnr(jnp.clip(images, -1, 1), truth)


def up_to_a_turn(images: Array, truth: Array) -> Array:
    """PSNR against the truth or its rotation by 180 degrees, whichever is larger; both have the same magnitudes."""
    return jnp.maximum(decibels(images, truth), decibels(images, truth[..., ::-1, ::-1, :]))


def run(config: Any, key: Key) -> Findings:
    """Both tasks with both samplers and every data step; the gain of the implicit step, and the success rate."""
    prior, images = load_prior("fashion_mnist"), example_images()
    if config.images > len(images):
        raise ValueError(f"config.images is {config.images}; there are {len(images)}.")
    truth = images[: config.images]
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
    claims: list[Claim] = []
    for sampler in grids(config.calls):
        one, *others = (
            decibels(blur[sampler, step].samples, truth[:, None]).mean() for step in (IMPLICIT, SAFE, TUNED)
        )
        for name, other in zip((SAFE, TUNED), others, strict=True):
            words = f"nonlinear blur, {sampler}: {IMPLICIT} over {name}, dB"
            claims.append(bounded(words, float(one - other), "≥", 1.5))
    rates = [success(phases["corrected", step], truth, config) for step in (IMPLICIT, TUNED)]
    words = f"phase retrieval, corrected: share retrieved by {IMPLICIT}, best of {config.chains}"
    claims.append(bounded(words, rates[0], "≥", rates[1], f"{rates[1]:.3g}, by the {TUNED}"))
    return Findings(tables, dict(nonlinear=figure_of(found, measured, truth, config)), claims)


def success(outcome: Outcome, truth: Array, config: Any) -> float:
    """The share of images whose best chain is the truth, or its rotation."""
    return float(jnp.mean(up_to_a_turn(best_of(outcome), truth) >= config.success))


def blur_table(found: dict[tuple[str, str], Outcome], truth: Array, config: Any) -> Table:
    """PSNR of a sample and of the mean, misfit and time of each method."""
    rows = []
    for (sampler, step), outcome in found.items():
        one = decibels(outcome.samples, truth[:, None]).mean(axis=1)
        values = (one, decibels(outcome.samples.mean(axis=1), truth), outcome.misfit.mean(axis=1))
        rows.append((sampler, step, *map(mean_and_deviation, values), outcome.seconds))
    columns = ("sampler", "data step", "one sample (dB)", f"mean of {config.chains} (dB)", "misfit", "seconds")
    return Table("Nonlinear blur", columns, rows, caption(config))


def phase_table(found: dict[tuple[str, str], Outcome], truth: Array, config: Any) -> Table:
    """The success rate of phase retrieval, by one chain and by the best of several."""
    rows = []
    for (sampler, step), outcome in found.items():
        best, each = best_of(outcome), up_to_a_turn(outcome.samples, truth[:, None])
        rates = (100 * success(outcome, truth, config), 100 * float(jnp.mean(each >= config.success)))
        scores = map(mean_and_deviation, (decibels(best, truth), up_to_a_turn(best, truth)))
        misfit = mean_and_deviation(outcome.misfit.min(axis=1))
        rows.append((sampler, step, *scores, *rates, misfit, outcome.seconds))
    columns = (
        "sampler",
        "data step",
        f"best of {config.chains} (dB)",
        "or rotated (dB)",
        "retrieved (%)",
        "single chains (%)",
        "misfit of the best",
        "seconds",
    )
    words = f"{caption(config)} Retrieved: {config.success:g} dB or more, for the image or its rotation by 180 degrees."
    return Table("Phase retrieval", columns, rows, words)


def caption(config: Any) -> str:
    """The conditions of both tables."""
    return (
        f"{config.images} bundled test images, {config.chains} chains each, {config.calls} network calls a chain, "
        f"σ = {config.sigma:g} in [-1, 1]; mean ± standard deviation over the images, PSNR on [0, 1] after clipping. "
        "The best chain is the one with the smallest misfit; seconds are for all chains, compilation included."
    )


def figure_of(found: Any, measured: dict[str, Array], truth: Array, config: Any) -> Figure:
    """Some images of each task: truth, measurement, and the results of both data steps of the corrected sampler."""
    count = min(config.shown, len(truth))
    heads = ["truth", "measurement"] + [
        f"{step},\n{part}" for step in (IMPLICIT, TUNED) for part in ("best of the chains", "std")
    ]
    figure, axes = lattice(heads, [task for task in found for _ in range(count)], (1.35, 1.35))
    places = [(task, i) for task in found for i in range(count)]
    for line, (task, i) in zip(axes, places, strict=True):
        y = np.asarray(measured[task][i])
        picture(line[0], rgb(np.asarray(truth[i])))
        picture(line[1], seen(y, np.ones(y.shape, bool)))
        for step, (best, std) in zip((IMPLICIT, TUNED), (line[2:4], line[4:6]), strict=True):
            outcome = found[task]["corrected", step]
            picture(best, rgb(np.asarray(best_of(outcome)[i])))
            picture(std, outcome.samples[i].std(axis=0)[..., 0], cmap="magma", vmin=0, vmax=0.6)
    return figure
