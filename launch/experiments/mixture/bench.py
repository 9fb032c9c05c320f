"""Measurements over many problems: all samplers of a dimension, compiled once, each problem on a thread of its own."""

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from rich.console import Console
from rich.progress import Progress

from launch.experiments.chains import Method
from launch.experiments.mixture.methods import FLOOR, Problem, problem_of, tried
from pgm_jax.metrics import sliced_wasserstein
from pgm_jax.posteriors import gmm25_problem
from pgm_jax.types import Key


class Place(NamedTuple):
    """A column of a table: dimension, sigma, number of measurements."""

    d: int
    sigma: float
    m: int


class Found(NamedTuple):
    """What was measured of all samplers.

    Attributes:
        distances, seconds: sliced W1 and seconds of each sampler, `[methods]`, for each seed of each place.
        shown: some sets of samples, by sampler.
        calls: calls of each sampler, by dimension.
    """

    distances: dict[Place, list[np.ndarray]]
    seconds: dict[Place, list[np.ndarray]]
    shown: dict[Place, dict[str, np.ndarray]]
    calls: dict[int, list[int]]


class Bench:
    """The samplers of one dimension in the default precision, compiled, and the distance of their sets."""

    def __init__(self, each: Mapping[str, Callable[[Problem], Method]], like: Problem, config: Any) -> None:
        def distances(key: Key, sets: Array, exact: Array) -> Array:
            return jax.vmap(lambda a: sliced_wasserstein(key, a, exact, config.directions))(sets)

        draws = [jax.jit(lambda key, problem, of=of: of(problem).draw(key, config.samples)) for of in each.values()]
        self.programs = [draw.lower(jax.random.key(0), like).compile() for draw in draws]
        self.calls = [of(like).calls for of in each.values()]
        self.exact = self.programs[list(each).index(FLOOR)]
        self.distances = jax.jit(distances)

    def measure(self, key: Key, problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Samples `[methods, n, d]`, their sliced W1 to one exact set, and their seconds."""
        for_exact, for_units, for_chains = jax.random.split(key, 3)
        sets, seconds = [], []
        for index, program in enumerate(self.programs):
            start = time.perf_counter()
            sets.append(jax.block_until_ready(program(jax.random.fold_in(for_chains, index), problem)))
            seconds.append(time.perf_counter() - start)
        found = self.distances(for_units, jnp.stack(sets), self.exact(for_exact, problem))
        return np.asarray(jnp.stack(sets)), np.asarray(found), np.array(seconds)


Methods = Callable[[int], Mapping[str, Callable[[Problem], Method]]]


def measure_all(key: Key, config: Any, seeds: Mapping[int, int], found: Found, methods: Methods) -> bool:
    """Fill `found` problem by problem with the methods of its dimension; False if Ctrl-C stopped it early."""
    console, benches = Console(stderr=True), dict[int, Bench]()
    each = {d: methods(d) for d in seeds}
    # A program of many small chains keeps one core busy.
    pool = ThreadPoolExecutor(os.cpu_count())

    def job(seed: int, index: int, place: Place) -> Any:
        for_problem, for_chains = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, seed), index))
        problem = problem_of(gmm25_problem(for_problem, place.d, place.m, place.sigma), place.sigma)
        if place.d not in benches:
            benches[place.d] = Bench(each[place.d], problem, config)
            found.calls[place.d] = benches[place.d].calls
        return pool.submit(benches[place.d].measure, for_chains, problem)

    try:
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("problems", total=sum(seeds[place.d] for place in found.distances))
            # Seeds outermost, so that a run that is cut short has about as many of each column.
            for seed in range(max(seeds.values())):
                jobs = {p: job(seed, i, p) for i, p in enumerate(found.distances) if seed < seeds[p.d]}
                for place, measured in jobs.items():
                    sets, distances, seconds = measured.result()
                    found.distances[place].append(distances)
                    found.seconds[place].append(seconds)
                    if seed == 0 and place in found.shown:
                        found.shown[place].update(zip(each[place.d], sets, strict=True))
                    progress.advance(bar)
    except KeyboardInterrupt:
        if not all(found.distances.values()):
            raise
        console.print("interrupted; the tables cover the problems so far")
        return False
    finally:
        pool.shutdown(cancel_futures=True)
    return True


def in_both_precisions(key: Key, config: Any, place: Place) -> tuple[np.ndarray, np.ndarray]:
    """Sliced W1 of all samplers in float32 and in float64, `[problems, methods]`, on the same problems."""
    keys = [jax.random.fold_in(key, 1000 + seed) for seed in range(min(config.seeds, config.double_seeds))]
    measured = [gmm25_problem(k, place.d, place.m, place.sigma) for k in keys]

    def distances() -> np.ndarray:
        problems = [problem_of(problem, place.sigma) for problem in measured]
        bench = Bench(tried(place.d), problems[0], config)
        return np.array([bench.measure(k, problem)[1] for problem, k in zip(problems, keys, strict=True)], float)

    single = distances()
    with jax.enable_x64(True):
        return single, distances()
