"""A linear measurement of a mixture of 25 Gaussians: how far the samples of PGM are from the posterior's, and others'.

The posterior is again such a mixture, so that exact samples, its prox and its denoiser are at hand and no network comes
in. What is measured is the sliced W1 between as many samples as exact ones, over problems that differ by their seed.
"""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from rich.console import Console
from rich.progress import Progress

from launch.experiments.findings import Cell, Claim, Findings, Table
from launch.experiments.gmm25_figures import distances_figure, samples_figure
from launch.experiments.gmm25_methods import (
    BY_ROUNDS,
    DDPM,
    EXACT,
    FLOOR,
    PRIOR,
    QUOTED,
    SIZE,
    SPLIT,
    Method,
    Place,
    Problem,
    methods,
    problem_of,
    quoted_cells,
)
from pgm_jax.metrics import sliced_wasserstein
from pgm_jax.posteriors import gmm25_problem
from pgm_jax.types import Key

# Quoted samplers, by whether they differentiate the denoiser, and how to say that a mean is below all of theirs.
VERSUS = (
    ([name for name, quoted in QUOTED.items() if not quoted.jacobian], "below all quoted without ∇"),
    ([name for name, quoted in QUOTED.items() if quoted.jacobian], "below all quoted with ∇"),
)


class Found(NamedTuple):
    """Sliced W1 and seconds of each sampler, `[methods]`, for each seed of each place; and some sets, by sampler."""

    distances: dict[Place, list[np.ndarray]]
    seconds: dict[Place, list[np.ndarray]]
    shown: dict[Place, dict[str, np.ndarray]]


class Bench:
    """The samplers of one dimension in the default precision, compiled, and the distance of their sets."""

    def __init__(self, tried: dict[str, Method], like: Problem, config: Any) -> None:
        def distances(key: Key, sets: Array, exact: Array) -> Array:
            return jax.vmap(lambda a: sliced_wasserstein(key, a, exact, config.directions))(sets)

        draws = [jax.jit(lambda key, problem, draw=m.draw: draw(key, problem, config.samples)) for m in tried.values()]
        self.programs = [draw.lower(jax.random.key(0), like).compile() for draw in draws]
        self.exact = self.programs[list(tried).index(FLOOR)]
        self.distances = jax.jit(distances)

    def measure(self, key: Key, problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Samples `[methods, n, d]`, their sliced W1 to one exact set, and the seconds that they took."""
        for_exact, for_units, for_chains = jax.random.split(key, 3)
        sets, seconds = [], []
        for index, program in enumerate(self.programs):
            start = time.perf_counter()
            sets.append(jax.block_until_ready(program(jax.random.fold_in(for_chains, index), problem)))
            seconds.append(time.perf_counter() - start)
        found = self.distances(for_units, jnp.stack(sets), self.exact(for_exact, problem))
        return np.asarray(jnp.stack(sets)), np.asarray(found), np.array(seconds)


def checked(config: Any) -> None:
    """Raise a ValueError where the settings fit no table."""
    if len(config.at_most) != len(config.dimensions) or min(config.seeds, config.samples, *config.at_most) < 1:
        raise ValueError("config.at_most takes one number for each of config.dimensions; all counts are at least 1.")
    if not 1 <= min(config.measurements) <= max(config.measurements) <= SIZE:
        raise ValueError(f"config.measurements are {tuple(config.measurements)}; they are to be from 1 to {SIZE}.")


def run(config: Any, key: Key) -> Findings:
    """Tables of all samplers, of where PGM stands, and of float32 against float64; Ctrl-C keeps the problems so far."""
    checked(config)
    seeds = {d: min(config.seeds, most) for d, most in zip(config.dimensions, config.at_most, strict=True)}
    cells = [(sigma, m) for sigma in config.sigmas for m in config.measurements]
    tried = {d: methods(d) for d in seeds}
    names = list(tried[config.dimensions[0]])
    places = [Place(d, *cell) for d in seeds for cell in cells]
    shown = [
        Place(config.dimensions[0], *cell) for cell in dict.fromkeys((cells[1 % len(cells)], cells[len(cells) // 2]))
    ]
    found = Found({place: [] for place in places}, {place: [] for place in places}, {place: {} for place in shown})
    whole = measure_all(key, config, seeds, tried, found)
    precision, precise = in_double(key, config, names) if whole else ([], [])
    standing, claims = where_pgm_stands(names, found)
    tables = [table_of(d, tried[d], found, config) for d in seeds]
    figures = dict(gmm25=distances_figure(names, found.distances), gmm25_samples=samples_figure(found.shown))
    return Findings([*tables, costs(tried, found), standing, *precision], figures, [*claims, *precise])


def measure_all(
    key: Key, config: Any, seeds: dict[int, int], tried: dict[int, dict[str, Method]], found: Found
) -> bool:
    """Fill `found` problem by problem; whether it came to the end, since Ctrl-C stops it."""
    console, benches = Console(stderr=True), {}
    # A program of many small chains keeps one core busy.
    pool = ThreadPoolExecutor(os.cpu_count())

    def job(seed: int, index: int, place: Place) -> Any:
        for_problem, for_chains = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, seed), index))
        problem = problem_of(gmm25_problem(for_problem, place.d, place.m, place.sigma), place.sigma)
        if place.d not in benches:
            console.print(f"compiling for d = {place.d}")
            benches[place.d] = Bench(tried[place.d], problem, config)
        return pool.submit(benches[place.d].measure, for_chains, problem)

    try:
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("problems", total=sum(seeds[place.d] for place in found.distances))
            # Seeds outermost, so that a run that is cut short has about as many of each column.
            for seed in range(max(seeds.values())):
                start = time.monotonic()
                jobs = {p: job(seed, i, p) for i, p in enumerate(found.distances) if seed < seeds[p.d]}
                for place, measured in jobs.items():
                    sets, distances, seconds = measured.result()
                    found.distances[place].append(distances)
                    found.seconds[place].append(seconds)
                    if seed == 0 and place in found.shown:
                        found.shown[place].update(zip(tried[place.d], sets, strict=True))
                    progress.advance(bar)
                console.print(f"seed {seed}: {len(jobs)} problems, {time.monotonic() - start:.0f} s")
    except KeyboardInterrupt:
        if not all(found.distances.values()):
            raise
        console.print("interrupted; what follows is of the problems so far")
        return False
    finally:
        pool.shutdown(cancel_futures=True)
    return True


def summary(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of its 95 % interval; 0 for a single value."""
    spread = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return float(np.mean(values)), float(1.96 * spread)


def table_of(d: int, tried: dict[str, Method], found: Found, config: Any) -> Table:
    """The samplers of one dimension, and below them what is quoted for it."""
    places = [place for place in found.distances if place.d == d]
    rows: list[tuple[Cell, ...]] = []
    for index, (name, method) in enumerate(tried.items()):
        cells = [summary([seed[index] for seed in found.distances[place]]) for place in places]
        rows.append((name, *cells, method.calls))
    for name, quoted in QUOTED.items():
        known = quoted_cells(quoted, d)
        if known:
            cells = [known.get((place.sigma, place.m)) for place in places]
            rows.append((f"quoted: {name}{' (∇)' if quoted.jacobian else ''}", *cells, quoted.calls))
    counts = sorted({len(found.distances[place]) for place in places})
    return Table(
        f"Mixture of 25 Gaussians, d = {d}",
        ("sampler", *(f"σ {place.sigma:g}, dy {place.m}" for place in places), "calls"),
        rows,
        f"Sliced W1 along {config.directions} directions between {config.samples} samples and as many exact ones, mean "
        f"± 1.96 standard errors over {' to '.join(map(str, counts))} problems. Calls: proxes of the prior, or "
        "denoisers, for one sample. Quoted rows were not run here: they were measured with an earlier implementation "
        "in float64, on problems of the same distribution but other seeds; (∇): it differentiates the denoiser.",
    )


def costs(tried: dict[int, dict[str, Method]], found: Found) -> Table:
    """Calls and seconds of a run of each sampler."""
    names = list(next(iter(tried.values())))
    mean = {d: np.mean([t for p, seeds in found.seconds.items() if p.d == d for t in seeds], axis=0) for d in tried}
    rows = [
        (name, *(value for d in tried for value in (tried[d][name].calls, float(mean[d][index]))))
        for index, name in enumerate(names)
    ]
    return Table(
        "What a run costs",
        ("sampler", *(column for d in tried for column in (f"calls, d = {d}", f"seconds, d = {d}"))),
        rows,
        f"Calls for one sample, seconds for all, with as many runs at a time as there are cores ({os.cpu_count()}). "
        "Joint Langevin has its gradient step capped at 1 / L and partial Langevin a step of 1 / (L + λ + 1/λ): both "
        "are explicit, and L is up to 1/σ². The λ|x|²/2 of the partial form draws to the origin. What PGM does at "
        "which level was chosen on other problems than these.",
    )


def where_pgm_stands(names: Sequence[str], found: Found) -> tuple[Table, list[Claim]]:
    """Each sampler in floors, in how many columns it is below each quoted one, and what follows for PGM."""
    means = {place: np.mean(seeds, axis=0) for place, seeds in found.distances.items()}
    index = {name: i for i, name in enumerate(names)}

    def floors(name: str) -> float:
        ratios = [mean[index[name]] / mean[index[FLOOR]] for mean in means.values()]
        return float(np.exp(np.mean(np.log(ratios))))

    def below(name: str, others: Sequence[str]) -> tuple[int, int]:
        """In how many columns a sampler is below the best of others, and of how many."""
        wins = total = 0
        for place, mean in means.items():
            known = [quoted_cells(QUOTED[other], place.d).get((place.sigma, place.m)) for other in others]
            best = min((cell[0] for cell in known if cell), default=None)
            if best is not None:
                total, wins = total + 1, wins + int(mean[index[name]] < best)
        return wins, total

    def said(name: str) -> str:
        counts = [(*below(name, others), words) for others, words in VERSUS]
        return f"{name}: " + ", ".join(f"{wins} of {total} {words}" for wins, total, words in counts)

    rows = [
        (name, floors(name), *("{} of {}".format(*below(name, [other])) for other in QUOTED))
        for name in names
        if name not in (FLOOR, PRIOR)
    ]
    table = Table(
        "Where PGM stands",
        ("sampler", "in floors", *(f"below {name}" for name in QUOTED)),
        rows,
        "In floors: sliced W1 over that of exact samples, the geometric mean over all columns of the tables above. "
        "Below: columns in which its mean is below the quoted one; the intervals of both are not looked at. Columns "
        f"below the best of several: {'; '.join(map(said, (SPLIT, BY_ROUNDS, EXACT)))}.",
    )
    biased = floors(SPLIT) / floors(EXACT)
    claims = [
        Claim("DDPM with the exact denoiser, in floors", floors(DDPM), "≤ 1.5", floors(DDPM) <= 1.5),
        Claim("PGM corrected with the exact prox of U, in floors", floors(EXACT), "≤ 1.5", floors(EXACT) <= 1.5),
        Claim("PGM corrected, data first over exact prox", biased, "≥ 2, a bias", biased >= 2),
    ]
    for name, (others, words), share in (
        (EXACT, VERSUS[1], 0.75),
        (EXACT, VERSUS[0], 0.75),
        (BY_ROUNDS, VERSUS[0], 0.75),
        (BY_ROUNDS, VERSUS[1], 0.5),
    ):
        wins, total = below(name, others)
        if total:
            least = int(np.ceil(share * total))
            claims.append(Claim(f"{name}: columns {words}", wins, f"≥ {least} of {total}", wins >= least))
    return table, claims


def in_double(key: Key, config: Any, names: Sequence[str]) -> tuple[list[Table], list[Claim]]:
    """The same problems in float32 and in float64, at the smallest sigma, in the first dimension."""
    d, sigma, m = config.dimensions[0], min(config.sigmas), config.measurements[len(config.measurements) // 2]
    keys = [jax.random.fold_in(key, 1000 + seed) for seed in range(min(config.seeds, config.double_seeds))]
    measured = [gmm25_problem(k, d, m, sigma) for k in keys]

    def distances() -> np.ndarray:
        problems = [problem_of(one, sigma) for one in measured]
        bench = Bench(methods(d), problems[0], config)
        return np.array([bench.measure(k, problem)[1] for problem, k in zip(problems, keys, strict=True)], float)

    single = distances()
    with jax.enable_x64(True):
        double = distances()
    gaps = [summary(gap) for gap in (single - double).T]
    rows = [
        (name, summary(one), summary(two), gap)
        for name, one, two, gap in zip(names, single.T, double.T, gaps, strict=True)
    ]
    index = list(names).index(EXACT)
    gap, floor = abs(gaps[index][0]), float(np.mean(double, axis=0)[list(names).index(FLOOR)])
    table = Table(
        f"float32 against float64, d = {d}, σ = {sigma:g}, dy = {m}",
        ("sampler", "float32", "float64", "difference"),
        rows,
        f"Sliced W1 on the same {len(keys)} problems; both draw their own noise, so that they differ by chance too.",
    )
    bound = max(floor, gaps[index][1])
    claim = Claim("PGM corrected, exact prox: float32 less float64", gap, f"≤ {bound:.2g}, by chance", gap <= bound)
    return [table], [claim]
