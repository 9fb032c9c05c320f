"""The experiments under a constraint, at toy size: every sampler has its row, and what holds exactly does so."""

import pathlib
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from launch.experiments import constrained_quadratic, truncated_normal
from launch.experiments.chains import Method
from pgm_jax.potentials import Box, Gaussian
from pgm_jax.proximal import data_first
from pgm_jax.samplers import pgm

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOY_LEARNING = dict(examples=200, width=8, steps=20, batch_size=32)


def settings(name, **changed):
    config = runpy.run_path(str(ROOT / "configs" / "toys" / f"{name}.py"))["get_config"]()
    config.learning.update(TOY_LEARNING)
    config.update(changed)
    return config


@pytest.fixture(scope="module")
def truncated():
    sizes = dict(samples=200, repeats=1, pairs=4, calls=30, steps=20, learned_calls=24, curve=(30,))
    return truncated_normal.run(settings("truncated_normal", **sizes), jax.random.key(0))


@pytest.fixture(scope="module")
def constrained():
    sizes = dict(samples=200, calls=30, learned_calls=24)
    return constrained_quadratic.run(settings("constrained_quadratic", **sizes), jax.random.key(0))


def test_what_ends_on_the_projection_stays_inside(truncated):
    inside = {row[0]: row[2] for row in truncated.tables[0].rows}
    assert len(inside) == 16
    for name, share in inside.items():
        if "projected" in name or ("PGM" in name and "learned" not in name) or "MALA" in name:
            assert share == 100.0, name
    assert inside["DDPM, N(0, 1) without the constraint"] < 90


def test_claims_say_what_was_measured(truncated, constrained):
    for findings, count in ((truncated, 5), (constrained, 4)):
        assert len(findings.claims) == count
        assert all(np.isfinite(claim.value) for claim in findings.claims)
        assert findings.claims[0].holds, "feasible with the exact prox"


def test_figures_are_drawn(truncated, constrained, tmp_path):
    for findings in (truncated, constrained):
        for name, figure in findings.figures.items():
            figure.savefig(tmp_path / f"{name}.png")


def test_tables_stand_beside_those_of_the_paper(constrained):
    over_k, over_beta, samplers = constrained.tables
    assert [row[:2] for row in over_k.rows] == [(0, 0.0), (1, 7.43), (5, 97.43), (10, 99.61), (20, 99.73)]
    assert [row[1] for row in over_beta.rows] == [0.2365, 0.2094, 0.0701, 0.0438, 0.0164]
    assert over_k.rows[0][2] == 0 and all(row[4] == 100 for row in over_k.rows[1:])
    assert samplers.rows[0][-1] == 1.0


def test_optimality_is_none_without_a_feasible_sample():
    instance = constrained_quadratic.random_ball_quadratic(jax.random.key(0), 2)
    toy = constrained_quadratic.Toy(instance, 1.0, jax.random.key(1), 50)
    assert toy.optimality(jnp.full((3, 2), 2.0)) is None
    assert toy.optimality(toy.exact) >= -1e-6


def test_corrected_rows_are_as_many_as_the_calls():
    for calls in (24, 100):
        rows = truncated_normal.corrected(calls, lam_max=1.0, lam_min=1e-3, levels=10, rate=1.0, power=0.5)
        assert rows.lam.shape == (calls,)
    method = Method(pgm(data_first(Box(-1.0, 1.0), Gaussian(0.0, 1.0))), rows, calls=2)
    assert method.total == 200
    assert method.draw(jax.random.key(0), 7).shape == (7,)
