"""Kernels of blurs, as matrices of odd sides whose middle is the origin; all sum to 1.

Gaussian of width w, cut off where scipy's filter cuts it off:

    k(q) ~ exp(-|q|^2 / (2 w^2))  for |q_1|, |q_2| <= round(truncate w),   0 beyond

Motion: where a point was while the shutter was open. It moves at one speed and is slow to turn: its heading is a
Brownian motion, and now and then a jolt throws it back. N short steps of a path of length L,

    h_n = h_0 + 2 pi intensity B_n + J_n,       p_n - p_{n-1} = L / N (cos h_n, sin h_n),

B a standard Brownian motion on [0, 1], J the sum of jolts of about pi, of which a path has `intensity` on average. The
idea is that of G. Boracchi and A. Foi, Modeling the performance of image restoration from motion blur (IEEE
Transactions on Image Processing 21, 2012).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.operators.checks import check_number, check_whole
from pgm_jax.types import Key, Scalar, as_key

STEPS_PER_PIXEL = 8


def gaussian_kernel(width: Scalar, size: int = 61, truncate: Scalar = 4.0) -> Float[Array, "size size"]:
    """A Gaussian of deviation `width`, 0 farther out than round(truncate width) along either axis.

    Args:
        width: deviation in pixels.
        size: side of the kernel in pixels, odd; the kernel is normalised within it.
        truncate: where to cut off, in units of `width`. The kernel of width 3 has 25 x 25 entries that are not 0.
    """
    size = _check_size(size)
    width = check_number("width is the kernel's deviation in pixels", width, above=0)
    truncate = check_number("truncate is where the kernel ends, in units of its deviation", truncate, least=0)
    taps = gaussian_taps(width, size, jnp.floor(truncate * width + 0.5))
    return jnp.outer(taps, taps)


def gaussian_taps(width: Scalar, size: int, radius: Scalar | int) -> Float[Array, " size"]:
    """exp(-q^2 / (2 width^2)) for |q| <= radius, of `size` taps, q = 0 in the middle, normalised to sum 1."""
    q = jnp.arange(size) - size // 2
    taps = jnp.where(jnp.abs(q) <= radius, jnp.exp(-0.5 * (q / width) ** 2), 0)
    return taps / jnp.sum(taps)


def motion_kernel(key: Key, size: int = 61, intensity: Scalar = 0.5) -> Float[Array, "size size"]:
    """The kernel of a random motion of the camera, see the head of this file; its centre of mass is the middle.

    Args:
        size: side of the kernel in pixels, odd; the path is between half as long and as long as that.
        intensity: how much the path turns, in [0, 1], 0 for a straight line.
    """
    key, size = as_key(key), _check_size(size)
    what = "intensity is how much a motion turns, 0 for a straight line"
    intensity = check_number(what, intensity, least=0, most=1, hint="fifty per cent are 0.5")
    steps = STEPS_PER_PIXEL * size
    keys = dict(zip(("length", "heading", "turns", "jolts", "strength"), jax.random.split(key, 5), strict=True))
    turns = 2 * jnp.pi / jnp.sqrt(steps) * jax.random.normal(keys["turns"], (steps,))
    strength = jax.random.uniform(keys["strength"], (steps,), minval=jnp.pi - 0.5, maxval=jnp.pi + 0.5)
    jolts = jnp.where(jax.random.bernoulli(keys["jolts"], intensity / steps, (steps,)), strength, 0)
    heading = jax.random.uniform(keys["heading"], maxval=2 * jnp.pi) + jnp.cumsum(intensity * turns + jolts)
    length = jax.random.uniform(keys["length"], minval=0.5) * (size - 1)
    path = length / steps * jnp.cumsum(jnp.stack([jnp.sin(heading), jnp.cos(heading)]), axis=1)
    # No point of a path is farther than half its length from the centre of mass; clipping removes rounding alone.
    path = path - jnp.mean(path, axis=1, keepdims=True) + (size - 1) / 2
    path = jnp.clip(path, 0, size - 1)
    # The hat functions share every point among its four pixels.
    rows, cols = jnp.maximum(0, 1 - jnp.abs(path[:, :, None] - jnp.arange(size)[None, None, :]))
    return jnp.einsum("nk,nl->kl", rows, cols, precision=jax.lax.Precision.HIGHEST) / steps


def _check_size(size: Any) -> int:
    what = "the size of a kernel is its side in pixels, odd so that it has a middle"
    size = check_whole(what, size, 1)
    if size % 2 == 0:
        raise ValueError(f"{what}, and is {size}")
    return size
