"""Metrics of estimates against the truth, of samples against exact ones, of posteriors by coverage, and of proxes."""

from pgm_jax.metrics.calibration import (
    bootstrap_bands,
    effective_sample_size,
    inside,
    interval_coverage,
    rank_scores,
    sbc_ranks,
    split_rhat,
    tarp,
)
from pgm_jax.metrics.distribution import (
    energy_distance,
    gelbrich,
    gelbrich_of_sets,
    mmd,
    sliced_wasserstein,
    wasserstein_1d,
)
from pgm_jax.metrics.image import data_misfit, psnr, ssim
from pgm_jax.metrics.proxness import Proxness, proxness

__all__ = [
    "Proxness",
    "bootstrap_bands",
    "data_misfit",
    "effective_sample_size",
    "energy_distance",
    "gelbrich",
    "gelbrich_of_sets",
    "inside",
    "interval_coverage",
    "mmd",
    "proxness",
    "psnr",
    "rank_scores",
    "sbc_ranks",
    "sliced_wasserstein",
    "split_rhat",
    "ssim",
    "tarp",
    "wasserstein_1d",
]
