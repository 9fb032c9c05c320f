"""Computed tomography from few views: filtered back projection, the mode under total variation, and samples.

    y = A x + N(0, sigma^2),   pi(x) ~ exp(-|y - A x|^2 / (2 sigma^2) - w TV(x)),   x the attenuation, 0 to 1

A are line integrals along parallel rays, in units of a pixel's side. The mode of pi is found by ADMM, its samples are
drawn by corrected PGM; both have the same two steps, a data step by preconditioned conjugate gradients and the prox of
the total variation. Each has a weight w of its own: the best w of a mode is not that of a mean.

The sinogram of the phantom is that of its ellipses, by formula, which no image of pixels has exactly. That of slices
of a scan is A of the slices: the same discretisation generates and reconstructs, and flatters all methods alike.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from launch.experiments.findings import Cell, Claim, Findings, Table
from pgm_jax.files import read_arrays
from pgm_jax.metrics import data_misfit, psnr
from pgm_jax.noise import GaussianNoise
from pgm_jax.operators import Solver, radon
from pgm_jax.operators.phantom import ELLIPSES, shepp_logan
from pgm_jax.operators.tomography import Radon, filtered_back_projection
from pgm_jax.potentials import GaussianLikelihood, TotalVariation
from pgm_jax.proximal import data_first
from pgm_jax.samplers import Rows, admm, bridge, pgm, sample, with_corrector
from pgm_jax.schedules import geometric_levels
from pgm_jax.types import Key

RAMP, SMOOTH, MODE, MEAN, ONE = (
    "FBP, ramp",
    "FBP, {} window",
    "ADMM, TV: the mode",
    "PGM, TV: mean",
    "PGM, TV: a sample",
)
QUANTILE = 1.645  # of a normal distribution, 90 % inside
SUB_RAYS = 4  # of a detector, for the phantom
GAIN = 6.0  # dB over filtered back projection, at the fewest views


class Scan(NamedTuple):
    """One measured slice: its truth (H, W, 1), A, the noisy sinogram and its noise."""

    truth: Array
    operator: Radon
    y: Array
    noise: GaussianNoise


class Found(NamedTuple):
    """The images of each method for one scan, by name, and the samples (S, H, W, 1)."""

    scan: Scan
    images: dict[str, Array]
    samples: Array

    @property
    def std(self) -> Array:
        """Deviation of each pixel over the samples."""
        return jnp.std(self.samples, axis=0, ddof=1)

    @property
    def error(self) -> Array:
        """What the mean of the samples is away from the truth."""
        return jnp.abs(self.images[MEAN] - self.scan.truth)


def attenuations(config: ConfigDict) -> Array:
    """The truths (n, H, W, 1) in [0, 1]: the phantom, or slices of a scan between the ends of the window.

    Raises:
        ValueError: if the file is no such scan, or has not the slices.
    """
    if not config.data:
        return shepp_logan(config.size)[None]
    volume = read_arrays(config.data, "an .npz with an array `hu`, a scan").get("hu", np.zeros(()))
    if volume.ndim != 3:
        raise ValueError(f"`hu` of {config.data} has shape {volume.shape}; an .npz has to hold it as (slices, H, W).")
    if not config.slices or not all(0 <= index < len(volume) for index in config.slices):
        raise ValueError(f"config.slices is {config.slices}; {config.data} has the slices 0 to {len(volume) - 1}.")
    low, high = config.window
    chosen = volume[list(config.slices)].astype(float)
    return jnp.asarray(np.clip((chosen - low) / (high - low), 0, 1), float)[..., None]


def sinogram_of_phantom(operator: Radon) -> Array:
    """The line integrals of the ellipses themselves (n, D, 1), each detector the mean over its width."""
    size = operator.image_shape[0]
    offsets = (jnp.arange(SUB_RAYS) + 0.5) / SUB_RAYS - 0.5
    t = (jnp.arange(operator.detectors) - operator.detectors // 2)[:, None] + offsets[None, :]
    # The middle of the pixel around which A turns, in the square of side 2.
    centre = (2 * (size // 2) + 1) / size - 1
    total = 0.0
    theta = jnp.deg2rad(operator.angles)[:, None, None]
    cos, sin = jnp.cos(theta), jnp.sin(theta)
    for value, a, b, right, up, turn in ELLIPSES:
        tilt = theta - jnp.deg2rad(turn)
        reach = (a * jnp.cos(tilt)) ** 2 + (b * jnp.sin(tilt)) ** 2
        away = 2 * t[None] / size - (right - centre) * cos - (up + centre) * sin
        chord = 2 * a * b * jnp.sqrt(jnp.maximum(reach - away**2, 0)) / reach
        total = total + value * chord * size / 2
    return jnp.mean(total, axis=2)[..., None]


def scanned(key: Key, config: ConfigDict, truth: Array, views: int) -> Scan:
    """A slice seen from evenly spread angles, with noise."""
    operator = radon(truth.shape, 180.0 * np.arange(views) / views)
    clean = operator.forward(truth) if config.data else sinogram_of_phantom(operator)
    noise = GaussianNoise(config.noise * float(jnp.max(clean)))
    return Scan(truth, operator, noise.sample(key, clean), noise)


def rows_of(settings: ConfigDict) -> Rows:
    """The rows of corrected PGM."""
    levels = geometric_levels(settings.lam_max, settings.lam_min, len(settings.steps))
    return with_corrector(bridge(levels), settings.steps, settings.rate)


_back_projected = jax.jit(filtered_back_projection, static_argnames="window")


def reconstruct(key: Key, config: ConfigDict, scan: Scan) -> Found:
    """Every method on one scan."""
    sharp, smooth = (_back_projected(scan.operator, scan.y, window=window) for window in ("ramp", config.smooth))

    def posterior(name: str) -> tuple[TotalVariation, GaussianLikelihood]:
        solver = Solver(1e-3, config.solves[name])
        likelihood = GaussianLikelihood(scan.operator, scan.y, scan.noise.sigma, solver)
        return TotalVariation(config.weights[name], config.prox_iterations[name]), likelihood

    best = sample(key, admm(*posterior("mode")), smooth, jnp.full(config.admm.steps, config.admm.lam), 1)[0]
    # From the mode, so that the grid need not begin at a level that forgets the image.
    samples = sample(key, pgm(data_first(*posterior("samples"))), best, rows_of(config.pgm), config.samples)
    images = {RAMP: sharp, SMOOTH.format(config.smooth): smooth, MODE: best, MEAN: jnp.mean(samples, axis=0)}
    return Found(scan, images | {ONE: samples[0]}, samples)


def decibels(image: Array, truth: Array) -> float:
    """PSNR with data range 1, the image clipped to [0, 1] first."""
    return float(psnr(2 * image - 1, 2 * truth - 1))


def quality(found: list[Found], name: str) -> np.ndarray:
    """PSNR of a method on every slice (dB)."""
    return np.array([decibels(one.images[name], one.scan.truth) for one in found])


def cell(values: np.ndarray) -> Cell:
    """Mean and deviation over slices; of a single one its value."""
    return (float(values.mean()), float(values.std(ddof=1))) if len(values) > 1 else float(values[0])


def inside_if_exact(samples: int) -> float:
    """The share of truths within `QUANTILE` deviations of the mean of so many samples of a normal distribution."""
    bound = QUANTILE**2 * samples / (samples + 1)  # of the square of Student's t
    degrees = samples - 1
    return float(1 - jax.scipy.special.betainc(degrees / 2, 0.5, degrees / (degrees + bound)))


def run(config: ConfigDict, key: Key) -> Findings:
    """PSNR of each method at each number of views, calibration of the samples, and a figure of the first slice."""
    if config.samples < 2:
        raise ValueError(f"config.samples is {config.samples}; a deviation takes at least 2.")
    truths, noise = attenuations(config), jax.random.key(config.noise_seed)
    by_views: dict[int, list[Found]] = {}
    for views in config.views:
        keys = [jax.random.fold_in(jax.random.fold_in(k, views), i) for i in range(len(truths)) for k in (noise, key)]
        by_views[views] = [
            reconstruct(keys[2 * i + 1], config, scanned(keys[2 * i], config, truth, views))
            for i, truth in enumerate(truths)
        ]
    source = f"{len(truths)} slices of {Path(config.data).name}" if config.data else "the phantom"
    tables = [psnr_table(config, by_views, source), spread_table(config, by_views)]
    fewest = min(config.views)
    sharp = quality(by_views[fewest], RAMP)
    gains = {name: float(np.mean(quality(by_views[fewest], name) - sharp)) for name in (MODE, MEAN)}
    claims = [
        Claim(f"{name}: above {RAMP}, {fewest} views (dB)", gain, f"≥ {GAIN:g}", gain >= GAIN)
        for name, gain in gains.items()
    ]
    firsts = {views: found[0] for views, found in by_views.items()}
    return Findings(tables, dict(tomography=figure_of(firsts)), claims)


def psnr_table(config: ConfigDict, by_views: dict[int, list[Found]], source: str) -> Table:
    """A row for each method: PSNR, and how far it is above filtered back projection with the ramp."""
    sigmas = ", ".join(
        f"{np.mean([float(one.scan.noise.sigma) for one in found]):.3g} ({v} views)" for v, found in by_views.items()
    )
    rows = []
    for name in by_views[config.views[0]][0].images:
        cells = []
        for found in by_views.values():
            values = quality(found, name)
            cells += [cell(values), cell(values - quality(found, RAMP))]
        rows.append((name, *cells))
    return Table(
        "Tomography",
        ("method", *(f"{c}{v} views" for v in by_views for c in ("PSNR (dB), ", "above FBP, "))),
        rows,
        f"PSNR of the whole image, attenuation clipped to [0, 1], data range 1, mean ± deviation over {source}. "
        f"Noise {100 * config.noise:g} % of the sinogram's largest value: {sigmas}, in sides of a pixel.",
    )


def spread_table(config: ConfigDict, by_views: dict[int, list[Found]]) -> Table:
    """Whether the samples are as far apart as their mean is from the truth, and how all fit the measurement."""
    rows = []
    for views, found in by_views.items():
        std, error = (
            np.array([float(jnp.sqrt(jnp.mean(a**2))) for a in kind])
            for kind in zip(*((one.std, one.error) for one in found), strict=True)
        )
        inside = np.array([float(jnp.mean(one.error <= QUANTILE * one.std)) for one in found])
        fits = [
            np.array(
                [float(data_misfit(s.operator, one.images[name], s.y, s.noise)) for one in found for s in [one.scan]]
            )
            for name in (MODE, MEAN)
        ]
        rows.append((views, cell(std), cell(error), cell(error / std), cell(inside), *map(cell, fits)))
    return Table(
        "Tomography, spread of the samples",
        (
            "views",
            "deviation",
            "error of the mean",
            "error / deviation",
            "truths inside",
            "misfit, mode",
            "misfit, mean",
        ),
        rows,
        f"{config.samples} samples; deviation and error are root mean squares over pixels. Inside: within {QUANTILE} "
        f"deviations of the mean; of exact samples of a normal distribution {inside_if_exact(config.samples):.2f} are, "
        f"and error / deviation {np.sqrt(1 + 1 / config.samples):.2f}. Misfit: |y - A x| / (sigma sqrt(n)).",
    )


def figure_of(firsts: dict[int, Found]) -> Figure:
    """A row for each number of views: truth, sinogram, reconstructions, deviation and error of the samples."""
    names = ("truth", "sinogram", RAMP, MODE, MEAN, "deviation of the samples", "|mean - truth|")
    figure = Figure(figsize=(2 * len(names) + 0.8, 2.35 * len(firsts)), layout="constrained")
    grid = figure.subplots(len(firsts), len(names), squeeze=False)
    top = float(np.quantile(np.stack([np.asarray(one.error) for one in firsts.values()]), 0.995))
    for axis, name in zip(grid[0], names, strict=True):
        axis.set_title(name, fontsize=8.5)
    for line, (views, one) in zip(grid, firsts.items(), strict=True):
        truth = one.scan.truth
        pictures = (truth, one.scan.y, *(one.images[name] for name in (RAMP, MODE, MEAN)), one.std, one.error)
        for axis, name, picture in zip(line, names, pictures, strict=True):
            of_samples = picture is pictures[-1] or picture is pictures[-2]
            shown = axis.imshow(
                np.asarray(picture)[..., 0],
                cmap="magma" if of_samples else "gray",
                vmin=None if name == "sinogram" else 0.0,
                vmax=None if name == "sinogram" else top if of_samples else 1.0,
                aspect="auto" if name == "sinogram" else "equal",
                interpolation="nearest",
            )
            axis.set(xticks=[], yticks=[])
            if name in one.images:
                axis.set_xlabel(f"{decibels(picture, truth):.1f} dB", fontsize=8)
        line[0].set_ylabel(f"{views} views", fontsize=9)
        line[1].set_xlabel("detector", fontsize=8)
        line[1].set_ylabel("angle", fontsize=8)
        figure.colorbar(shown, ax=line[-1], fraction=0.05).ax.tick_params(labelsize=7)
    return figure
