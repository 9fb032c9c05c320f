"""The drawing, its distances, and the experiment at toy size."""

import jax
import jax.numpy as jnp
import numpy as np
from toy_settings import toy_settings

from launch.experiments import dino
from launch.experiments.dino import COUNT, drawing, methods, transport
from pgm_jax.potentials import Mixture

TOY = toy_settings("dino", calls=(10,), judged=(10,), shown=10, repeats=1, copies=1)


def test_the_drawing_has_142_points_that_are_apart():
    points = drawing()
    assert points.shape == (COUNT, 2) and np.abs(points).max() <= 1
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + np.eye(COUNT)
    assert apart.min() > 0.015


def test_transport_is_that_of_a_shift_and_of_a_permutation():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((30, 2))
    np.testing.assert_allclose(transport(points + np.array([0.3, -0.4]), points), (0.5, 0.5), rtol=1e-9)
    np.testing.assert_allclose(transport(rng.permutation(points), points), (0, 0), atol=1e-9)
    assert transport(np.where(points > 2, np.nan, points), points)[0] < np.inf
    assert transport(np.full((30, 2), np.nan), points) == (np.inf, np.inf)


def test_every_sampler_makes_the_calls_it_is_listed_with():
    prior = Mixture(jnp.full(COUNT, 1 / COUNT), jnp.asarray(drawing(), jnp.float32), 0.0)
    for calls in (7, 10):
        for name, method in methods(TOY, prior, calls).items():
            assert method.calls == (calls - 1 if name.startswith("Heun") and calls % 2 == 0 else calls), name
    assert not [name for name in methods(TOY, prior, 7) if "backward" in name]


def test_dino_at_toy_size(monkeypatch):
    def few(c, prior, calls):
        chosen = ("Euler–Maruyama, end at 0.001", "ProxDM hybrid", "ProxDM backward")
        return {name: method for name, method in methods(c, prior, calls).items() if name in chosen}

    # Five points of the drawing: the exact prox of all of them takes long to compile and to run.
    monkeypatch.setattr(dino, "methods", few)
    monkeypatch.setattr(dino, "COUNT", 5)
    found = dino.run(TOY, jax.random.key(0))
    assert [len(table.rows) for table in found.tables] == [4, 4] and len(found.claims) == 2
    assert all(np.isfinite(row[1][0]) for table in found.tables for row in table.rows)
    assert len(found.figures["dino"].axes) >= 4
