"""The experiment with nonlinear measurements, at toy size with an untrained network."""

import jax
import jax.numpy as jnp
import numpy as np
from toy_settings import toy_settings

from launch.experiments import nonlinear
from launch.experiments.nonlinear import Outcome, best_of, grids, up_to_a_turn

TOY = toy_settings("nonlinear", images=1, chains=2, calls=20, solver=(1e-2, 3, 1), widths=(0.5, 0.8), shown=1)


def test_both_data_steps_of_both_samplers_are_told_apart(toy_prior, monkeypatch):
    monkeypatch.setattr(nonlinear, "load_prior", lambda name: toy_prior)
    findings = nonlinear.run(TOY, jax.random.key(0))
    blur, phases = findings.tables
    assert [row[:2] for row in blur.rows] == [row[:2] for row in phases.rows]
    assert len({row[:2] for row in blur.rows}) == 6
    numbers = [value for table in findings.tables for row in table.rows for value in jax.tree.leaves(row[2:])]
    assert np.all(np.isfinite(numbers))
    assert [claim.text.split(",")[0] for claim in findings.claims] == ["nonlinear blur"] * 4 + ["phase retrieval"]
    assert findings.figures["nonlinear"].axes[0].get_title() == "truth"


def test_both_samplers_take_as_many_calls():
    assert {len(rows.lam) for rows in grids(TOY.calls).values()} == {TOY.calls}


def test_the_best_chain_is_that_of_the_least_misfit_that_is_a_number():
    samples = jnp.arange(6.0).reshape(2, 3, 1, 1, 1)
    misfit = jnp.array([[jnp.nan, 1.2, 1.1], [0.9, jnp.inf, 1.0]])
    np.testing.assert_array_equal(best_of(Outcome(samples, misfit, 0.0)).ravel(), [2.0, 3.0])


def test_a_rotated_image_counts_as_retrieved():
    truth = np.random.default_rng(0).uniform(size=(2, 5, 4, 1)).astype(np.float32)
    rotated = jnp.asarray(np.rot90(truth, 2, axes=(1, 2)))
    assert np.all(up_to_a_turn(rotated, truth) > 60) and np.all(up_to_a_turn(-truth, truth) < 30)
