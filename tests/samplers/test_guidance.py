"""What ProxT2I adds to proximal diffusion, written by a user: guidance of two proxes, and the density of a chain.

Source: a reconstruction from the abstract of ProxT2I (arXiv 2511.18742), whose code is not public.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.potentials import Gaussian, marginals
from pgm_jax.samplers import backward_rows, hybrid_rows, proxdm, sample
from pgm_jax.schedules import LinearVP
from pgm_jax.types import pytree

VP = LinearVP()
KEY = jax.random.key(5)


@pytree
class Guided:
    """Classifier-free guidance of proxes, `f_w = f + w (f_c - f)`."""

    free: Any
    given: Any
    weight: Any

    def at(self, t):
        return Guided(self.free.at(t), self.given.at(t), self.weight)

    def prox(self, v, lam):
        free = self.free.prox(v, lam)
        return free + self.weight * (self.given.prox(v, lam) - free)


def guided(weight):
    """Two Gaussians of one variance, of means 0.2 and 0.5."""
    return Guided(marginals(Gaussian(0.2, 0.3), VP), marginals(Gaussian(0.5, 0.3), VP), weight)


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_guidance_of_equal_gaussians_is_the_prox_of_a_third(weight):
    """At the mean 0.2 + 0.3 w, by the whole chain: w = 0 and w = 1 are the two themselves."""
    exact = marginals(Gaussian(0.2 + 0.3 * weight, 0.3), VP)
    with jax.enable_x64(True):
        chains = [sample(KEY, proxdm(prior), jnp.zeros(2), hybrid_rows(VP, 6), 4) for prior in (guided(weight), exact)]
        np.testing.assert_allclose(*chains, rtol=1e-10)


def test_a_short_step_of_guidance_is_that_of_guided_scores():
    """`(f_w(y) - y) / lam` tends to `s + w (s_c - s)`."""
    with jax.enable_x64(True):
        y, t, lam = jnp.array([0.7, -1.1]), 0.3, 1e-7
        prior = guided(3.0)
        free, given = (-each.at(t).grad(y) for each in (prior.free, prior.given))
        np.testing.assert_allclose((prior.at(t).prox(y, lam) - y) / lam, free + 3 * (given - free), rtol=1e-5)


def log_density(prior, rows, start, ys):
    """Of the points y that the proxes of a chain are taken at: `y_i | y_(i-1) ~ N(gain_i f(y_(i-1)), noise_i^2)`."""
    total, x = 0.0, start
    for y, row in zip(ys, (jax.tree.map(lambda leaf, i=i: leaf[i], rows) for i in range(len(ys))), strict=True):
        total += jnp.sum(jax.scipy.stats.norm.logpdf(y, row.gain * x, row.noise))
        x = prior.at(row.time).prox(y, row.lam)
    return total


@pytest.mark.parametrize("grid", [hybrid_rows, backward_rows])
def test_the_points_of_a_chain_have_a_gaussian_density(grid):
    """Against the joint Gaussian of all points, whose proxes are linear."""
    with jax.enable_x64(True):
        rows, start, prior = grid(VP, 12), jnp.array(0.4), marginals(Gaussian(0.5, 0.3), VP)
        ys = jnp.linspace(-1.0, 1.0, 12)
        slope, offset = [], []
        for i in range(12):
            at_zero, at_one = (float(prior.at(rows.time[i]).prox(jnp.array(v), rows.lam[i])) for v in (0.0, 1.0))
            slope.append(at_one - at_zero)
            offset.append(at_zero)
        gain, noise = np.asarray(rows.gain), np.asarray(rows.noise)
        chain = np.linalg.inv(np.eye(12) - np.diag(gain[1:] * slope[:-1], -1))
        mean = chain @ (gain * np.array([0.4, *offset[:-1]]))
        exact = jax.scipy.stats.multivariate_normal.logpdf(ys, mean, chain @ np.diag(noise**2) @ chain.T)
        np.testing.assert_allclose(log_density(prior, rows, start, ys), exact, rtol=1e-8)


def test_the_first_step_of_a_reward_is_the_policy_gradient():
    """The clipped ratio of GRPO at the weights that drew the chains: ratio 1, advantages of mean 0."""
    with jax.enable_x64(True):
        rows, many = hybrid_rows(VP, 3), jax.random.normal(KEY, (6, 3))
        rewards = jnp.sin(jnp.arange(6.0))
        advantage = (rewards - rewards.mean()) / rewards.std()

        def densities(weight):
            return jax.vmap(lambda ys: log_density(guided(weight), rows, 0.0, ys))(many)

        drawn = densities(1.5)

        def clipped(weight):
            ratio = jnp.exp(densities(weight) - drawn)
            return jnp.mean(jnp.minimum(ratio * advantage, jnp.clip(ratio, 0.8, 1.2) * advantage))

        value, gradient = jax.value_and_grad(clipped)(1.5)
        assert abs(value) < 1e-12 and abs(gradient) > 1e-3
        policy = jax.grad(lambda weight: jnp.mean(densities(weight) * advantage))(1.5)
        np.testing.assert_allclose(gradient, policy, rtol=1e-9)
