"""A learned proximal network of a Laplace distribution: its prox against soft thresholding, its prior against |x|.

    x ~ exp(-|x|),  y = x + eps:     prox soft(y, 1),  R(x) = |x|,  psi(y) = max(|y| - 1, 0)^2 / 2

The network is the gradient of a convex one, trained by squares, by absolute values, or by proximal matching whose
width gamma falls in stages. The minimiser of each loss is known by quadrature, so that what a network misses is told
apart from what its loss does.

Source: LPN (Fang, Buchanan and Sulam, ICLR 2024), section 5 and appendix, with numbers in place of curves.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib.axes import Axes

from launch.experiments.findings import Cell, Claim, Findings, Table, bounded
from launch.experiments.plots import COLOURS, INK, panelled
from pgm_jax.networks import ICNN, LPN, ConvexNetwork
from pgm_jax.training import fit
from pgm_jax.training.convexity import keep_nonnegative
from pgm_jax.training.draws import Seen
from pgm_jax.training.losses import Objective, l1, l2, matching_objective
from pgm_jax.types import Key, pytree

SHAPE = (1, 1, 1)
POINTS = (0.5, 1.0, 1.5, 2.0, 3.0)
GRID = np.linspace(-4.0, 4.0, 161)
INSIDE = np.linspace(-3.0, 3.0, 121)
X, LEFT = np.linspace(-12.0, 14.0, 13_001), "least squares"


def soft(y: np.ndarray) -> np.ndarray:
    """Soft thresholding by 1, the exact prox."""
    return np.sign(y) * np.maximum(np.abs(y) - 1, 0)


def minimiser(y: float, gamma: float | None) -> float:
    """The point that proximal matching of width gamma finds at y, by quadrature; the posterior mean if None.

    It is the fixed point of the mean shift `f <- E[w x | y] / E[w | y]`, w = exp(-(x - f)^2 / gamma^2), from the prox.
    """
    log = -np.abs(X) - (X - y) ** 2 / 2
    weights = np.exp(log - log.max())
    if gamma is None:
        return float(weights @ X / weights.sum())
    point = float(soft(np.array(y)))
    step = np.inf
    while abs(step) > 1e-7:
        near = weights * np.exp(-((X - point) ** 2) / gamma**2)
        step = float(near @ X / near.sum()) - point
        point += step
    return point


def objectives(c: Any) -> dict[str, tuple[Objective, float | None]]:
    """The losses by name, and the width that each ends with."""
    whole = c.steps, c.steps, 1.0, 1.0
    matching = matching_objective(l1, round(c.warm_share * c.steps), c.steps, c.gammas[0], c.gammas[1], c.stages)
    return {
        LEFT: (matching_objective(l2, *whole), None),
        "absolute values": (matching_objective(l1, *whole), None),
        f"proximal matching, γ = {c.gammas[1]:g}": (matching, c.gammas[1]),
    }


@pytree
class Stratified:
    """Points y and many targets of each, as even as samples can be: few lie within a small gamma of f(y).

    The x of a batch are fresh, one of each of its equal parts of the distribution. The minimiser at a y does not depend
    on how often that y is drawn, so the points are spread evenly, and the targets of a y are drawn from its posterior
    over the x of the batch, in proportion to `exp(-(y - x)^2 / 2)`, one of each of equal parts.

    A fixed set of examples would not do: its own density, in a window of a small gamma, has slopes that move the
    minimiser.

    Attributes:
        reach: points lie in [-reach, reach].
        targets: number of targets of each point.
    """

    reach: float
    targets: int = dataclasses.field(metadata=dict(static=True))

    def draw(self, key: Key, images: Array) -> Seen:
        """As many points as images, which are not used themselves."""
        count = len(images)
        key_x, key_y, key_target = jax.random.split(key, 3)
        parts = lambda key, *shape: (jnp.arange(shape[-1])[None] + jax.random.uniform(key, shape)) / shape[-1]  # noqa: E731
        side = 2 * parts(key_x, 1, count)[0] - 1
        x = -jnp.sign(side) * jnp.log1p(-jnp.minimum(jnp.abs(side), 1 - 1e-7))
        y = self.reach * (2 * parts(key_y, 1, count)[0] - 1)
        chances = jnp.cumsum(jax.nn.softmax(-((y[:, None] - x[None]) ** 2) / 2, axis=1), axis=1)
        found = jax.vmap(jnp.searchsorted)(chances, parts(key_target, count, self.targets))
        targets = x[jnp.minimum(found, count - 1)].T
        return Seen(y.reshape(-1, *SHAPE), (jnp.ones(count),), targets.reshape(-1, count, *SHAPE))


def learned(c: Any, key: Key, objective: Objective) -> LPN:
    """A convex network trained on fresh samples."""
    network = ConvexNetwork(ICNN(beta=c.beta, widths=(c.width,) * c.layers), SHAPE, 1.0)
    rate = optax.schedules.exponential_decay(c.learning_rate, c.steps, c.fall)
    optimizer = optax.chain(optax.adam(rate), keep_nonnegative())
    sizes: Any = dict(steps=c.steps, batch_size=c.batch_size, ema_decay=c.ema_decay)
    no_examples = jnp.zeros((1, *SHAPE))  # the draws are all fresh
    prior, _ = fit(key, network, optimizer, Stratified(c.reach, c.targets), objective, no_examples, **sizes)
    return prior


@jax.jit
def curves_of(prior: LPN, y: Array, x: Array) -> tuple[Array, Array]:
    """The prox at points y, and the prior's value at points x."""
    as_images = lambda points: points.reshape(-1, *SHAPE)  # noqa: E731
    return jax.vmap(prior.denoise)(as_images(y)).ravel(), jax.vmap(prior.value)(as_images(x))


def run(config: Any, key: Key) -> Findings:
    """Errors of every loss, and the learned prior."""
    c = config
    rows: list[Sequence[Cell]] = [("soft thresholding", *soft(np.array(POINTS)).tolist(), None, None, None)]
    proxes, priors, errors = {}, {}, {}
    for name, (objective, gamma) in objectives(c).items():
        prior = learned(c, key, objective)
        p, r = map(np.asarray, curves_of(prior, jnp.asarray(GRID, jnp.float32), jnp.asarray(INSIDE, jnp.float32)))
        at = np.interp(POINTS, GRID, p)
        apart = np.abs(p - soft(GRID))
        kink, beyond = apart.max(), apart[np.abs(GRID) >= 1.5].max()
        # Up to the constant that R is known to: the one of the smallest error.
        above = r - np.abs(INSIDE)
        proxes[name], priors[name] = p, r - (above.max() + above.min()) / 2
        errors[name] = float(kink), float(beyond), float(np.ptp(above)) / 2
        if gamma is not None or name == LEFT:
            exact = [minimiser(y, gamma) for y in POINTS]
            rows.append((f"{name}: exact minimiser", *exact, None, None, None))
        rows.append((f"{name}: network", *map(float, at), *errors[name]))
    heads = ("", *(f"y = {y:g}" for y in POINTS), "max error", "at abs(y) ≥ 1.5", "R against abs(x)")
    caption = (
        f"f(y) at five points; the largest |f - soft| on [-4, 4] and on its part |y| ≥ 1.5; the largest |R - |x|| on "
        f"[-3, 3] after the constant of the smallest error. A convex network of {c.layers} layers of {c.width}, "
        f"{c.steps:,} steps of {c.batch_size:,} points with {c.targets} targets each. The finite width alone costs "
        f"{minimiser(1.0, c.gammas[1]):.3f} at the kink."
    )
    figure = panelled([prox_panel(proxes), error_panel(proxes), prior_panel(priors)])
    return Findings(
        [Table("Laplace: learned proxes", heads, rows, caption)], {"lpn_laplace": figure}, claims_of(errors)
    )


def claims_of(errors: dict[str, tuple[float, float, float]]) -> list[Claim]:
    """What proximal matching finds, and least squares does not."""
    name = list(errors)[-1]
    kink, beyond, prior = errors[name]
    return [
        bounded(f"{name}: largest error of the prox", kink, "≤", 0.12),
        bounded(f"{name}: largest error beyond 1.5", beyond, "≤", 0.03),
        bounded(f"{name}: largest error of R on [-3, 3]", prior, "≤", 0.05),
        bounded(f"{LEFT}: largest error of the prox, the mean is no prox of |x|", errors[LEFT][0], "≥", 0.4),
    ]


def prox_panel(proxes: dict[str, np.ndarray]) -> Callable[[Axes], None]:
    """The learned proxes over soft thresholding."""

    def panel(axis: Axes) -> None:
        axis.plot(GRID, soft(GRID), color=INK, linewidth=2.4, alpha=0.35, label="soft thresholding")
        for (name, p), colour in zip(proxes.items(), COLOURS, strict=False):
            axis.plot(GRID, p, color=colour, linewidth=1.3, label=name)
        axis.set(title="f(y)", xlabel="y")

    return panel


def error_panel(proxes: dict[str, np.ndarray]) -> Callable[[Axes], None]:
    """What the proxes miss."""

    def panel(axis: Axes) -> None:
        for (name, p), colour in zip(proxes.items(), COLOURS, strict=False):
            axis.plot(GRID, np.maximum(np.abs(p - soft(GRID)), 1e-4), color=colour, linewidth=1.3, label=name)
        axis.set(title="Error of f", xlabel="y", yscale="log", ylim=(1e-4, 1))

    return panel


def prior_panel(priors: dict[str, np.ndarray]) -> Callable[[Axes], None]:
    """The learned priors over |x|."""

    def panel(axis: Axes) -> None:
        axis.plot(INSIDE, np.abs(INSIDE), color=INK, linewidth=2.4, alpha=0.35, label="|x|")
        for (name, r), colour in zip(priors.items(), COLOURS, strict=False):
            axis.plot(INSIDE, r, color=colour, linewidth=1.3, label=name)
        axis.set(title="R(x), by convex inversion", xlabel="x")

    return panel
