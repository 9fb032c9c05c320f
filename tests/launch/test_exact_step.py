"""The exact step on images, at toy size."""

import jax
import pytest
from toy_settings import toy_settings

import pgm_jax as pgm
from launch.experiments import exact_step
from pgm_jax.networks import MetricNetwork, UNet

SHAPE = (32, 32, 1)
SIZES = dict(images=2, samples=2, calls=(1, 2), plain_calls=(2,), judged=(2, 2), shown=(2, 2))


def test_it_runs_at_toy_size(tmp_path, monkeypatch, toy_prior):
    module = UNet(channels=(8,), blocks=(1,), attention=(False,), patch=8, embedding=4)
    network = MetricNetwork(module, SHAPE)
    pgm.save_prior(tmp_path / "prior", network.prior(network.init(jax.random.key(0))))
    load = lambda file: toy_prior if file == "fashion_mnist" else pgm.load_prior(file)  # noqa: E731
    monkeypatch.setattr(exact_step, "load_prior", load)
    tasks = ("inpainting", "motion blur")
    config = toy_settings("exact_step", prior=str(tmp_path / "prior.npz"), tasks=tasks, **SIZES)
    found = exact_step.run(config, jax.random.key(0))
    (table,) = found.tables
    assert len(table.rows) == 3 and all(len(row) == 3 for row in table.rows)
    assert len(found.claims) == 4 and set(found.figures) == {"exact_step"}


def test_a_task_that_there_is_not_is_refused(tmp_path):
    network = MetricNetwork(UNet(channels=(8,), blocks=(1,), attention=(False,), patch=8, embedding=4), SHAPE)
    pgm.save_prior(tmp_path / "prior", network.prior(network.init(jax.random.key(0))))
    with pytest.raises(ValueError, match="Unknown task of config.tasks 'deblurr'; did you mean 'deblurring'"):
        exact_step.run(
            toy_settings("exact_step", prior=str(tmp_path / "prior.npz"), tasks=("deblurr",)), jax.random.key(0)
        )


def test_another_network_is_refused_in_words():
    config = toy_settings("exact_step", prior="fashion_mnist")
    with pytest.raises(ValueError, match="config.prior holds a ProxNet; give a network of launch.train"):
        exact_step.run(config, jax.random.key(0))
