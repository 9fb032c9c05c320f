"""How near an estimate is to the truth, and to the measurement.

`psnr` and `ssim` take float images (..., H, W, C) in [-1, 1], map them to [0, 1] as (x + 1) / 2, clip, and compare
with data range 1. They give one number an image pair: leading axes are batches and broadcast, so that many samples
(K, H, W, C) can be compared with one truth (H, W, C). `data_misfit` takes one image, as operators do.
"""

from collections.abc import Callable

import dm_pix
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from pgm_jax.operators.solvers import squares
from pgm_jax.types import Image, Operator, Scalar


def psnr(estimate: Float[Array, "... _ _ _"], truth: Float[Array, "... _ _ _"]) -> Float[Array, "..."]:
    """Peak signal-to-noise ratio, -10 log10 mean (estimate - truth)^2 in decibels, inf where they are equal.

    estimate, truth: (..., H, W, C) in [-1, 1]. Raises ValueError where their (H, W, C) differ.
    """
    return _compare(dm_pix.psnr, estimate, truth)


def ssim(estimate: Float[Array, "... _ _ _"], truth: Float[Array, "... _ _ _"]) -> Float[Array, "..."]:
    """Structural similarity, mean (2 m n + c1) (2 cov + c2) / [(m^2 + n^2 + c1) (var_m + var_n + c2)], at most 1.

    m, n, var_m, var_n, cov are local means, variances and covariance under a Gaussian window of 11 x 11 pixels and
    deviation 1.5; c1 = 0.01^2, c2 = 0.03^2. The mean is over the channels and the windows that lie wholly inside the
    image, so that nothing is assumed beyond its border. Wang, Bovik, Sheikh, Simoncelli (IEEE Trans. Image Processing
    13, 2004).

    estimate, truth: (..., H, W, C) in [-1, 1]. Raises ValueError where their (H, W, C) differ or a side is below 11.
    """
    if min(truth.shape[-3:-1]) < 11:
        raise ValueError(
            f"ssim looks through windows of 11 x 11 pixels, and the images have shape {truth.shape[-3:]}: "
            "take images of at least 11 x 11, or psnr"
        )
    return _compare(dm_pix.ssim, estimate, truth)


def data_misfit(operator: Operator, x: Image, y: Inexact[Array, "..."], sigma: Scalar) -> Float[Array, ""]:
    """How well an image explains a measurement, |observed (y - A(x))| / (sigma sqrt(n)), n the observed entries of y.

    About 1 where x fits y as well as the truth does; below 1 it fits the noise.
    The parts of a complex entry count as two.
    operator: A. x: (H, W, C) in [-1, 1]. y: its measurement. sigma: noise deviation, above 0, in the units of y.
    """
    residual = operator.observed * (y - operator.forward(x))
    count = jnp.sum(jnp.broadcast_to(operator.observed, y.shape)) * (2 if jnp.iscomplexobj(y) else 1)
    return jnp.sqrt(squares(residual) / count) / sigma


def _compare(metric: Callable, estimate: jax.Array, truth: jax.Array) -> jax.Array:
    if estimate.shape[-3:] != truth.shape[-3:]:
        raise ValueError(
            f"the estimate has shape {estimate.shape} and the truth {truth.shape}: their last three axes, "
            "(height, width, channels), must be equal"
        )
    pairs = (jnp.clip((image + 1) / 2, 0, 1) for image in jnp.broadcast_arrays(estimate, truth))
    return jnp.vectorize(metric, signature="(h,w,c),(h,w,c)->()")(*pairs)
