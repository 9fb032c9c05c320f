"""The experiments with Gaussian and Laplace posteriors, at toy size, and the pieces that judge samplers in them."""

import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_settings import toy_settings

from launch.experiments import gaussian, laplace
from launch.experiments.coverage import calibrate, calibrated, coverage_table, not_calibrated
from launch.experiments.gaussian import recursion as dense
from launch.experiments.gaussian import truth
from launch.experiments.gaussian.methods import capped, parts_of, tried
from pgm_jax import proximal
from pgm_jax.potentials import tempered
from pgm_jax.samplers import Rows, run

KEY = jax.random.key(4)
V = np.random.default_rng(0).normal(size=8).astype(np.float32)
SMALL = toy_settings(
    "gaussian", levels=(12, 24), correctors=1, correctors_many=1, steps=24, samples=400, simulations=20, draws=9
)


@functools.cache
def problem(variances=SMALL.variances):
    p = dense.random_problem(KEY, np.array(variances), np.array(SMALL.gains), SMALL.sigma)
    return p, parts_of(p)


@pytest.mark.parametrize("name", ["data_first", "prior_first", "forward_backward", "parallel", "explicit"])
def test_dense_maps_are_the_splittings(name):
    (p, parts), lam, beta = problem(), 0.03, 0.5
    expected = getattr(proximal, name)(parts.prior, tempered(parts.likelihood, beta))(jnp.asarray(V), lam)
    slope, shift = getattr(dense, name)(p._replace(sigma=p.sigma / beta**0.5), lam)
    np.testing.assert_allclose(slope @ V + shift, expected, atol=2e-5)


def test_dense_maps_of_the_posterior_and_of_a_singular_prior():
    for p, parts in (problem(), problem(SMALL.plane)):
        pairs = [
            (dense.exact(p, 0.03), parts.posterior.prox(jnp.asarray(V), 0.03)),
            (dense.data_first(p, 0.03), proximal.data_first(parts.prior, parts.likelihood)(jnp.asarray(V), 0.03)),
        ]
        for (slope, shift), expected in pairs:
            np.testing.assert_allclose(slope @ V + shift, expected, atol=2e-5)
        np.testing.assert_allclose(parts.posterior.mean, p.posterior.mean, atol=1e-5)
        np.testing.assert_allclose(parts.posterior.covariance, p.posterior.covariance, atol=1e-6)


def test_the_recursion_is_that_of_the_step():
    """One row without a 0 or 1: the step itself is `F x + f + G xi`, with the given mean and covariance."""
    p, parts = problem()
    row = Rows(*(jnp.array([a]) for a in (0.8, 0.02, 0.4, 0.5, 0.3, 0.2)))
    sampler = capped(parts.prior, parts.likelihood)
    # `run` starts at mu sqrt(lam) eps, and both eps and xi come from its keys: the step is linear in them.
    one = jax.jit(lambda x: run(KEY, sampler, x, row)[0].x)
    first, last = (np.asarray(one(x)) for x in (np.zeros(8, np.float32), np.ones(8, np.float32)))
    end = dense.recursion(row, lambda lam: dense.capped_forward_backward(p, lam), 8)
    start, xi = (np.asarray(jax.random.normal(jax.random.fold_in(KEY, i), (8,)), float) for i in (1, 0))
    slope, shift = dense.capped_forward_backward(p, 0.02)
    forth, stir = 0.4 * np.eye(8) + 0.5 / 0.8 * slope, 0.3 * np.eye(8) + 0.5 * 0.2 / 0.8 * slope
    np.testing.assert_allclose(first, end.mean + forth @ (0.8 * 0.02**0.5 * start) + stir @ xi, atol=2e-5)
    np.testing.assert_allclose(last - first, forth @ np.full(8, 0.8), atol=2e-5)
    np.testing.assert_allclose(end.mean, 0.5 * shift, atol=1e-7)
    np.testing.assert_allclose(end.covariance, 0.8**2 * 0.02 * forth @ forth.T + stir @ stir.T, atol=1e-7)


def test_scores_are_normal_for_the_truth_and_large_for_another():
    truth = problem(SMALL.plane)[0].posterior
    values, axes = np.linalg.eigh(truth.covariance)
    root = axes * np.sqrt(np.maximum(values, 0.0))
    points = truth.mean + np.random.default_rng(0).normal(size=(4000, 8)) @ root.T
    good = dense.scores(points, truth)
    assert good.count == 5 + 15 and good.largest < 4 and good.off_plane < 1e-7
    narrow = dense.scores(truth.mean + 0.95 * (points - truth.mean), truth)
    shifted = dense.scores(points + 0.1 * root[:, -1], truth)
    assert narrow.largest > 4 and shifted.largest > 5
    assert dense.scores(points + 0.01 * axes[:, 0], truth).off_plane == pytest.approx(0.01)


def test_gaussian_at_toy_size(monkeypatch):
    few = ("PGM corrected", "DDPM", "joint Langevin, exponential", "MYULA", "proximal MALA")
    names = {*few, *(f"PGM, {n} levels" for n in SMALL.levels)}

    def some(parts, c):
        return {name: entry for name, entry in tried(parts, c).items() if name in names}

    monkeypatch.setattr(truth, "tried", some)
    found = gaussian.run(SMALL, KEY)
    claims = {claim.text: claim for claim in found.claims}
    own = [claim for text, claim in claims.items() if "their own recursions" in text]
    assert len(own) == 2 and all(claim.holds for claim in own)  # exact at every size
    ends = [claim for text, claim in claims.items() if "from the posterior mean" in text or "from it" in text]
    assert len(ends) == 4 and all(claim.holds for claim in ends)
    assert all(len(row) == len(table.columns) for table in found.tables for row in table.rows)
    assert set(found.figures) == {"gaussian"}


def test_laplace_at_toy_size():
    sizes = dict(levels=(10, 20), rungs=10, calls=20, samples=300, simulations=20, draws=9)
    found = laplace.run(toy_settings("laplace", **sizes), KEY)
    distances, coverage = found.tables
    assert coverage.rows[0][0] == "PGM corrected" and len(distances.rows) == 15
    w1: dict[Any, Any] = {row[0]: row[2] for row in distances.rows[1:]}
    assert np.isfinite(list(w1.values())).all()
    assert w1["PGM corrected, exact prox"] < w1["PGM alone, exact prox, 10 levels"]
    assert len(found.claims) == 12 and set(found.figures) == {"laplace"}


def test_calibration_knows_exact_samples_from_narrow_ones():
    n, s = 200, 19
    # Posterior N(y / 2, 1 / 2) of a standard normal prior and noise.
    draw = np.random.default_rng(0).normal
    truths = jnp.asarray(draw(size=(n, 2)), jnp.float32)
    means = (truths + draw(size=(n, 2)).astype(np.float32)) / 2
    exact = means[:, None] + jnp.asarray(0.5**0.5 * draw(size=(n, s, 2)), jnp.float32)
    narrow = means[:, None] + 0.5 * (exact - means[:, None])
    good, bad = (calibrate(KEY, name, 3, x, truths) for name, x in (("good", exact), ("bad", narrow)))
    assert all(claim.holds for claim in calibrated(good)) and not not_calibrated(good).holds
    assert not any(claim.holds for claim in calibrated(bad)) and not_calibrated(bad).holds
    table = coverage_table("two", [good, bad])
    (share, spread), (too_small, _) = (cast(tuple[float, float], row[2]) for row in table.rows)
    assert abs(share - 90) < 4 * spread and too_small < 75
    assert "2 coordinates" in table.caption
    broken = calibrate(KEY, "broken", 3, exact.at[0, 0, 0].set(jnp.nan), truths)
    assert not any(claim.holds for claim in [*calibrated(broken), not_calibrated(broken)])
