"""Every network that can be trained obeys every law: one table of networks, one table of laws."""

import jax
import jax.numpy as jnp
import numpy as np
from laws import law_test
from network_rows import NETWORKS, SHAPE

from pgm_jax import networks
from pgm_jax.networks import MLP, LocalNetwork, MetricNetwork, Preconditioned, TimedNetwork
from pgm_jax.operators.checks import fits
from pgm_jax.training.step import Network

# A module without words for a file is trained all the same.
ROWS = NETWORKS | {"MLP of levels": Preconditioned(MLP(8, 1, 8), SHAPE, 0.0, 1.0)}
IMAGES = np.random.default_rng(0).standard_normal((3, *SHAPE)).astype(np.float32)


def told(network):
    """What a network is told of three images: their times and levels, the levels alone, or maps of their noise."""
    levels = jnp.array([0.2, 1.0, 3.0])
    if isinstance(network, MetricNetwork):
        pixels = np.random.default_rng(2).uniform(0.2, 2.0, (3, 3, *SHAPE)).astype(np.float32)
        maps = levels[:, None, None, None] * pixels[0], jnp.asarray(pixels[1]), jnp.asarray(pixels[2])
        return (*maps, levels) if isinstance(network, LocalNetwork) else maps
    return (jnp.array([0.0, 0.3, 1.0]), levels) if isinstance(network, TimedNetwork) else (levels,)


def drawn(network):
    """Parameters of which none is left at the zero that it starts from; inner weights stay above it."""
    params = network.init(jax.random.key(0))
    leaves, tree = jax.tree.flatten(params)
    random = np.random.default_rng(1)
    return tree.unflatten([leaf + 0.1 * random.random(leaf.shape, np.float32) for leaf in leaves])


def a_network_is_what_training_takes(network):
    assert isinstance(network, Network) and fits(SHAPE, network.image_shape)
    scale = network.scale(*told(network))
    assert scale.shape in ((3,), (3, *SHAPE)) and np.all(scale > 0)


def an_image_does_not_see_its_batch(network):
    """The result is of the images' shape, the same for one image alone, and depends on it."""
    params, conditions = drawn(network), told(network)
    batch = network.apply(params, jnp.asarray(IMAGES), *conditions)
    assert batch.shape == IMAGES.shape and batch.dtype == np.float32 and np.all(np.isfinite(batch))
    alone = network.apply(params, jnp.asarray(IMAGES[1:2]), *(c[1:2] for c in conditions))
    np.testing.assert_allclose(alone[0], batch[1], rtol=1e-4, atol=1e-5)
    other = network.apply(params, jnp.asarray(IMAGES).at[0].add(1.0), *conditions)
    assert np.abs(other[0] - batch[0]).max() > 1e-3
    np.testing.assert_allclose(other[1:], batch[1:], rtol=1e-4, atol=1e-5)


def every_weight_can_be_learned(network):
    """The gradient of a loss is finite, and none of the arrays is without one."""

    def loss(params):
        return jnp.mean((network.apply(params, jnp.asarray(IMAGES), *told(network)) - 1.0) ** 2)

    gradients = jax.grad(loss)(drawn(network))
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.all(np.isfinite(leaf)), jax.tree_util.keystr(path)
        assert np.any(leaf != 0), jax.tree_util.keystr(path)


def weights_are_arguments(network):
    """The program of a prox holds no weight as a constant, and the prior is the parameters that it was given."""
    prior = network.prior(drawn(network))
    assert jax.make_jaxpr(lambda prior, v: prior.prox(v, jnp.float32(0.04)))(prior, jnp.asarray(IMAGES[0])).consts == []
    np.testing.assert_array_equal(jax.tree.leaves(prior)[0], jax.tree.leaves(drawn(network))[0])


LAWS = (
    a_network_is_what_training_takes,
    an_image_does_not_see_its_batch,
    every_weight_can_be_learned,
    weights_are_arguments,
)
test_law = law_test(ROWS, LAWS, double=False)


def test_no_network_is_without_a_row():
    """What has `init`, `apply` and `prior` can be trained; the field network of a blur is not."""
    public = {getattr(networks, name) for name in networks.__all__}
    trained = {kind for kind in public if isinstance(kind, type) and {"init", "apply", "prior"} <= set(dir(kind))}
    assert trained == {type(network) for network in ROWS.values()}
