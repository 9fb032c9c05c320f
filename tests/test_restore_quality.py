"""What the bundled prior must be able to do."""

import importlib.resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.operators import box_mask, measure
from pgm_jax.pretrained import fashion_mnist_images, fashion_mnist_prior
from pgm_jax.restore import default_rows, restore

WEIGHTS = importlib.resources.files("pgm_jax") / "assets" / "fashion_mnist_prior.npz"


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="the weights of the bundled prior are not there")
def test_it_is_less_sure_where_pixels_were_hidden():
    images = fashion_mnist_images()[:2]
    operator = box_mask(images.shape[1:], (10, 10, 12, 12))
    y = jax.vmap(lambda k, x: measure(k, operator, x, 0.05))(jax.random.split(jax.random.key(1), 2), images)
    restoration = restore(
        fashion_mnist_prior(), operator, y, jax.random.key(0), sigma=0.05, samples=4, rows=default_rows(40)
    )
    hidden = np.broadcast_to(operator.mask == 0, images.shape[1:])
    for std, truth, mean in zip(restoration.std, images, restoration.mean, strict=True):
        std, bright = np.asarray(std), np.asarray(truth) > -0.9  # the black around the clothes is sure anyhow
        assert std[hidden & bright].mean() > std[~hidden & bright].mean()
        assert float(jnp.abs(mean - truth)[~hidden].mean()) < 0.05
