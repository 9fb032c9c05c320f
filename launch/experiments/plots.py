"""Panels and grids that the figures of several experiments share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

INK, FAINT = "#1a1a1a", "#8a8a8a"
FILL, EXACT = "#a9c9e8", "#dddddd"
MANY = 4  # lines, beyond which a legend inside a panel covers them
COLOURS = ("#1f5fa8", "#c4501b", "#3a8a4d", "#7a4fa3", "#9a7b16", "#5c5c5c")


def plain(axis: Axes) -> None:
    """Remove the upper and right edges of a panel."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def panelled(panels: Sequence[Callable[[Axes], None]], across: int = 3) -> Figure:
    """A figure of all panels, in rows of `across`."""
    down = -(-len(panels) // across)
    figure = Figure(figsize=(4.6 * across, 3.7 * down), facecolor="white", layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # type: ignore[union-attr]
    axes = np.atleast_1d(figure.subplots(down, across)).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        panel(axis)
        axis.grid(True, color="#e6e6e6", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
        axis.title.set_fontsize(11)
        if axis.get_legend() is None and axis.get_legend_handles_labels()[1]:
            axis.legend(fontsize=8.5, frameon=False)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    return figure


def lattice(
    heads: Sequence[str], labels: Sequence[str], cell: tuple[float, float], share: bool = False
) -> tuple[Figure, np.ndarray]:
    """A figure of cells in inches, and its axes `[labels, heads]`; `share` gives all panels the same limits."""
    size = cell[0] * len(heads) + 0.5, cell[1] * len(labels) + 0.5
    figure = Figure(figsize=size, facecolor="white", layout="constrained")
    axes = figure.subplots(len(labels), len(heads), squeeze=False, sharex=share, sharey=share)
    for axis, head in zip(axes[0], heads, strict=True):
        axis.set_title(head, fontsize=8.5)
    for axis, label in zip(axes[:, 0], labels, strict=True):
        axis.set_ylabel(label, fontsize=9)
    return figure, axes


def picture(axis: Axes, image: ArrayLike, **shown: Any) -> Any:
    """Show an image without ticks, and return it for a colour bar."""
    axis.set(xticks=[], yticks=[])
    return axis.imshow(np.asarray(image), interpolation="nearest", **shown)


def grey(axis: Axes, images: ArrayLike, title: str) -> None:
    """Show grey images in [-1, 1], side by side in one array, under a title."""
    # Above the grid of the panel, whose lines would cross it where there are ticks.
    picture(axis, (np.clip(np.asarray(images), -1, 1) + 1) / 2, cmap="gray", vmin=0, vmax=1, zorder=3)
    axis.set_title(title)


def labelled_rows(rows: Mapping[str, Iterable[ArrayLike]], title: str = "") -> Callable[[Axes], None]:
    """Rows of grey images `[H, W, 1]` in [-1, 1], each with its name beside it."""

    def panel(axis: Axes) -> None:
        whole = np.concatenate([np.concatenate([np.asarray(x) for x in row], axis=1) for row in rows.values()], axis=0)
        grey(axis, whole, title)
        height = len(whole) / len(rows)
        axis.set_yticks([height * (i + 0.5) for i in range(len(rows))], list(rows), fontsize=7)

    return panel


def histogram(axis: Axes, samples: np.ndarray, x: np.ndarray, density: np.ndarray, title: str, bins: int = 61) -> None:
    """A histogram of samples under their target density; text gives the share of samples beyond x."""
    beyond = float(np.mean((samples < x[0]) | (samples > x[-1])))
    width = (x[-1] - x[0]) / bins
    counts, edges = np.histogram(samples, bins, (x[0], x[-1]))
    axis.stairs(counts / (len(samples) * width), edges, fill=True, color=FILL)
    axis.plot(x, density, color=INK, linewidth=1.2)
    axis.set_title(title, fontsize=8.5)
    axis.set(xlim=(x[0], x[-1]), ylim=(0, 1.8 * float(density.max())), yticks=[])
    if beyond > 5e-4:
        axis.text(0.98, 0.92, f"{100 * beyond:.1f} % beyond", transform=axis.transAxes, ha="right", fontsize=8)
    plain(axis)


def outlines(axis: Axes, sets: Mapping[str, ArrayLike], edges: Sequence[float], colours: Sequence[str]) -> None:
    """The outlines of the histograms of several sets of samples."""
    for (name, x), colour in zip(sets.items(), colours, strict=False):
        axis.hist(np.asarray(x), edges, density=True, histtype="step", color=colour, linewidth=1.2, label=name)


def lines(
    axis: Axes, curves: Mapping[str, tuple[ArrayLike, ArrayLike]], style: str = "o-", scale: str = "log", **labels: Any
) -> None:
    """A line (x, y) for each name on axes of a scale; `labels` are the title and labels of the axes."""
    for (name, (x, y)), colour in zip(curves.items(), COLOURS, strict=False):
        axis.plot(np.asarray(x), np.asarray(y), style, color=colour, markersize=4, linewidth=1.4, label=name)
    axis.set(xscale=scale, yscale=scale, **labels)


def against_calls(axis: Axes, calls: Sequence[int], floor: float, floor_name: str) -> None:
    """Finish a panel of distances against numbers of calls: a dashed floor, a tick for each number, a small legend."""
    axis.axhline(floor, color=INK, linewidth=1, linestyle="--", label=floor_name)
    axis.set(xscale="log", yscale="log", xlabel="calls", xticks=calls, xticklabels=calls)
    axis.minorticks_off()
    axis.legend(fontsize=6.5, frameon=False)


def psnr_against_calls(title: str, found: Mapping[str, Mapping[int, float]]) -> Callable[[Axes], None]:
    """PSNR of the mean against calls, a line for each name."""

    def panel(axis: Axes) -> None:
        points = {name: (list(each), list(each.values())) for name, each in found.items()}
        lines(axis, points, title=title, xlabel="calls", ylabel="PSNR of the mean (dB)")
        ticks = sorted({calls for each in found.values() for calls in each})
        axis.set(yscale="linear", xticks=ticks, xticklabels=ticks)
        axis.minorticks_off()
        if len(points) > MANY:
            axis.legend(fontsize=8.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)

    return panel


def cloud(
    title: str, x: np.ndarray, target: np.ndarray, colour: str, limits: tuple[float, float]
) -> Callable[[Axes], None]:
    """Samples in the plane over the points that they are to be like, in grey; `limits` are half the sides."""

    def panel(axis: Axes) -> None:
        axis.plot(*target.T, ".", color=FAINT, markersize=4)
        axis.plot(*x.T, ".", color=colour, markersize=2)
        wide, high = limits
        axis.set(xlim=(-wide, wide), ylim=(-high, high), aspect="equal", xticks=[], yticks=[])
        axis.set_title(title, fontsize=9)

    return panel
