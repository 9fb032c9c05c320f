"""One step: its levels, its random numbers, its average, its scalars; an affine network."""

import dataclasses

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
from pgm_jax.training.losses import l2, matching_objective
from pgm_jax.training.step import _stratified_times, init_state, make_step

SHAPE = (4, 4, 1)
NETWORK = Preconditioned(Affine(), SHAPE)
OPTIMIZER = optax.adam(1e-2)
IMAGES = jax.random.uniform(jax.random.key(1), (6, *SHAPE), minval=-1.0)
KEY = jax.random.key(2)


SQUARES = matching_objective(l2, 10, 10, 1.0, 1.0)


def stepper(objective=SQUARES, ema_decay=0.999):
    return jax.jit(make_step(NETWORK, OPTIMIZER, VE(), objective, ema_decay))


@pytest.fixture(scope="module")
def start():
    return init_state(jax.random.key(0), NETWORK, OPTIMIZER)


def test_each_stratum_has_one_time():
    for seed in range(20):
        times = np.asarray(_stratified_times(jax.random.key(seed), 16), np.float64)
        assert times.min() >= 0.0 and times.max() < 1.0
        shifted = np.sort((times - times[0]) % 1.0)
        np.testing.assert_allclose(np.minimum(shifted % (1 / 16), 1 / 16 - shifted % (1 / 16)), 0.0, atol=1e-6)
        np.testing.assert_array_equal(np.sort(np.round((times - times.min()) * 16)), np.arange(16))


def test_each_time_is_uniform():
    times = jax.vmap(lambda key: _stratified_times(key, 8))(jax.random.split(jax.random.key(0), 4000))
    for i in range(8):
        assert stats.kstest(np.asarray(times[:, i]), "uniform").pvalue > 1e-3


def test_the_average_warms_up(start):
    take, state = stepper(), start
    for step in range(3):
        before, (state, _) = state, take(state, IMAGES, KEY)
        decay = min(0.999, (1 + step) / (10 + step))
        expected = jax.tree.map(lambda a, p, d=decay: d * a + (1 - d) * p, before.ema, state.params)
        chex.assert_trees_all_close(state.ema, expected, rtol=1e-6)
    after, _ = stepper(ema_decay=0.05)(start, IMAGES, KEY)
    expected = jax.tree.map(lambda a, p: 0.05 * a + 0.95 * p, start.ema, after.params)
    chex.assert_trees_all_close(after.ema, expected, rtol=1e-6)


def test_many_steps_are_one_program(start):
    step, state = stepper(), start
    for _ in range(5):
        state, _ = step(state, IMAGES, KEY)
    assert step._cache_size() == 1 and state.step == 5


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
    key_time, key_noise = jax.random.split(jax.random.fold_in(KEY, 0))
    lam = np.array([float(VE().lam(t)) for t in _stratified_times(key_time, len(IMAGES))])
    u = IMAGES + np.sqrt(lam)[:, None, None, None] * jax.random.normal(key_noise, IMAGES.shape)
    c_out = 0.5 * np.sqrt(lam / (0.25 + lam))

    def loss(params):
        return jnp.mean(((NETWORK.apply(params, u, jnp.float32(lam)) - IMAGES) / c_out[:, None, None, None]) ** 2)

    value, gradient = jax.value_and_grad(loss)(start.params)
    np.testing.assert_allclose(scalars["loss"], value, rtol=1e-4)
    np.testing.assert_allclose(scalars["mse"], value, rtol=1e-4)
    np.testing.assert_allclose(scalars["grad_norm"], optax.tree.norm(gradient), rtol=1e-3)
    np.testing.assert_allclose(scalars["param_norm"], optax.tree.norm(state.params), rtol=1e-6)
    assert scalars["weight"] == 1.0 and scalars["dead"] == 0.0


def test_dead_examples_are_counted(start):
    wide, narrow = (stepper(matching_objective(l2, 0, 10, zeta, zeta)) for zeta in (100.0, 0.1))
    assert wide(start, IMAGES, KEY)[1]["dead"] == 0.0
    after, scalars = narrow(start, IMAGES, KEY)
    assert scalars["dead"] == 1.0 and scalars["grad_norm"] < 1e-6
    np.testing.assert_allclose(scalars["loss"], 0.01, rtol=1e-5)


def test_training_finds_the_prox_of_a_gaussian():
    """Data of N(m, s^2) want no correction: the affine network learns to say what the preconditioning left out."""
    network = Preconditioned(Affine(), SHAPE, mean=0.0, std=0.4)
    step = make_step(network, optax.adam(3e-2), VE(0.1, 1.0), SQUARES, 0.99)

    def body(state, key):
        images = 0.4 * jax.random.normal(key, (64, *SHAPE))
        return step(state, images, KEY)

    state = init_state(jax.random.key(0), network, optax.adam(3e-2))
    state, _ = jax.jit(lambda s: jax.lax.scan(body, s, jax.random.split(KEY, 300)))(state)
    u = jnp.linspace(-2.0, 2.0, 16).reshape(1, *SHAPE)
    np.testing.assert_allclose(network.apply(state.ema, u, jnp.ones(1)), 0.16 / 1.16 * u, atol=0.03)


def test_the_decay_of_an_average_is_below_one():
    with pytest.raises(ValueError, match=r"ema_decay is 1.0"):
        make_step(NETWORK, OPTIMIZER, VE(), SQUARES, 1.0)
