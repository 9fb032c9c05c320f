"""The exact step on images, at toy size."""

import jax
import numpy as np
import pytest
from toy_settings import toy_settings

import pgm_jax as pgm
from launch.experiments import exact_solvers, exact_step
from pgm_jax.networks import MetricNetwork, UNet

SHAPE = (32, 32, 1)
SIZES = dict(images=2, samples=2, calls=(1, 2), plain_calls=(2,), judged=(2, 2), shown=(2, 2))


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    """The file of an untrained network."""
    network = MetricNetwork(UNet(channels=(8,), blocks=(1,), attention=(False,), patch=8, embedding=4), SHAPE)
    file = tmp_path_factory.mktemp("prior") / "prior.npz"
    pgm.save_prior(file, network.prior(network.init(jax.random.key(0))))
    return str(file)


def test_it_runs_at_toy_size(prior, monkeypatch, toy_prior):
    load = lambda file: toy_prior if file == "fashion_mnist" else pgm.load_prior(file)  # noqa: E731
    monkeypatch.setattr(exact_step, "load_prior", load)
    tasks = ("inpainting", "motion blur")
    config = toy_settings("exact_step", prior=prior, tasks=tasks, **SIZES)
    found = exact_step.run(config, jax.random.key(0))
    (table,) = found.tables
    assert len(table.rows) == 4 and all(len(row) == 3 for row in table.rows)
    assert len(found.claims) == 5 and set(found.figures) == {"exact_step"}


def test_the_solvers_run_at_toy_size(prior, tmp_path, monkeypatch):
    monkeypatch.setattr(exact_solvers, "LEAST_CORRECTED", 3)
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", train=images, test=images)
    sizes = dict(tasks=("inpainting",), first=1, images=2, samples=2, calls=(2, 3))
    config = toy_settings("exact_solvers", prior=prior, source=str(tmp_path / "set.npz"), **sizes)
    found = exact_solvers.run(config, jax.random.key(0))
    (table,) = found.tables
    assert [row[0] for row in table.rows][-1] == "correctors" and [row.count(None) for row in table.rows] == [0] * 5 + [
        1
    ]
    assert set(found.figures) == {"exact_solvers"}


@pytest.mark.parametrize("experiment", [exact_step, exact_solvers])
def test_a_task_that_there_is_not_is_refused(prior, experiment):
    name = experiment.__name__.rsplit(".")[-1]
    with pytest.raises(ValueError, match="Unknown task of config.tasks 'deblurr'; did you mean 'deblurring'"):
        experiment.run(toy_settings(name, prior=prior, tasks=("deblurr",)), jax.random.key(0))


def test_another_network_is_refused_in_words():
    config = toy_settings("exact_step", prior="fashion_mnist")
    with pytest.raises(ValueError, match="config.prior holds a ProxNet; give a network of launch.train"):
        exact_step.run(config, jax.random.key(0))
