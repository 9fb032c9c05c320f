"""A prior that answers in a metric is tested on each measurement, and where it fails the plain step takes its place."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.noise import GaussianNoise, measure
from pgm_jax.operators import fourier_sampling, gaussian_sensing, mask, random_mask, reflecting_blur
from pgm_jax.potentials import Mixture
from pgm_jax.proximal import data_first, exact
from pgm_jax.restoration import restore
from pgm_jax.samplers import exact_rows
from pgm_jax.types import pytree

SHAPE, NOISE, KEY = (6, 4, 1), GaussianNoise(0.1), jax.random.key(0)
COUNT = 4
MASKS = jax.vmap(lambda key: random_mask(key, SHAPE))(jax.random.split(KEY, COUNT))
SENSING = gaussian_sensing(KEY, SHAPE, 12)
OPERATORS = pytest.mark.parametrize(("operator", "axis"), [(MASKS, 0), (SENSING, None)])


@pytree
class Normal:
    """N(0, s^2) in every pixel, whose answer is its mean in Sigma where it knows Sigma, and in lam I elsewhere."""

    s: float
    diagonal_alone: bool = dataclasses.field(default=False, metadata=dict(static=True))
    every_metric = True

    def prox(self, v, lam):
        return self.s**2 / (self.s**2 + lam) * v

    def prox_metric(self, mu, metric):
        if self.diagonal_alone and not metric.entrywise:
            return 0.5 * mu
        return metric.gain(mu, self.s)


@pytree
class Careless(Normal):
    """It takes hidden pixels below zero for seen ones."""

    def prox_metric(self, mu, metric):
        return jnp.where(jnp.mean(mu) > 0, metric.gain(mu, self.s), 0.2 * mu)


def measured(operator, axis):
    return measure(KEY, operator, 0.5 * jax.random.normal(KEY, (COUNT, *SHAPE)), NOISE, operator_axis=axis)


def restored(prior, operator, axis, **options):
    return restore(KEY, prior, operator, measured(operator, axis), NOISE, samples=2, operator_axis=axis, **options)


def assert_same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytree
class Normals(Mixture):
    """A mixture of normal distributions, whose answer is its posterior mean."""

    every_metric = True

    def prox_metric(self, mu, metric):
        return self.denoise_metric(mu, metric)


def share_refused(prior, operator, sigma, draw, count=500):
    """How many of the measurements of draws of the prior fail the test."""
    noise = GaussianNoise(sigma)
    y = measure(KEY, operator, draw(jax.random.key(1), (count, *operator.image_shape)), noise)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = restore(KEY, prior, operator, y, noise, samples=1)
    return float(jnp.mean(found.calls != 20))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 1), (6, 4, 1)])
def test_exact_means_are_hardly_ever_refused(shape):
    normal = lambda key, shape: 0.5 * jax.random.normal(key, shape)  # noqa: E731
    for sigma in (0.2, 2.0):
        assert share_refused(Normal(0.5), mask(shape, np.ones(shape)), sigma, normal) <= 0.01


@pytest.mark.parametrize("std", [0.02, 0.1])
def test_means_between_modes_are_not_held_against_a_prior(std):
    """Much noise leaves the mean of two modes where no sample is."""
    means = jnp.stack([jnp.full(SHAPE, -1.0), jnp.full(SHAPE, 1.0)])

    def draw(key, shape):
        keys = jax.random.split(key)
        return means[jax.random.randint(keys[0], shape[:1], 0, 2)] + std * jax.random.normal(keys[1], shape)

    prior = Normals(jnp.array([0.5, 0.5]), means, std)
    assert share_refused(prior, mask(SHAPE, np.ones(SHAPE)), 4.0, draw) <= 0.01


def test_what_noise_hides_a_quiet_measurement_shows():
    prior, noise = Normal(0.5, diagonal_alone=True), GaussianNoise(2.0)
    y = measure(KEY, SENSING, 0.5 * jax.random.normal(KEY, (COUNT, *SHAPE)), noise)
    with pytest.warns(UserWarning, match="4 of 4 measurements"):
        restore(KEY, prior, SENSING, y, noise, samples=1)


@OPERATORS
def test_a_posterior_mean_passes_the_test(operator, axis):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = restored(Normal(0.5), operator, axis)
    assert_same(found, restored(Normal(0.5), operator, axis, calls=20, split=exact))
    np.testing.assert_array_equal(found.calls, np.full(COUNT, 20))


def test_an_operator_that_the_prior_misjudges_is_left_to_the_plain_step():
    prior = Normal(0.5, diagonal_alone=True)
    with pytest.warns(UserWarning, match="4 of 4 measurements are restored by `data_first`, in 100 calls"):
        found = restored(prior, SENSING, None)
    assert_same(found, restored(prior, SENSING, None, split=data_first))
    with pytest.warns(UserWarning, match="in 7 calls"):
        assert restored(prior, SENSING, None, calls=7).calls.tolist() == [7] * COUNT
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert restored(prior, MASKS, 0).calls.tolist() == [20] * COUNT
        assert restored(prior, SENSING, None, split=exact, calls=3).calls.tolist() == [3] * COUNT


def test_each_measurement_is_tested_alone():
    """Whether another one fails has no say in its samples."""
    prior, y = Careless(0.5), measured(MASKS, 0)
    with pytest.warns(UserWarning, match="of 4 measurements"):
        together = restored(prior, MASKS, 0)
    assert set(together.calls.tolist()) == {20, 100}
    by = {20: restored(prior, MASKS, 0, split=exact), 100: restored(prior, MASKS, 0, split=data_first)}
    for i, calls in enumerate(together.calls.tolist()):
        for name in ("samples", "mean", "std", "failed", "calls"):
            np.testing.assert_array_equal(getattr(together, name)[i], getattr(by[calls], name)[i])
        np.testing.assert_array_equal(together.quantiles[:, i], by[calls].quantiles[:, i])
    first = jax.tree.map(lambda a: a[0], MASKS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = restore(KEY, prior, first, y[0], NOISE, samples=2)
    np.testing.assert_allclose(alone.samples, together.samples[0], atol=1e-6)
    assert alone.calls == together.calls[0]


@pytest.mark.parametrize(
    ("operator", "sigma"),
    [
        (MASKS, 0.1),
        (MASKS, jnp.linspace(0.1, 0.4, COUNT)),
        (MASKS, jnp.full(SHAPE, 0.2).at[0].set(0.4)),
        (fourier_sampling(SHAPE, np.arange(24).reshape(6, 4) % 3 > 0), 0.1),
        (mask(SHAPE, np.zeros(SHAPE)), 0.1),
    ],
    ids=["a number", "one each", "a map", "complex", "blind"],
)
def test_measurements_and_noise_of_every_kind_are_judged(operator, sigma):
    axis, noise = 0 if operator is MASKS else None, GaussianNoise(sigma)
    y = measure(KEY, operator, 0.5 * jax.random.normal(KEY, (COUNT, *SHAPE)), noise, operator_axis=axis)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = restore(KEY, Normal(0.5), operator, y, noise, samples=2, operator_axis=axis)
    assert found.calls.tolist() == [20] * COUNT and not jnp.any(found.failed)


def test_under_jit_and_with_a_grid_there_is_no_test():
    prior, y = Normal(0.5, diagonal_alone=True), measured(SENSING, None)
    rows = exact_rows(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in ({}, dict(rows=rows), dict(indices=jnp.arange(COUNT))):
            run = lambda y, options=options: restore(KEY, prior, SENSING, y, NOISE, samples=1, **options)  # noqa: E731
            assert jax.jit(run)(y).samples.shape == (COUNT, 1, *SHAPE)
        assert restored(prior, SENSING, None, rows=rows).calls.tolist() == [5] * COUNT
        each = jax.vmap(lambda i: restore(KEY, prior, SENSING, y[0], NOISE, samples=1, indices=i[None]))(jnp.arange(2))
    assert each.samples.shape == (2, 1, *SHAPE)


def test_noise_in_double_precision_is_that_of_measurements_in_single():
    blur = reflecting_blur(SHAPE, jnp.ones((3, 3)) / 9)
    with jax.enable_x64(True):
        y = measured(blur, None).astype(jnp.float32)
        noise = GaussianNoise(jnp.asarray(0.1, jnp.float64))
        assert restore(KEY, Normal(0.5), blur, y, noise, samples=1).calls.tolist() == [20] * COUNT


def test_a_grid_and_its_description_are_not_both_taken():
    for also in (dict(calls=5), dict(setting="sharp")):
        with pytest.raises(ValueError, match="rows are the grid that calls and setting describe"):
            restored(Normal(0.5), SENSING, None, rows=exact_rows(5), **also)


def test_a_grid_of_nan_is_refused_by_name():
    rows = exact_rows(5)
    rows = dataclasses.replace(rows, keep=rows.keep.at[2].set(jnp.nan))
    with pytest.raises(ValueError, match="NaN or infinite, 1 of keep"):
        restored(Normal(0.5), SENSING, None, rows=rows)
