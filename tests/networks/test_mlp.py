"""The dense network: an image's numbers mixed, a condition that acts, a prox where it starts and where lam = 0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.networks import MLP, Flattened, Preconditioned, ProxNet
from pgm_jax.types import Prior

FAST = True

SHAPE = (1, 1, 3)
NETWORK = Preconditioned(MLP(width=8, blocks=1, embedding=4), SHAPE, mean=0.2, std=0.4)
POINTS = np.random.default_rng(0).standard_normal((4, *SHAPE), np.float32)
LEVELS = jnp.asarray([0.0, 0.01, 0.3, 9.0])

KEY = jax.random.key(0, impl="unsafe_rbg")  # compiles faster

apply = jax.jit(NETWORK.apply)


@pytest.fixture(scope="module")
def params():
    """Every weight, also those that begin at zero."""
    shapes = jax.eval_shape(NETWORK.init, jax.random.key(0))
    random = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(0.3 * random.standard_normal(leaf.shape), leaf.dtype), shapes)


def test_a_fresh_net_is_the_prox_of_a_gaussian():
    out = apply(jax.jit(NETWORK.init)(KEY), POINTS, LEVELS)
    lam = np.asarray(LEVELS)[:, None, None, None]
    np.testing.assert_allclose(out, (0.4**2 * POINTS + lam * 0.2) / (0.4**2 + lam), rtol=1e-4, atol=1e-6)


def test_a_trained_net_is_the_identity_at_no_level(params):
    out = apply(params, POINTS, LEVELS)
    np.testing.assert_array_equal(out[0], POINTS[0])
    assert out.shape == POINTS.shape and out.dtype == jnp.float32


def test_every_number_of_an_image_meets_every_other_and_no_other_image(params):
    jacobian = jax.jit(jax.jacobian(lambda u: NETWORK.apply(params, u, LEVELS)))(POINTS).reshape(4, 3, 4, 3)
    for i in range(4):
        for j in range(4):
            if i != j:
                np.testing.assert_array_equal(jacobian[i, :, j], 0.0)
    assert np.all(jacobian[2, :, 2] != 0.0)


def test_the_level_reaches_the_blocks(params):
    """The module itself, since the preconditioning alone would change with the level."""
    module = jax.jit(lambda x, c: NETWORK.module.apply({"params": params}, x, c))
    x = np.repeat(POINTS[:1], 4, axis=0)
    out = np.asarray(module(x, np.array([-2.0, -1.0, 0.0, 1.0], np.float32)))
    assert np.all(np.std(out, axis=0) > 1e-3)
    shared = module(POINTS, np.array([-1.0], np.float32))
    np.testing.assert_allclose(shared, module(POINTS, np.full(4, -1.0, np.float32)), rtol=1e-5, atol=1e-6)


def test_a_point_of_any_shape_is_an_image(params):
    net = ProxNet(params, NETWORK)
    prior = Flattened(net)
    shapes = (3,), (1, 3), (3, 1, 1)
    points = [POINTS[1].reshape(shape) for shape in shapes]
    outs, image = jax.jit(lambda points, v: ([prior.prox(p, 0.3) for p in points], net.prox(v, 0.3)))(points, POINTS[1])
    assert isinstance(prior, Prior) and tuple(out.shape for out in outs) == shapes
    for out in outs:
        np.testing.assert_array_equal(np.reshape(out, SHAPE), image)


def test_a_number_is_an_image_of_one_pixel():
    network = Preconditioned(MLP(width=8, blocks=1, embedding=4), (1, 1, 1), std=0.5)

    @jax.jit
    def prox(key, v):
        return jax.vmap(Flattened(ProxNet(network.init(key), network)).prox, (0, None))(v, 0.25)

    np.testing.assert_allclose(prox(KEY, np.array([-1.0, 2.0], np.float32)), [-0.5, 1.0], rtol=1e-5)


def test_weights_behind_the_adapter_are_arguments(params):
    traces = 0

    @jax.jit
    def counted(prior, v):
        nonlocal traces
        traces += 1
        return prior.prox(v, 0.3)

    more = jax.tree.map(lambda leaf: 1.1 * np.asarray(leaf), params)
    one, other = (counted(Flattened(ProxNet(weights, NETWORK)), POINTS[0].ravel()) for weights in (params, more))
    assert traces == 1 and not np.allclose(one, other)
