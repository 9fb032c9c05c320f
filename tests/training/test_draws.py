"""What a training step sees: levels, and the pairs (t, lam) of the steps of ProxDM."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from convex_network import convex_network

from pgm_jax.networks import ICNN, MLP, ConvexNetwork, DenoiserForm, Preconditioned, TimedNetwork
from pgm_jax.potentials import Gaussian
from pgm_jax.samplers import backward_rows, hybrid_rows
from pgm_jax.schedules import VE, LinearVP
from pgm_jax.training import fit
from pgm_jax.training.convexity import keep_nonnegative
from pgm_jax.training.draws import LevelDraws, inverse_draws, step_draws
from pgm_jax.training.losses import l2, matching_objective
from pgm_jax.training.step import make_step

VP = LinearVP()
KEY = jax.random.key(0)
SIX, FOUR = (5, 10, 20, 50, 100, 1000), (20, 50, 100, 1000)


@pytest.mark.parametrize(
    ("counts", "rule", "expected"),
    [
        (SIX, "log", (0.072, 0.103, 0.134, 0.175, 0.206, 0.309)),
        (SIX, 3, (0.069, 0.087, 0.109, 0.148, 0.186, 0.402)),
        (FOUR, "log", (0.163, 0.212, 0.250, 0.375)),
        (FOUR, "uniform", (0.25,) * 4),
        (FOUR, (1, 0, 0, 3), (0.25, 0, 0, 0.75)),
    ],
)
def test_weights_are_those_published(counts, rule, expected):
    np.testing.assert_allclose(step_draws(VP, counts, rule).weights, expected, atol=6e-4)


@pytest.mark.parametrize("backward", [False, True])
def test_every_pair_is_a_step_of_the_sampler(backward):
    """Exactly the nodes and the lam of the rows, each about as often as the other steps of its count."""
    counts = (10, 25)
    t, lam = map(np.asarray, step_draws(VP, counts, "uniform", backward=backward).pairs(KEY, 4000))
    rows = [(backward_rows if backward else hybrid_rows)(VP, count) for count in counts]
    wanted = {(round(float(a), 4), float(b)) for each in rows for a, b in zip(each.time, each.lam, strict=True)}
    for a, b in zip(t[:400], lam[:400], strict=True):
        assert any(abs(a - c) < 1e-4 and abs(b / d - 1) < 2e-3 for c, d in wanted), (a, b)
    assert len(np.unique(np.round(t, 4))) == 10 + 25 - 5  # the nodes k / 5 are on both grids
    alone = np.abs(t - 0.04) < 1e-3
    assert abs(alone.mean() - 0.5 / 25) < 4 * np.sqrt(0.02 / 4000)


def test_continuous_times_fill_what_the_step_leaves():
    t, lam = map(np.asarray, step_draws(VP, (10,), continuous=True).pairs(KEY, 5000))
    assert t.min() < 1e-3 and 0.899 < t.max() <= 0.9 + 1e-6
    own = [np.log1p(VP.lam(jnp.asarray(times))) for times in (t + 0.1, t)]
    np.testing.assert_allclose(lam, own[0] - own[1], rtol=1e-3)


def test_points_and_targets_have_the_moments_of_the_process():
    """y and x_t given both: by z-scores of means, variances and the covariance at one count, and by the regression."""
    images = jnp.full((60_000, 1, 1, 1), 0.8)
    seen = step_draws(VP, (2,)).draw(KEY, images)
    point, target, (t, lam) = np.ravel(seen.point), np.ravel(seen.target), map(np.asarray, seen.conditions)
    for time in (0.0, 0.5):
        at = np.abs(t - time) < 1e-3
        mu, variance, step = float(VP.mu(time)), float(VP.sigma(time)) ** 2, lam[at].mean()
        noise, total = (point - 0.8 * mu)[at], variance + step
        assert abs(noise.mean()) < 4 * np.sqrt(total / at.sum())
        assert abs(noise.var() / total - 1) < 4 * np.sqrt(2 / at.sum())
        # Of the joint Gaussian of x_t and y: Cov(x_t, y) = variance, Var(y) = total.
        np.testing.assert_allclose((target - 0.8 * mu)[at], variance / total * noise, atol=1e-5)
        np.testing.assert_allclose(np.asarray(seen.variance)[at], variance - variance**2 / total, atol=1e-6)


def test_levels_are_those_of_the_schedule():
    images = jnp.zeros((8, 2, 2, 1))
    seen = LevelDraws(VE()).draw(KEY, images)
    assert seen.target is images and len(seen.conditions) == 1
    assert np.all((seen.conditions[0] >= 1e-4) & (seen.conditions[0] <= 100))


def test_a_network_of_two_conditions_learns_the_prox_of_a_gaussian():
    """From a form that stands at another deviation: only training says what is right."""
    network = TimedNetwork(MLP(16, 1, 16), (1, 1, 1), VP, DenoiserForm(0.0, 1.0))
    examples = 0.5 + 0.3 * jax.random.normal(KEY, (4000, 1, 1, 1))
    objective = matching_objective(l2, 1200, 1200, 1.0, 1.0)
    optimizer = optax.adam(optax.schedules.cosine_decay_schedule(1e-2, 1200))
    sizes = dict(steps=1200, batch_size=256, ema_decay=0.99)
    prior, _ = fit(KEY, network, optimizer, step_draws(VP, (5, 10)), objective, examples, **sizes)
    rows = hybrid_rows(VP, 10)
    for i in (0, 5, 9):
        mean, var = VP.mu(rows.time[i]) * 0.5, (VP.mu(rows.time[i]) * 0.3) ** 2 + VP.sigma(rows.time[i]) ** 2
        total = var + rows.lam[i]
        for z in (-1.0, 0.0, 1.0):
            y = mean + z * jnp.sqrt(total)
            found = prior.at(rows.time[i]).prox(jnp.full((1, 1, 1), y), rows.lam[i])[0, 0, 0]
            exact = (var * y + rows.lam[i] * mean) / total
            assert abs(found - exact) < 0.12 * jnp.sqrt(var * rows.lam[i] / total), (i, z)


def test_mistakes_are_said_in_words():
    with pytest.raises(ValueError, match="With 5 steps the longest has gamma = 3.602; .* leave 5 out of"):
        step_draws(VP, (5, 20), backward=True)
    with pytest.raises(ValueError, match="give whole numbers, each at least 1"):
        step_draws(VP, (0, 20))
    with pytest.raises(ValueError, match="The weights are 'cubic'; give 'log'"):
        step_draws(VP, SIX, "cubic")
    with pytest.raises(ValueError, match="do not fit the 6 numbers of steps"):
        step_draws(VP, SIX, (1.0, 2.0))
    with pytest.raises(ValueError, match="give a positive p"):
        step_draws(VP, SIX, 0)
    with pytest.raises(ValueError, match="A single step has the weight log 1 = 0"):
        step_draws(VP, (1, 5))
    with pytest.raises(ValueError, match="VE does not preserve the variance"):
        step_draws(VE(), (5, 10))
    network = TimedNetwork(MLP(8, 1, 8), (1, 1, 1), VP)
    objective = matching_objective(l2, 1, 1, 1.0, 1.0)
    with pytest.raises(ValueError, match="TimedNetwork is told t and lam.*step_draws"):
        make_step(network, optax.adam(1.0), VP, objective, 0.9)
    with pytest.raises(ValueError, match="network's schedule is .*20.* that of the draws .*10.*network.schedule"):
        make_step(network, optax.adam(1.0), step_draws(LinearVP(0.1, 10.0), (5,)), objective, 0.9)
    with pytest.raises(ValueError, match="Preconditioned is told lam alone"):
        make_step(Preconditioned(MLP(8, 1, 8), (1, 1, 1)), optax.adam(1.0), step_draws(VP), objective, 0.9)


def test_a_guess_of_the_inverse_gives_a_value_from_below_and_its_gap():
    with jax.enable_x64(True):
        prior = convex_network(1.0)
        y = jax.random.normal(jax.random.key(0), (6, 1, 2, 1))
        x = jax.vmap(prior.denoise)(y)
        exact = jax.jit(jax.vmap(prior.value))(x)
        np.testing.assert_allclose(jax.vmap(prior.value_at)(x, y)[0], exact, rtol=1e-9)
        guessed, found = jax.vmap(prior.value_at)(x, y + 0.1)
        missing = exact - guessed
        assert (missing > 0).all() and (missing <= found.gap / 9).all() and (found.residual > 0).all()


def test_a_second_network_learns_the_inverse_of_a_first_one():
    """It starts at an error of the size of y, and its values come near the exact ones from below."""
    prior, shape = convex_network(1.0), (1, 2, 1)
    dual = ConvexNetwork(ICNN(beta=3.0, widths=(16,), alpha=0.5), shape, 3.0)
    optimizer = optax.chain(optax.adam(1e-2), keep_nonnegative())
    examples = jax.random.normal(jax.random.key(1), (50, *shape))
    objective, draws = matching_objective(l2, 300, 300, 1.0, 1.0), inverse_draws(prior)
    found, scalars = fit(
        jax.random.key(0), dual, optimizer, draws, objective, examples, steps=300, batch_size=64, ema_decay=0.9
    )
    assert scalars["mse"][-20:].mean() < 0.1 * scalars["mse"][0]
    x = jax.vmap(prior.denoise)(examples[:8])
    exact = jax.jit(jax.vmap(prior.value))(x)
    guessed, _ = jax.vmap(prior.value_at)(x, jax.vmap(found.denoise)(x))
    assert (guessed <= exact + 1e-5).all() and np.abs(guessed - exact).mean() < 0.2 * np.asarray(exact).std()
    with pytest.raises(TypeError, match="Gaussian has no inverse; give an LPN"):
        inverse_draws(Gaussian(0.0, 1.0))
