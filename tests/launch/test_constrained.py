"""The experiments under a constraint, at toy size: every sampler has its row, and exact properties hold exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_settings import toy_settings

from launch.experiments import constrained_quadratic, truncated_normal
from launch.experiments.chains import chains, corrected
from pgm_jax.potentials import Box, Gaussian
from pgm_jax.proximal import data_first
from pgm_jax.samplers import pgm

CALLS = 20  # everywhere, so that samplers share their programs


@pytest.fixture(scope="module")
def truncated():
    """The exact prox replaces the learned one, which has tests of its own."""
    sizes = dict(samples=200, repeats=1, pairs=4, calls=CALLS, steps=CALLS, learned_calls=CALLS, curve=(CALLS,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(truncated_normal, "learn_prox", learned(truncated_normal.BOX, (1,)))
        return truncated_normal.run(toy_settings("truncated_normal", **sizes), jax.random.key(0))


@pytest.fixture(scope="module")
def constrained():
    sizes = dict(samples=200, calls=CALLS, learned_calls=CALLS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constrained_quadratic, "learn_prox", learned(constrained_quadratic.BALL, (8,)))
        patch.setattr(constrained_quadratic, "PAPER_FEASIBILITY", {0: 0.0, 10: 99.61, 20: 99.73})
        return constrained_quadratic.run(toy_settings("constrained_quadratic", **sizes), jax.random.key(0))


def learned(prox, shape):
    def learn_prox(key, examples, settings):
        assert examples.shape == (settings.examples, 1, 1, *shape) and float(jnp.max(jnp.abs(examples))) <= 1
        return prox

    return learn_prox


def test_a_projection_at_the_end_keeps_samples_inside(truncated):
    inside = {row[0]: row[2] for row in truncated.tables[0].rows}
    assert len(inside) == 16
    for name, share in inside.items():
        if "projected" in name or "PGM" in name or "MALA" in name:
            assert share == 100.0, name
    assert inside["DDPM, N(0, 1) without the constraint"] < 90


def test_claims_and_figures_are_of_the_measured_values(truncated, constrained, tmp_path):
    for findings, count in ((truncated, 5), (constrained, 4)):
        assert len(findings.claims) == count and all(np.isfinite(claim.value) for claim in findings.claims)
        assert findings.claims[0].holds, "feasible with the exact prox"
        for name, figure in findings.figures.items():
            figure.savefig(tmp_path / f"{name}.png", dpi=40)


def test_tables_stand_beside_those_of_the_paper(constrained):
    over_k, over_beta, samplers = constrained.tables
    assert [row[:2] for row in over_k.rows] == [(0, 0.0), (10, 99.61), (20, 99.73)]
    assert [row[1] for row in over_beta.rows] == [0.2365, 0.2094, 0.0701, 0.0438, 0.0164]
    assert over_k.rows[0][2] == 0 and all(row[4] == 100 for row in over_k.rows[1:])
    assert samplers.rows[0][-1] == 1.0


def test_optimality_is_none_without_a_feasible_sample():
    instance = constrained_quadratic.random_ball_quadratic(jax.random.key(0), 8)
    toy = constrained_quadratic.Toy(instance, 1.0, jax.random.key(1), 200)
    assert toy.optimality(jnp.full((200, 8), 2.0)) is None
    assert toy.optimality(toy.exact) >= -1e-6


def test_corrected_rows_are_as_many_as_the_calls():
    for calls in (24, 100):
        rows = corrected(calls, lam_max=1.0, lam_min=1e-3, levels=10, rate=1.0, power=0.5)
        assert rows.lam.shape == (calls,)
    assert chains(pgm(data_first(Box(-1.0, 1.0), Gaussian(0.0, 1.0))), rows, each=2).calls == 200
