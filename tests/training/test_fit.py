"""Training in memory: the step of the other road, scanned; a prior that is known, and settings that are refused."""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_training import Affine

from pgm_jax.networks import ICNN, MLP, ConvexNetwork, Preconditioned, ProxNet
from pgm_jax.schedules import VE
from pgm_jax.training import fit
from pgm_jax.training.losses import l2, matching_objective
from pgm_jax.training.step import init_state, make_step

KEY = jax.random.key(3)
QUICK_KEY = jax.random.key(3, impl="unsafe_rbg")  # its generator compiles faster
NETWORK = Preconditioned(Affine(), (1, 1, 1), std=0.4)
OPTIMIZER = optax.adam(3e-2)
EXAMPLES = jnp.asarray(0.4 * np.random.default_rng(0).standard_normal((50, 1, 1, 1), np.float32))
traces = []


def squares(residual, step, variance):
    traces.append(residual)
    return matching_objective(l2, 300, 300, 1.0, 1.0)(residual, step, variance)


def fitted(key=KEY, examples=EXAMPLES, schedule=None, **changes: Any):
    settings: dict[str, Any] = dict(
        network=NETWORK, objective=squares, optimizer=OPTIMIZER, steps=3, batch_size=4, ema_decay=0.9
    )
    settings |= changes
    return fit(key, examples=examples, schedule=VE(0.1, 1.0) if schedule is None else schedule, **settings)


def test_it_is_the_training_step_in_a_loop():
    prior, history = fitted()
    key_params, key_batches, key_run = jax.random.split(KEY, 3)
    state, losses = jax.jit(lambda key: init_state(key, NETWORK, OPTIMIZER))(key_params), []
    step = jax.jit(make_step(NETWORK, OPTIMIZER, VE(0.1, 1.0), squares, 0.9))
    draw = jax.jit(lambda i: jax.random.randint(jax.random.fold_in(key_batches, i), (4,), 0, 50))
    for i in range(3):
        state, scalars = step(state, np.asarray(EXAMPLES)[np.asarray(draw(i))], key_run)
        losses.append(scalars["loss"])
    chex.assert_trees_all_close(prior.params, state.ema, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-4)
    assert isinstance(prior, ProxNet) and prior.network == NETWORK
    assert all(scalar.shape == (3,) for scalar in history.values())


def test_the_same_key_is_the_same_prior_and_another_is_another():
    one, again, other = (fitted(key)[0].params for key in (KEY, KEY, jax.random.key(4)))
    chex.assert_trees_all_equal(one, again)
    assert not np.allclose(jax.tree.leaves(one)[1], jax.tree.leaves(other)[1])


def test_other_keys_examples_and_levels_are_one_program():
    fitted()
    before = len(traces)
    fitted(jax.random.key(9), jnp.asarray(np.asarray(EXAMPLES) + 1), VE(0.2, 3.0))
    fitted(network=dataclasses.replace(NETWORK))
    assert 0 < before == len(traces)


def test_a_small_net_learns_the_mean_of_two_points():
    """Examples at -1 and 1: the mean given u is tanh(u) at lam = 1, which no Gaussian has."""
    steps = 600
    network = Preconditioned(MLP(width=16, blocks=1, embedding=8), (1, 1, 1), std=1.0)
    prior, history = fitted(
        QUICK_KEY,
        examples=jnp.asarray(np.array([-1.0, 1.0], np.float32).reshape(2, 1, 1, 1)),
        schedule=VE(0.7, 1.5),
        network=network,
        objective=matching_objective(l2, steps, steps, 1.0, 1.0),
        optimizer=optax.adam(optax.schedules.cosine_decay_schedule(1e-2, steps)),
        steps=steps,
        batch_size=128,
    )
    u = np.linspace(-2.0, 2.0, 9, dtype=np.float32)
    learned = jax.jit(network.apply)(prior.params, u.reshape(9, 1, 1, 1), np.ones(9, np.float32))
    np.testing.assert_allclose(np.ravel(learned), np.tanh(u), atol=0.05)
    assert np.mean(np.asarray(history["mse"])[-100:]) < np.mean(np.asarray(history["mse"])[:20])
    assert np.all(np.asarray(history["weight"]) == 1.0) and not np.any(history["dead"])


def test_examples_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(50, 1, 1, 2\); the network takes \[N, 1, 1, 1\]"):
        fitted(examples=jnp.zeros((50, 1, 1, 2)))
    with pytest.raises(ValueError, match=r"N at least 1"):
        fitted(examples=jnp.zeros((0, 1, 1, 1)))


def test_levels_that_are_not_those_of_the_network_are_refused():
    with pytest.raises(ValueError, match=r"deviation 0.3 alone, and the levels are others; give VE\(0.3, 0.3\)"):
        fitted(network=ConvexNetwork(ICNN(), (1, 1, 1), 0.3))


def test_the_key_is_a_key_and_may_be_an_old_one():
    with pytest.raises(TypeError, match="key"):
        fitted(key=3)
    old, new = (fitted(key=key)[0].params for key in (jax.random.PRNGKey(3), KEY))
    chex.assert_trees_all_equal(old, new)


def test_no_step_makes_a_nan_on_its_way():
    with jax.debug_nans(True):
        fitted(QUICK_KEY, objective=matching_objective(l2, 1, 3, 1.0, 0.1), schedule=VE(1e-3, 10.0))


@pytest.mark.parametrize(
    ("nothing", "words"),
    [(dict(steps=0), "0 steps of 4 images.*at least 1"), (dict(batch_size=0), "3 steps of 0 images.*at least 1")],
)
def test_nothing_to_do_is_refused(nothing: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        fitted(**nothing)
