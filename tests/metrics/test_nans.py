"""No metric of healthy numbers makes a NaN and hides it again: every operation is checked, as by JAX_DEBUG_NANS."""

import functools

import jax
import numpy as np
import pytest
from jax.experimental import checkify

from pgm_jax import metrics, operators
from pgm_jax.noise import GaussianNoise

OPERATOR = operators.random_mask(jax.random.key(1), (16, 20, 3))


@functools.cache
def checked(function):
    return jax.jit(checkify.checkify(function, errors=checkify.nan_checks))


def check(function, *arguments):
    checked(function)(*arguments)[0].throw()


def of_images(estimate, truth):
    misfit = metrics.data_misfit(OPERATOR, estimate, OPERATOR.forward(truth), GaussianNoise(0.1))
    return metrics.psnr(estimate, truth), metrics.ssim(estimate, truth), misfit


def of_samples(key, samples, truths, levels):
    coverages = metrics.interval_coverage(samples, truths, levels), metrics.tarp(key, samples, truths, levels)
    bands = [metrics.bootstrap_bands(key, coverage, resamples=16) for coverage in coverages]
    inside = [metrics.inside(both[0].nominal, both[1].simultaneous) for both in zip(coverages, bands, strict=True)]
    scores = metrics.rank_scores(metrics.sbc_ranks(key, samples, truths), 50)
    return inside, scores, metrics.effective_sample_size(samples[:4]), metrics.split_rhat(samples[:4])


def of_sets(key, one, two):
    transports = metrics.wasserstein_1d(one[:, 0], two[:, 0]), metrics.sliced_wasserstein(key, one, two, 5)
    return transports, metrics.gelbrich_of_sets(one, two), metrics.energy_distance(one, two), metrics.mmd(one, two, 1.0)


def test_metrics_of_images():
    truth = np.float32(np.random.default_rng(0).uniform(-1, 1, (16, 20, 3)))
    for estimate, other in ((0.9 * truth, truth), (truth, truth), (0 * truth, 0 * truth)):
        check(of_images, estimate, other)


def test_metrics_of_samples():
    samples = np.float32(np.random.default_rng(0).standard_normal((20, 50, 2)))
    levels = np.linspace(0.1, 0.9, 5, dtype=np.float32)
    check(of_samples, jax.random.key(1), samples, samples[:, 0] / 2, levels)
    for two in samples[:2]:
        check(of_sets, jax.random.key(1), samples[0], two)


def test_a_hidden_nan_is_seen():
    with pytest.raises(checkify.JaxRuntimeError, match="nan"):
        check(lambda x: jax.numpy.where(x > 0, jax.numpy.log(x), 0.0), np.float32([-1.0, 1.0]))
