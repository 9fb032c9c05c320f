"""The figures of the mixture of 25 Gaussians: samples, and the distances of all samplers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from launch.experiments.mixture.bench import Place
from launch.experiments.mixture.methods import BY_ROUNDS, EXACT, FLOOR, PRIOR, SPLIT
from launch.experiments.mixture.quoted import QUOTED, quoted_cells
from launch.experiments.plots import COLOURS, INK, lattice, plain

DRAWN = (FLOOR, SPLIT, BY_ROUNDS, EXACT)


def samples_figure(drawn: dict[Place, dict[str, np.ndarray]]) -> Figure:
    """The first two coordinates of the samples of some samplers, over those of the prior; a row for each problem."""
    labels = [f"d = {place.d}, σ = {place.sigma:g}, dy = {place.m}" for place in drawn]
    figure, axes = lattice(DRAWN, labels, (3.1, 3.2), share=True)
    for row, sets in zip(axes, drawn.values(), strict=True):
        for axis, name in zip(row, DRAWN, strict=True):
            axis.plot(*sets[PRIOR][:, :2].T, ".", color="#dddddd", ms=2)
            axis.plot(*sets[name][:, :2].T, ".", color=INK if name == FLOOR else COLOURS[0], ms=2, alpha=0.6)
            axis.set_aspect("equal")
            plain(axis)
    return figure


def distances_figure(names: Sequence[str], distances: dict[Place, list[np.ndarray]]) -> Figure:
    """Sliced W1, a panel for each dimension: a small dot for each column, a large one for their geometric mean."""
    dimensions = list(dict.fromkeys(place.d for place in distances))
    figure = Figure(figsize=(1.5 + 5.2 * len(dimensions), 6.4), facecolor="white", layout="constrained")
    axes = figure.subplots(1, len(dimensions), squeeze=False, sharey=True)[0]
    labels = [name for name in names if name != FLOOR] + [f"quoted: {name}" for name in QUOTED]
    for axis, d in zip(axes, dimensions, strict=True):
        values = {name: [] for name in [FLOOR, *labels]}
        for place, seeds in distances.items():
            if place.d == d:
                for name, value in zip(names, np.mean(seeds, axis=0), strict=True):
                    values[name].append(float(value))
        for name, quoted in QUOTED.items():
            values[f"quoted: {name}"] = [value for value, _ in quoted_cells(quoted, d).values()]
        dots(axis, values, labels)
        axis.set(title=f"d = {d}", xlabel="sliced W1 (grey: exact samples)")
    return figure


def dots(axis: Axes, values: dict[str, list[float]], labels: Sequence[str]) -> None:
    """A line of dots for each label, over the range of the floor."""
    axis.axvspan(min(values[FLOOR]), max(values[FLOOR]), color="#e6e6e6")
    axis.axvline(float(np.exp(np.mean(np.log(values[FLOOR])))), color="#9a9a9a", lw=1)
    for place, label in enumerate(labels):
        if values[label]:
            colour = COLOURS[5] if label.startswith("quoted") else COLOURS[0] if "PGM" in label else COLOURS[1]
            axis.plot(values[label], [place] * len(values[label]), "o", color=colour, ms=3, alpha=0.5)
            axis.plot(float(np.exp(np.mean(np.log(values[label])))), place, "o", color=colour, ms=8)
    axis.set(xscale="log", yticks=range(len(labels)), yticklabels=labels, ylim=(len(labels) - 0.5, -0.5))
    axis.grid(True, axis="x", color="#eeeeee", linewidth=0.6)
    plain(axis)
