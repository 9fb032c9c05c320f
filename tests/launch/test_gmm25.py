"""The mixture of 25 Gaussians at toy size: its problems, the prox by rounds, shapes of samples, and an interruption."""

import pathlib
import runpy
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from launch.experiments import gmm25, gmm25_methods
from launch.experiments.gmm25_methods import (
    BY_ROUNDS,
    DDPM,
    EXACT,
    FLOOR,
    PRIOR,
    QUOTED,
    QUOTED_CELLS,
    SPLIT,
    Method,
    by_rounds,
    driven,
    exact_prox,
    methods,
    problem_of,
    quoted_cells,
    split_by,
    steps_at,
)
from pgm_jax.posteriors import gaussian_posterior, gmm25_problem
from pgm_jax.potentials import Gaussian, dense_gaussian_likelihood
from pgm_jax.proximal import data_first
from pgm_jax.samplers import bridge

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEY = jax.random.key(3)


def settings(**changed):
    config = runpy.run_path(str(ROOT / "configs" / "toys" / "gmm25.py"))["get_config"]()
    config.update(seeds=2, dimensions=(8,), at_most=(2,), sigmas=(0.1,), measurements=(1, 2), samples=40)
    config.update(directions=20, double_seeds=1, **changed)
    return config


def exact_methods(d):
    """Samplers that are exact, under the names that the claims ask for."""
    exact = Method(lambda key, problem, count: problem.posterior.sample(key, count))
    prior = Method(lambda key, problem, count: problem.known.sample(key, count))
    return {FLOOR: exact, PRIOR: prior, DDPM: exact, SPLIT: prior, BY_ROUNDS: exact, EXACT: exact}


def test_problems_of_all_sizes_share_their_shapes_and_are_what_was_measured():
    small, large = (gmm25_problem(KEY, 8, m, 0.1) for m in (1, 4))
    shapes = [[leaf.shape for leaf in jax.tree.leaves(problem_of(one, 0.1))] for one in (small, large)]
    assert shapes[0] == shapes[1]
    problem, x = problem_of(small, 0.1), jax.random.normal(KEY, (8,))
    np.testing.assert_allclose(problem.likelihood.grad(x), small.likelihood.grad(x), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(problem.likelihood.prox(x, 2.0), small.likelihood.prox(x, 2.0), atol=1e-4)
    np.testing.assert_allclose(problem.posterior.prox(x, 2.0), small.posterior.prox(x, 2.0), atol=1e-4)
    with jax.enable_x64(True):
        assert {leaf.dtype for leaf in jax.tree.leaves(problem_of(small, 0.1))} == {jnp.dtype("float64")}


def test_rounds_find_the_prox_of_a_gaussian_posterior(monkeypatch):
    monkeypatch.setattr(gmm25_methods, "ROUNDS", 200)
    matrix, y, v = jnp.array([[1.0, 0.5, 0.0]]), jnp.array([2.0]), jnp.array([1.0, -2.0, 0.5])
    likelihood = dense_gaussian_likelihood(matrix, y, 0.5)
    found = by_rounds(Gaussian(0.0, 1.0), likelihood)(v, 0.7)
    expected = gaussian_posterior(jnp.zeros(3), jnp.eye(3), matrix, y, 0.5).prox(v, 0.7)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("d", [8, 80])
def test_every_sampler_gives_samples_and_says_what_it_costs(d):
    problem = problem_of(gmm25_problem(KEY, d, 2, 0.1), 0.1)
    tried = methods(d)
    assert {FLOOR, PRIOR, DDPM, SPLIT, BY_ROUNDS, EXACT} <= set(tried)
    for name, method in tried.items():
        assert jax.eval_shape(partial(method.draw, count=3), KEY, problem).shape == (3, d), name
        assert (method.calls == 0) == (name in (FLOOR, PRIOR)), name


def test_steps_go_where_modes_mix():
    assert steps_at(jnp.array([2000.0, 200.0, 20.0, 1.0]), 8, 30, 4) == [4, 30, 30, 4]


def test_quoted_figures_are_known_for_every_column():
    for quoted in QUOTED.values():
        assert set(quoted.sliced) == {8, 80}
        assert set(quoted_cells(quoted, 8)) == set(QUOTED_CELLS) and quoted_cells(quoted, 2) == {}


def test_samplers_of_each_kind_run():
    problem = problem_of(gmm25_problem(KEY, 8, 2, 0.1), 0.1)
    rows = bridge(gmm25_methods.grid(8, 3))
    for prox_of in (split_by(data_first), exact_prox):
        assert bool(jnp.all(jnp.isfinite(driven(rows, prox_of).draw(KEY, problem, 2))))


def test_gmm25_at_toy_size(monkeypatch):
    monkeypatch.setattr(gmm25, "methods", exact_methods)
    found = gmm25.run(settings(), KEY)
    table, cost, standing, precision = found.tables
    rows = {row[0]: row for row in table.rows}
    assert len(table.rows) == 6 + len(QUOTED) and all(len(row) == len(table.columns) for row in table.rows)
    assert rows[PRIOR][1][0] > rows[EXACT][1][0] and rows["quoted: TMPD (∇)"][1] == (2.57, 0.80)
    assert [row[0] for row in standing.rows] == [DDPM, SPLIT, BY_ROUNDS, EXACT] and len(precision.rows) == len(
        cost.rows
    ) == 6
    holds = {claim.text: claim.holds for claim in found.claims}
    assert holds[f"{EXACT}: columns below all quoted with ∇"]
    assert holds["PGM corrected, data first over exact prox"]
    assert f"{SPLIT}: 0 of 2 below all quoted without ∇, 0 of 2 below all quoted with ∇" in standing.caption
    assert set(found.figures) == {"gmm25", "gmm25_samples"}


def test_an_interrupted_run_hands_back_what_it_has(monkeypatch):
    measure, calls = gmm25.Bench.measure, []

    def interrupted(bench, *given):
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return measure(bench, *given)

    monkeypatch.setattr(gmm25, "methods", exact_methods)
    monkeypatch.setattr(gmm25.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(gmm25.Bench, "measure", interrupted)
    found = gmm25.run(settings(), KEY)
    assert len(found.tables) == 3 and "over 1 problems" in found.tables[0].caption
    with pytest.raises(KeyboardInterrupt):
        gmm25.run(settings(), KEY)


@pytest.mark.parametrize("changed", [dict(at_most=(2, 2)), dict(samples=0), dict(measurements=(1, 5))])
def test_settings_that_fit_no_table_are_refused(changed):
    config = settings()
    config.update(changed)
    with pytest.raises(ValueError, match="config"):
        gmm25.run(config, KEY)
