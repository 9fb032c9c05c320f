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

from pgm_jax.networks import MLP, Preconditioned, ProxNet
from pgm_jax.schedules import VE
from pgm_jax.training import fit
from pgm_jax.training.losses import l2, matching_objective
from pgm_jax.training.step import init_state, make_step

KEY = jax.random.key(3)
NETWORK = Preconditioned(Affine(), (1, 1, 1), std=0.4)
OPTIMIZER = optax.adam(3e-2)
SQUARES = matching_objective(l2, 300, 300, 1.0, 1.0)
EXAMPLES = 0.4 * jax.random.normal(jax.random.key(0), (50, 1, 1, 1))


def fitted(key=KEY, examples=EXAMPLES, schedule=None, **changes: Any):
    settings: dict[str, Any] = dict(
        network=NETWORK, objective=SQUARES, optimizer=OPTIMIZER, steps=3, batch_size=4, ema_decay=0.9
    )
    settings |= changes
    return fit(key, examples=examples, schedule=VE(0.1, 1.0) if schedule is None else schedule, **settings)


def test_it_is_the_training_step_in_a_loop():
    prior, history = fitted()
    key_params, key_batches, key_run = jax.random.split(KEY, 3)
    state, losses = init_state(key_params, NETWORK, OPTIMIZER), []
    step = jax.jit(make_step(NETWORK, OPTIMIZER, VE(0.1, 1.0), SQUARES, 0.9))
    for i in range(3):
        rows = jax.random.randint(jax.random.fold_in(key_batches, i), (4,), 0, 50)
        state, scalars = step(state, EXAMPLES[rows], key_run)
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
    traces = 0

    def counted(residual, step):
        nonlocal traces
        traces += 1
        return SQUARES(residual, step)

    fitted(objective=counted)
    before = traces
    fitted(jax.random.key(9), 2.0 * EXAMPLES, VE(0.2, 3.0), objective=counted)
    fitted(network=dataclasses.replace(NETWORK), objective=counted)
    assert before > 0 and traces == before


def test_a_small_net_learns_the_mean_of_two_points():
    """Examples at -1 and 1: the mean given u is tanh(u / lam), which no Gaussian has."""
    steps = 600
    network = Preconditioned(MLP(width=16, blocks=1, embedding=8), (1, 1, 1), std=1.0)
    prior, history = fitted(
        examples=jnp.asarray([-1.0, 1.0]).reshape(2, 1, 1, 1),
        schedule=VE(0.7, 1.5),
        network=network,
        objective=matching_objective(l2, steps, steps, 1.0, 1.0),
        optimizer=optax.adam(optax.schedules.cosine_decay_schedule(1e-2, steps)),
        steps=steps,
        batch_size=128,
    )
    u, lam = jnp.linspace(-2.0, 2.0, 9), 1.0
    learned = network.apply(prior.params, u.reshape(9, 1, 1, 1), jnp.full(9, lam)).ravel()
    np.testing.assert_allclose(learned, np.tanh(u / lam), atol=0.05)
    assert np.mean(history["mse"][-100:]) < np.mean(history["mse"][:20])
    assert np.all(history["weight"] == 1.0) and np.all(history["dead"] == 0.0)


def test_examples_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(50, 1, 1, 2\); the network takes \[N, 1, 1, 1\]"):
        fitted(examples=jnp.zeros((50, 1, 1, 2)))
    with pytest.raises(ValueError, match=r"N at least 1"):
        fitted(examples=jnp.zeros((0, 1, 1, 1)))


def test_the_key_is_a_key_and_may_be_an_old_one():
    with pytest.raises(TypeError, match="key"):
        fitted(key=3)
    old, new = (fitted(key=key)[0].params for key in (jax.random.PRNGKey(3), KEY))
    chex.assert_trees_all_equal(old, new)


def test_no_step_makes_a_nan_on_its_way():
    with jax.debug_nans(True):
        fitted(objective=matching_objective(l2, 1, 3, 1.0, 0.1), schedule=VE(1e-3, 10.0))


@pytest.mark.parametrize("nothing", [dict(steps=0), dict(batch_size=0)])
def test_nothing_to_do_is_refused(nothing: dict[str, Any]):
    with pytest.raises(ValueError, match=r"were asked for; give at least 1 of both"):
        fitted(**nothing)
