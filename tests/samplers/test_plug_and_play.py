"""ADMM with a learned prior: its bound on rho, and a run that meets it."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convex_network import convex_network

from pgm_jax import operators
from pgm_jax.potentials import Box, Gaussian, GaussianLikelihood, Laplace, consensus
from pgm_jax.samplers import admm, plug_and_play_rows, run

MASK = operators.mask((1, 2, 1), jnp.array([1.0, 0.0]).reshape(1, 2, 1))
PRIOR = Gaussian(0.0, 1.0)
LIKELIHOOD = GaussianLikelihood(MASK, jnp.array([0.8, 0.0]).reshape(1, 2, 1), 2.0)  # of step limit 4


def test_below_the_bound_nothing_is_said_and_at_it_a_number():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = plug_and_play_rows(PRIOR, LIKELIHOOD, 3.9, 5)
    np.testing.assert_allclose(rows, np.full(5, 3.9), rtol=1e-6)
    with pytest.warns(UserWarning, match=r"where rho is above 0.25, and rho = 1 / lam = 0.125"):
        plug_and_play_rows(PRIOR, LIKELIHOOD, 8.0, 5)
    with pytest.warns(UserWarning, match="Gaussian has no `step_limit`: whether ADMM converges at rho"):
        plug_and_play_rows(PRIOR, Gaussian(0.0, 1.0), 1.0, 5)
    with pytest.raises(ValueError, match="lam is the step of ADMM, a number above 0"):
        plug_and_play_rows(PRIOR, LIKELIHOOD, 0.0, 5)
    with pytest.raises(
        ValueError, match="The step of ADMM is lam = 9.1, and the prox of LPN is known up to 9: take a smaller lam"
    ):
        plug_and_play_rows(convex_network(1.0), LIKELIHOOD, 9.1, 5)


def test_with_a_learned_proximal_network_it_ends_at_a_stationary_point():
    """grad f + grad g = 0 for the prior that is not convex, and the residual falls monotonically within the bound."""
    with jax.enable_x64(True):
        prior = convex_network(1.0)
        rows = plug_and_play_rows(prior, LIKELIHOOD, 2.0, 200)
        start = jnp.asarray(LIKELIHOOD.y, float)
        state, residuals = run(
            jax.random.key(0), admm(prior, LIKELIHOOD), start, rows, lambda state, info: info.residual
        )
        slope = LIKELIHOOD.grad(state.x) + prior.grad(state.x)
    assert np.abs(slope).max() < 1e-6
    falling = np.asarray(residuals)[2:190]
    assert np.all(np.diff(falling) < 0) and falling[-1] < 1e-3 * falling[0]


BLUR = operators.circular_blur((4, 4, 1), jnp.ones((3, 3)) / 9)
SEEN = GaussianLikelihood(BLUR, jax.random.normal(jax.random.key(0), (4, 4, 1)), 0.5)


def ended(prior, likelihood, start, lam=0.2):
    sampler, rows = admm(prior, likelihood), jnp.full(400, lam)
    go = jax.jit(lambda: run(jax.random.key(0), sampler, start, rows, lambda state, info: info.residual))
    state, residual = go()
    return np.asarray(state.x), np.asarray(residual)


@pytest.mark.parametrize("lam", [0.005, 0.2, 20.0])
def test_the_move_never_grows_for_convex_functions(lam):
    """From the second row on, as far as it is resolved, at a blur that measures some frequencies hardly at all."""
    with jax.enable_x64(True):
        sampler, rows = admm(Laplace(0.3), SEEN), jnp.full(100, lam)
        start = jnp.ones((4, 4, 1))
        moves = run(jax.random.key(0), sampler, start, rows, lambda state, info: info.move)[1]
    resolved = np.asarray(moves)[1:][np.asarray(moves)[1:] > 1e-10]
    assert len(resolved) > 8 and np.all(np.diff(resolved) <= 1e-13)


@pytest.mark.parametrize("exchanged", [False, True])
def test_both_orders_end_at_the_minimiser(exchanged):
    """With g = |x|^2 / (2 tau) that of (A^T A / s^2 + I / tau) x = A^T y / s^2, whatever the step."""
    with jax.enable_x64(True):
        parts = (SEEN, Gaussian(0.0, 2.0)) if exchanged else (Gaussian(0.0, 2.0), SEEN)
        for lam in (0.2, 1.0):
            x, residual = ended(*parts, jnp.ones((4, 4, 1)), lam)
            exact = SEEN.prox(jnp.zeros((4, 4, 1)), 4.0)  # Prox_f of step tau = 4 at 0
            np.testing.assert_allclose(x, exact, atol=1e-7)
            assert residual[-1] < 1e-6 < residual[0]


def test_several_priors_agree_on_the_minimiser_of_their_sum():
    """Two Gaussian priors of variance 4 are one of variance 2; with a box it is where a projected gradient rests."""
    with jax.enable_x64(True):
        start = jnp.zeros((2, 4, 4, 1))
        copies, residual = ended(*consensus(SEEN, Gaussian(0.0, 2.0), Gaussian(0.0, 2.0)), start)
        np.testing.assert_allclose(copies[0], copies[1], atol=1e-7)
        np.testing.assert_allclose(copies[0], SEEN.prox(jnp.zeros((4, 4, 1)), 2.0), atol=1e-7)
        assert residual[-1] < 1e-6
        boxed, _ = ended(*consensus(SEEN, Gaussian(0.0, 2.0), Box(-0.5, 0.5)), start)
        np.testing.assert_allclose(boxed[0], boxed[1], atol=1e-6)
        x = jnp.asarray(boxed[1])
        np.testing.assert_allclose(jnp.clip(x - 0.1 * (SEEN.grad(x) + x / 4), -0.5, 0.5), x, atol=1e-6)
        assert 0 < np.mean(np.abs(boxed[1]) < 0.5 - 1e-6) < 1


def test_the_parts_of_a_consensus_know_their_limits():
    prior, likelihood = consensus(LIKELIHOOD, convex_network(1.0), Gaussian(0.0, 1.0))
    assert prior.largest_step == 9.0 and float(likelihood.step_limit) == pytest.approx(2 * float(LIKELIHOOD.step_limit))
    v, start = jnp.ones((2, 1, 2, 1)), jnp.zeros((2, 1, 2, 1))
    np.testing.assert_allclose(likelihood.prox_from(v, 0.5, start), likelihood.prox(v, 0.5), rtol=1e-6)
    for shape in ((1, 2, 1), (3, 1, 2, 1)):
        with pytest.raises(ValueError, match="for 2 priors; start at a stack of as many copies"):
            prior.prox(jnp.zeros(shape), 0.5)
    with pytest.raises(ValueError, match="No prior was given"):
        consensus(LIKELIHOOD)
