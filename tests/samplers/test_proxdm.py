"""Proximal diffusion and the score steps it is compared with: recursions of a Gaussian, tables, limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.potentials import Gaussian, Mixture, marginals
from pgm_jax.samplers import (
    backward_rows,
    bridge,
    diffusion,
    dpm_solver_rows,
    ended_times,
    heun_rows,
    hybrid_rows,
    left_point,
    multistep,
    proxdm,
    rate_integral,
    run,
    sample,
    vp_euler,
)
from pgm_jax.schedules import VE, Cosine, LinearVP, geometric_levels, karras_levels, uniform_levels

VP = LinearVP()
KEY = jax.random.key(3)
MEAN, STD = 0.5, 0.3
FAMILY = marginals(Gaussian(MEAN, STD), VP)
MANY = 200_000


def uniform(count):
    return 1.0 - jnp.arange(count + 1) / count


def moments(t):
    return VP.mu(t) * MEAN, (VP.mu(t) * STD) ** 2 + VP.sigma(t) ** 2


def z_scores(x, mean, variance):
    """Of the mean and of the variance of normal samples."""
    x = np.asarray(x, np.float64)
    return (x.mean() - mean) / np.sqrt(variance / x.size), (x.var() / variance - 1) / np.sqrt(2 / x.size)


def hybrid(mean, var, gamma, m, v, eta):
    c = (1 + eta**2) / 2 * gamma
    return (v * (1 + gamma / 2) * mean + c * m) / (v + c), v**2 * ((1 + gamma / 2) ** 2 * var + eta**2 * gamma) / (
        v + c
    ) ** 2


def backward(mean, var, gamma, m, v, eta):
    c, shrunk = (1 + eta**2) / 2 * gamma, v * (1 - gamma / 2)
    return (v * mean + c * m) / (shrunk + c), v**2 * (var + eta**2 * gamma) / (shrunk + c) ** 2


def explicit(mean, var, gamma, m, v, eta):
    c = (1 + eta**2) / 2 * gamma
    factor = 1 + gamma / 2 - c / v
    return factor * mean + c * m / v, factor**2 * var + eta**2 * gamma


STEPS = {
    "hybrid": (hybrid, lambda n, eta: (proxdm(FAMILY), hybrid_rows(VP, n, eta))),
    "backward": (backward, lambda n, eta: (proxdm(FAMILY), backward_rows(VP, n, eta))),
    "explicit": (
        explicit,
        lambda n, eta: (diffusion(FAMILY.denoise), vp_euler(VP, uniform(n), None, eta, last_noise=1.0)),
    ),
}


def recursion(step, count, eta, mean=0.0, var=1.0):
    """The moments after every step; those of the density are taken at the new time by the proximal steps."""
    nodes = uniform(count)
    means, variances = map(np.asarray, moments(nodes[:-1] if step is explicit else nodes[1:]))
    for gamma, m, v in zip(np.asarray(rate_integral(VP, nodes)), means, variances, strict=True):
        mean, var = step(mean, var, float(gamma), float(m), float(v), eta)
    return mean, var


@pytest.mark.parametrize("eta", [1.0, 0.0])
@pytest.mark.parametrize("name", STEPS)
def test_a_gaussian_stays_one_with_the_moments_of_the_recursion(name, eta):
    step, build = STEPS[name]
    sampler, rows = build(20, eta)
    x = sample(KEY, sampler, jnp.zeros(()), rows, MANY)
    mean, var = recursion(step, 20, eta)
    assert all(abs(z) < 4 for z in z_scores(x, mean, var))


def test_the_published_deviations():
    """Data N(0.5, 0.3^2) from N(0, 1)."""
    expected = dict(hybrid=(0.2444, 0.2699, 0.2874, 0.2968), backward=(0.2463, 0.2711, 0.2880, 0.2969))
    for name, deviations in expected.items():
        for count, deviation in zip((20, 40, 100, 400), deviations, strict=True):
            assert abs(np.sqrt(recursion(STEPS[name][0], count, 1.0)[1]) - deviation) < 6e-5


def test_the_divergence_falls_with_the_square_of_the_count():
    start = [float(part) for part in moments(1.0)]
    for step in (hybrid, backward, explicit):
        divergences = []
        for count in (200, 400):
            mean, var = recursion(step, count, 1.0, *start)
            divergences.append(((mean - MEAN) ** 2 + var - STD**2) / STD**2 / 2 - np.log(var / STD**2) / 2)
        assert 3.4 < divergences[0] / divergences[1] < 4.6


def test_one_step_of_standard_normal_data():
    for g in (0.05, 0.4, 1.5):
        assert abs(explicit(0, 1, g, 0, 1, 1)[1] - (1 + g**2 / 4)) < 1e-12
        assert abs(backward(0, 1, g, 0, 1, 1)[1] - (1 - g**2 / 4 / (1 + g / 2) ** 2)) < 1e-12
        assert abs(hybrid(0, 1, g, 0, 1, 1)[1] - (1 - 3 * g**2 / 4 / (1 + g) ** 2)) < 1e-12


@pytest.mark.parametrize(
    ("count", "first", "last", "lam", "gain"),
    [
        (10, 0.1095, 1.9005, 38.2, 20.1),
        (20, 0.02988, 0.9751, 1.903, 1.95),
        (50, 0.00598, 0.3960, 0.494, 1.25),
        (100, 0.00200, 0.1990, 0.221, 1.11),
        (1000, 1.10e-4, 0.0200, 0.0202, 1.01),
    ],
)
def test_the_table_of_steps(count, first, last, lam, gain):
    single = hybrid_rows(VP, count).lam
    with jax.enable_x64(True):
        gamma, rows = (np.asarray(part) for part in (hybrid_rows(VP, count).lam, backward_rows(VP, count).lam))
        expansion = backward_rows(VP, count).gain[0]
    for given, expected in ((gamma[-1], first), (gamma[0], last), (rows[0], lam), (expansion, gain)):
        np.testing.assert_allclose(given, expected, rtol=5e-3)
    np.testing.assert_allclose(gamma.sum(), 10.05, rtol=1e-12)
    np.testing.assert_allclose(rows, 2 * gamma / (2 - gamma), rtol=1e-12)
    np.testing.assert_allclose(single, gamma, rtol=3e-4)


@pytest.mark.parametrize("count", [5, 7, 9])
def test_a_backward_step_that_is_too_long_is_refused_with_the_count_that_is_not(count):
    with pytest.raises(ValueError, match=r"longest has gamma = .* needs gamma < 2. Take 10 steps or more, or `hybrid"):
        backward_rows(VP, count)
    hybrid_rows(VP, count)


def test_a_process_that_ends_without_signal_wants_many_backward_steps():
    with pytest.raises(ValueError, match=r"Take \d+ steps or more"):
        backward_rows(Cosine(), 10)
    with pytest.raises(ValueError, match="No number of steps"):
        backward_rows(Cosine(end=0.9999999), 10)


def test_a_process_without_loss_of_signal_is_refused():
    for rows in (hybrid_rows, backward_rows):
        with pytest.raises(
            ValueError, match="eta is the share of fresh noise, a number at least 0 and at most 1, and is"
        ):
            rows(VP, 10, 1.5)
        with pytest.raises(ValueError, match="VE does not preserve the variance"):
            rows(VE(), 10)
    with pytest.raises(ValueError, match="VE does not preserve the variance"):
        left_point(VE(), uniform(4))
    with pytest.raises(ValueError, match=r"5 times make 4 steps, and gamma has the shape \(3,\)"):
        vp_euler(VP, uniform(4), jnp.ones(3))
    assert np.isnan(jax.jit(lambda rate: backward_rows(LinearVP(0.1, rate), 5).lam)(20.0)[0])
    with pytest.raises(ValueError, match="are to fall"):
        vp_euler(VP, jnp.array([0.0, 0.5, 1.0]))
    with pytest.raises(ValueError, match="number of steps, a whole number at least 1, and is 0"):
        hybrid_rows(VP, 0)


def test_a_prior_of_one_level_is_refused():
    with pytest.raises(TypeError, match=r"Gaussian has no `at\(t\)`.*Give `marginals\(prior, schedule\)`"):
        proxdm(Gaussian(0.0, 1.0))


def test_rows_of_another_sampler_are_refused():
    rows = bridge(uniform_levels(VP, 3))
    with pytest.raises(TypeError, match="proxdm runs on `hybrid_rows` or `backward_rows`, and was given Rows"):
        run(KEY, proxdm(FAMILY), jnp.zeros(()), rows)
    with pytest.raises(TypeError, match="multistep runs on `heun_rows` or `dpm_solver_rows`, and was given Rows"):
        run(KEY, multistep(FAMILY.denoise), jnp.zeros(()), rows)


def test_one_point_is_reached_exactly_and_of_several_one():
    one = marginals(Mixture(jnp.ones(1), jnp.array([[0.7, -0.2]]), 0.0), VP)
    means = jnp.array([[0.7, -0.2], [-1.0, 0.4], [0.0, 0.9]])
    several = marginals(Mixture(jnp.full(3, 1 / 3), means, 0.0), VP)
    for rows in (hybrid_rows(VP, 5), hybrid_rows(VP, 5, 0.0), backward_rows(VP, 12)):
        np.testing.assert_array_equal(
            sample(KEY, proxdm(one), jnp.zeros(2), rows, 20), jnp.tile(one.prior.means, (20, 1))
        )
        ends = sample(KEY, proxdm(several), jnp.zeros(2), rows, 64)
        assert np.all(jnp.any(jnp.all(ends[:, None] == means[None], axis=2), axis=1))
        assert len(np.unique(np.asarray(ends), axis=0)) == 3
    # Euler-Maruyama with noise in its last step ends with that noise.
    times = ended_times(40, 1e-3)[:-1]
    rows = vp_euler(VP, times, left_point(VP, times), last_noise=1.0)
    spread = jnp.std(sample(KEY, diffusion(one.denoise), jnp.zeros(2), rows, 2000))
    assert spread >= 0.9 * jnp.sqrt(left_point(VP, times)[-1])


def test_hybrid_and_backward_agree_to_the_order_of_the_step():
    """With the same noise they differ by O(gamma^{3/2}) in a step."""
    y, xi, potential = 0.8, 0.7, Gaussian(MEAN, STD)
    apart = []
    for g in (1e-4, 1e-5):
        with jax.enable_x64(True):
            one = potential.prox(jnp.float64((1 + g / 2) * y + np.sqrt(g) * xi), g)
            other = potential.prox(jnp.float64((y + np.sqrt(g) * xi) / (1 - g / 2)), 2 * g / (2 - g))
        apart.append(abs(float(one - other)))
    assert apart[1] / apart[0] < 10**-1.4


def test_the_left_point_is_that_of_the_rate():
    times = uniform(4)
    np.testing.assert_allclose(left_point(VP, times), (0.1 + 19.9 * times[:-1]) / 4, rtol=1e-5)
    np.testing.assert_allclose(ended_times(5, 0.2), [1.0, 0.8, 0.6, 0.4, 0.2, 0.0][:5] + [0.0], rtol=1e-6)


LEVELS = (geometric_levels, karras_levels)


@pytest.mark.parametrize("grid", LEVELS)
@pytest.mark.parametrize("rows", [heun_rows, dpm_solver_rows])
def test_second_order_solvers_are_of_second_order(rows, grid):
    """On a Gaussian, whose flow is x -> m + (x - m) s / sqrt(s^2 + lam), from the same noise."""
    with jax.enable_x64(True):
        start = jnp.float64(0.6)

        def error(count):
            each = rows(grid(100.0, 1e-8, count))
            noise = jax.random.normal(jax.random.fold_in(KEY, len(each.lam)), (), jnp.float64)
            exact = MEAN + (start + 10 * noise - MEAN) * STD / np.sqrt(STD**2 + 100)
            x = run(KEY, multistep(FAMILY.denoise), start, each)[0].x
            return abs(float(x - exact)) / abs(start + 10 * noise - MEAN)

        ratio = error(64) / error(128)
    assert 3 < ratio < 5.5, ratio


def test_the_first_order_of_dpm_solver_is_ddim():
    levels = uniform_levels(VP, 2)
    first, ddim = dpm_solver_rows(levels), bridge(levels._replace(mu=jnp.ones(3)), 0.0)
    for name in ("lam", "keep", "pull"):
        np.testing.assert_allclose(getattr(first, name), getattr(ddim, name), rtol=1e-5, atol=1e-7)


def test_calls_are_rows():
    """One call of the prior for each row, also of Heun's method."""
    levels = geometric_levels(100.0, 1e-2, 5)
    assert [len(jax.tree.leaves(rows)[0]) for rows in (heun_rows(levels), dpm_solver_rows(levels))] == [9, 5]
    assert len(hybrid_rows(VP, 5).lam) == len(vp_euler(VP, ended_times(5)).lam) == 5


def test_a_chain_may_start_midway():
    """From x at the signal of the first row, as a given image that is edited."""
    rows = jax.tree.map(lambda leaf: leaf[10:], hybrid_rows(VP, 20))
    state = proxdm(FAMILY).init(KEY, jnp.full((MANY,), 2.0), jax.tree.map(lambda leaf: leaf[0], rows))
    assert all(abs(z) < 4 for z in z_scores(state.x, 2 * float(VP.mu(0.5)), 1 - float(VP.mu(0.5)) ** 2))
