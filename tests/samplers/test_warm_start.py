"""Data steps that iterate go on, in an optimiser, from the image of the row before."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from pgm_jax.noise import GaussianNoise, measure
from pgm_jax.operators import Solver, radon
from pgm_jax.operators.phantom import shepp_logan
from pgm_jax.potentials import GaussianLikelihood, TotalVariation
from pgm_jax.samplers import admm, run

TRUTH = shepp_logan(16)
OPERATOR = radon(TRUTH.shape, jnp.linspace(0.0, 180.0, 8, endpoint=False))
PRIOR = TotalVariation(3.0, iterations=30)
EXACT = GaussianLikelihood(OPERATOR, measure(jax.random.key(0), OPERATOR, TRUTH, GaussianNoise(0.2)), 0.2)


@jax.jit
def objective_after(likelihood):
    state, _ = run(jax.random.key(0), admm(PRIOR, likelihood), jnp.zeros(TRUTH.shape), jnp.full(150, 5e-3))
    return EXACT.value(state.x) + PRIOR.value(state.x)


def test_two_iterations_a_row_reach_what_all_would():
    few = dataclasses.replace(EXACT, solver=Solver(iterations=2))
    np.testing.assert_allclose(objective_after(few), objective_after(EXACT), rtol=1e-4)


def test_a_loose_tolerance_leaves_nothing_of_what_is_not_seen():
    """The step starts in the range of the adjoint: what A does not see takes the steps of exact data steps."""
    few = dataclasses.replace(EXACT, solver=Solver(1e-2, 8))
    np.testing.assert_allclose(objective_after(few), objective_after(EXACT), rtol=2e-3)


def test_started_at_the_answer_nothing_is_left_to_do():
    v, lam = np.zeros(TRUTH.shape, np.float32), 0.01
    answer = prox(EXACT, v, lam)
    none = dataclasses.replace(EXACT, solver=Solver(iterations=0))
    np.testing.assert_array_equal(prox_from(none, v, lam, answer), answer)
    np.testing.assert_array_equal(prox(none, v, lam), v)


prox = jax.jit(lambda f, v, lam: f.prox(v, lam))
prox_from = jax.jit(lambda f, v, lam, x: f.prox_from(v, lam, x))
