"""The rows of every process, and the distribution that they sample, against numbers that numpy computes by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pgm_jax.potentials import Box, Gaussian
from pgm_jax.proximal import data_first
from pgm_jax.samplers import (
    apportion,
    bridge,
    corrected_rows,
    euler,
    euler_maruyama,
    exponential,
    half_probed,
    imex,
    langevin,
    leimkuhler_matthews,
    pgm,
    run,
    with_corrector,
    with_last_prox,
)
from pgm_jax.schedules import VE, Cosine, Levels, LinearVP, geometric_levels

SCHEDULES = {"ve": VE(0.02, 5.0), "linear_vp": LinearVP(), "cosine": Cosine()}
ETAS = (0.0, 0.5, 1.0)
CHAINS = 20_000


# Compiled whole, since every operation alone would be a program of its own.
bridged, straight = jax.jit(bridge), jax.jit(euler)
corrected = jax.jit(with_corrector, static_argnums=(1, 3))


@jax.jit
def nodes(schedule, times):
    """The nodes of a grid at given times, without the one at lam = 0."""
    return Levels(schedule.mu(times), schedule.lam(times))


def at(schedule, *times):
    return nodes(schedule, np.array(times))


@functools.partial(jax.jit, static_argnums=1)
def to_zero(schedule, count=8):
    return geometric_levels(schedule.lam(0.95), schedule.lam(0.05), count, schedule)


@pytest.fixture
def double_precision():
    with jax.enable_x64(True):
        yield


pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_steps_keep_the_marginal_distribution(name, eta):
    """If x_t = mu_t P + sigma_t eps, then x_s is N(mu_s P, sigma_s^2)."""
    levels = to_zero(SCHEDULES[name])
    rows, levels = in_numpy((bridged(levels, eta), levels))
    sigmas = levels.mu * np.sqrt(levels.lam)
    np.testing.assert_allclose(rows.keep * levels.mu[:-1] + rows.pull, levels.mu[1:], rtol=1e-14)
    variance = rows.keep**2 * sigmas[:-1] ** 2 + rows.noise**2
    np.testing.assert_allclose(variance, sigmas[1:] ** 2, rtol=1e-12, atol=1e-20)
    np.testing.assert_array_equal(rows.mu, levels.mu[:-1])
    np.testing.assert_array_equal(rows.lam, levels.lam[:-1])


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_with_the_variance_that_is_left_a_gaussian_stays_right_at_few_levels(name, eta):
    """If x_0 is N(0, s^2) and P its mean, x_s is N(0, mu_s^2 s^2 + sigma_s^2) after every step but the last."""
    levels, s = to_zero(SCHEDULES[name], 3), 0.7
    share = s**2 / (s**2 + levels.lam[:-1])
    rows, levels, share = in_numpy((bridged(levels, eta, levels.lam[:-1] * share), levels, share))
    variances = levels.mu**2 * (s**2 + levels.lam)
    after = (rows.keep + rows.pull * share / rows.mu) ** 2 * variances[:-1] + rows.noise**2
    np.testing.assert_allclose(after[:-1], variances[1:-1], rtol=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_ends_of_eta_are_the_reverse_sde_and_the_probability_flow(name):
    nodes = to_zero(SCHEDULES[name])
    levels = in_numpy(nodes)
    mu, mu_next, lam, lam_next = levels.mu[:-1], levels.mu[1:], levels.lam[:-1], levels.lam[1:]
    for eta, keep, noise in (
        (1.0, mu_next / mu * lam_next / lam, mu_next * np.sqrt(lam_next * (1 - lam_next / lam))),
        (0.0, mu_next / mu * np.sqrt(lam_next / lam), 0 * lam),
    ):
        rows = bridged(nodes, eta)
        np.testing.assert_allclose(rows.keep, keep, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(rows.noise, noise, rtol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("name", SCHEDULES)
def test_two_steps_to_one_point_are_one_long_step(name, eta):
    first, second = list_of(bridged(at(SCHEDULES[name], 0.9, 0.6, 0.2), eta))
    (long,) = list_of(bridged(at(SCHEDULES[name], 0.9, 0.2), eta))
    np.testing.assert_allclose(second.keep * first.keep, long.keep, rtol=1e-10)
    np.testing.assert_allclose(second.keep * first.pull + second.pull, long.pull, rtol=1e-10)
    np.testing.assert_allclose((second.keep * first.noise) ** 2 + second.noise**2, long.noise**2, rtol=1e-10)


def in_numpy(tree):
    return jax.tree.map(np.asarray, tree)


def list_of(rows):
    rows = in_numpy(rows)
    return [jax.tree.map(lambda leaf, i=i: leaf[i], rows) for i in range(rows.lam.shape[0])]


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_last_step_returns_the_prox(name, eta):
    last = list_of(bridged(to_zero(SCHEDULES[name]), eta))[-1]
    assert (last.keep, last.pull, last.noise) == (0, 1, 0)


def test_correctors_stand_before_each_step_at_its_level():
    rows = bridged(to_zero(LinearVP(), 3))
    rows, longer = in_numpy((rows, corrected(rows, 2, 0.7, exponential)))
    assert all(leaf.shape == (9,) for leaf in jax.tree.leaves(longer))
    np.testing.assert_array_equal(longer.lam, np.repeat(rows.lam, 3))
    np.testing.assert_array_equal(longer.mu, np.repeat(rows.mu, 3))
    for predictor, original in zip(jax.tree.leaves(longer), jax.tree.leaves(rows), strict=True):
        np.testing.assert_array_equal(predictor[2::3], original)
    np.testing.assert_allclose(longer.keep[0::3], np.exp(-0.7), rtol=1e-14)
    np.testing.assert_array_equal(longer.noise[0::3], longer.noise[1::3])


def test_each_level_may_have_its_own_number_of_correctors():
    rows = bridged(to_zero(LinearVP(), 3))
    rows, longer = in_numpy((rows, corrected(rows, (2, 0, 1), 0.7, exponential)))
    np.testing.assert_array_equal(longer.lam, rows.lam[[0, 0, 0, 1, 2, 2]])
    inserted = np.isclose(longer.keep, np.exp(-0.7), rtol=1e-14)
    np.testing.assert_array_equal(inserted, [True, True, False, False, True, False])


KEPT = {exponential: (1e-3, 0.5, np.inf), leimkuhler_matthews: (1e-3, 0.5, 1.7)}


@pytest.mark.parametrize(("scheme", "rate"), [(scheme, rate) for scheme, rates in KEPT.items() for rate in rates])
def test_correctors_keep_the_distribution_of_their_level(scheme, rate):
    """N(mu P, sigma^2) stays as it is; an infinite rate draws from it afresh."""
    levels = to_zero(LinearVP())
    levels, rows = in_numpy((levels, corrected(bridged(levels), 1, rate, scheme)))
    sigmas, inserted = levels.mu * np.sqrt(levels.lam), jax.tree.map(lambda leaf: leaf[0::2], rows)
    np.testing.assert_allclose(inserted.keep * levels.mu[:-1] + inserted.pull, levels.mu[:-1], rtol=1e-14)
    variance = inserted.keep**2 * sigmas[:-1] ** 2 + inserted.noise**2
    np.testing.assert_allclose(variance, sigmas[:-1] ** 2, rtol=1e-12)
    assert np.all((inserted.keep == 0) == np.isinf(rate))


def test_no_correctors_change_nothing():
    rows = bridged(to_zero(LinearVP(), 3))
    for one, other in zip(jax.tree.leaves(with_corrector(rows, 0)), jax.tree.leaves(rows), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("steps", [-1, (1, 2, 3), (1, -2)])
def test_numbers_of_correctors_that_cannot_be_are_refused(steps):
    with pytest.raises(ValueError, match="were asked for at 2 levels; give one number, or 2, from 0 up"):
        with_corrector(bridged(to_zero(VE(), 2)), steps)


def at_levels(*lams):
    """The nodes of a grid in clean space."""
    return Levels(jnp.ones(len(lams)), jnp.asarray(lams))


def stationary_variance(row, slope):
    """Of x under one row over and over, where P = slope u and mu = 1."""
    return (row.noise + row.pull * slope * row.probe) ** 2 / (1 - (row.keep + row.pull * slope) ** 2)


# What the rate c = 0.5 does to the variance of a wide direction, v >> lam, and of a narrow one, v << lam.
BIASES = {
    euler_maruyama: (1, 1 / (1 - 0.25)),
    exponential: ((1 + np.exp(-0.5)) / 2, 1),
    imex: (1 / 1.5, 1 / 1.25),
    leimkuhler_matthews: (1, 1),
    half_probed: (1, 1.75**2 / 3 / (1 - 0.0625)),
}


@pytest.mark.parametrize("scheme", BIASES)
def test_the_spread_of_correctors_is_as_stated(scheme):
    """For U = x^2 / (2 v) steps at a level sample N(0, v + lam), the distribution of x_t, up to the stated factors."""
    lam = 0.5
    levels = at_levels(lam, lam / 2)
    for rate, factors in ((1e-4, (1, 1)), (0.5, BIASES[scheme])):
        row = list_of(corrected(bridged(levels), 1, rate, scheme))[0]
        for variance, factor in zip((1e4, 1e-4), factors, strict=True):
            bias = stationary_variance(row, variance / (variance + row.lam)) / (variance + lam)
            np.testing.assert_allclose(bias, factor, rtol=4e-4)


@pytest.mark.parametrize("rate", [0.1, 1.0, 1.9])
@pytest.mark.parametrize("variance", [1e-3, 0.4, 50.0])
def test_leimkuhler_matthews_is_exact_for_a_gaussian(rate, variance):
    levels = at_levels(0.5, 0.25)
    row = list_of(corrected(bridged(levels), 1, rate, leimkuhler_matthews))[0]
    slope = variance / (variance + row.lam)
    np.testing.assert_allclose(stationary_variance(row, slope), variance + 0.5, rtol=1e-12)


def test_schemes_agree_to_first_order():
    kappa = jnp.array([0.5, 3.0])
    for scheme in BIASES:
        keep, force, noise, _ = scheme(kappa, 1e-7)
        np.testing.assert_allclose(1 - keep, kappa * 1e-7, rtol=1e-5)
        np.testing.assert_allclose(force, 1e-7, rtol=1e-5)
        np.testing.assert_allclose(noise, np.sqrt(2e-7), rtol=1e-5)


def test_a_rate_of_its_own():
    """The partial form of the annealed process."""
    lam = jnp.array([0.2, 0.1])
    rows = langevin(lam, lam / 2, (1, 2), exponential, 1 / lam + lam)
    assert np.all(rows.keep < langevin(lam, lam / 2, (1, 2), exponential).keep)
    np.testing.assert_allclose(rows.keep, np.exp(-0.5 * (1 + rows.lam**2)), rtol=1e-14)


def test_langevin_rows_follow_the_ladder():
    lam = jnp.array([4.0, 1.0, 0.25])
    rows = langevin(lam, 0.3 * lam, (1, 3, 2), exponential)
    np.testing.assert_array_equal(rows.lam, np.repeat(lam, (1, 3, 2)))
    np.testing.assert_allclose(rows.keep, np.exp(-0.3), rtol=1e-6)
    np.testing.assert_allclose(rows.keep + rows.pull, 1.0, rtol=1e-6)
    for counts in ((1, 2), -1):
        with pytest.raises(ValueError, match=r"steps were asked for at 3 levels; give one number, or 3"):
            langevin(lam, lam, counts)


@pytest.mark.parametrize("budget", [3, 10, 101, 2000])
def test_shares_add_up_to_the_budget(budget):
    counts = apportion(budget, [1.0, 2.0, 4.0])
    assert sum(counts) == budget and sorted(counts) == list(counts)
    assert np.all(np.abs(np.array(counts) - 1 - (budget - 3) * np.array([1, 2, 4]) / 7) < 1)


@pytest.mark.parametrize(("budget", "shares"), [(2, [1, 1, 1]), (5, []), (5, [1, 0]), (5, [-1, 2])])
def test_shares_that_cannot_be_are_refused(budget, shares):
    with pytest.raises(ValueError, match=f"{budget} steps were asked for .* at least one step a level"):
        apportion(budget, shares)


def test_the_corrected_grid_is_a_geometric_one_with_correctors():
    rows = corrected_rows(3, (2, 0, 1), 9.0, 0.01, 0.5)
    top = 9.0 * (1 - 0.25)  # the probe's noise is a quarter of lam
    expected = with_corrector(bridge(geometric_levels(top, 0.01, 3)), (2, 0, 1), 0.5)
    for one, other in zip(jax.tree.leaves(rows), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isclose(rows.lam[0], 9.0) and np.max(rows.lam) == rows.lam[0]


def test_the_last_prox_is_appended():
    lam = jnp.array([0.2, 0.1])
    rows = with_last_prox(langevin(lam, lam / 2, 2), 1e-3)
    last = list_of(rows)[-1]
    assert rows.lam.shape == (5,)
    assert (last.mu, last.lam, last.keep, last.pull, last.noise, last.probe) == (1, 1e-3, 0, 1, 0, 0)


def test_euler_is_the_integrator_for_small_steps():
    levels = at(LinearVP(), 0.5, 0.5 - 1e-6)
    for eta in ETAS:
        (one,), (other,) = list_of(straight(levels, eta)), list_of(bridged(levels, eta))
        np.testing.assert_allclose([one.keep, one.pull], [other.keep, other.pull], atol=1e-9)
        np.testing.assert_allclose(one.noise, other.noise, rtol=1e-4, atol=1e-12)


# Statistics: single precision, grids of twelve rows, one compiled program for all of them.

PRIOR, LIKELIHOOD = Gaussian(0.4, 0.8), Gaussian(-1.0, 0.5)
PRECISION = 1 / 0.8**2 + 1 / 0.5**2
MEAN, VARIANCE = (0.4 / 0.8**2 - 1.0 / 0.5**2) / PRECISION, 1 / PRECISION  # of the posterior


def exact(prior, likelihood):
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
        _, x = run(key, pgm(split(prior, likelihood)), jnp.zeros(()), rows, lambda state, info: state.x)
        return x

    x = jax.vmap(chain)(jax.random.split(jax.random.key(11), CHAINS))
    return jnp.mean(x, axis=0), jnp.var(x, axis=0, ddof=1)


def recursion(affine, rows):
    """Mean and variance at every row, from a start at x = mu sqrt(lam) xi."""
    mean, variance, history = 0.0, rows[0].mu ** 2 * rows[0].lam, []
    for row in rows:
        start, slope = affine(row.lam)
        mean = row.keep * mean + row.pull * (start + slope * mean / row.mu)
        fresh = row.noise + row.pull * slope * row.probe / row.mu
        variance = (row.keep + row.pull * slope / row.mu) ** 2 * variance + fresh**2
        history.append((mean, variance))
    return np.array(history).T


GRIDS = {
    f"eta {eta}": functools.partial(lambda eta, schedule: bridged(to_zero(schedule, 12), eta), eta) for eta in ETAS
}
for scheme in BIASES:
    GRIDS[scheme.__name__] = lambda schedule, scheme=scheme: corrected(bridged(to_zero(schedule, 3)), 3, 0.8, scheme)


@pytest.mark.parametrize("split", AFFINE, ids=lambda split: split.__name__)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_gaussian_chains_follow_the_recursion(name, grid, split):
    rows = jax.tree.map(np.float32, GRIDS[grid](SCHEDULES[name]))
    with jax.enable_x64(False):
        mean, variance = in_numpy(moments(PRIOR, LIKELIHOOD, rows, split))
    rows = jax.tree.map(np.float64, rows)
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
            return run(key, pgm(data_first(Box(-1.0, 1.0), Gaussian(0.0, 1.0))), jnp.zeros(()), rows)[0].x

        return jax.vmap(chain)(jax.random.split(jax.random.key(3), CHAINS))

    with jax.enable_x64(False):
        rows = bridge(geometric_levels(9.0, 1e-4, 40))
        alone, corrected = np.asarray(draw(rows)), np.asarray(draw(with_corrector(rows, 10, 1.0)))
    floor = distance(target.rvs(CHAINS, random_state=0))
    assert np.max(np.abs(np.concatenate([alone, corrected]))) <= 1
    # The distance of an exact set is the floor; the integrator alone is fifteen times that far away.
    assert distance(alone) > 10 * floor
    assert distance(corrected) < 4 * floor
