"""Learned proximal networks: convex whatever the weights, a prox by construction, and the prior of that prox."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from pgm_jax.networks import ICNN, LPN, ConvexNetwork, ConvICNN, Patched, nonnegative
from pgm_jax.networks.icnn import is_inner, softplus
from pgm_jax.networks.lpn import _gradient_of_psi
from pgm_jax.schedules import VE
from pgm_jax.training.convexity import keep_nonnegative
from pgm_jax.training.losses import l2, matching_objective
from pgm_jax.training.step import init_state, make_step

ALPHA = 0.05
NETWORKS = {
    "dense": ConvexNetwork(ICNN(beta=3.0, alpha=ALPHA, widths=(6, 6)), (1, 3, 1), 0.5),
    "dense, softplus": ConvexNetwork(ICNN(beta=3.0, alpha=ALPHA, widths=(6, 6), way="softplus"), (1, 3, 1), 0.5),
    "convolutional": ConvexNetwork(ConvICNN(beta=3.0, alpha=ALPHA, channels=3, strides=(1, 2)), (4, 4, 1), 0.5),
}


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def drawn(network, seed=0):
    """Random parameters, none of the inner ones negative, all layers of some size."""
    params = network.init(jax.random.key(seed))
    keys = iter(jax.random.split(jax.random.key(seed + 1), 100))
    return nonnegative(jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(next(keys), leaf.shape), params))


@pytest.fixture(params=NETWORKS)
def prior(request):
    network = NETWORKS[request.param]
    return network.prior(drawn(network))


def images(prior, count, scale=1.0, seed=0):
    return jnp.asarray(scale * np.random.default_rng(seed).standard_normal((count, *prior.image_shape)))


def jacobian(prior, y):
    return jax.jit(jax.jacfwd(prior.denoise))(y).reshape(y.size, y.size)


def test_the_jacobian_is_symmetric_and_bounded_below(prior):
    for y in images(prior, 3):
        matrix = np.asarray(jacobian(prior, y))
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-10)
        assert np.linalg.eigvalsh(matrix).min() >= 2 * ALPHA - 1e-10


def test_psi_is_convex_and_one_negative_weight_breaks_it(prior):
    def gap(params):
        a, b = (images(prior, 400, 2.0, seed) for seed in (1, 2))
        psi = lambda y: prior.network.psi(params, y)  # noqa: E731
        return float(jnp.min((psi(a) + psi(b)) / 2 - psi((a + b) / 2)))

    assert gap(prior.params) >= 0
    leaves = jax.tree_util.tree_leaves_with_path(prior.params)
    if not (inner := [path for path, _ in leaves if is_inner(path)]):
        return  # written as softplus of free weights, none can be negative
    broken = jax.tree_util.tree_map_with_path(lambda p, leaf: leaf - 5.0 if p == inner[-1] else leaf, prior.params)
    assert gap(broken) < 0
    with pytest.raises(ValueError, match=r"inner weights inner_\d go down to -.*psi is convex only where"):
        prior.network.prior(broken)


def test_the_prior_is_known_on_the_range_and_inversion_goes_there_and_back(prior):
    @jax.jit
    @jax.vmap
    def compute(y):
        x = prior.denoise(y)
        own = jnp.sum(x * y) - jnp.sum(x**2) / 2 - prior.psi(y)
        found = prior.invert(x)
        return own / prior.network.sigma**2, prior.value(x), y, found, x, prior.denoise(prior.invert(y).point)

    y = images(prior, 4)
    own, value, y, found, _, back = compute(y)
    np.testing.assert_allclose(value, own, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.point, y, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(back, y, rtol=1e-8, atol=1e-9)  # f(inverse(x)) = x for any x, since alpha > 0
    assert np.all(found.gap < 1e-12)


def test_fenchel_young_is_an_equality_at_the_prox_alone(prior):
    """R(x) + |x - y|^2 / 2 >= |y|^2 / 2 - psi(y) for every x of the range."""

    @jax.jit
    @jax.vmap
    def excess(x, y):
        return prior.network.sigma**2 * prior.value(x) + jnp.sum((x - y) ** 2) / 2 - jnp.sum(y**2) / 2 + prior.psi(y)

    y = images(prior, 6, seed=3)
    own = jax.vmap(prior.denoise)(y)
    assert np.all(excess(jnp.roll(own, 1, axis=0), y) > 0)
    np.testing.assert_allclose(excess(own, y), 0, atol=1e-9)


def test_a_short_inversion_gives_less_and_a_longer_one_more():
    """A truncated inversion is a lower bound, and its gap bounds what is missing."""
    network = NETWORKS["convolutional"]
    prior = network.prior(drawn(network))
    x = images(prior, 1, seed=4)[0]

    @functools.partial(jax.jit, static_argnums=0)
    def reached(steps):
        found = dataclasses.replace(prior, steps=steps).invert(x)
        y = found.point
        return jnp.sum(x * y) - jnp.sum(x**2) / 2 - prior.psi(y), found.gap

    values = [tuple(map(float, reached(steps))) for steps in (0, 1, 2, 4, 30)]
    assert np.all(np.diff([value for value, _ in values]) >= -1e-12)
    for value, gap in values:
        assert value <= values[-1][0] + 1e-12 <= value + gap + 2e-12


class Square(nn.Module):
    """psi = a |y|^2 / 2 + b."""

    a: float
    b: float = 0.0

    @nn.compact
    def __call__(self, y):
        return self.a * jnp.sum(y**2, axis=(1, 2, 3)) / 2 + self.b


@pytest.mark.parametrize("c", [0.0, 1.5, -0.5])
def test_quadratics_are_priors_in_closed_form(c):
    """psi = |y|^2 / (2 (1 + c)) gives R = c |x|^2 / 2; a constant of psi is one of R."""
    x = jnp.array([0.3, -1.2]).reshape(1, 2, 1)
    for shift in (0.0, 0.7):
        prior = LPN({}, ConvexNetwork(Square(1 / (1 + c), shift), (1, 2, 1), 0.5))
        np.testing.assert_allclose(0.25 * prior.value(x), c * jnp.sum(x**2) / 2 - shift, atol=1e-12)
        np.testing.assert_allclose(0.25 * prior.grad(x), c * x, atol=1e-12)
        for lam in (0.05, 0.25):
            np.testing.assert_allclose(prior.prox(x, lam), x / (1 + c * lam / 0.25), rtol=1e-10)


def test_the_prior_is_weakly_convex():
    """psi of Lipschitz gradient L: R + (1 - 1 / L) |x|^2 / 2 is convex."""
    network = NETWORKS["dense"]
    prior = network.prior(drawn(network))
    y = images(prior, 60, 2.0, seed=6)
    lipschitz = max(np.linalg.eigvalsh(np.asarray(jacobian(prior, each))).max() for each in y[:20]) * 1.2

    @jax.jit
    @jax.vmap
    def total(x):
        return network.sigma**2 * prior.value(x) + (1 - 1 / lipschitz) * jnp.sum(x**2) / 2

    x = jax.jit(jax.vmap(prior.denoise))(y)
    a, b = x[:30], x[30:]
    assert np.all((total(a) + total(b)) / 2 - total((a + b) / 2) >= -1e-10)


def test_the_prior_has_a_value_that_gives_its_gradient(prior):
    for x in images(prior, 2, 0.3, seed=7):
        np.testing.assert_allclose(jax.jit(jax.grad(prior.value))(x), prior.grad(x), rtol=1e-7, atol=1e-8)


def test_second_derivatives_of_the_value_are_those_of_the_gradient():
    network = NETWORKS["dense"]
    prior = network.prior(drawn(network))
    x = images(prior, 1, 0.3, seed=7)[0]
    twice, once = jax.jit(jax.hessian(prior.value))(x), jax.jit(jax.jacobian(prior.grad))(x)
    np.testing.assert_allclose(twice, once, rtol=1e-6, atol=1e-7)


def test_out_of_the_range_the_prior_is_infinite():
    """Without alpha psi is linear far out, and f is bounded."""
    network = ConvexNetwork(ICNN(beta=3.0, widths=(4, 4)), (1, 1, 1), 1.0)
    prior = network.prior(network.init(jax.random.key(0)))
    assert prior.value(jnp.full((1, 1, 1), 100.0)) == jnp.inf
    assert np.isfinite(prior.value(prior.denoise(jnp.full((1, 1, 1), 0.4))))


def test_training_derivatives_are_those_of_automatic_differentiation():
    """Reverse over forward against reverse over reverse."""
    network = NETWORKS["convolutional"]
    params, u = drawn(network), jnp.asarray(np.random.default_rng(0).standard_normal((3, 4, 4, 1)))
    loss = lambda f: lambda params, u: jnp.sum(jnp.sin(f(params, u)))  # noqa: E731
    fast = jax.grad(loss(network.apply), argnums=(0, 1))(params, u)
    slow = jax.grad(loss(lambda p, u: _gradient_of_psi(network, p, u)), argnums=(0, 1))(params, u)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10), fast, slow)


def test_training_keeps_inner_weights_from_being_negative():
    with jax.enable_x64(False):
        network = NETWORKS["dense"]
        optimizer = optax.chain(optax.adam(0.3), keep_nonnegative())
        objective = matching_objective(l2, 9, 9, 1.0, 1.0)
        step = jax.jit(make_step(network, optimizer, VE(0.5, 0.5001), objective, 0.5))
        state = init_state(jax.random.key(0), network, optimizer)
        for _ in range(4):
            state, _ = step(state, jnp.asarray(images(network.prior(state.ema), 8), jnp.float32), jax.random.key(1))
        for params in (state.params, state.ema):
            network.prior(params)  # refuses negative weights
            jax.tree.map(np.testing.assert_array_equal, nonnegative(params), params)
        inner = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state.params) if is_inner(path)]
        assert any(np.any(leaf == 0) for leaf in inner), "the projection had nothing to do"


def test_training_at_another_noise_is_refused():
    objective = matching_objective(l2, 9, 9, 1.0, 1.0)
    with pytest.raises(ValueError, match=r"noise of deviation 0.5 alone.*VE\(0.5, 0.5\)"):
        make_step(NETWORKS["dense"], optax.adam(0.1), VE(), objective, 0.5)
    make_step(NETWORKS["dense"], optax.adam(0.1), VE(0.5, 0.5), objective, 0.5)


def test_softplus_keeps_its_two_derivatives_far_from_zero():
    u = jnp.array([-80.0, -20.0, -1.0, 0.0, 1.0, 20.0, 80.0])
    slope, bend = jax.vmap(jax.grad(softplus)), jax.vmap(jax.grad(jax.grad(softplus)))
    np.testing.assert_allclose(softplus(u), np.logaddexp(u, 0), rtol=1e-6)
    np.testing.assert_allclose(slope(u), jax.vmap(jax.grad(jax.nn.softplus))(u), rtol=1e-6)
    np.testing.assert_allclose(bend(u), jax.nn.sigmoid(u) * jax.nn.sigmoid(-u), rtol=1e-6, atol=1e-30)


def test_the_convolutional_network_takes_other_sizes_and_says_which_not():
    network = NETWORKS["convolutional"]
    wide = dataclasses.replace(network, image_shape=(6, 8, 1)).prior(drawn(network))
    y = images(wide, 1)[0]
    np.testing.assert_allclose(jacobian(wide, y), jacobian(wide, y).T, atol=1e-10)
    with pytest.raises(ValueError, match="images are 5 x 4; the strides .* multiples of 2"):
        wide.denoise(jnp.zeros((5, 4, 1)))


def test_mistakes_are_said_in_words(prior):
    with pytest.raises(ValueError, match="lam = 0.5, and the prox of LPN is known up to 0.25: .*smaller lam"):
        prior.prox(images(prior, 1)[0], 0.5)
    assert np.all(np.isnan(jax.jit(prior.prox)(images(prior, 1)[0], 0.5)))
    with pytest.raises(ValueError, match="lam is the step of the prox, a number at least 0"):
        prior.prox(images(prior, 1)[0], -0.1)
    with pytest.raises(ValueError, match="sigma is the noise of the training, a number above 0"):
        ConvexNetwork(ICNN(), (1, 1, 1), 0.0)
    with pytest.raises(ValueError, match="relu has no curvature"):
        ConvexNetwork(Patched(ICNN(activation=jax.nn.relu), 2, 1), (4, 4, 1), 1.0)
    with pytest.raises(ValueError, match=r"takes one image of shape \(H, W, C\) = \(1, 3, 1\), and was given"):
        NETWORKS["dense"].prior(drawn(NETWORKS["dense"])).prox(jnp.zeros((1, 2, 1)), 0.1)
    with pytest.raises(ValueError, match=r"another H and W with 1 channels, and was given \(4, 4, 3\)"):
        NETWORKS["convolutional"].prior(drawn(NETWORKS["convolutional"])).denoise(jnp.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="alpha is the weight of .* at least 0"):
        ConvexNetwork(ICNN(alpha=-1.0), (1, 1, 1), 1.0)
    for activation, words in ((jax.nn.silu, "silu is not convex"), (jax.nn.relu, "relu has no curvature")):
        with pytest.raises(ValueError, match=words):
            ConvexNetwork(ICNN(activation=activation), (1, 1, 1), 1.0)
    with pytest.raises(ValueError, match="by 'clip'; ways are 'projection', 'softplus'"):
        ConvexNetwork(ICNN(way="clip"), (1, 1, 1), 1.0)


def test_patches_that_cover_equally_make_a_prox_and_others_do_not():
    """The Jacobian of the mean over periodic patches is symmetric; that of a mean by coverage is not."""
    inner = ConvICNN(beta=3.0, alpha=ALPHA, channels=3, strides=(1, 2))
    network = ConvexNetwork(Patched(inner, 4, 2), (6, 6, 1), 0.5)
    params = drawn(network)
    prior = network.prior(params)
    y = images(prior, 1, 2.0)[0]
    matrix = np.asarray(jacobian(prior, y))
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-10)
    assert np.linalg.eigvalsh(matrix).min() >= 2 * ALPHA - 1e-10
    other = ConvexNetwork(inner, (4, 4, 1), 0.5).prior(params["module"])

    def averaged(y):
        """Patches at distance 2 within the image, divided by how many cover a pixel."""
        places = [(i, j) for i in (0, 2) for j in (0, 2)]
        total, cover = jnp.zeros_like(y), jnp.zeros_like(y)
        for i, j in places:
            total = total.at[i : i + 4, j : j + 4].add(other.denoise(y[i : i + 4, j : j + 4]))
            cover = cover.at[i : i + 4, j : j + 4].add(1)
        return total / cover

    naive = np.asarray(jax.jit(jax.jacfwd(averaged))(y).reshape(36, 36))
    assert np.abs(naive - naive.T).max() > 1e-3
    with pytest.raises(ValueError, match="Patches of 4 at distances of 3 do not cover .* equally"):
        ConvexNetwork(Patched(inner, 4, 3), (6, 6, 1), 0.5).init(jax.random.key(0))
