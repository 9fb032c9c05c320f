"""What a network owes to a sampler: a prox at lam = 0, scalings of unit variance, weights as arguments, one example."""

import collections
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from pgm_jax.networks import MLP, Preconditioned, ProxNet, UNet
from pgm_jax.networks.convolutions import convolve, convolve_half
from pgm_jax.networks.descriptions import describe, network_of
from pgm_jax.networks.layers import convolution, depth_to_space, fourier_features, space_to_depth
from pgm_jax.networks.prox_net import prox_coefficients
from pgm_jax.pretrained import example_images, load_prior, save_prior

SHAPE = (8, 4, 3)
TINY = dict(channels=(16,), blocks=(1,), attention=(False,), patch=4, embedding=8)
UNETS = {
    "attention": TINY | dict(attention=(True,), head_channels=8),
    "two levels": TINY | dict(channels=(16, 32), blocks=(1, 1), attention=(False, False), patch=2),
    "no patch, two blocks": TINY | dict(blocks=(2,), patch=1),
    "bfloat16": TINY | dict(dtype=jnp.bfloat16),
}
MEAN = 0.2
LEVELS = np.array([0.0, 0.01, 0.3, 0.3, 9.0, 50.0], np.float32)
IMAGES = np.random.default_rng(1).standard_normal((len(LEVELS), *SHAPE), np.float32)


@functools.cache
def network(name="attention"):
    return Preconditioned(UNet(**UNETS[name]), SHAPE, mean=MEAN, std=0.4)


@functools.cache
def shapes(name):
    return jax.eval_shape(network(name).init, jax.random.key(0))


def random_prior(name="attention", seed=0):
    """Every weight, also those that begin at zero."""
    leaves, tree = jax.tree.flatten(shapes(name))
    random = np.random.default_rng(seed)
    params = tree.unflatten([jnp.asarray(0.3 * random.standard_normal(leaf.shape), leaf.dtype) for leaf in leaves])
    return ProxNet(params, network(name))


traces = collections.Counter()


@jax.jit
def apply(prior, u, lam):
    traces[prior.network] += 1
    return prior.network.apply(prior.params, u, lam)


prox = jax.jit(lambda prior, v, lam: prior.prox(v, lam))


@jax.jit
def ways(prior, u, lam):
    """Images one by one; each image at each level, `[level, image]`; and at a level that is a number."""
    return dict(
        alone=jax.lax.map(lambda each: prior.prox(*each), (u, lam)),
        table=jax.vmap(jax.vmap(prior.prox, (0, None)), (None, 0))(u, lam),
        number=prior.network.apply(prior.params, u, 0.3),
    )


@pytest.fixture(scope="module")
def prior():
    return random_prior()


@pytest.mark.parametrize("name", UNETS)
def test_every_net_maps_images_to_images_and_is_the_identity_at_no_step(name):
    prior = random_prior(name)
    assert {leaf.dtype for leaf in jax.tree.leaves(prior)} == {jnp.dtype(jnp.float32)}
    out = np.asarray(apply(prior, IMAGES, LEVELS))
    assert out.shape == IMAGES.shape and out.dtype == np.float32 and np.all(np.isfinite(out))
    skip = MEAN + (IMAGES - MEAN) * (0.4**2 / (0.4**2 + LEVELS))[:, None, None, None]
    assert np.all(np.std(out - skip, axis=(1, 2, 3))[1:] > 1e-3), "the net has no effect"
    np.testing.assert_array_equal(out[0], IMAGES[0])


def test_a_fresh_net_is_the_prox_of_a_gaussian():
    key = jax.random.key(0, impl="unsafe_rbg")  # compiles in a quarter of the time
    out = apply(ProxNet(jax.jit(network().init)(key), network()), IMAGES, LEVELS)
    lam = LEVELS[:, None, None, None]
    np.testing.assert_allclose(out, (0.4**2 * IMAGES + lam * MEAN) / (0.4**2 + lam), rtol=1e-4, atol=1e-6)


def test_an_image_does_not_see_its_batch_and_a_shared_level_is_that_of_each(prior):
    found, batch = ways(prior, IMAGES, LEVELS), apply(prior, IMAGES, LEVELS)
    each = apply(prior, IMAGES, np.full_like(LEVELS, 0.3))
    table = np.asarray(found["table"])
    for one, other in (
        (found["alone"], batch),
        (table[range(len(LEVELS)), range(len(LEVELS))], batch),
        (table[2], each),
        (found["number"], each),
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_weights_are_arguments(prior):
    one, other = apply(prior, IMAGES, LEVELS), apply(random_prior(seed=1), IMAGES, LEVELS)
    assert traces[network()] == 1 and not np.allclose(one, other)
    assert jax.tree.leaves(prior)[0] is jax.tree.leaves(prior.params)[0]
    assert jax.make_jaxpr(prox)(prior, IMAGES[0], 0.2).consts == []


def test_inputs_and_targets_of_the_net_have_unit_variance():
    """u - m has the variance s^2 + lam; what is left, x_0 - m - c_skip (u - m), is uncorrelated with it."""
    lam = np.geomspace(1e-6, 1e6, 25)
    with jax.enable_x64(True):
        coefficients = jax.jit(prox_coefficients, static_argnums=1)
        for std in (0.1, 0.5, 3.0):
            c_skip, c_out, c_in = map(np.asarray, coefficients(lam, std))
            np.testing.assert_allclose(c_in**2 * (std**2 + lam), 1, rtol=1e-6)
            np.testing.assert_allclose((1 - c_skip) ** 2 * std**2 + c_skip**2 * lam, c_out**2, rtol=1e-6)
            np.testing.assert_allclose(std**2 - c_skip * (std**2 + lam), 0, atol=1e-6 * std**2)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_folding_pixels_loses_nothing(factor):
    @jax.jit
    def fold(x):
        folded = space_to_depth(x, factor)
        unfolded = depth_to_space(folded, factor)
        return folded, unfolded, space_to_depth(unfolded, factor)

    x = IMAGES[:2]
    folded, unfolded, again = map(np.asarray, fold(x))
    assert folded.shape == (2, 8 // factor, 4 // factor, 3 * factor**2)
    np.testing.assert_array_equal(unfolded, x)
    np.testing.assert_array_equal(np.ravel(folded[1, 0, 0]), np.ravel(x[1, :factor, :factor]))
    np.testing.assert_array_equal(again, folded)


@pytest.mark.parametrize(
    ("stride", "size", "channels"), [(1, 3, (1, 4)), (2, 3, (4, 2)), (3, 2, (2, 2)), (2, 5, (1, 2))]
)
def test_convolutions_are_those_of_xla_with_their_derivatives(stride, size, channels):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 9, channels[0])))
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(size, size, *channels)))

    def native(x, kernel):
        sizes = dict(dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", **sizes)

    ours, back = jax.vjp(lambda x, kernel: convolve(x, kernel, stride), x, kernel)
    theirs, theirs_back = jax.vjp(native, x, kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for one, other in zip(back(ours), theirs_back(ours), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("channels", [(3, 5), (4, 1)])
def test_convolutions_of_bfloat16_round_once(channels):
    x, kernel, g = (
        jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.bfloat16)
        for seed, shape in enumerate([(2, 5, 6, channels[0]), (3, 3, *channels), (2, 5, 6, channels[1])])
    )

    def exact(x, kernel):
        sizes = dict(dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", **sizes)

    ours, back = jax.vjp(lambda x, kernel: convolve_half(x, kernel, (1, 1), "SAME"), x, kernel)
    theirs, theirs_back = jax.vjp(exact, *(a.astype(jnp.float32) for a in (x, kernel)))
    half = float(jnp.finfo(jnp.bfloat16).eps) / 2
    for one, other in zip((ours, *back(g)), (theirs, *theirs_back(g.astype(jnp.float32))), strict=True):
        assert one.dtype == jnp.bfloat16
        np.testing.assert_allclose(one.astype(jnp.float32), other, rtol=1.01 * half, atol=1e-5)


def test_a_layer_of_bfloat16_is_that_of_flax_with_another_product():
    ours, theirs = convolution(5, jnp.bfloat16), nn.Conv(5, (3, 3), dtype=jnp.bfloat16)
    x = jax.random.normal(jax.random.key(0), (3, 2, 4, 6, 4))
    params = theirs.init(jax.random.key(1), x[0])
    jax.tree.map(np.testing.assert_array_equal, ours.init(jax.random.key(1), x[0]), params)

    def slopes(layer):
        square = lambda params, x: jnp.sum(layer.apply(params, x).astype(jnp.float32) ** 2)  # noqa: E731
        return jax.jit(jax.vmap(jax.grad(square, (0, 1)), (None, 0)))(params, x)

    for one, other in zip(jax.tree.leaves(slopes(ours)), jax.tree.leaves(slopes(theirs)), strict=True):
        np.testing.assert_allclose(one, other, rtol=0.02, atol=0.02 * float(jnp.abs(other).max()))
    assert "bf16" in str(jax.make_jaxpr(lambda x: ours.apply(params, x))(x[0])).split("dot_general")[0]


@pytest.mark.parametrize("options", [dict(strides=(2, 2)), dict(padding="VALID"), dict(feature_group_count=2)])
def test_convolutions_of_bfloat16_refuse_what_they_do_not_do(options):
    x, kernel = jnp.ones((1, 4, 4, 2), jnp.bfloat16), jnp.ones((3, 3, 2, 2), jnp.bfloat16)
    with pytest.raises(ValueError, match="takes strides of 1"):
        convolve_half(x, kernel, **dict(strides=(1, 1), padding="SAME") | options)


def test_features_are_sines_and_cosines():
    features = jax.jit(fourier_features, static_argnums=1)
    c = np.array([-1.0, 0.0, 0.7], np.float32)
    angles = c[:, None] * 0.25 * 64 ** (np.arange(4) / 3)
    expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    np.testing.assert_allclose(features(c, 8), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(features(np.zeros(1, np.float32), 2), [[0.0, 1.0]])


@pytest.mark.parametrize("name", UNETS)
def test_a_network_is_told_in_words(name):
    net = network(name)
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
        bound = 1e-2 * np.linalg.norm(np.asarray(other).reshape(-1, other.shape[-1]), axis=0)
        assert (np.linalg.norm(np.asarray(one - other).reshape(-1, other.shape[-1]), axis=0) <= bound).all()
    np.testing.assert_allclose(apply(loaded, IMAGES, LEVELS), apply(prior, IMAGES, LEVELS), atol=0.02)
    assert load_prior(str(file)).network == prior.network


def rewritten(file, change):
    with np.load(file) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez(file, **arrays)


def a_kernel(arrays):
    return next(name for name in sorted(arrays) if name.endswith("kernel"))


DAMAGES = {
    "cut off": (lambda file: file.write_bytes(file.read_bytes()[:2000]), "cannot be read"),
    "empty": (lambda file: file.write_bytes(b""), "cannot be read"),
    "text": (lambda file: file.write_text("weights"), "cannot be read"),
    "without a network": (
        lambda file: rewritten(file, lambda a: a.pop("network")),
        "describes no network .KeyError: 'network'",
    ),
    "with another description": (
        lambda file: rewritten(file, lambda a: a.update(network=np.array('{"unet": {}}'))),
        "describes no network",
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
    with pytest.raises(FileNotFoundError, match="no file .*nowhere.npz; give a prior that `save_prior` wrote"):
        load_prior(tmp_path / "nowhere.npz")
    with pytest.raises(FileNotFoundError, match="no file fashion.npz; .* comes with the library: fashion_mnist"):
        load_prior("fashion")


@pytest.mark.parametrize("name", ["x", "x.npz", "x.v2", "~/x"])
def test_a_name_that_was_saved_is_loaded(name, prior, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    save_prior(name, prior)
    assert load_prior(name).network == prior.network
    assert [path.name for path in tmp_path.iterdir()] == [name.removeprefix("~/").removesuffix(".npz") + ".npz"]


def test_what_half_precision_would_lose_is_kept(prior, tmp_path):
    """Too large, too small, and one column of small numbers beside large ones."""
    leaves, tree = jax.tree.flatten(prior.params)
    leaves[:3] = map(np.array, leaves[:3])
    leaves[0] *= 1e6
    leaves[1] *= 1e-7
    leaves[2][..., 0] *= 1e-9
    saved = ProxNet(tree.unflatten(leaves), prior.network)
    save_prior(tmp_path / "prior", saved)
    with np.load(tmp_path / "prior.npz") as arrays:
        assert {arrays[name].dtype.name for name in arrays.files if name != "network"} == {"float16", "float32"}
    for one, other in zip(jax.tree.leaves(load_prior(tmp_path / "prior")), leaves[:3], strict=False):
        np.testing.assert_array_equal(one, other)


def test_what_is_no_prior_is_not_saved(prior, tmp_path):
    broken = ProxNet(jax.tree.map(lambda leaf: leaf * np.nan, prior.params), prior.network)
    with pytest.raises(ValueError, match="are NaN or infinite"):
        save_prior(tmp_path / "prior", broken)
    with pytest.raises(ValueError, match="'fashion_mnist' is the name of a prior that comes with the library"):
        save_prior("fashion_mnist", prior)
    with pytest.raises(TypeError, match="holds a UNet or a LocalUNet, got MLP"):
        save_prior(tmp_path / "prior", ProxNet({}, Preconditioned(MLP(), SHAPE)))
    with pytest.raises(ValueError, match="is an address .*mount the bucket"):
        save_prior("gs://bucket/prior", prior)
    assert not list(tmp_path.iterdir())


def test_a_flipped_byte_of_a_prior_is_seen_or_harmless(file):
    good, data = load_prior(file), file.read_bytes()
    places = np.random.default_rng(0).choice(len(data), 40, replace=False).tolist()
    for place in [*places, *range(len(data) - 60, len(data), 3)]:
        file.write_bytes(data[:place] + bytes([data[place] ^ 0x20]) + data[place + 1 :])
        try:
            found = load_prior(file)
        except ValueError as error:
            assert str(file) in str(error)
        else:
            assert jax.tree.all(jax.tree.map(np.array_equal, found.params, good.params))


def test_what_ships_is_there():
    prior, shown = load_prior("fashion_mnist"), example_images()
    assert prior.image_shape == shown.shape[1:] == (32, 32, 1) and shown.shape[0] == 64
    assert shown.min() == -1 and shown.max() == 1


@pytest.mark.parametrize("shape", [(8, 12, 3), (8, 4, 1), (16, 8, 3), (1, 8, 4, 1)])
def test_images_of_another_shape_are_refused(shape, prior):
    expected = rf"\(8, 4, 3\), one or a batch, and was given \({', '.join(map(str, shape))}\): crop, pad or resize"
    for call in (lambda v: prior.network.apply(prior.params, v, 0.1), lambda v: prior.prox(v, 0.1)):
        with pytest.raises(ValueError, match=expected):
            jax.jit(call)(jnp.zeros(shape))
