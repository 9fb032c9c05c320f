"""A linear measurement of a mixture of 25 Gaussians: the distance of PGM and others to the posterior.

The posterior is again such a mixture, so exact samples, its prox and its denoiser are available and no network is
involved. The metric is the sliced W1 between samples and as many exact ones, over problems that differ by their seed.
"""

from typing import Any

from launch.experiments.findings import Findings
from launch.experiments.mixture.bench import Found, Place, in_both_precisions, measure_all
from launch.experiments.mixture.figures import distances_figure, samples_figure
from launch.experiments.mixture.methods import SIZE, tried
from launch.experiments.mixture.tables import costs, precision, table_of, where_pgm_stands
from pgm_jax.types import Key


def run(config: Any, key: Key) -> Findings:
    """Tables of all samplers, of PGM beside quoted ones, and of both precisions; Ctrl-C keeps the problems so far.

    Raises:
        ValueError: if the settings fit no table.
    """
    if len(config.at_most) != len(config.dimensions) or min(config.seeds, config.samples, *config.at_most) < 1:
        given = ", ".join(f"{name} {config[name]}" for name in ("dimensions", "at_most", "seeds", "samples"))
        raise ValueError(f"config has {given}; give `at_most` a number for each dimension, and counts of at least 1.")
    if not 1 <= min(config.measurements) <= max(config.measurements) <= SIZE:
        raise ValueError(f"config.measurements is {tuple(config.measurements)}; give numbers from 1 to {SIZE}.")
    first, seeds = config.dimensions[0], dict(zip(config.dimensions, config.at_most, strict=True))
    seeds = {d: min(config.seeds, most) for d, most in seeds.items()}
    cells = [(sigma, m) for sigma in config.sigmas for m in config.measurements]
    places = [Place(d, *cell) for d in seeds for cell in cells]
    shown = [Place(first, *cell) for cell in dict.fromkeys((cells[1 % len(cells)], cells[len(cells) // 2]))]
    found = Found({place: [] for place in places}, {place: [] for place in places}, {place: {} for place in shown}, {})
    names = list(tried(first))
    whole = measure_all(key, config, seeds, found, tried)
    standing, claims = where_pgm_stands(names, found)
    tables = [*(table_of(d, names, found, config) for d in seeds), costs(names, found), standing]
    if whole:
        place = Place(first, min(config.sigmas), config.measurements[len(config.measurements) // 2])
        table, claim = precision(names, place, *in_both_precisions(key, config, place))
        tables, claims = [*tables, table], [*claims, claim]
    figures = dict(mixture=distances_figure(names, found.distances), mixture_samples=samples_figure(found.shown))
    return Findings(tables, figures, claims)
