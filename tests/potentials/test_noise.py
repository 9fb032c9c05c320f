"""The noise of a measurement, from the measurement alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.potentials import estimate_sigma
from pgm_jax.pretrained import fashion_mnist_images


def test_it_is_that_of_white_noise_within_chance():
    noise = jax.random.normal(jax.random.key(0), (16, 32, 32, 3))
    blocks = noise.size / 4
    # The deviation of a median of |n| is 1 / (2 p sqrt(N)), p = 0.6356 its density there.
    z = (estimate_sigma(0.3 * noise) / 0.3 - 1) * 0.6745 * 2 * 0.6356 * np.sqrt(blocks)
    assert abs(z) < 4


def test_smooth_images_do_not_count():
    ramp = jnp.broadcast_to(jnp.linspace(-1, 1, 64)[:, None, None], (64, 64, 1)) ** 2
    noisy = ramp + 0.05 * jax.random.normal(jax.random.key(0), ramp.shape)
    np.testing.assert_allclose(estimate_sigma(noisy), 0.05, rtol=0.1)


@pytest.mark.parametrize(("sigma", "excess"), [(0.05, 1.35), (0.2, 1.15)])
def test_the_texture_of_small_images_counts_as_noise(sigma, excess):
    images = fashion_mnist_images()[:8]
    noisy = images + sigma * jax.random.normal(jax.random.key(0), images.shape)
    assert sigma < estimate_sigma(noisy) < excess * sigma


def test_hidden_pixels_are_left_out():
    noise = 0.1 * jax.random.normal(jax.random.key(0), (64, 64, 1))
    hidden = jax.random.bernoulli(jax.random.key(1), 0.3, noise.shape)
    np.testing.assert_allclose(estimate_sigma(jnp.where(hidden, jnp.nan, noise)), 0.1, rtol=0.15)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (jnp.ones((1, 100, 1)), "neighbouring pixels.*give sigma"),
        (jnp.full((8, 8, 1), jnp.nan), "only 0 blocks"),
    ],
)
def test_what_is_no_image_is_refused(y, words):
    with pytest.raises(ValueError, match=words):
        estimate_sigma(y)
