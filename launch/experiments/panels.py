"""Panels that the figures of several experiments share."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

INK = "#1a1a1a"
FILL = "#a9c9e8"
COLOURS = ("#1f5fa8", "#c4501b", "#3a8a4d", "#7a4fa3", "#9a7b16", "#5c5c5c")


def plain(axis: Axes) -> None:
    """A panel without its upper and right line."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def histogram(axis: Axes, samples: np.ndarray, x: np.ndarray, density: np.ndarray, title: str, bins: int = 61) -> None:
    """Samples as a histogram under the density that they are to have; what lies beyond x is said in words."""
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


def lines(axis: Axes, curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """One line with its points for each named curve."""
    for (name, points), colour in zip(curves.items(), COLOURS, strict=False):
        x, y = zip(*points, strict=True)
        axis.plot(x, y, color=colour, marker="o", markersize=3, linewidth=1.2, label=name)
    plain(axis)
