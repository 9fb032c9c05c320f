"""The theory at toy size, and its quadratures and recursions against independent ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy import integrate, optimize

from launch.experiments import theory
from launch.experiments.theory import steps
from launch.experiments.theory.distributions import Distribution, folded
from launch.experiments.theory.matching import KNOWN, POINTS, WIDTHS
from launch.experiments.theory.steps import MEAN, STD, gaussian_end
from pgm_jax.posteriors import LaplacePosterior, TruncatedNormal
from pgm_jax.samplers import bridge, pgm, sample
from pgm_jax.schedules import geometric_levels

TARGETS = {
    "laplace": Distribution(left=1.0, right=1.0),
    "exponential": Distribution(right=1.0, low=0.0),
    "uniform": Distribution(low=-1.0, high=1.0),
    "truncated": Distribution(weight=2.0, centre=0.7, low=-1.0, high=1.0),
    "tilted": Distribution(weight=2.0, centre=0.7, left=0.5, right=1.5),
    "away from the kink": Distribution(weight=1.0, low=0.5, high=2.0, right=0.3),
}
SIZES = dict(dims=2, points=4, betas=(1.0,), levels=9, constants=7, samples=1000, counts=(80,), correctors=5)
SIZES |= dict(widths=(0.3,), learning=dict(steps=600, width=16, blocks=1, examples=5000, warm_share=0.5))


def potential_at(target, v, lam):
    """U(u) + (u - v)^2 / (2 lam) as a function of u."""
    slopes = lambda u: target.right * max(u, 0.0) + target.left * max(-u, 0.0)  # noqa: E731
    return lambda u: target.weight / 2 * (u - target.centre) ** 2 + slopes(u) + (u - v) ** 2 / (2 * lam)


def by_brute_force(target, v, lam, mode):
    """The mode of p(x_0 | v), and the mean less `mode`."""
    low, high = max(target.low, mode - 12 * lam**0.5), min(target.high, mode + 12 * lam**0.5)
    best = optimize.fminbound(potential_at(target, v, lam), low, high, xtol=1e-9)
    exponent, least = potential_at(target, v, lam), potential_at(target, v, lam)(mode)
    breaks = sorted({p for p in (mode, 0.0, mode - lam**0.5 / 30, mode + lam**0.5 / 30) if low < p < high})
    mass, moment = (
        integrate.quad(
            lambda u, power=power: (u - mode) ** power * np.exp(least - exponent(u)),
            *(low, high),
            points=breaks,
            limit=400,
            epsabs=0.0,
            epsrel=1e-9,
        )[0]
        for power in (0, 1)
    )
    return best, moment / mass


@pytest.mark.filterwarnings("ignore:The occurrence of roundoff error")
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("lam", [0.01, 0.5, 30.0])
def test_prox_and_posterior_mean_agree_with_brute_force(name, lam):
    target, v = TARGETS[name], np.array([-3.0, -0.2, 0.0, 0.95, 4.0])
    with jax.enable_x64(True):
        x = jnp.asarray(v)
        modes, gaps = np.asarray(target.prox(x, lam)), np.asarray(target.mean_less_mode(x, lam))
    for point, mode, gap in zip(v, modes, gaps, strict=True):
        best, difference = by_brute_force(target, point, lam, mode)
        np.testing.assert_allclose(mode, best, atol=1e-4)
        np.testing.assert_allclose(gap, difference, rtol=1e-7, atol=1e-9)


@jax.jit
def of_library(known, v, levels):
    return known.denoise(v, 0.7), known.prox(v, 0.7), known.quantile(levels)


def test_distributions_agree_with_those_of_the_library():
    v = jnp.linspace(-3.0, 3.0, 13)
    with jax.enable_x64(True):
        v = v.astype(float)
        for target, known in (
            (Distribution(weight=4.0, centre=0.3, low=-1.0, high=1.0), TruncatedNormal(-1.0, 1.0, 0.3, 0.5)),
            (Distribution(weight=4.0, centre=0.3, left=2.0, right=2.0), LaplacePosterior(0.5, 0.3, 0.5)),
        ):
            mean, mode, quantiles = of_library(known, v, (jnp.arange(5) + 0.5) / 5)
            np.testing.assert_allclose(target.denoise(v, 0.7), mean, atol=1e-12)
            np.testing.assert_allclose(target.prox(v, 0.7), mode, atol=1e-12)
            np.testing.assert_allclose(target.quantiles(5), quantiles, atol=1e-6)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.7, 0.3), (-2.0, -0.1), (0.5, 0.0), (0.0, 0.0)])
def test_the_distance_of_gaussians(mean, std):
    z = np.linspace(-12, 12, 200_001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    expected = np.trapezoid(np.abs(mean + std * z) * density, z)
    with jax.enable_x64(True):
        np.testing.assert_allclose(folded(jnp.array(mean), jnp.array(std)), expected, atol=1e-7)


def test_the_recursion_of_a_gaussian_is_that_of_the_sampler():
    rows, count = bridge(geometric_levels(9.0, 0.01, 6)), 4000
    mean, std = gaussian_end(rows, jnp.zeros(()), rows.lam[0])
    sampler = pgm(lambda u, lam: (STD**2 * u + lam * MEAN) / (STD**2 + lam))
    x = np.asarray(sample(jax.random.key(0), sampler, jnp.zeros(()), rows, count))
    assert abs(x.mean() - mean) / (std / count**0.5) < 4
    assert abs(x.var() / std**2 - 1) / (2 / count) ** 0.5 < 4


@pytest.fixture(scope="module")
def findings():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "COUNTS", (50, 100, 200))
        return theory.run(ConfigDict(dict(experiment="theory", **SIZES)), jax.random.key(0))


def test_every_claim_holds(findings):
    assert len(findings.claims) == 20
    assert not [claim for claim in findings.claims if not claim.holds]
    assert all(isinstance(claim.holds, bool) for claim in findings.claims)


def test_a_size_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="config.dims is 1.*at least 2"):
        theory.run(ConfigDict(SIZES | dict(dims=1)), jax.random.key(0))


def test_it_says_of_each_claim_whether_it_holds(findings):
    summary = findings.tables[-1]
    names = ("Lemma 1", "Prop. 2.1", "Prop. 2.2", "Prop. 3", "Theorem 5", "Theorem 6", "No early stopping")
    for name in names:
        assert [row for row in summary.rows if row[0].startswith(name)], name
    assert all(isinstance(cell, str) and cell for row in summary.rows for cell in row)
    assert len([axes for axes in findings.figures["theory"].axes if axes.get_visible()]) == 9


def test_the_tables_of_matching_have_the_known_minimisers(findings):
    tables = {table.title: table.rows for table in findings.tables}
    rows = np.array(tables["Prop. 3: minimisers of proximal matching"], float)
    np.testing.assert_array_equal(rows[:, 0], POINTS)
    np.testing.assert_allclose(rows[:, -len(WIDTHS) :], KNOWN, atol=6e-5)
    learned = tables["Prop. 3, learned: proximal matching learns the prox as ζ falls"]
    names = ["prox", "mean (L2), exact", "mean (L2), learned", "ζ = 0.3, exact", "ζ = 0.3, learned"]
    assert [row[0] for row in learned] == names
    known = np.stack([rows[:, 1], rows[:, 2], np.array(KNOWN)[:, WIDTHS.index(0.3)]])
    exact = np.array([row[1:6] for row in learned if not row[0].endswith("learned")], float)
    np.testing.assert_allclose(exact, known, atol=1e-3)
