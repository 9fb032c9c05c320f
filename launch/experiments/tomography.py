"""Computed tomography from few views: filtered back projection, the mode under total variation, and samples.

    y = A x + N(0, sigma^2),   pi(x) ~ exp(-|y - A x|^2 / (2 sigma^2) - w TV(x)),   x the attenuation, 0 to 1

A takes line integrals along parallel rays, in units of a pixel's side. ADMM finds the mode of pi, and corrected PGM
draws its samples. Both have the same two steps, a data step by preconditioned conjugate gradients and the prox of the
total variation. Each has its own weight w: the best w for a mode is not the best for a mean.

The sinogram of the phantom is computed from its ellipses by formula, which no image of pixels has exactly. That of
slices of a scan is A of the slices: generating and reconstructing with the same discretisation flatters all methods
alike.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from launch.experiments.findings import Cell, Findings, Table, bounded, mean_and_deviation
from launch.experiments.plots import lattice, picture
from pgm_jax.files import read_arrays
from pgm_jax.metrics import data_misfit, psnr
from pgm_jax.noise import GaussianNoise
from pgm_jax.operators import Solver, radon
from pgm_jax.operators.phantom import ELLIPSES, shepp_logan
from pgm_jax.operators.tomography import Radon, filtered_back_projection
from pgm_jax.potentials import GaussianLikelihood, TotalVariation
from pgm_jax.proximal import data_first
from pgm_jax.samplers import admm, bridge, pgm, sample, with_corrector
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
        """The standard deviation of each pixel over the samples."""
        return jnp.std(self.samples, axis=0, ddof=1)

    @property
    def error(self) -> Array:
        """The absolute error of the mean of the samples."""
        return jnp.abs(self.images[MEAN] - self.scan.truth)


def attenuations(config: ConfigDict) -> Array:
    """The truths (n, H, W, 1) in [0, 1]: the phantom, or slices of a scan, with the window mapped to [0, 1].

    Raises:
        ValueError: if the file is not such a scan, or a slice is not in it.
    """
    if not config.data:
        return shepp_logan(config.size)[None]
    volume = read_arrays(config.data, "an .npz with an array `hu`, a scan").get("hu", np.zeros(()))
    if volume.ndim != 3:
        raise ValueError(f"`hu` of {config.data} has shape {volume.shape}; an .npz must hold it as (slices, H, W).")
    if not config.slices or not all(0 <= index < len(volume) for index in config.slices):
        raise ValueError(f"config.slices is {config.slices}; {config.data} has the slices 0 to {len(volume) - 1}.")
    low, high = config.window
    chosen = volume[list(config.slices)].astype(float)
    return jnp.asarray(np.clip((chosen - low) / (high - low), 0, 1), float)[..., None]


@jax.jit
def sinogram_of_phantom(operator: Radon) -> Array:
    """The line integrals of the ellipses themselves (n, D, 1), averaged over the width of each detector."""
    size = operator.image_shape[0]
    offsets = (jnp.arange(SUB_RAYS) + 0.5) / SUB_RAYS - 0.5
    t = (jnp.arange(operator.detectors) - operator.detectors // 2)[:, None] + offsets[None, :]
    # The centre of the pixel around which A rotates, in the square of side 2.
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
    """A slice seen from evenly spaced angles, with noise."""
    operator = radon(truth.shape, views)
    clean = operator.forward(truth) if config.data else sinogram_of_phantom(operator)
    noise = GaussianNoise(config.noise * float(jnp.max(clean)))
    return Scan(truth, operator, noise.sample(key, clean), noise)


_back_projected = jax.jit(filtered_back_projection, static_argnames="window")


def reconstruct(key: Key, config: ConfigDict, scan: Scan) -> Found:
    """Every method on one scan."""
    sharp, smooth = (_back_projected(scan.operator, scan.y, window=window) for window in ("ramp", config.smooth))

    def posterior(name: str) -> tuple[TotalVariation, GaussianLikelihood]:
        solver = Solver(1e-3, config.solves[name])
        likelihood = GaussianLikelihood(scan.operator, scan.y, scan.noise.sigma, solver)
        return TotalVariation(config.weights[name], config.prox_iterations[name]), likelihood

    best = sample(key, admm(*posterior("mode")), smooth, jnp.full(config.admm.steps, config.admm.lam), 1)[0]
    levels = geometric_levels(config.pgm.lam_max, config.pgm.lam_min, len(config.pgm.steps))
    rows = with_corrector(bridge(levels), config.pgm.steps, config.pgm.rate)
    # Chains start at the mode, so the grid need not begin at a level that forgets the image.
    samples = sample(key, pgm(data_first(*posterior("samples"))), best, rows, config.samples)
    images = {RAMP: sharp, SMOOTH.format(config.smooth): smooth, MODE: best, MEAN: jnp.mean(samples, axis=0)}
    return Found(scan, images | {ONE: samples[0]}, samples)


def decibels(image: Array, truth: Array) -> float:
    """PSNR with data range 1, after clipping the image to [0, 1]."""
    return float(psnr(2 * image - 1, 2 * truth - 1))


def quality(found: list[Found], name: str) -> np.ndarray:
    """PSNR of a method on every slice (dB)."""
    return np.array([decibels(one.images[name], one.scan.truth) for one in found])


def cell(values: np.ndarray) -> Cell:
    """Mean and deviation over slices, or the value of a single one."""
    return mean_and_deviation(values) if len(values) > 1 else float(values[0])


def inside_if_exact(samples: int) -> float:
    """The share of truths within `QUANTILE` deviations of the mean of this many samples of a normal distribution."""
    bound = QUANTILE**2 * samples / (samples + 1)  # of the square of Student's t
    degrees = samples - 1
    return float(1 - jax.scipy.special.betainc(degrees / 2, 0.5, degrees / (degrees + bound)))


def run(config: ConfigDict, key: Key) -> Findings:
    """PSNR of each method at each number of views, calibration of the samples, and a figure of the first slice."""
    if config.samples < 2:
        raise ValueError(f"config.samples is {config.samples}; a standard deviation needs at least 2.")
    truths, noise = attenuations(config), jax.random.key(config.noise_seed)
    by_views: dict[int, list[Found]] = {views: [] for views in config.views}
    for views, found in by_views.items():
        for i, truth in enumerate(truths):
            for_noise, for_chains = (jax.random.fold_in(jax.random.fold_in(k, views), i) for k in (noise, key))
            found.append(reconstruct(for_chains, config, scanned(for_noise, config, truth, views)))
    source = f"{len(truths)} slices of {Path(config.data).name}" if config.data else "the phantom"
    tables = [psnr_table(config, by_views, source), spread_table(config, by_views)]
    fewest = min(config.views)
    sharp = quality(by_views[fewest], RAMP)
    gains = {name: float(np.mean(quality(by_views[fewest], name) - sharp)) for name in (MODE, MEAN)}
    claims = [bounded(f"{name}: above {RAMP}, {fewest} views (dB)", gain, "≥", GAIN) for name, gain in gains.items()]
    firsts = {views: found[0] for views, found in by_views.items()}
    return Findings(tables, dict(tomography=figure_of(firsts)), claims)


def psnr_table(config: ConfigDict, by_views: dict[int, list[Found]], source: str) -> Table:
    """A row for each method: PSNR, and its gain over filtered back projection with the ramp."""
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
        f"Noise: {100 * config.noise:g} % of the sinogram's largest value, {sigmas}, in units of a pixel's side.",
    )


def spread_table(config: ConfigDict, by_views: dict[int, list[Found]]) -> Table:
    """The spread of the samples against the error of their mean, and the misfits."""

    def numbers(one: Found) -> list[float]:
        std, error = (float(jnp.sqrt(jnp.mean(a**2))) for a in (one.std, one.error))
        inside = float(jnp.mean(one.error <= QUANTILE * one.std))
        s = one.scan
        fits = [float(data_misfit(s.operator, one.images[name], s.y, s.noise)) for name in (MODE, MEAN)]
        return [std, error, error / std, inside, *fits]

    rows = [(v, *map(cell, np.array([numbers(one) for one in found]).T)) for v, found in by_views.items()]
    kinds = ("deviation", "error of the mean", "error / deviation", "truths inside", "misfit, mode", "misfit, mean")
    return Table(
        "Tomography, spread of the samples",
        ("views", *kinds),
        rows,
        f"{config.samples} samples; deviation and error are root mean squares over pixels. Inside: within {QUANTILE} "
        f"deviations of the mean. Exact samples of a normal distribution have {inside_if_exact(config.samples):.2f} "
        f"inside and error / deviation {np.sqrt(1 + 1 / config.samples):.2f}. Misfit: |y - A x| / (σ √n).",
    )


def figure_of(firsts: dict[int, Found]) -> Figure:
    """A row for each number of views: truth, sinogram, reconstructions, deviation and error of the samples."""
    heads = ("truth", "sinogram", RAMP, MODE, MEAN, "deviation of the samples", "|mean - truth|")
    figure, axes = lattice(heads, [f"{views} views" for views in firsts], (2.1, 2.35))
    top = float(np.quantile(np.stack([np.asarray(one.error) for one in firsts.values()]), 0.995))
    for line, one in zip(axes, firsts.values(), strict=True):
        picture(line[0], one.scan.truth[..., 0], cmap="gray", vmin=0.0, vmax=1.0)
        picture(line[1], one.scan.y[..., 0], cmap="gray", aspect="auto")
        line[1].set_xlabel("detector", fontsize=8)
        line[1].set_ylabel("angle", fontsize=8)
        for axis, name in zip(line[2:5], (RAMP, MODE, MEAN), strict=True):
            picture(axis, one.images[name][..., 0], cmap="gray", vmin=0.0, vmax=1.0)
            axis.set_xlabel(f"{decibels(one.images[name], one.scan.truth):.1f} dB", fontsize=8)
        for axis, values in zip(line[5:], (one.std, one.error), strict=True):
            shown = picture(axis, values[..., 0], cmap="magma", vmin=0.0, vmax=top)
        figure.colorbar(shown, ax=line[-1], fraction=0.05).ax.tick_params(labelsize=7)
    return figure
