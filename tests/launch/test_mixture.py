"""The mixture of 25 Gaussians at toy size: its problems, the prox by rounds, all samplers, and an interruption."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_settings import toy_settings

from launch.experiments import mixture
from launch.experiments.chains import Method
from launch.experiments.mixture import bench, methods
from launch.experiments.mixture.methods import (
    BY_ROUNDS,
    DDPM,
    EXACT,
    FLOOR,
    PRIOR,
    SPLIT,
    by_rounds,
    driven,
    problem_of,
    split_by,
    steps_at,
    tried,
)
from launch.experiments.mixture.quoted import QUOTED, QUOTED_CELLS, quoted_cells
from pgm_jax.posteriors import gaussian_posterior, gmm25_problem
from pgm_jax.potentials import Gaussian, dense_gaussian_likelihood
from pgm_jax.proximal import data_first
from pgm_jax.samplers import bridge

KEY = jax.random.key(3)


def settings(**changed):
    sizes = dict(seeds=2, dimensions=(8,), at_most=(2,), sigmas=(0.1,), measurements=(1, 2), samples=40)
    return toy_settings("mixture", **sizes | dict(directions=20, double_seeds=1) | changed)


@functools.cache
def measured(m=2):
    problem = gmm25_problem(KEY, 8, m, 0.1)
    return problem, problem_of(problem, 0.1)


def exact_methods(d):
    """Samplers that are exact, under the names that the claims use."""
    exact, prior = (lambda p: Method(p.posterior.sample)), (lambda p: Method(p.known.sample))
    return {FLOOR: exact, PRIOR: prior, DDPM: exact, SPLIT: prior, BY_ROUNDS: exact, EXACT: exact}


def test_problems_of_all_sizes_share_their_shapes_and_are_those_measured():
    (one, problem), (_, other) = measured(), measured(1)
    shapes = [[leaf.shape for leaf in jax.tree.leaves(each)] for each in (problem, other)]
    assert shapes[0] == shapes[1]

    x = jnp.linspace(-2.0, 2.0, 8)
    np.testing.assert_allclose(problem.likelihood.grad(x), one.likelihood.grad(x), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(problem.likelihood.prox(x, 2.0), one.likelihood.prox(x, 2.0), atol=1e-4)
    for found, expected in zip(*map(jax.tree.leaves, (problem.posterior, one.posterior)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    with jax.enable_x64(True):
        assert {leaf.dtype for leaf in jax.tree.leaves(problem_of(one, 0.1))} == {jnp.dtype("float64")}


def test_rounds_find_the_prox_of_a_gaussian_posterior(monkeypatch):
    monkeypatch.setattr(methods, "ROUNDS", 200)
    matrix, y, v = jnp.array([[1.0, 0.5, 0.0]]), jnp.array([2.0]), jnp.array([1.0, -2.0, 0.5])
    likelihood = dense_gaussian_likelihood(matrix, y, 0.5)
    found = by_rounds(Gaussian(0.0, 1.0), likelihood)(v, 0.7)
    expected = gaussian_posterior(jnp.zeros(3), jnp.eye(3), matrix, y, 0.5).prox(v, 0.7)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_every_sampler_gives_samples_and_says_what_it_costs():
    problem = measured()[1]
    for name, of in tried(8).items():
        assert jax.eval_shape(lambda key, problem, of=of: of(problem).draw(key, 3), KEY, problem).shape == (3, 8), name
        assert (of(problem).calls == 0) == (name in (FLOOR, PRIOR)), name


def test_steps_go_where_modes_mix():
    assert steps_at(jnp.array([2000.0, 200.0, 20.0, 1.0]), 8, 30, 4) == [4, 30, 30, 4]


def test_quoted_figures_are_known_for_every_column():
    for quoted in QUOTED.values():
        assert set(quoted.sliced) == {8, 80}
        assert set(quoted_cells(quoted, 8)) == set(QUOTED_CELLS) and quoted_cells(quoted, 2) == {}


def test_a_sampler_runs():
    problem, rows = measured()[1], bridge(methods.grid(8, 3))
    assert bool(jnp.all(jnp.isfinite(driven(rows, split_by(data_first))(problem).draw(KEY, 2))))


@pytest.fixture
def exact(monkeypatch):
    for module in (mixture, bench):
        monkeypatch.setattr(module, "tried", exact_methods)


def test_mixture_at_toy_size(exact):
    found = mixture.run(settings(), KEY)
    table, cost, standing, precision = found.tables
    rows = {row[0]: row for row in table.rows}
    assert len(table.rows) == 6 + len(QUOTED) and all(len(row) == len(table.columns) for row in table.rows)
    assert rows[PRIOR][1][0] > rows[EXACT][1][0] and rows["quoted: TMPD (∇)"][1] == (2.57, 0.80)
    assert [row[0] for row in standing.rows] == [DDPM, SPLIT, BY_ROUNDS, EXACT]
    assert len(precision.rows) == len(cost.rows) == 6
    holds = {claim.text: claim.holds for claim in found.claims}
    assert holds[f"{EXACT}: columns below all quoted with ∇"]
    assert holds["PGM corrected, data first over exact prox"]
    assert f"{SPLIT}: 0 of 2 below all quoted without ∇, 0 of 2 below all quoted with ∇" in standing.caption
    assert set(found.figures) == {"mixture", "mixture_samples"}


def test_an_interrupted_run_returns_its_results_so_far(exact, monkeypatch):
    calls = []

    class Interrupted:
        """The bench of two problems of one dimension, then Ctrl-C."""

        calls = [0] * 6

        def __init__(self, *given):
            pass

        def measure(self, key, problem):
            calls.append(1)
            if len(calls) > 2:
                raise KeyboardInterrupt
            return np.zeros((6, 40, 8)), np.ones(6), np.ones(6)

    monkeypatch.setattr(bench.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(bench, "Bench", Interrupted)
    found = mixture.run(settings(), KEY)
    assert len(found.tables) == 3 and "over 1 problems" in found.tables[0].caption
    with pytest.raises(KeyboardInterrupt):
        mixture.run(settings(), KEY)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (dict(at_most=(2, 2)), r"\(8,\), at_most \(2, 2\)"),
        (dict(samples=0), "samples 0.*at least 1"),
        (dict(measurements=(1, 5)), r"measurements is \(1, 5\).*1 to 4"),
    ],
)
def test_settings_that_fit_no_table_are_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        mixture.run(settings(**changed), KEY)
