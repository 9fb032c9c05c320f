"""Numbers that judge an estimate: against the truth, and against the measurement."""

from pgm_jax.metrics.image import data_misfit, psnr, ssim

__all__ = ["data_misfit", "psnr", "ssim"]
