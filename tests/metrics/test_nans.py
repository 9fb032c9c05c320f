"""Under JAX_DEBUG_NANS every metric of healthy numbers comes through: none makes a NaN and hides it again."""

import jax
import jax.numpy as jnp

from pgm_jax import metrics, operators
from pgm_jax.noise import GaussianNoise


def test_metrics_of_images():
    truth = jax.random.uniform(jax.random.key(0), (16, 20, 3), minval=-1.0)
    mask = operators.random_mask(jax.random.key(1), truth.shape)
    with jax.debug_nans(True):
        for metric in (metrics.psnr, metrics.ssim, jax.jit(metrics.psnr), jax.jit(metrics.ssim)):
            metric(0.9 * truth, truth), metric(truth, truth), metric(0 * truth, 0 * truth)
        metrics.data_misfit(mask, truth, mask.forward(truth), GaussianNoise(0.1))


def test_metrics_of_samples():
    samples = jax.random.normal(jax.random.key(0), (20, 50, 2))
    truths, key, levels = samples[:, 0] / 2, jax.random.key(1), jnp.linspace(0.1, 0.9, 5)
    with jax.debug_nans(True):
        for of_chains in (metrics.effective_sample_size, metrics.split_rhat):
            of_chains(samples[:4]), jax.jit(of_chains)(samples[:4])
        for coverage in (
            metrics.interval_coverage(samples, truths, levels),
            metrics.tarp(key, samples, truths, levels),
        ):
            metrics.inside(coverage.nominal, metrics.bootstrap_bands(key, coverage, resamples=16).simultaneous)
        metrics.rank_scores(metrics.sbc_ranks(key, samples, truths), 50)
        one, two = samples[0], samples[1]
        metrics.wasserstein_1d(one[:, 0], two[:, 0]), metrics.sliced_wasserstein(key, one, two, 5)
        for distance in (metrics.gelbrich_of_sets, metrics.energy_distance, lambda a, b: metrics.mmd(a, b, 1.0)):
            distance(one, two), distance(one, one)
