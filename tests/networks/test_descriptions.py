"""Networks in words and files: each kind comes back as it was, and a description that cannot be is refused by name."""

import json

import jax
import numpy as np
import pytest
from network_rows import NETWORKS, SHAPE, UNET

import pgm_jax as pgm
from pgm_jax.networks import ICNN, LPN, ConvexNetwork, TimedNetwork, eps_form
from pgm_jax.networks.descriptions import describe, network_of
from pgm_jax.networks.icnn import is_inner
from pgm_jax.schedules import VE, LinearVP


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_from_its_words_and_its_file(name, tmp_path):
    network = NETWORKS[name]
    assert network_of(json.loads(json.dumps(describe(network)))) == network
    prior = network.prior(network.init(jax.random.key(0)))
    pgm.save_prior(tmp_path / "prior", prior)
    loaded = pgm.load_prior(tmp_path / "prior")
    assert type(loaded) is type(prior) and loaded.network == network
    for one, other in zip(jax.tree.leaves(loaded), jax.tree.leaves(prior), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-4)


def test_a_negative_inner_weight_of_a_file_is_refused_by_its_name(tmp_path):
    network = NETWORKS["dense"]
    params = network.init(jax.random.key(0))
    broken = jax.tree_util.tree_map_with_path(lambda path, leaf: leaf - 1.0 if is_inner(path) else leaf, params)
    pgm.save_prior(tmp_path / "prior", LPN(broken, network))
    with pytest.raises(ValueError, match=r"prior.npz: The inner weights inner_1 go down to -"):
        pgm.load_prior(tmp_path / "prior")


def told(name, **changes):
    """The words of a network with other settings, those of a part by "part.setting"; None takes one away."""
    description = json.loads(json.dumps(describe(NETWORKS[name])))
    for path, value in changes.items():
        part, _, setting = path.rpartition("__")
        home = description[part] if part else description
        home.pop(setting) if value is None else home.update({setting: value})
    return description


@pytest.mark.parametrize(
    ("description", "words"),
    [
        (told("times", timed__form="gaussian"), "timed.form is 'gaussian'; give 'denoiser', 'eps', 'prox'"),
        (told("times", timed__loss="mean"), "The loss is on 'mean'; it is on one of"),
        (told("times", timed__beta_min=-1.0), "timed.beta_min is -1.0; give a number from 1e-06"),
        (told("times", timed__beta_max=0.05), "timed.beta_max is 0.05; give a number from 0.1"),
        (told("times", timed__steps=3), "timed.steps is no setting of it; it has beta_min, beta_max, form, loss"),
        (told("times", timed=5), "timed is 5; give its settings"),
        (told("dense", icnn__widths=[0]), "icnn.widths is .0.; give whole numbers from 1"),
        (told("dense", icnn__widths=[]), "icnn.widths has 0 entries; give 1 to 32"),
        (told("dense", icnn__beta=0.0), "icnn.beta is 0.0; give a number from 1e-06"),
        (told("dense", icnn__alpha=-0.1), "icnn.alpha is -0.1; give a number from 0"),
        (told("dense", icnn__activation="relu"), "icnn.activation is no setting of it"),
        (told("dense", sigma=0), "sigma is 0; give a number from 1e-18"),
        (told("convolutional", conv_icnn__channels=True), "conv_icnn.channels is True; give a whole number"),
        (told("convolutional", conv_icnn__way="relu"), "conv_icnn.way is 'relu'; give one of 'projection', 'softplus'"),
        (told("convolutional", image_shape=[4, 4]), "image_shape is .4, 4.; give .height, width, channels."),
        (told("dense", mean=3.0), "network.mean is no setting of it; it has icnn, image_shape, sigma, patches"),
        (told("levels", sigma=3.0), "network.sigma is no setting of it; it has unet, image_shape, mean, std, timed"),
        (
            told("dense", conv_icnn={}),
            "a network is one of unet, local_unet, icnn, conv_icnn, and the description has 2 of them",
        ),
        (told("patches", patches=0), "patches is 0; give its settings, patch, stride"),
        (told("patches", patches__patch=0), "patches.patch is 0; give a whole number from 1"),
    ],
)
def test_what_describes_no_network_is_refused(description, words):
    with pytest.raises(ValueError, match=words):
        network_of(description)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (TimedNetwork(UNET, SHAPE, VE(0.1, 1.0)), "a network of LinearVP, got VE"),
        (TimedNetwork(UNET, SHAPE, LinearVP(), lambda *each: eps_form(*each)), "of a form of its own module"),
        (ConvexNetwork(ICNN(activation=jax.numpy.exp), SHAPE, 1.0), "a ConvICNN of softplus, got ICNN of exp"),
    ],
)
def test_what_has_no_words_is_not_saved(network, words, tmp_path):
    with pytest.raises(TypeError, match=words):
        describe(network)
