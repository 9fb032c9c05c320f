"""One step: its levels, its random numbers, its average, its scalars; an affine network."""

import dataclasses
import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats
from toy_training import Affine

from pgm_jax.networks import Preconditioned
from pgm_jax.schedules import VE
from pgm_jax.training.draws import Seen, stratified_times
from pgm_jax.training.losses import l2, matching_objective
from pgm_jax.training.step import init_state, make_step

pytestmark = pytest.mark.usefixtures("quick_keys")

SHAPE = (4, 4, 1)
NETWORK = Preconditioned(Affine(), SHAPE)
OPTIMIZER = optax.adam(1e-2)
IMAGES = np.random.default_rng(1).uniform(-1.0, 1.0, (6, *SHAPE)).astype(np.float32)
KEY = jax.random.key(2, impl="unsafe_rbg")
DECAY = 0.15  # the average reaches it at the second step
SQUARES = matching_objective(l2, 10, 10, 1.0, 1.0)


@functools.cache
def stepper(objective=SQUARES):
    return jax.jit(make_step(NETWORK, OPTIMIZER, VE(), objective, DECAY))


@pytest.fixture(scope="module")
def start():
    return jax.jit(lambda key: init_state(key, NETWORK, OPTIMIZER))(jax.random.key(0))


@pytest.fixture(scope="module")
def times():
    keys = jax.random.split(jax.random.key(0), 4000)
    return np.asarray(jax.jit(jax.vmap(lambda key: stratified_times(key, 16)))(keys), np.float64)


def test_each_stratum_has_one_time(times):
    assert times.min() >= 0.0 and times.max() < 1.0
    shifted = (times - times[:, :1]) % (1 / 16)
    np.testing.assert_allclose(np.minimum(shifted, 1 / 16 - shifted), 0.0, atol=1e-6)
    places = np.sort(np.round((times - times.min(axis=1, keepdims=True)) * 16))
    np.testing.assert_array_equal(places, np.broadcast_to(np.arange(16), places.shape))


def test_each_time_is_uniform(times):
    for column in times.T[:8]:
        assert stats.kstest(column, "uniform").pvalue > 1e-3


def test_the_average_warms_up_to_its_decay(start):
    state = start
    for decay in (0.1, DECAY, DECAY):
        before, (state, _) = state, stepper()(state, IMAGES, KEY)
        expected = jax.tree.map(lambda a, p, d=decay: d * np.asarray(a) + (1 - d) * p, before.ema, state.params)
        chex.assert_trees_all_close(state.ema, expected, rtol=1e-6)


def test_many_steps_are_one_program(start):
    state, before = start, stepper()._cache_size()
    for _ in range(5):
        state, _ = stepper()(state, IMAGES, KEY)
    assert stepper()._cache_size() <= max(before, 1) and state.step == 5


def test_a_step_depends_on_its_number_and_key_alone(start):
    step = stepper()
    one, _ = step(start, IMAGES, KEY)
    again, _ = step(start, IMAGES, KEY)
    chex.assert_trees_all_equal(one, again)
    _, other_key = step(start, IMAGES, jax.random.key(3))
    _, other_step = step(dataclasses.replace(start, step=jnp.int32(7)), IMAGES, KEY)
    _, same = step(start, IMAGES, KEY)
    assert len({float(scalars["loss"]) for scalars in (other_key, other_step, same)}) == 3


def test_the_scalars_are_those_of_the_definition(start):
    state, scalars = stepper()(start, IMAGES, KEY)

    def expected(params):
        key_time, key_noise = jax.random.split(jax.random.fold_in(KEY, 0))
        lam = jnp.stack([VE().lam(t) for t in stratified_times(key_time, len(IMAGES))])[:, None, None, None]
        u = IMAGES + jnp.sqrt(lam) * jax.random.normal(key_noise, IMAGES.shape)
        residual = (NETWORK.apply(params, u, lam.ravel()) - IMAGES) / (0.5 * jnp.sqrt(lam / (0.25 + lam)))
        return jnp.mean(residual**2)

    value, gradient = jax.jit(jax.value_and_grad(expected))(start.params)
    norm = lambda tree: np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(tree)))  # noqa: E731
    np.testing.assert_allclose(scalars["loss"], value, rtol=1e-4)
    np.testing.assert_allclose(scalars["mse"], value, rtol=1e-4)
    np.testing.assert_allclose(scalars["grad_norm"], norm(gradient), rtol=1e-3)
    np.testing.assert_allclose(scalars["param_norm"], norm(state.params), rtol=1e-6)
    assert scalars["weight"] == 1.0 and scalars["dead"] == 0.0


def test_dead_examples_are_counted(start):
    step = stepper(matching_objective(l2, 0, 11, 100.0, 0.1))
    assert step(start, IMAGES, KEY)[1]["dead"] == 0.0  # zeta = 100
    _, scalars = step(dataclasses.replace(start, step=jnp.int32(10)), IMAGES, KEY)  # zeta = 0.1
    assert scalars["dead"] == 1.0 and scalars["grad_norm"] < 1e-6
    np.testing.assert_allclose(scalars["loss"], 0.01, rtol=1e-5)


def test_training_finds_the_prox_of_a_gaussian():
    """Data of N(m, s^2) want no correction: the affine network learns to say what the preconditioning left out."""
    network = Preconditioned(Affine(), SHAPE, mean=0.0, std=0.4)
    step = make_step(network, optax.adam(3e-2), VE(0.1, 1.0), SQUARES, 0.99)

    def body(state, key):
        images = 0.4 * jax.random.normal(key, (64, *SHAPE))
        return step(state, images, KEY)

    u = np.linspace(-2.0, 2.0, 16, dtype=np.float32).reshape(1, *SHAPE)

    @jax.jit
    def trained(key, u):
        state, _ = jax.lax.scan(body, init_state(key, network, optax.adam(3e-2)), jax.random.split(KEY, 300))
        return network.apply(state.ema, u, jnp.ones(1))

    np.testing.assert_allclose(trained(jax.random.key(0), u), 0.16 / 1.16 * u, atol=0.03)


class Drawn(NamedTuple):
    """The same point, level and targets at every step."""

    target: Any
    variance: Any = 0.0

    def draw(self, key, images):
        return Seen(jnp.asarray(IMAGES), (jnp.full(len(IMAGES), 0.3),), self.target, self.variance)


def test_the_loss_of_several_targets_is_the_mean_of_theirs(start):
    targets = jnp.asarray(np.stack([IMAGES, -IMAGES, 0.5 * IMAGES]))
    many, *each = (
        make_step(NETWORK, OPTIMIZER, Drawn(target), SQUARES, DECAY)(start, jnp.asarray(IMAGES), KEY)[1]["loss"]
        for target in (targets, *targets)
    )
    np.testing.assert_allclose(many, np.mean(each), rtol=1e-5)
    with pytest.raises(ValueError, match=r"The targets have the shape .4, 6, 4, 1., the estimates .6, 4, 4, 1."):
        make_step(NETWORK, OPTIMIZER, Drawn(jnp.zeros((4, 6, 4, 1))), SQUARES, DECAY)(start, jnp.asarray(IMAGES), KEY)


def test_the_variance_around_a_target_is_in_units_of_the_residual(start):
    """One for each example and all of its targets, against the objective by hand."""
    targets, variance = jnp.asarray(np.stack([IMAGES, 0.5 * IMAGES])), jnp.linspace(0.0, 5.0, 6)
    objective = matching_objective(l2, 0, 1, 0.7, 0.7)
    step = make_step(NETWORK, OPTIMIZER, Drawn(targets, variance), objective, DECAY)
    unit = np.sqrt(NETWORK.std**2 * 0.3 / (NETWORK.std**2 + 0.3))
    estimate = NETWORK.apply(start.params, jnp.asarray(IMAGES), jnp.full(6, 0.3))
    expected = [
        objective((estimate[i] - target[i]) / unit, 0, variance[i] / unit**2)[0] for target in targets for i in range(6)
    ]
    np.testing.assert_allclose(step(start, jnp.asarray(IMAGES), KEY)[1]["loss"], np.mean(expected), rtol=1e-4)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (l2, "this one fails: .*positional argument"),
        (lambda residual, step, variance: jnp.mean(residual**2), r"returns the shapes \(\)"),
        (lambda residual, step, variance: (residual**2, 1.0), r"returns the shapes \(\(4, 4, 1\), \(\)\)"),
    ],
)
def test_an_objective_that_is_none_is_refused(objective, words):
    with pytest.raises(
        TypeError, match=f"to .loss, weight., two numbers, and .*{words}.*`matching_objective` makes one"
    ):
        make_step(NETWORK, OPTIMIZER, VE(), objective, DECAY)


def test_the_decay_of_an_average_is_below_one():
    with pytest.raises(ValueError, match=r"ema_decay is 1.0"):
        make_step(NETWORK, OPTIMIZER, VE(), SQUARES, 1.0)
