"""ADMM with a learned prior: its bound on rho, and a run that meets it."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convex_network import convex_network

from pgm_jax import operators
from pgm_jax.potentials import Gaussian, GaussianLikelihood
from pgm_jax.samplers import admm, plug_and_play_rows, run

MASK = operators.mask((1, 2, 1), jnp.array([1.0, 0.0]).reshape(1, 2, 1))
LIKELIHOOD = GaussianLikelihood(MASK, jnp.array([0.8, 0.0]).reshape(1, 2, 1), 2.0)  # of step limit 4


def test_below_the_bound_nothing_is_said_and_at_it_a_number():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = plug_and_play_rows(LIKELIHOOD, 3.9, 5)
    np.testing.assert_allclose(rows, np.full(5, 3.9), rtol=1e-6)
    with pytest.warns(UserWarning, match=r"where rho is above 0.25, and rho = 1 / lam = 0.125"):
        plug_and_play_rows(LIKELIHOOD, 8.0, 5)
    with pytest.warns(UserWarning, match="Gaussian has no `step_limit`: whether ADMM converges at rho"):
        plug_and_play_rows(Gaussian(0.0, 1.0), 1.0, 5)
    with pytest.raises(ValueError, match="lam is the step of ADMM, a number above 0"):
        plug_and_play_rows(LIKELIHOOD, 0.0, 5)


def test_with_a_learned_proximal_network_it_ends_at_a_stationary_point():
    """grad f + grad g = 0 for the prior that is not convex, and the residual falls monotonically within the bound."""
    with jax.enable_x64(True):
        prior = convex_network(1.0)
        rows = plug_and_play_rows(LIKELIHOOD, 2.0, 200)
        start = jnp.asarray(LIKELIHOOD.y, float)
        state, residuals = run(
            jax.random.key(0), admm(prior, LIKELIHOOD), start, rows, lambda state, info: info.residual
        )
        slope = LIKELIHOOD.grad(state.x) + prior.grad(state.x)
    assert np.abs(slope).max() < 1e-6
    falling = np.asarray(residuals)[2:190]
    assert np.all(np.diff(falling) < 0) and falling[-1] < 1e-3 * falling[0]
