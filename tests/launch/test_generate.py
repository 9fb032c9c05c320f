"""Pictures out of noise: the classifier learns, its distance is one, and the experiment at toy size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_settings import toy_settings

import pgm_jax as pgm
from launch.experiments import generate, inception
from launch.experiments.features import accuracy, classifier, distance, features, read_labelled
from pgm_jax.networks import Preconditioned, TimedNetwork, UNet
from pgm_jax.schedules import LinearVP

SHAPE = (8, 8, 1)
SIZES = dict(
    calls=(2, 4), judged=(2, 4), shown=(2,), samples=12, gaussian_samples=400, classifier_steps=60, classifier_batch=16
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two networks, untrained, and images of two classes: dark and bright ones."""
    folder = tmp_path_factory.mktemp("generate")
    rng, module = np.random.default_rng(0), UNet(channels=(8,), blocks=(1,), attention=(False,), embedding=4)
    networks = dict(prior=TimedNetwork(module, SHAPE, LinearVP()), denoiser=Preconditioned(module, SHAPE))
    for name, network in networks.items():
        pgm.save_prior(folder / name, network.prior(network.init(jax.random.key(0))))
    arrays = {}
    for split, count in dict(train=40, test=20).items():
        labels = np.arange(count) % 2
        noise = rng.integers(0, 60, (count, 8, 8))
        arrays |= {split: (noise + 150 * labels[:, None, None]).astype(np.uint8), f"{split}_label": labels}
    np.savez(folder / "images.npz", **arrays)
    np.savez(folder / "no_labels.npz", train=arrays["train"], test=arrays["test"])
    return folder


def settings(folder, **changes):
    files = {name: str(folder / f"{name}.npz") for name in ("prior", "denoiser")}
    return toy_settings("generate", **{**SIZES, **files, "source": str(folder / "images.npz"), **changes})


def test_the_classifier_learns_and_its_distance_grows_with_noise(folder):
    train, test = (read_labelled(str(folder / "images.npz"), split, SHAPE) for split in ("train", "test"))
    params = classifier(jax.random.key(0), train, 60, 16)
    assert accuracy(params, test) == 1.0
    images = jnp.asarray(test.images)
    noise = jax.random.normal(jax.random.key(1), images.shape)
    of = lambda images: features(params, images)  # noqa: E731
    same, *noisy = (float(distance(of(images + s * noise), of(images))) for s in (0.0, 0.1, 0.3, 1.0))
    assert noisy == sorted(noisy) and abs(same) < 1e-2 * noisy[0]


def test_it_runs_at_toy_size(folder):
    found = generate.run(settings(folder), jax.random.key(0))
    for table in found.tables:
        assert len(table.rows) == 7 and all(len(row) == len(table.columns) for row in table.rows)
    assert len(found.claims) == 1 and set(found.figures) == {"generate"}


def test_fid_stands_beside_it_where_its_weights_are_given(folder, monkeypatch):
    """Other features in place of those of FID, whose network is large."""
    monkeypatch.setattr(generate, "read_inception", lambda file: file)
    monkeypatch.setattr(generate, "inception_features", lambda params, images: images.reshape(len(images), -1)[:, :5])
    few = dict(inception="inception.pth", calls=(2,), judged=(2, 2))
    found = generate.run(settings(folder, **few), jax.random.key(0))
    _, fid, _ = found.tables
    assert "FID" in fid.title and len(fid.rows) == 7 and all(np.isfinite(row[1]) for row in fid.rows)


def test_another_network_than_that_of_fid_is_refused(monkeypatch):
    weights = {"Conv2d_1a_3x3.conv.weight": np.zeros((32, 3, 3, 3), np.float32)}
    monkeypatch.setattr(inception, "read_state_dict", lambda file: weights)
    with pytest.raises(ValueError, match="other.pth has no Conv2d_1a_3x3.bn.weight; give pt_inception"):
        inception.read_inception("other.pth")


def test_the_pools_of_fid_leave_out_what_lies_beyond_the_border():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 4, 5, 1)), jnp.float32)
    mean, top = inception._average(x)[0, :, :, 0], inception._maximum(x)[0, :, :, 0]
    for i, j in ((0, 0), (1, 2), (3, 4)):
        near = x[0, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, 0]
        np.testing.assert_allclose([mean[i, j], top[i, j]], [np.mean(near), np.max(near)], rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(prior="denoiser"), "config.prior holds a ProxNet and config.denoiser a ProxNet"),
        (dict(denoiser="fashion_mnist"), r"The networks take images of .8, 8, 1. and .32, 32, 1., which differ"),
        (dict(judged=(2, 8)), "config.judged and config.shown have 8 calls, and config.calls has .2, 4."),
        (dict(source="no_labels"), "no_labels.npz has no labels of 'train'"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(folder, changes, words):
    here = lambda file: str(folder / f"{file}.npz") if file in ("denoiser", "no_labels") else file  # noqa: E731
    changes = {name: here(value) for name, value in changes.items()}
    with pytest.raises(ValueError, match=words):
        generate.run(settings(folder, **changes), jax.random.key(0))
