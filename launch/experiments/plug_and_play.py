"""A learned proximal network at work: plug-and-play ADMM beside total variation, a U-Net, and the posterior mean.

    x+ = Prox_f^lam(z - lam y),  z+ = prior(x+ + lam y),  y+ = y + (x+ - z+) / lam        f = |A x - y|^2 / (2 s^2)

The step lam is the one that a network was trained at, sigma^2; the strength of the data, s, is a setting of each task
and method, chosen on other images. The total variation has its weight instead, and the noise as it is. The last panel
shows the fixed-point residual |x+ - z| of runs whose rho = 1 / lam is above the bound |A^T A| / s^2, and below it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.axes import Axes

from launch.experiments.findings import Cell, Claim, Findings, Table, bounded, mean_and_deviation
from launch.experiments.lpn_prior import read_prior
from launch.experiments.plots import COLOURS, labelled_rows, panelled
from pgm_jax.metrics import psnr
from pgm_jax.noise import GaussianNoise
from pgm_jax.operators import Solver, circulant_sensing, gaussian_blur, radon
from pgm_jax.potentials import GaussianLikelihood, TotalVariation
from pgm_jax.pretrained import example_images, load_prior
from pgm_jax.restoration import restore
from pgm_jax.samplers import admm
from pgm_jax.samplers import run as run_sampler
from pgm_jax.types import Key, Operator, Shape

LEARNED, VARIATION, UNET, MEAN = "LPN, ADMM", "TV, ADMM", "U-Net, ADMM", "PGM, mean of 8"
SOLVER = Solver(1e-4, 30)
SHOWN = 6


class Task(NamedTuple):
    """An operator, measurements of all images, and the deviation of their noise."""

    operator: Operator
    y: Array
    sigma: float


def tasks_of(c: Any, key: Key, images: Array) -> dict[str, Task]:
    """Deblurring, compressed sensing at two ratios, and tomography of the same images."""
    key_operator, key_noise = jax.random.split(key)
    shape: Shape = images.shape[1:]
    pixels = shape[0] * shape[1]
    operators: dict[str, Operator] = {
        "deblurring": gaussian_blur(shape, c.blur),
        "sensing, ×4": circulant_sensing(key_operator, shape, pixels // 4),
        "sensing, ×16": circulant_sensing(key_operator, shape, pixels // 16),
        "tomography": radon(shape, c.views),
    }
    tasks = {}
    for i, (name, operator) in enumerate(operators.items()):
        sigma = c.sinogram_noise if name == "tomography" else c.noise
        clean = jax.vmap(operator.forward)(images)
        noise = GaussianNoise(sigma).sample(jax.random.fold_in(key_noise, i), clean)
        tasks[name] = Task(operator, noise, sigma)
    return tasks


@jax.jit
def by_admm(prior: Any, operator: Operator, y: Array, strength: Array, rows: Array) -> tuple[Array, Array]:
    """The last image and the fixed-point residual of every row, for every measurement."""

    def one(y: Array) -> tuple[Array, Array]:
        likelihood = GaussianLikelihood(operator, y, strength, SOLVER)
        start = jnp.zeros(operator.image_shape)
        sampler = admm(prior, likelihood)
        state, residuals = run_sampler(jax.random.key(0), sampler, start, rows, lambda state, info: info.move)
        return state.x, residuals

    return jax.vmap(one)(y)


def restored(c: Any, key: Key, place: int, task: Task, learned: Any, unet: Any) -> dict[str, Array]:
    """The images of every method for one task, by its place in the settings."""

    def plugged(prior: Any, lam: float, strength: float) -> Array:
        return by_admm(prior, task.operator, task.y, jnp.asarray(strength), jnp.full((c.rows,), lam))[0]

    return {
        LEARNED: plugged(learned, learned.network.sigma**2, c.lpn_strength[place]),
        VARIATION: plugged(TotalVariation(c.tv_weight[place], 50), c.tv_step, task.sigma),
        UNET: plugged(unet, c.unet_step, c.unet_strength[place]),
        MEAN: restore(key, unet, task.operator, task.y, GaussianNoise(task.sigma), samples=8, calls=c.calls).mean,
    }


def run(config: Any, key: Key) -> Findings:
    """PSNR of every method on every task, and the residuals."""
    c = config
    for setting in ("lpn_strength", "tv_weight", "unet_strength"):
        if len(c[setting]) != 4:
            raise ValueError(f"config.{setting} is {c[setting]}; give one number for each of the four tasks.")
    learned, unet = read_prior(c.prior), load_prior("fashion_mnist")
    images = example_images()[: c.images]
    if learned.image_shape != images.shape[1:]:
        raise ValueError(
            f"config.prior takes images of {learned.image_shape}; the bundled ones are {images.shape[1:]}."
        )
    found: dict[str, dict[str, Array]] = {}
    key_tasks, key_chains = jax.random.split(key)
    tasks = tasks_of(c, key_tasks, images)
    for place, (name, task) in enumerate(tasks.items()):
        found[name] = restored(c, jax.random.fold_in(key_chains, place), place, task, learned, unet)
    quality = {
        name: {method: np.asarray(psnr(x, images), float) for method, x in each.items()} for name, each in found.items()
    }
    residuals = residuals_of(c, tasks["deblurring"], learned)
    sheets = [
        labelled_rows({"truth": images[:SHOWN], **{method: x[:SHOWN] for method, x in each.items()}}, name)
        for name, each in found.items()
    ]
    panels = [*sheets, residual_panel(residuals)]
    return Findings([table(c, quality)], {"plug_and_play": panelled(panels)}, claims_of(quality, residuals))


def residuals_of(c: Any, task: Task, learned: Any) -> dict[str, np.ndarray]:
    """The fixed-point residual of ADMM by row, for two strengths of the data: rho above its bound, and far below."""
    lam = learned.network.sigma**2
    norm = float(task.operator.norm())
    found = {}
    for ratio in c.ratios:
        strength = norm * (lam * ratio) ** 0.5  # rho = ratio |A^T A| / s^2
        rows = jnp.full((c.residual_rows,), lam)
        residual = by_admm(learned, task.operator, task.y, jnp.asarray(strength), rows)[1]
        found[f"ρ at {ratio:g} of the bound"] = np.asarray(residual)
    return found


def claims_of(quality: Mapping[str, Mapping[str, np.ndarray]], residuals: Mapping[str, np.ndarray]) -> list[Claim]:
    """The network is about as good as total variation, and converges where it is said to."""
    claims = []
    for name, each in quality.items():
        lead = float(each[LEARNED].mean() - each[VARIATION].mean())
        claims.append(bounded(f"{name}: PSNR of {LEARNED} over that of {VARIATION} (dB)", lead, "≥", -0.5))
    name, within = next(iter(residuals.items()))
    # From the second row on, as far as single precision resolves it.
    falling = within[:, 1:]
    resolved = falling[:, :-1] > 1e-4 * falling[:, :1]
    share = float(np.mean((np.diff(falling, axis=1) < 0)[resolved]))
    claims.append(bounded(f"{name}: share of rows that lower the residual", share, "≥", 1.0))
    return claims


def table(c: Any, quality: Mapping[str, Mapping[str, np.ndarray]]) -> Table:
    """PSNR of every method on every task."""
    rows: list[Sequence[Cell]] = [
        (method, *(mean_and_deviation(each[method]) for each in quality.values()))
        for method in (LEARNED, VARIATION, UNET, MEAN)
    ]
    caption = (
        f"PSNR (dB, data range 2) of {c.images} bundled test images, mean ± deviation over the images. Noise of "
        f"deviation {c.noise:g}, {c.sinogram_noise:g} in the sinograms of {c.views} views; a blur of width {c.blur:g}."
    )
    return Table("Plug and play", ("method", *quality), rows, caption)


def residual_panel(residuals: Mapping[str, np.ndarray]) -> Callable[[Axes], None]:
    """The residual of every image by row."""

    def panel(axis: Axes) -> None:
        for (name, each), colour in zip(residuals.items(), COLOURS, strict=False):
            axis.plot(each.T, color=colour, alpha=0.15, linewidth=0.7)
            axis.plot(np.median(each, axis=0), color=colour, linewidth=1.8, label=name)
        axis.set(title="fixed-point residual of ADMM, deblurring", xlabel="row", yscale="log")

    return panel
