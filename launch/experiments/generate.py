"""Pictures out of noise by learned networks: the feature distance of every sampler against its calls.

Two networks of one module that have seen as many images: the prox of the noisy density at every time (ProxDM), and the
posterior mean at every level, for all samplers that take a score. Both are files that `launch.train` wrote. Distances
are those of `features`, to test images that no network has seen, and FID where the weights of its network are given.

The same samplers draw from the Gaussian with the mean and the covariance of the images, whose prox and posterior mean
are exact: what is lost there is the steps' fault and not the networks'.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.axes import Axes

from launch.experiments.chains import Method, chains
from launch.experiments.features import Features, accuracy, classifier, distance, features, read_labelled
from launch.experiments.findings import Cell, Claim, Findings, Table, bounded
from launch.experiments.inception import inception_features, read_inception
from launch.experiments.plots import against_calls, grey, lines, panelled
from pgm_jax.networks import ProxNet, TimedProxNet
from pgm_jax.potentials import Gaussian, marginals
from pgm_jax.pretrained import load_prior
from pgm_jax.samplers import (
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
from pgm_jax.schedules import geometric_levels, karras_levels, uniform_levels
from pgm_jax.types import DiffusedPrior, Key, Prox, Schedule, Shape

EULER, HYBRID = "Euler–Maruyama", "ProxDM hybrid"
DISTANCE, FID = "feature distance", "FID"
SHOWN = 10  # pictures of a sampler in the figure


def methods(
    c: Any, schedule: Schedule, prior: DiffusedPrior, denoise: Prox, shape: Shape, calls: int
) -> dict[str, Method]:
    """All samplers of so many calls; Heun's method, whose calls are odd, makes one less."""
    denoised, solver, proximal = diffusion(denoise), multistep(denoise), proxdm(prior)
    times = ended_times(calls, c.end)
    levels = geometric_levels(schedule.lam(1.0), schedule.lam(c.end), calls)

    def euler(eta: float) -> Method:
        return chains(denoised, vp_euler(schedule, times, left_point(schedule, times), eta), shape)

    return {
        EULER: euler(1.0),
        "probability flow, Euler": euler(0.0),
        "DDIM": chains(denoised, bridge(uniform_levels(schedule, calls), 0.0), shape),
        "Heun (EDM)": chains(solver, heun_rows(karras_levels(c.edm[0], c.edm[1], (calls + 1) // 2)), shape),
        "DPM-Solver++(2M)": chains(solver, dpm_solver_rows(levels), shape),
        HYBRID: chains(proximal, hybrid_rows(schedule, calls), shape),
    }


def read_networks(c: Any) -> tuple[TimedProxNet, ProxNet]:
    """The two networks of the configuration.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if one is of another kind, or they are of other images.
    """
    prior, denoiser = load_prior(c.prior), load_prior(c.denoiser)
    if not isinstance(prior, TimedProxNet) or not isinstance(denoiser, ProxNet):
        raise ValueError(
            f"config.prior holds a {type(prior).__name__} and config.denoiser a {type(denoiser).__name__}; give a "
            "network of configs/proxdm.py and one of configs/fashion_mnist.py, as configs/toys/generate.py says."
        )
    if prior.image_shape != denoiser.image_shape:
        raise ValueError(f"The networks take images of {prior.image_shape} and {denoiser.image_shape}, which differ.")
    return prior, denoiser


def run(config: Any, key: Key) -> Findings:
    """Feature distances of all samplers at all numbers of calls, and their pictures."""
    c = config
    if missing := [calls for calls in (*c.judged, *c.shown) if calls not in c.calls]:
        raise ValueError(f"config.judged and config.shown have {missing[0]} calls, and config.calls has {c.calls}.")
    prior, denoiser = read_networks(c)
    schedule, shape = prior.network.schedule, prior.image_shape
    key_classifier, key_chains = jax.random.split(key)
    train, test = (read_labelled(c.source, split, prior.image_shape) for split in ("train", "test"))
    judge = classifier(key_classifier, train, c.classifier_steps, c.classifier_batch)
    extractors = {DISTANCE: functools.partial(features, judge)}
    if c.inception:
        extractors[FID] = functools.partial(inception_features, read_inception(c.inception))
    # Test images against others, as many as there are samples: what a perfect sampler would reach.
    some, held = jnp.asarray(test.images[: c.samples]), jnp.asarray(test.images[c.samples :])
    measures = {name: distance_from(held, extract) for name, extract in extractors.items()}
    floors = {name: measure(some) for name, measure in measures.items()}
    found: dict[str, dict[str, dict[int, float]]] = {name: {} for name in measures}
    pictures: dict[str, np.ndarray] = {}
    for calls in c.calls:
        for name, method in methods(c, schedule, prior, denoiser.prox, shape, calls).items():
            drawn = method.draw(key_chains, c.samples)
            finite = bool(jnp.all(jnp.isfinite(drawn)))
            for measure, apart in measures.items():
                found[measure].setdefault(name, {})[calls] = apart(jnp.clip(drawn, -1, 1)) if finite else float("inf")
            if calls in c.shown and name in (EULER, "DPM-Solver++(2M)", HYBRID):
                pictures[f"{name}, {calls} calls"] = np.asarray(drawn[:SHOWN])
    pictures["test images"] = test.images[:SHOWN]
    described = {
        DISTANCE: f"64 features of a classifier that finds {100 * accuracy(judge, test):.1f} % of their classes",
        FID: "2048 features of the Inception network of FID, at 299 x 299",
    }
    tables = [table(c, name, found[name], floors[name], described[name], len(held)) for name in measures]
    tables.append(of_a_gaussian(c, schedule, train.images, jax.random.fold_in(key, 2)))
    panels = [curves(c, name, found[name], floors[name]) for name in measures]
    panels += [strip(name, images) for name, images in pictures.items()]
    return Findings(tables, {"generate": panelled(panels, across=2)}, claims_of(c, found[DISTANCE]))


def distance_from(held: Array, extract: Features) -> Callable[[Array], float]:
    """The squared Fréchet distance of images from held ones, whose features are computed once."""
    theirs = extract(held)
    return lambda images: float(distance(extract(images), theirs))


Found = Mapping[str, Mapping[int, float]]


def table(c: Any, name: str, found: Found, floor: float, described: str, held: int) -> Table:
    """Distances by calls."""
    rows: list[Sequence[Cell]] = [("other test images", *[floor] * len(c.calls))]
    rows += [(sampler, *(each.get(calls) for calls in c.calls)) for sampler, each in found.items()]
    caption = (
        f"Squared Fréchet distance of {c.samples:,} pictures, clipped to [-1, 1], to {held:,} test images, in "
        f"{described}. Heun's method makes one call fewer where the number is even."
    )
    return Table(f"Pictures out of noise: {name} by calls", ("sampler", *map(str, c.calls)), rows, caption)


def of_a_gaussian(c: Any, schedule: Schedule, images: np.ndarray, key: Key) -> Table:
    """The squared Fréchet distance of the same samplers from the Gaussian of the images' mean and covariance."""
    points = jnp.asarray(images.reshape(len(images), -1))
    # In the eigenvectors of the covariance the entries are independent.
    variances, vectors = jnp.linalg.eigh(jnp.cov(points, rowvar=False))
    mean, std = jnp.mean(points, axis=0) @ vectors, jnp.sqrt(jnp.maximum(variances, 0))
    known, count = marginals(Gaussian(mean, std), schedule), c.gaussian_samples

    def distance_of(drawn: Array) -> float:
        return float(jnp.sum((jnp.mean(drawn, axis=0) - mean) ** 2 + (jnp.std(drawn, axis=0) - std) ** 2))

    noise = jax.random.normal(jax.random.fold_in(key, 1), (count, len(variances)))
    exact = mean[None] + std[None] * noise
    found: dict[str, list[float]] = {"exact samples": [distance_of(exact)] * len(c.calls)}
    for calls in c.calls:
        for name, method in methods(c, schedule, known, known.denoise, variances.shape, calls).items():
            found.setdefault(name, []).append(distance_of(method.draw(key, count)))
    caption = (
        f"Squared Fréchet distance of {count:,} samples of {len(variances):,} numbers, in the units of images "
        "in [-1, 1]. The prox and the posterior mean are exact, so that no network is to blame."
    )
    rows: list[Sequence[Cell]] = [(sampler, *each) for sampler, each in found.items()]
    return Table(
        "The same samplers of a Gaussian with the images' covariance", ("sampler", *map(str, c.calls)), rows, caption
    )


def claims_of(c: Any, found: Found) -> list[Claim]:
    """Few hybrid steps are better than many of Euler-Maruyama."""
    few, many = c.judged
    bound = found[EULER][many]
    text = f"{HYBRID}, {few} calls: feature distance"
    return [bounded(text, found[HYBRID][few], "<", bound, f"{bound:.4g}, {EULER} of {many}")]


def curves(c: Any, name: str, found: Found, floor: float) -> Callable[[Axes], None]:
    """Distance against calls."""

    def panel(axis: Axes) -> None:
        lines(axis, {sampler: (list(each), list(each.values())) for sampler, each in found.items()}, title=name)
        against_calls(axis, c.calls, floor, "other test images")

    return panel


def strip(name: str, images: np.ndarray) -> Callable[[Axes], None]:
    """Pictures in two rows."""

    def panel(axis: Axes) -> None:
        half = -(-len(images) // 2)
        rows = [np.concatenate(list(part), axis=1) for part in (images[:half], images[half : 2 * half])]
        width = rows[0].shape[1]
        rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=-1) for row in rows]
        grey(axis, np.concatenate(rows), name)

    return panel
