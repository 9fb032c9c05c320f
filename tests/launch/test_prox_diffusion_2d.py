"""Proximal diffusion learned in the plane, at toy size."""

import jax
import numpy as np
from toy_settings import toy_settings

from launch.experiments import prox_diffusion_2d
from launch.experiments.prox_diffusion_2d import moons

TINY = dict(examples=200, width=8, blocks=1, embedding=8, steps=4, batch_size=8, samples=16, repeats=2)
TOY = toy_settings("prox_diffusion_2d", **TINY, calls=(5,), judged=(5,), counts=(5,))


def test_moons_are_two_half_circles_about_the_origin():
    points = np.asarray(moons(jax.random.key(0), 4000, 0.0)).reshape(-1, 2)
    upper, lower = points[::2] + np.array([0.5, 0.25]), points[1::2] + np.array([-0.5, -0.25])
    np.testing.assert_allclose(np.linalg.norm(upper, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(lower, axis=1), 1.0, atol=1e-5)
    assert upper[:, 1].min() > -1e-5 and lower[:, 1].max() < 1e-5
    assert np.abs(points.mean(axis=0)).max() < 0.05


def test_it_runs_at_toy_size():
    found = prox_diffusion_2d.run(TOY, jax.random.key(0))
    assert [row[0] for row in found.tables[0].rows][0] == "exact samples" and len(found.tables[0].rows) == 7
    assert all(np.isfinite(row[1]).all() for row in found.tables[0].rows)
    assert len(found.claims) == 1 and len(found.figures["prox_diffusion_2d"].axes) == 8
