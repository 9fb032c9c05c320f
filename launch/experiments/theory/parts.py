"""What each part of the theory returns."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from launch.experiments.findings import Claim, Table


class Line(NamedTuple):
    """A row of the summary: the claim, the experiment, its result, and the verdict."""

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


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """The slope of log y against log x, by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
