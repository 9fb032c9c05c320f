"""Networks for pictures of any size: crops, tiles, sizes, and the radius that a `LocalUNet` states."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.networks import LocalNetwork, LocalUNet, MetricProxNet
from pgm_jax.networks.local_net import in_tiles
from pgm_jax.noise import GaussianNoise
from pgm_jax.operators import gaussian_blur, mask

SMALL = LocalUNet(channels=(8, 8), blocks=(1, 1), embedding=4)


@pytest.fixture(scope="module")
def prior():
    """One whose every layer has a say."""
    network = LocalNetwork(SMALL, (None, None, 3), -0.1, 0.5, 7)
    leaves, tree = jax.tree.flatten(network.init(jax.random.key(0)))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return network.prior(jax.tree.unflatten(tree, noisy))


def picture(*size):
    return jax.random.uniform(jax.random.key(2), (*size, 3), minval=-1.0, maxval=1.0)


@pytest.mark.parametrize("module", [SMALL, LocalUNet((8,), (2,), 1, 4), LocalUNet((4, 4, 4), (0, 1, 1), 2, 4)])
def test_the_radius_is_the_farthest_pixel_that_has_a_say(module):
    """Equal to the farthest that a gradient reaches, over all places of a pixel in its cell."""
    side = 2 * (-(-module.radius // module.multiple) + 1) * module.multiple
    x, c = picture(side, side)[None], jnp.zeros((1,))
    params = jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.1), module.init(jax.random.key(0), x, c))

    @jax.jit
    def gradient(row):
        return jax.grad(lambda x: jnp.sum(module.apply(params, x, c)[0, row, side // 2]))(x)[0].sum(axis=2)

    farthest = 0
    for row in range(side // 2, side // 2 + module.multiple):
        seen = np.flatnonzero(np.abs(np.asarray(gradient(row))).max(axis=1))
        farthest = max(farthest, row - seen.min(), seen.max() - row)
    assert farthest == module.radius


def test_a_crop_is_answered_as_the_whole(prior):
    radius, multiple = SMALL.radius, SMALL.multiple
    x = picture(4 * multiple + 2 * radius + 3, 6 * multiple + 2 * radius)
    whole = prior.prox(x, 0.04)
    crop = prior.prox(x[multiple:, 2 * multiple :], 0.04)
    inner = (slice(radius, -radius - multiple), slice(radius, -radius - multiple))
    assert crop[inner].size
    np.testing.assert_allclose(crop[inner], whole[multiple:, 2 * multiple :][inner], atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (30, 5), (8, 8), (90, 50)])
def test_every_size_is_answered_and_tiles_change_nothing(prior, size):
    tiled = MetricProxNet(prior.params, dataclasses.replace(prior.network, tile=2 * SMALL.multiple))
    x = picture(*size)
    out = prior.prox(x, 0.04)
    assert out.shape == x.shape and bool(jnp.isfinite(out).all())
    np.testing.assert_allclose(tiled.prox(x, 0.04), out, atol=1e-5)
    f = GaussianNoise(0.1).likelihood(mask(x.shape, np.arange(x.size).reshape(x.shape) % 3 > 0), x)
    mu = f.prox(x, 1.0)
    answer = prior.prox_metric(mu, f.metric(mu, 1.0))
    np.testing.assert_allclose(tiled.prox_metric(mu, f.metric(mu, 1.0)), answer, atol=1e-5)


def test_a_picture_that_is_seen_everywhere_is_one_under_even_noise(prior):
    x = picture(16, 16)
    f = GaussianNoise(0.1).likelihood(mask(x.shape, np.ones(x.shape)), x)
    metric = f.metric(x, 1.0)
    level = float(metric.variances(x).max())
    np.testing.assert_allclose(prior.prox_metric(x, metric), prior.prox(x, level), atol=1e-5)


def test_one_call_of_a_blur_is_finite_at_any_size(prior):
    x = picture(13, 22)
    f = GaussianNoise(0.1).likelihood(gaussian_blur(x.shape, 1.0, boundary="reflect"), x)
    assert bool(jnp.isfinite(prior.prox_metric(x, f.metric(x, 4.0))).all())


def test_tiles_of_a_sum_of_neighbours():
    def neighbours(x):
        return jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")

    x = picture(24, 40)[None]
    np.testing.assert_allclose(in_tiles(neighbours, x, 8, 4), neighbours(x), atol=1e-5)


def test_a_tile_is_a_multiple_and_channels_are_fixed(prior):
    with pytest.raises(ValueError, match="tile is 6; give a positive multiple of 4"):
        dataclasses.replace(prior.network, tile=6)
    with pytest.raises(ValueError, match=r"\(None, None, 3\), one or a batch, and was given \(8, 8, 1\)"):
        prior.prox(jnp.zeros((8, 8, 1)), 0.1)
