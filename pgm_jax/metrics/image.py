"""How close an estimate is to the truth, and to the measurement.

`psnr` and `ssim` take float images [..., H, W, C] in [-1, 1], map them to [0, 1] as (x + 1) / 2, clip, and compare
with data range 1. They give one number an image pair: leading axes are batches and broadcast, so that many samples
[K, H, W, C] can be compared with one truth [H, W, C]. `data_misfit` takes one image, as operators do.
"""

from collections.abc import Callable

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Inexact, Shaped

from pgm_jax.types import Image, Noise, Operator

_FARTHEST = 4.0  # noisy images and estimates leave [-1, 1], but not by so much
_CHANNELS = 4  # more of them are a width


def psnr(estimate: Shaped[Array | np.ndarray, "..."], truth: Shaped[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
    """Peak signal-to-noise ratio, `-10 log10 mean (estimate - truth)^2` in decibels, inf where they are equal.

    Args:
        estimate, truth: floats `[..., H, W, C]` in [-1, 1], C up to 4.

    Raises:
        TypeError: if the images are integers, such as bytes.
        ValueError: if their (H, W, C) differ or are none, or values are far outside [-1, 1].
    """
    _check_pair(estimate, truth)
    return _compare(dm_pix.psnr, estimate, truth)


def ssim(estimate: Shaped[Array | np.ndarray, "..."], truth: Shaped[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
    """Structural similarity, `mean (2 m n + c1) (2 cov + c2) / [(m^2 + n^2 + c1) (var_m + var_n + c2)]`, at most 1.

    m, n, var_m, var_n, cov are local means, variances and covariance under a Gaussian window of 11 x 11 pixels and
    deviation 1.5; c1 = 0.01^2, c2 = 0.03^2. The mean is over the channels and the windows that lie wholly inside the
    image, so that nothing is assumed beyond its border. Wang, Bovik, Sheikh, Simoncelli (IEEE Trans. Image Processing
    13, 2004).

    Args:
        estimate, truth: floats `[..., H, W, C]` in [-1, 1], H and W at least 11, C up to 4.

    Raises:
        TypeError: if the images are integers, such as bytes.
        ValueError: if their (H, W, C) differ, are none or too small, or values are far outside [-1, 1].
    """
    _check_pair(estimate, truth)
    if min(truth.shape[-3:-1]) < 11:
        raise ValueError(
            f"ssim looks through windows of 11 x 11 pixels, and the images have shape {truth.shape[-3:]}: "
            "take images of at least 11 x 11, or psnr"
        )
    return _compare(dm_pix.ssim, estimate, truth)


def data_misfit(operator: Operator, x: Image, y: Inexact[Array, "..."], noise: Noise) -> Float[Array, ""]:
    """How well an image explains a measurement, `|observed (y - clean) / std| / sqrt(n)`, n the observed entries of y.

    About 1 where x fits y as well as the truth does; below 1 it fits the noise. A complex entry counts as two.

    Args:
        operator, x, y: A, an image `[H, W, C]` in [-1, 1], and its measurement.
        noise: clean and std of the measurement are `noise.clean(operator, x)` and `noise.std(clean)`.
    """
    clean = noise.clean(operator, x)
    residual = operator.observed * (y - clean) / noise.std(clean)
    count = jnp.sum(jnp.broadcast_to(operator.observed, y.shape)) * (2 if jnp.iscomplexobj(y) else 1)
    return jnp.sqrt(jnp.sum(jnp.real(residual * jnp.conj(residual))) / count)


def _check(image: jax.Array | np.ndarray, name: str) -> None:
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise TypeError(
            f"the {name} has the type {image.dtype}, and metrics compare floats in [-1, 1]: turn bytes into them by "
            "x / 127.5 - 1"
        )
    if image.ndim < 3 or image.shape[-1] > _CHANNELS:
        raise ValueError(
            f"the {name} has shape {image.shape}, and metrics take (..., height, width, channels) with 1 to "
            f"{_CHANNELS} channels: give grey images their axis by x[..., None], move channels that come first to the "
            "end, and compare more of them one by one"
        )
    if isinstance(image, Tracer) or not image.size:
        return
    if (largest := float(np.max(np.abs(np.asarray(image))))) > _FARTHEST:
        raise ValueError(
            f"the {name} reaches {largest:.4g}, and metrics compare images in [-1, 1]: rescale it, from 0..255 by "
            "x / 127.5 - 1, or clip an estimate that has diverged"
        )


def _check_pair(estimate: jax.Array | np.ndarray, truth: jax.Array | np.ndarray) -> None:
    _check(estimate, "estimate")
    _check(truth, "truth")
    if estimate.shape[-3:] != truth.shape[-3:]:
        raise ValueError(
            f"the estimate has shape {estimate.shape} and the truth {truth.shape}: their last three axes, "
            "(height, width, channels), must be equal"
        )


def _compare(metric: Callable, estimate: jax.Array | np.ndarray, truth: jax.Array | np.ndarray) -> jax.Array:
    pairs = (jnp.clip((image + 1) / 2, 0, 1) for image in jnp.broadcast_arrays(estimate, truth))
    return jnp.vectorize(metric, signature="(h,w,c),(h,w,c)->()")(*pairs)
