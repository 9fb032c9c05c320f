"""The integrator, its correctors, and the law of what they sample, against numbers that numpy computes by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pgm_jax.potentials import Box, Gaussian
from pgm_jax.proximal import data_first
from pgm_jax.samplers import bridge, pgm, run, with_corrector
from pgm_jax.schedules import Levels, cosine, geometric_levels, linear_vp, ve

SCHEDULES = {"ve": ve(0.02, 5.0), "linear_vp": linear_vp(), "cosine": cosine()}
ETAS = (0.0, 0.5, 1.0)
CHAINS = 20_000


def nodes(schedule, *times):
    """The nodes of a grid at given times, without the one at lam = 0."""
    t = jnp.asarray(times)
    return Levels(t, schedule.mu(t), schedule.sigma(t), schedule.lam(t))


def to_zero(schedule, count=8):
    return geometric_levels(schedule, count, schedule.lam(0.95), schedule.lam(0.05))


@pytest.fixture
def double_precision():
    with jax.enable_x64(True):
        yield


pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_steps_keep_the_marginal_law(name, eta):
    """If x_t = mu_t P + sigma_t eps, then x_s is N(mu_s P, sigma_s^2)."""
    levels = to_zero(SCHEDULES[name])
    rows = bridge(levels, eta)
    np.testing.assert_allclose(rows.keep * levels.mu[:-1] + rows.pull, levels.mu[1:], rtol=1e-14)
    variance = rows.keep**2 * levels.sigma[:-1] ** 2 + rows.noise**2
    np.testing.assert_allclose(variance, levels.sigma[1:] ** 2, rtol=1e-12, atol=1e-20)
    np.testing.assert_array_equal(rows.mu, levels.mu[:-1])
    np.testing.assert_array_equal(rows.lam, levels.lam[:-1])


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_ends_of_eta_are_the_reverse_sde_and_the_probability_flow(name):
    levels = to_zero(SCHEDULES[name])
    mu, mu_next, lam, lam_next = levels.mu[:-1], levels.mu[1:], levels.lam[:-1], levels.lam[1:]
    for eta, keep, noise in (
        (1.0, mu_next / mu * lam_next / lam, mu_next * np.sqrt(lam_next * (1 - lam_next / lam))),
        (0.0, mu_next / mu * np.sqrt(lam_next / lam), 0 * lam),
    ):
        rows = bridge(levels, eta)
        np.testing.assert_allclose(rows.keep, keep, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(rows.noise, noise, rtol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("name", SCHEDULES)
def test_two_steps_to_one_point_are_one_long_step(name, eta):
    first, second = list_of(bridge(nodes(SCHEDULES[name], 0.9, 0.6, 0.2), eta))
    (long,) = list_of(bridge(nodes(SCHEDULES[name], 0.9, 0.2), eta))
    np.testing.assert_allclose(second.keep * first.keep, long.keep, rtol=1e-10)
    np.testing.assert_allclose(second.keep * first.pull + second.pull, long.pull, rtol=1e-10)
    np.testing.assert_allclose((second.keep * first.noise) ** 2 + second.noise**2, long.noise**2, rtol=1e-10)


def list_of(rows):
    return [jax.tree.map(lambda leaf, i=i: leaf[i], rows) for i in range(rows.lam.shape[0])]


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_last_step_returns_the_prox(name, eta):
    last = list_of(bridge(to_zero(SCHEDULES[name]), eta))[-1]
    assert (last.keep, last.pull, last.noise) == (0, 1, 0)


def test_correctors_stand_before_each_step_at_its_level():
    rows = bridge(to_zero(linear_vp(), 3))
    corrected = with_corrector(rows, 2, 0.7)
    assert all(leaf.shape == (9,) for leaf in jax.tree.leaves(corrected))
    np.testing.assert_array_equal(corrected.lam, np.repeat(rows.lam, 3))
    np.testing.assert_array_equal(corrected.mu, np.repeat(rows.mu, 3))
    for predictor, original in zip(jax.tree.leaves(corrected), jax.tree.leaves(rows), strict=True):
        np.testing.assert_array_equal(predictor[2::3], original)
    np.testing.assert_allclose(corrected.keep[0::3], np.exp(-0.7), rtol=1e-14)
    np.testing.assert_array_equal(corrected.noise[0::3], corrected.noise[1::3])


@pytest.mark.parametrize("rate", [1e-3, 0.5, np.inf])
def test_correctors_keep_the_law_of_their_level(rate):
    """N(mu P, sigma^2) stays as it is; an infinite rate draws from it afresh."""
    levels = to_zero(linear_vp(), 5)
    inserted = jax.tree.map(lambda leaf: leaf[0::2], with_corrector(bridge(levels), 1, rate))
    np.testing.assert_allclose(inserted.keep * levels.mu[:-1] + inserted.pull, levels.mu[:-1], rtol=1e-14)
    variance = inserted.keep**2 * levels.sigma[:-1] ** 2 + inserted.noise**2
    np.testing.assert_allclose(variance, levels.sigma[:-1] ** 2, rtol=1e-12)
    assert np.all((inserted.keep == 0) == np.isinf(rate))


def test_no_correctors_change_nothing():
    rows = bridge(to_zero(linear_vp(), 4))
    for one, other in zip(jax.tree.leaves(with_corrector(rows, 0)), jax.tree.leaves(rows), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fewer_than_no_correctors_are_refused():
    with pytest.raises(ValueError, match="-1 corrector steps at each level were asked for; give 0 or more"):
        with_corrector(bridge(to_zero(ve(), 2)), -1)


def test_many_corrector_steps_reach_the_smoothed_target():
    """For U = (x - m)^2 / (2 s^2), small steps at one level sample N(m, s^2 + lam), the law of x_t itself."""
    s, lam = 0.6, 0.5
    for rate, tolerance in ((1e-4, 1e-4), (0.5, 0.5)):
        row = list_of(with_corrector(bridge(nodes(ve(), *ve().time_of_lam(jnp.array([lam, lam / 2])))), 1, rate))[0]
        factor = row.keep + row.pull * s**2 / (s**2 + lam)
        np.testing.assert_allclose(row.noise**2 / (1 - factor**2), s**2 + lam, rtol=tolerance)


# Statistics: single precision, grids of twelve rows, one compiled program for all of them.

PRIOR, LIKELIHOOD = Gaussian(0.4, 0.8), Gaussian(-1.0, 0.5)
PRECISION = 1 / 0.8**2 + 1 / 0.5**2
MEAN, VARIANCE = (0.4 / 0.8**2 - 1.0 / 0.5**2) / PRECISION, 1 / PRECISION  # of the posterior


def exact(prior, likelihood, beta):
    """The prox of the posterior itself, which a Gaussian has."""
    return Gaussian(MEAN, VARIANCE**0.5).prox


# P(v) = start + slope v, as (start, slope) at lam.
AFFINE = {
    exact: lambda lam: (lam * MEAN / (VARIANCE + lam), VARIANCE / (VARIANCE + lam)),
    data_first: lambda lam: (
        (0.8**2 * (lam * -1.0 / (0.5**2 + lam)) + lam * 0.4) / (0.8**2 + lam),
        0.5**2 / (0.5**2 + lam) * 0.8**2 / (0.8**2 + lam),
    ),
}


@functools.partial(jax.jit, static_argnames="split")
def moments(prior, likelihood, rows, split):
    """Mean and variance over the chains, at every row."""

    def chain(key):
        _, x = run(pgm(prior, likelihood, split), key, jnp.zeros(()), rows, lambda state, info: state.x)
        return x

    x = jax.vmap(chain)(jax.random.split(jax.random.key(11), CHAINS))
    return jnp.mean(x, axis=0), jnp.var(x, axis=0, ddof=1)


def recursion(affine, rows):
    """Mean and variance at every row, from a start at x = mu sqrt(lam) xi."""
    mean, variance, history = 0.0, rows[0].mu ** 2 * rows[0].lam, []
    for row in rows:
        start, slope = affine(row.lam)
        mean = row.keep * mean + row.pull * (start + slope * mean / row.mu)
        variance = (row.keep + row.pull * slope / row.mu) ** 2 * variance + row.noise**2
        history.append((mean, variance))
    return np.array(history).T


GRIDS = {f"eta {eta}": functools.partial(lambda eta, schedule: bridge(to_zero(schedule, 12), eta), eta) for eta in ETAS}
GRIDS["corrected"] = lambda schedule: with_corrector(bridge(to_zero(schedule, 3)), 3)


@pytest.mark.parametrize("split", AFFINE, ids=lambda split: split.__name__)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_gaussian_chains_follow_the_recursion(name, grid, split):
    rows = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), GRIDS[grid](SCHEDULES[name]))
    with jax.enable_x64(False):
        mean, variance = moments(PRIOR, LIKELIHOOD, rows, split)
    rows = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), rows)
    expected_mean, expected_variance = recursion(AFFINE[split], list_of(rows))
    assert np.max(np.abs(mean - expected_mean) / np.sqrt(expected_variance / CHAINS)) < 4
    assert np.max(np.abs(variance / expected_variance - 1) / np.sqrt(2 / CHAINS)) < 4


def test_correctors_find_a_truncated_normal():
    """N(0, 1) on [-1, 1], where the integrator alone does not converge, by the distance W1 to the exact quantiles."""
    target = stats.truncnorm(-1, 1)
    quantiles = target.ppf((np.arange(CHAINS) + 0.5) / CHAINS)

    def distance(sample):
        return np.mean(np.abs(np.sort(sample) - quantiles))

    @jax.jit
    def draw(rows):
        def chain(key):
            return run(pgm(Box(-1.0, 1.0), Gaussian(0.0, 1.0)), key, jnp.zeros(()), rows)[0].x

        return jax.vmap(chain)(jax.random.split(jax.random.key(3), CHAINS))

    with jax.enable_x64(False):
        rows = bridge(geometric_levels(ve(0.01, 3.0), 40, 9.0, 1e-4))
        alone, corrected = np.asarray(draw(rows)), np.asarray(draw(with_corrector(rows, 10)))
    floor = distance(target.rvs(CHAINS, random_state=0))
    assert np.max(np.abs(np.concatenate([alone, corrected]))) <= 1
    # The distance of an exact set is the floor; the integrator alone is fifteen times that far away.
    assert distance(alone) > 10 * floor
    assert distance(corrected) < 3 * floor
