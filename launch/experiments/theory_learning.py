"""Proposition 3 of PGM (arXiv 2605.13278) with a network: matching of falling widths, trained on samples alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from launch.experiments.findings import Claim
from launch.experiments.learning import zeta_table
from launch.experiments.theory_matching import POINTS
from launch.experiments.theory_panels import Line, Part
from pgm_jax.types import Key


def proposition_3_learned(key: Key, widths: Sequence[float], settings: Mapping[str, Any]) -> Part:
    """Networks that were trained with the widths, from the mean (no matching) on: how they come to the prox."""
    table = zeta_table(key, (np.inf, *widths), POINTS, settings)
    table = table._replace(title=f"Prop. 3, learned: {table.title[0].lower()}{table.title[1:]}")
    learned = np.array([row[-2:] for row in table.rows if str(row[0]).endswith("learned")], float)
    off, left = learned[:, 0].max(), learned[:, 1]
    falls = bool(np.all(np.diff(left) < 0))
    line = Line(
        "Prop. 3, learned from samples",
        f"networks trained on Laplace samples, ζ down to {widths[-1]:g}",
        f"|network - prox| goes from {left[0]:.2f} (the mean) to {left[-1]:.2f}; ≤ {off:.2f} from the exact minimisers",
        "yes, as far as ζ goes" if falls else "not monotone here",
    )
    claims = [Claim("Prop. 3, learned: the distance to the prox falls with ζ", falls, "yes", falls)]
    return Part([line], claims, [table], [])
