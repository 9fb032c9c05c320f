"""What a network owes to a sampler: a prox at lam = 0, scalings of unit variance, weights as arguments, one example."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.networks import Preconditioned, ProxNet, UNet, prox_coefficients
from pgm_jax.networks.layers import depth_to_space, fourier_features, space_to_depth
from pgm_jax.pretrained import describe, load_prior, network_of, save_prior

SHAPE = (8, 8, 1)
TINY = dict(channels=(16,), blocks=(1,), attention=(False,), patch=4, embedding=8)
UNETS = {
    "one level": TINY,
    "two levels": TINY | dict(channels=(16, 32), blocks=(1, 1), attention=(False, False), patch=2),
    "attention": TINY | dict(attention=(True,), head_channels=8),
    "no patch, two blocks": TINY | dict(blocks=(2,), patch=1),
    "bfloat16": TINY | dict(dtype=jnp.bfloat16),
}


def network(name="one level", image_shape=SHAPE, mean=0.0):
    return Preconditioned(UNet(**UNETS[name]), image_shape, mean=mean, std=0.4)


def random_params(net, seed=0):
    """Every weight, also those that begin at zero."""
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    leaves, tree = jax.tree.flatten(shapes)
    random = np.random.default_rng(seed)
    return tree.unflatten([jnp.asarray(0.3 * random.standard_normal(leaf.shape), leaf.dtype) for leaf in leaves])


prox = jax.jit(lambda prior, v, lam: prior.prox(v, lam))
apply = jax.jit(lambda prior, u, lam: prior.network.apply(prior.params, u, lam))


def images(count=3, shape=SHAPE):
    return jnp.asarray(np.random.default_rng(1).standard_normal((count, *shape)), jnp.float32)


@pytest.fixture(scope="module")
def prior():
    return ProxNet(random_params(network()), network())


@pytest.mark.parametrize("name", UNETS)
def test_every_net_maps_images_to_images(name):
    net = network(name, (8, 8, 3))
    prior = ProxNet(random_params(net), net)
    assert {leaf.dtype for leaf in jax.tree.leaves(prior)} == {jnp.dtype(jnp.float32)}
    u, lam = images(2, (8, 8, 3)), jnp.array([0.1, 2.0])
    out = apply(prior, u, lam)
    assert out.shape == u.shape and out.dtype == jnp.float32 and np.all(np.isfinite(out))
    skip = u * prox_coefficients(lam, 0.4)[0][:, None, None, None]
    assert np.all(np.std(out - skip, axis=(1, 2, 3)) > 1e-3), "the net has no effect"
    np.testing.assert_array_equal(apply(prior, u, jnp.zeros(2)), u)


def test_no_step_returns_the_point_whatever_the_mean(prior):
    np.testing.assert_array_equal(prox(prior, images()[0], 0.0), images()[0])
    shifted = ProxNet(prior.params, network(mean=-0.3))
    np.testing.assert_array_equal(prox(shifted, images()[0], 0.0), images()[0])


def test_a_fresh_net_is_the_prox_of_a_gaussian():
    net = network(mean=0.2)
    out = apply(ProxNet(jax.jit(net.init)(jax.random.key(0)), net), images(), jnp.array([0.0, 0.3, 50.0]))
    lam = np.array([0.0, 0.3, 50.0])[:, None, None, None]
    np.testing.assert_allclose(out, (0.4**2 * images() + lam * 0.2) / (0.4**2 + lam), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("std", [0.1, 0.5, 3.0])
def test_inputs_and_targets_of_the_net_have_unit_variance(std):
    """u - m has the variance s^2 + lam; what is left, x_0 - m - c_skip (u - m), is uncorrelated with it."""
    lam = jnp.geomspace(1e-6, 1e6, 25)
    with jax.enable_x64(True):
        c_skip, c_out, c_in = prox_coefficients(lam.astype(jnp.float64), std)
        np.testing.assert_allclose(c_in**2 * (std**2 + lam), 1, rtol=1e-6)
        np.testing.assert_allclose((1 - c_skip) ** 2 * std**2 + c_skip**2 * lam, c_out**2, rtol=1e-6)
        np.testing.assert_allclose(std**2 - c_skip * (std**2 + lam), 0, atol=1e-6 * std**2)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_folding_pixels_loses_nothing(factor):
    x = images(2, (8, 4, 3))
    folded = space_to_depth(x, factor)
    assert folded.shape == (2, 8 // factor, 4 // factor, 3 * factor**2)
    np.testing.assert_array_equal(depth_to_space(folded, factor), x)
    np.testing.assert_array_equal(np.ravel(folded[1, 0, 0]), np.ravel(x[1, :factor, :factor]))
    np.testing.assert_array_equal(space_to_depth(depth_to_space(folded, factor), factor), folded)


def test_features_are_sines_and_cosines():
    c = np.array([-1.0, 0.0, 0.7], np.float32)
    angles = c[:, None] * 0.25 * 64 ** (np.arange(4) / 3)
    expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    np.testing.assert_allclose(fourier_features(jnp.asarray(c), 8), expected, rtol=1e-5, atol=1e-6)
    assert fourier_features(jnp.zeros(1), 2).shape == (1, 2)


def test_one_image_is_a_batch_of_one(prior):
    batch = apply(prior, images(1), jnp.array([0.3]))
    for lam in (0.3, jnp.asarray(0.3)):
        np.testing.assert_allclose(prox(prior, images(1)[0], lam), batch[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["one level", "attention"])
def test_a_level_that_a_batch_shares_is_that_level_for_each(name):
    prior = ProxNet(random_params(network(name)), network(name))
    u = images()
    each = apply(prior, u, jnp.full(3, 0.3))
    shared = jax.jit(jax.vmap(prior.prox, (0, None)))(u, 0.3)
    np.testing.assert_allclose(shared, each, rtol=1e-5, atol=1e-5)
    with_one_level = jax.jit(lambda u: prior.network.apply(prior.params, u, 0.3))(u)
    np.testing.assert_allclose(with_one_level, each, rtol=1e-5, atol=1e-5)


def test_images_of_a_batch_do_not_see_each_other(prior):
    u, lam = images(), jnp.array([0.01, 0.3, 9.0])
    many = jax.jit(jax.vmap(prior.prox))(u, lam)
    np.testing.assert_allclose(many, apply(prior, u, lam), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(many, [prox(prior, u[i], lam[i]) for i in range(3)], rtol=1e-5, atol=1e-5)


def test_weights_are_arguments(prior):
    traces = 0

    @jax.jit
    def counted(prior, v, lam):
        nonlocal traces
        traces += 1
        return prior.prox(v, lam)

    v = images()[0]
    one, other = (counted(ProxNet(random_params(network(), seed), network()), v, 0.2 + seed) for seed in (0, 1))
    assert traces == 1 and not np.allclose(one, other)
    np.testing.assert_allclose(one, prox(prior, v, 0.2), rtol=1e-5, atol=1e-6)
    assert jax.tree.leaves(prior)[0] is jax.tree.leaves(prior.params)[0]
    assert jax.make_jaxpr(prox)(prior, v, 0.2).consts == []


@pytest.mark.parametrize("name", UNETS)
def test_a_network_is_told_in_words(name):
    net = network(name, mean=-0.2)
    assert network_of(json.loads(json.dumps(describe(net)))) == net


@pytest.fixture
def file(tmp_path, prior):
    save_prior(tmp_path / "prior.npz", prior)
    return tmp_path / "prior.npz"


def test_a_prior_comes_back_from_its_file(file, prior):
    loaded = load_prior(file)
    assert loaded.network == prior.network
    assert jax.tree.structure(loaded) == jax.tree.structure(prior)
    for one, other in zip(jax.tree.leaves(loaded), jax.tree.leaves(prior), strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_array_equal(one, np.asarray(other).astype(np.float16))
    np.testing.assert_allclose(prox(loaded, images()[0], 0.3), prox(prior, images()[0], 0.3), atol=0.02)
    assert load_prior(str(file)).network == prior.network


def rewritten(file, change):
    with np.load(file) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez(file, **arrays)


def a_kernel(arrays):
    return next(name for name in sorted(arrays) if name.endswith("kernel"))


DAMAGES = {
    "cut off": (lambda file: file.write_bytes(file.read_bytes()[:2000]), "no readable prior"),
    "empty": (lambda file: file.write_bytes(b""), "no readable prior"),
    "text": (lambda file: file.write_text("weights"), "no readable prior"),
    "without a network": (lambda file: rewritten(file, lambda a: a.pop("network")), "no readable prior .*network"),
    "with another description": (
        lambda file: rewritten(file, lambda a: a.update(network=np.array('{"unet": {}}'))),
        "no readable prior",
    ),
    "a parameter too few": (lambda file: rewritten(file, lambda a: a.pop(a_kernel(a))), "kernel'.* of 1 do not fit"),
    "a parameter too many": (lambda file: rewritten(file, lambda a: a.update(extra=np.ones(2))), "'extra'.* of 1"),
    "a parameter of another shape": (
        lambda file: rewritten(file, lambda a: a.update({a_kernel(a): np.ones(3)})),
        "kernel'.* of 1 do not fit the network",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused(damage, file):
    spoil, words = DAMAGES[damage]
    spoil(file)
    with pytest.raises(ValueError, match=words) as refusal:
        load_prior(file)
    assert str(file) in str(refusal.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no prior at .*nowhere.npz; give a file that `save_prior` wrote"):
        load_prior(tmp_path / "nowhere.npz")
