"""What the bundled prior must be able to do."""

import importlib.resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.noise import GaussianNoise, measure
from pgm_jax.operators import box_mask
from pgm_jax.pretrained import example_images, load_prior
from pgm_jax.restoration import restore

WEIGHTS = importlib.resources.files("pgm_jax") / "assets" / "fashion_mnist_prior.npz"


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="the weights of the bundled prior are not there")
def test_it_is_less_sure_where_pixels_were_hidden():
    images, noise = example_images()[:2], GaussianNoise(0.05)
    operator = box_mask(images.shape[1:], (10, 10, 12, 12))
    y = measure(jax.random.key(1), operator, images, noise)
    prior = load_prior("fashion_mnist")
    restoration = restore(jax.random.key(0), prior, operator, y, noise, samples=4, calls=40)
    hidden = np.broadcast_to(operator.mask == 0, images.shape[1:])
    for std, truth, mean in zip(restoration.std, images, restoration.mean, strict=True):
        std, bright = np.asarray(std), np.asarray(truth) > -0.9  # the black around the clothes is sure anyhow
        assert std[hidden & bright].mean() > std[~hidden & bright].mean()
        assert float(jnp.abs(mean - truth)[~hidden].mean()) < 0.05
