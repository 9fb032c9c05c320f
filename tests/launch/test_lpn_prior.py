"""The prior of a learned proximal network, and plug-and-play with it, at toy size."""

import jax
import numpy as np
import pytest
from toy_settings import toy_settings

import pgm_jax as pgm
from launch.experiments import lpn_prior, plug_and_play
from pgm_jax.networks import ConvexNetwork, ConvICNN

SIZES = dict(
    lpn_prior=dict(images=3, noise=(0.0, 0.4), blur=(0.0, 1.0), mixing=(0.0, 0.5), timed=2, points=2),
    plug_and_play=dict(images=2, rows=2, calls=10, residual_rows=4),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An untrained convex network of 32 x 32 images, and three such images."""
    folder = tmp_path_factory.mktemp("lpn")
    network = ConvexNetwork(ConvICNN(channels=2, strides=(4, 2), alpha=0.4), (32, 32, 1), 0.2)
    pgm.save_prior(folder / "prior", network.prior(network.init(jax.random.key(0))))
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    np.savez(folder / "images.npz", test=images)
    return dict(prior=str(folder / "prior.npz")), dict(source=str(folder / "images.npz"))


def test_the_prior_is_measured_at_toy_size(files, monkeypatch, toy_prior):
    prior, source = files
    load = lambda file: pgm.load_prior(file) if file == prior["prior"] else toy_prior  # noqa: E731
    monkeypatch.setattr(lpn_prior, "load_prior", load)
    found = lpn_prior.run(toy_settings("lpn_prior", **SIZES["lpn_prior"], **prior, **source), jax.random.key(0))
    assert [len(table.rows) for table in found.tables] == [2, 2, 2, 3, 4] and set(found.figures) == {"lpn_prior"}
    *_, gap, doubled, _, _ = found.claims
    assert len(found.claims) == 6 and gap.value < 1e-2 and doubled.value < 1e-2


def test_plug_and_play_runs_at_toy_size(files, monkeypatch, toy_prior):
    monkeypatch.setattr(plug_and_play, "load_prior", lambda name: toy_prior)
    all_tasks = plug_and_play.tasks_of
    monkeypatch.setattr(plug_and_play, "tasks_of", lambda *given: dict(list(all_tasks(*given).items())[:2]))
    found = plug_and_play.run(toy_settings("plug_and_play", **SIZES["plug_and_play"], **files[0]), jax.random.key(0))
    (table,) = found.tables
    assert len(table.rows) == 4 and len(found.claims) == 3 and set(found.figures) == {"plug_and_play"}


def test_values_are_counted_as_ordered_where_they_rise_at_every_step():
    assert lpn_prior.ordered(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.5]])) == 0.5


@pytest.mark.parametrize("experiment", [lpn_prior, plug_and_play])
def test_another_network_is_refused_in_words(experiment):
    config = toy_settings(experiment.__name__.rpartition(".")[2], prior="fashion_mnist")
    with pytest.raises(ValueError, match="config.prior holds a ProxNet; give a network of launch.train"):
        experiment.run(config, jax.random.key(0))
