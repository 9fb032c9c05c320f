"""What a part of the theory hands back, and the figure of all their panels."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from launch.experiments.findings import Claim, Table

FAINT = "#8a8a8a"


class Line(NamedTuple):
    """A row of the table of the theory: what is claimed, how it was tried, what came out, and the verdict."""

    claim: str
    experiment: str
    result: str
    holds: str


class Part(NamedTuple):
    """One lemma, proposition or theorem."""

    lines: Sequence[Line]
    claims: Sequence[Claim]
    tables: Sequence[Table]
    panels: Sequence[Callable[[Axes], None]]


def figure_of(panels: Sequence[Callable[[Axes], None]], across: int = 3) -> Figure:
    """All panels in rows of `across`."""
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


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """The slope of y against x in logarithms, by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
