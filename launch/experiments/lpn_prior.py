"""What a learned proximal network says of images: its prior under noise, blur and mixing, with certificates.

    R(x) = <x, y> - |x|^2 / 2 - psi(y),  f(y) = x        g = R / sigma^2

The value is to rise with what is done to an image. It comes from a convex inversion, whose Fenchel-Young gap bounds
what an early end leaves out; a doubled budget shows it once more. Values are those of g, in nats; what counts is their
differences, since the offset is not known.

Source: after LPN (Fang, Buchanan and Sulam, ICLR 2024), section 5, with counts and certificates beside the means.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib.axes import Axes

from launch.experiments.findings import Cell, Claim, Findings, Table, bounded, mean_and_deviation
from launch.experiments.plots import COLOURS, grey, panelled
from pgm_jax.metrics import proxness
from pgm_jax.networks import LPN
from pgm_jax.operators import gaussian_blur
from pgm_jax.pretrained import load_prior
from pgm_jax.schedules import VE
from pgm_jax.training.data import open_source
from pgm_jax.training.images import to_float
from pgm_jax.training.losses import l2, matching_objective
from pgm_jax.training.step import init_state, make_step
from pgm_jax.types import Key

VALUE, FORWARD, STEP = "R, by inversion", "f", "training step"
Change = Callable[[Array, float], Array]


class Values(NamedTuple):
    """The prior of all images at every strength of a change, `[strengths, N]`, and what it may miss.

    Attributes:
        value, gap: the value, and how far it may be below the true one; of the value's units both.
        doubled: the value with twice the budget, at the largest strength alone, `[N]`.
    """

    value: np.ndarray
    gap: np.ndarray
    doubled: np.ndarray


def read_prior(file: str) -> LPN:
    """The learned proximal network of a file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds another kind of network.
    """
    prior = load_prior(file)
    if not isinstance(prior, LPN):
        raise ValueError(
            f"config.prior holds a {type(prior).__name__}; give a network of launch.train --config=configs/lpn.py."
        )
    return prior


def changes(key: Key, images: Array) -> dict[str, Change]:
    """What is done to the images, by name; a strength of 0 leaves them as they are."""
    noise = jax.random.normal(key, images.shape)
    others = jnp.roll(images, 1, axis=0)

    def blurred(x: Array, width: float) -> Array:
        return x if width == 0 else jax.vmap(gaussian_blur(x.shape[1:], width).forward)(x)

    return {
        "noise of deviation": lambda x, s: x + s * noise,
        "Gaussian blur of width": blurred,
        "share of another image": lambda x, s: (1 - s) * x + s * others,
    }


@jax.jit
def _measured(prior: LPN, images: Array) -> tuple[Array, Array]:
    """The value of each image, and its gap, in the units of the value."""

    def one(x: Array) -> tuple[Array, Array]:
        found = prior.invert(x)
        return prior.value_at(x, found.point)[0], found.gap / prior.network.sigma**2

    return jax.lax.map(one, images, batch_size=32)


def measured(prior: LPN, strengths: Sequence[float], change: Change, images: Array) -> Values:
    """The values at all strengths, with the certificates and with twice the budget."""
    twice = dataclasses.replace(prior, steps=2 * prior.steps, inner=2 * prior.inner)
    found = [_measured(prior, change(images, s)) for s in strengths]
    value, gap = (np.stack([np.asarray(part, float) for part in parts]) for parts in zip(*found, strict=True))
    return Values(value, gap, np.asarray(_measured(twice, change(images, strengths[-1]))[0], float))


def ordered(values: np.ndarray) -> float:
    """The share of images whose value rises at every strength."""
    return float(np.mean(np.all(np.diff(values, axis=0) > 0, axis=0)))


def run(config: Any, key: Key) -> Findings:
    """The prior of held-out images under every change."""
    c = config
    prior = dataclasses.replace(read_prior(c.prior), steps=c.steps, inner=c.inner)
    # Read before anything is computed, so that a file that is missing costs nobody five minutes.
    networks = {
        "U-Net, the bundled prior": load_prior("fashion_mnist"),
        "U-Net, trained by squares": load_prior(c.denoiser),
        "learned proximal network": prior,
    }
    source = open_source(c.source, c.split, prior.image_shape)
    images = jnp.asarray(to_float(np.stack([source[i] for i in range(min(c.images, len(source)))])))
    key_noise, key_points, key_proxness = jax.random.split(key, 3)
    changed = changes(key_noise, images)
    strengths = dict(zip(changed, (c.noise, c.blur, c.mixing), strict=True))
    found = {name: measured(prior, strengths[name], change, images) for name, change in changed.items()}
    costs = costs_of(prior, images[: c.timed])
    shown = {
        name: np.concatenate([np.asarray(change(images[:1], s))[0] for s in strengths[name]], axis=1)
        for name, change in changed.items()
    }
    panels = [
        *(curve(name, strengths[name], found[name].value) for name in found),
        *(functools.partial(grey, images=row, title=name) for name, row in shown.items()),
    ]
    tables = [table(name, strengths[name], found[name], len(images)) for name in found]
    noise = prior.network.sigma * jax.random.normal(key_points, images[: c.points].shape)
    tables += [proxness_table(key_proxness, prior, networks, images[: c.points] + noise), cost_table(c, costs)]
    return Findings(tables, {"lpn_prior": panelled(panels)}, claims_of(c, found, costs))


def costs_of(prior: LPN, images: Array) -> dict[str, float]:
    """Seconds of the work on some images, without compilation."""
    optimizer, levels = optax.adam(1e-3), VE(prior.network.sigma, prior.network.sigma)
    state = init_state(jax.random.key(0), prior.network, optimizer)
    step = make_step(prior.network, optimizer, levels, matching_objective(l2, 1, 1, 1.0, 1.0), 0.9)
    works: dict[str, Callable[[Array], Any]] = {
        VALUE: jax.jit(jax.vmap(prior.value)),
        "psi": jax.jit(lambda x: prior.network.psi(prior.params, x)),
        FORWARD: jax.jit(lambda x: prior.network.apply(prior.params, x)),
        STEP: jax.jit(lambda x: step(state, x, jax.random.key(1))),
    }
    return {name: seconds_of(work, images) for name, work in works.items()}


def seconds_of(work: Callable[[Array], Any], images: Array, times: int = 3) -> float:
    """The shortest of some runs after a first one, each on its own images."""
    jax.block_until_ready(work(images))
    spent = []
    for i in range(times):
        begin = time.monotonic()
        jax.block_until_ready(work(images + 1e-3 * (i + 1)))
        spent.append(time.monotonic() - begin)
    return min(spent)


def cost_table(c: Any, costs: dict[str, float]) -> Table:
    """Seconds, and shares of a forward pass."""
    rows: list[Sequence[Cell]] = [(name, seconds, seconds / costs[FORWARD]) for name, seconds in costs.items()]
    caption = f"{c.timed} images at once on this machine's {jax.devices()[0].platform.upper()}, the shortest of 3."
    return Table("Learned proximal network: cost", ("work", "seconds", "over f"), rows, caption)


def proxness_table(key: Key, prior: LPN, networks: Mapping[str, Any], points: Array) -> Table:
    """What every prox obeys, of several networks at the noise of the convex one."""
    lam = prior.network.sigma**2
    rows: list[Sequence[Cell]] = [
        (name, *map(float, proxness(key, network.prox, points, lam)))
        for name, network in networks.items()
        if network.image_shape == prior.image_shape
    ]
    caption = (
        f"At {len(points)} test images with noise of deviation {prior.network.sigma:g}. A prox has no asymmetry and "
        "nothing below 0; that of a convex function does not expand by more than 1."
    )
    heads = ("", "asymmetry", "least eigenvalue", "monotonicity", "cyclic monotonicity", "expansion")
    return Table("Is it a prox?", heads, rows, caption)


def errors(found: dict[str, Values]) -> tuple[float, float]:
    """The largest gap, and the largest change by a doubled budget, as shares of the spread of the values."""
    first = next(iter(found.values())).value
    spread = float(np.std(first[0]))
    gap = max(float(each.gap.max()) for each in found.values()) / spread
    doubled = max(float(np.abs(each.doubled - each.value[-1]).max()) for each in found.values()) / spread
    return gap, doubled


def claims_of(c: Any, found: dict[str, Values], costs: dict[str, float]) -> list[Claim]:
    """The prior rises with noise and blur, and is as exact as it says."""
    noise, blur, _ = found
    gap, doubled = errors(found)
    return [
        bounded("share of images whose value rises at every level of noise", ordered(found[noise].value), "≥", 0.95),
        bounded("share of images whose value rises at every width of blur", ordered(found[blur].value), "≥", 0.95),
        bounded("largest Fenchel-Young gap, over the deviation of R of the images", gap, "≤", 1e-4),
        bounded("largest change by a doubled budget, over the same", doubled, "≤", 1e-4),
        bounded(f"seconds for R of {c.timed} images", costs[VALUE], "<", 10.0),
        bounded("training step over a forward pass of f", costs[STEP] / costs[FORWARD], "≤", 4.0),
    ]


def table(name: str, strengths: Sequence[float], values: Values, count: int) -> Table:
    """The rise of the prior at every strength."""
    rises = values.value - values.value[:1]
    rows: list[Sequence[Cell]] = [
        (f"{s:g}", mean_and_deviation(rise), float(np.mean(rise > 0)) if i else None, float(gap.max()))
        for i, (s, rise, gap) in enumerate(zip(strengths, rises, values.gap, strict=True))
    ]
    caption = (
        f"Rise of the prior's value over that of the image itself, mean ± deviation of {count} test images; "
        f"{100 * ordered(values.value):.0f} % of them rise at every step."
    )
    return Table(f"Learned prior: {name}", (name, "rise", "share that rises", "largest gap"), rows, caption)


def curve(name: str, strengths: Sequence[float], values: np.ndarray) -> Callable[[Axes], None]:
    """The rise of every image, and the median."""

    def panel(axis: Axes) -> None:
        rises = values - values[:1]
        axis.plot(strengths, rises, color=COLOURS[0], alpha=0.12, linewidth=0.8)
        axis.plot(strengths, np.median(rises, axis=1), color=COLOURS[1], linewidth=1.8, label="median")
        axis.set(title="rise of the prior's value", xlabel=name)

    return panel
