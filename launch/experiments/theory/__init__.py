"""The claims of the theory of PGM (arXiv 2605.13278), each tested where the truth is known.

Lemma 1, Proposition 2 and Theorem 5 compare the Moreau score with the Stein score, Proposition 3 is about learning a
prox, and Theorem 6 about the error of sampling.
"""

from typing import Any, cast

import jax
from ml_collections import ConfigDict

from launch.experiments.findings import Findings, Table
from launch.experiments.plots import panelled
from launch.experiments.theory.learning import proposition_3_learned
from launch.experiments.theory.matching import proposition_3
from launch.experiments.theory.sampling import floor_of_m, no_early_stopping
from launch.experiments.theory.scores import lemma_1, proposition_2_1, proposition_2_2, theorem_5
from launch.experiments.theory.steps import step_and_time
from pgm_jax.types import Key

LEAST = dict(dims=2, points=1, levels=2, constants=3, samples=1, correctors=0)


def run(config: ConfigDict, key: Key) -> Findings:
    """Test every claim in float64: a summary, a table for each claim with more to report, one figure.

    Raises:
        ValueError: if a size is too small.
    """
    c = cast(Any, config)
    for name, least in LEAST.items():
        if c[name] < least:
            raise ValueError(f"config.{name} is {c[name]}; it must be at least {least}.")
    key_quadratic, key_floor, key_stop, key_learning = jax.random.split(key, 4)
    learned = proposition_3_learned(key_learning, c.widths, c.learning)  # in float32, as networks are trained
    with jax.enable_x64(True):
        parts = [
            lemma_1(key_quadratic, c.dims, c.points),
            proposition_2_1(),
            proposition_2_2(tuple(c.betas), c.levels),
            proposition_3(),
            learned,
            theorem_5(c.constants, c.levels),
            step_and_time(),
            floor_of_m(key_floor, c.samples, tuple(c.counts), c.correctors),
            no_early_stopping(key_stop, c.samples, c.counts[-1] // 2),
        ]
        figure = panelled([panel for part in parts for panel in part.panels])
    lines = [line for part in parts for line in part.lines]
    summary = Table("Summary of the theory", ("claim", "experiment", "result", "holds as stated?"), lines)
    tables = [table for part in parts for table in part.tables]
    return Findings([*tables, summary], dict(theory=figure), [claim for part in parts for claim in part.claims])
