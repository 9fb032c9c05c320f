"""Cameras: the nonlinear effects of light and sensors on an image.

    synthetic blur      y = e( sum_k w_k (kernel_k * d(x)) )        blur acts on light, images hold encoded light
    dynamic range       y = clip(gain x, -1, 1)                     both ends of the range are lost
    saturation          y = min(gain (x + 1), 2) - 1                black stays black, white is lost
    quantisation        y = the nearest of L equidistant values of [-1, 1]

Decoding is d(x) = t^gamma with t = ((x + 1) / 2 + a) / (1 + a) and a = 0.055, and below black, t < a / (1 + a), its
tangent there; encoding e is the inverse of d. Both are increasing and continuously differentiable on the whole line,
so that a sampler may stand outside [-1, 1]. The offset a keeps e from being vertical at black.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from pgm_jax.operators.base import NonlinearOperator, check_image_shape
from pgm_jax.operators.blur import ReflectingBlur
from pgm_jax.operators.checks import check_number, check_numbers, check_whole
from pgm_jax.types import Key, Scalar, Shape, as_key, pytree

# The offset of the standard for colour on screens, IEC 61966-2-1 (sRGB).
OFFSET = 0.055
BLACK = OFFSET / (1 + OFFSET)
# How far, in units of the image's sides, one blur goes over into the next.
TRANSITION = 0.25


def decode(x: jax.Array, gamma: Scalar) -> jax.Array:
    """The light d(x) of encoded pixels, t^gamma with t = ((x + 1) / 2 + a) / (1 + a), and its tangent below black."""
    return _power((0.5 * (x + 1) + OFFSET) / (1 + OFFSET), gamma, BLACK)


def encode(light: jax.Array, gamma: Scalar) -> jax.Array:
    """The pixels e(light) that `decode` takes to this light at this gamma, on the whole line."""
    return 2 * ((1 + OFFSET) * _power(light, 1 / gamma, BLACK**gamma) - OFFSET) - 1


def _power(t: jax.Array, exponent: Scalar, start: Scalar) -> jax.Array:
    """t^exponent from `start` on, and below it its tangent there."""
    above = jnp.maximum(t, start)
    return above**exponent + exponent * start ** (exponent - 1) * (t - above)


@pytree
class SyntheticBlur(NonlinearOperator):
    """y = e( sum_k w_k (kernel_k * d(x)) ) for every channel; build it with `synthetic_blur`.

    Attributes:
        kernels: (K, k, k), odd sides, symmetric about their middle, each of sum 1.
        weights: w, (H, W, K), at least 0 and of sum 1 at every pixel.
        gamma: exponent of d.
    """

    kernels: jax.Array
    weights: jax.Array
    gamma: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def forward(self, x: jax.Array) -> jax.Array:
        """A(x), the image mirrored at the middle of its edge pixels."""
        light = decode(x, self.gamma)
        blurred = jax.vmap(lambda kernel: ReflectingBlur(kernel, self.image_shape).forward(light))(self.kernels)
        mixed = jnp.einsum("hwk,khwc->hwc", self.weights, blurred, precision=jax.lax.Precision.HIGHEST)
        return encode(mixed, self.gamma)


def synthetic_blur(
    key: Key, image_shape: Shape, gamma: Scalar = 2.2, widths: tuple[float, float] = (0.5, 2.0), fields: int = 4
) -> SyntheticBlur:
    """A random smooth nonlinear blur: the light is blurred, by one of several kernels in each region of the image.

    The kernels are Gaussians of random direction whose two deviations are uniform in `widths`, cut off at three times
    the largest. The regions belong to random points c_k, w = softmax(-|p - c_k|^2 / (2 * 0.25^2)), p the pixel in units
    of the sides. Constant images stay what they are, and y stays within the range of x.

    Args:
        image_shape: (H, W, C).
        gamma: exponent by which pixels become light, above 0.
        widths: least and greatest deviation of a kernel, in pixels, above 0.
        fields: number of kernels, at least 1.
    """
    height, width, channels = check_image_shape(image_shape)
    key = as_key(key)
    gamma = check_number("gamma is the exponent by which pixels become light", gamma, above=0)
    narrow, wide = check_numbers("widths are the deviations of kernels in pixels", widths, 2, whole=False)
    if not 0 < narrow <= wide:
        raise ValueError(
            f"widths are the least and the greatest deviation of a kernel in pixels, above 0, and are {tuple(widths)}: "
            "give them as (least, greatest)"
        )
    fields = check_whole("fields is the number of kernels that share the image", fields, 1)
    radius = math.ceil(3 * wide)
    if radius >= min(height, width):
        raise ValueError(
            f"kernels of deviation {wide} reach {radius} pixels, too far for an image of {height} x {width}: "
            "take smaller widths or a larger image"
        )
    of_angles, of_widths, of_points = jax.random.split(key, 3)
    angles = jax.random.uniform(of_angles, (fields,), maxval=jnp.pi)
    deviations = jax.random.uniform(of_widths, (2, fields), minval=narrow, maxval=wide)
    points = jax.random.uniform(of_points, (2, fields))
    kernels = jax.vmap(lambda angle, along, across: _kernel(radius, angle, along, across))(angles, *deviations)
    rows, cols = jnp.meshgrid((jnp.arange(height) + 0.5) / height, (jnp.arange(width) + 0.5) / width, indexing="ij")
    squares = (rows[..., None] - points[0][None, None]) ** 2 + (cols[..., None] - points[1][None, None]) ** 2
    weights = jax.nn.softmax(-squares / (2 * TRANSITION**2), axis=-1)
    return SyntheticBlur(kernels, weights, jnp.asarray(gamma, float), (height, width, channels))


def _kernel(radius: int, angle: Scalar, along: Scalar, across: Scalar) -> jax.Array:
    """A Gaussian with deviations along and across a direction, of sum 1."""
    q = jnp.arange(-radius, radius + 1)
    rows, cols = q[:, None], q[None, :]
    forth = jnp.cos(angle) * cols + jnp.sin(angle) * rows
    aside = jnp.cos(angle) * rows - jnp.sin(angle) * cols
    kernel = jnp.exp(-0.5 * ((forth / along) ** 2 + (aside / across) ** 2))
    return kernel / jnp.sum(kernel)


@pytree
class HighDynamicRange(NonlinearOperator):
    """y = clip(gain x, -1, 1); build it with `high_dynamic_range`."""

    gain: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def forward(self, x: jax.Array) -> jax.Array:
        return jnp.clip(self.gain * x, -1, 1)


def high_dynamic_range(image_shape: Shape, gain: Scalar = 2.0) -> HighDynamicRange:
    """A scene whose range exceeds the sensor's at both ends, y = clip(gain x, -1, 1).

    Where y is -1 or 1 its derivative is 0: the measurement says there only on which side x lies.

    Args:
        image_shape: (H, W, C).
        gain: factor above 0; at 1 or below nothing is lost of an image in [-1, 1].
    """
    image_shape = check_image_shape(image_shape)
    gain = check_number("gain is the factor before clipping", gain, above=0)
    return HighDynamicRange(jnp.asarray(gain, float), image_shape)


@pytree
class Saturation(NonlinearOperator):
    """y = min(gain (x + 1), 2) - 1; build it with `saturation`."""

    gain: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def forward(self, x: jax.Array) -> jax.Array:
        return jnp.minimum(self.gain * (x + 1), 2) - 1


def saturation(image_shape: Shape, gain: Scalar = 2.0) -> Saturation:
    """Overexposure, y = min(gain (x + 1), 2) - 1: black is kept and bright pixels turn white.

    Where y is 1 its derivative is 0. Below black y continues as a straight line.

    Args:
        image_shape: (H, W, C).
        gain: factor of the exposure, above 0; at 1 or below nothing of [-1, 1] is lost.
    """
    image_shape = check_image_shape(image_shape)
    gain = check_number("gain is the factor of the exposure", gain, above=0)
    return Saturation(jnp.asarray(gain, float), image_shape)


@pytree
class Quantisation(NonlinearOperator):
    """y = the nearest of `levels` equidistant values of [-1, 1]; build it with `quantisation`."""

    levels: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def forward(self, x: jax.Array) -> jax.Array:
        """A(x), of the shape of x; its derivative is the straight-through one."""
        clipped, last = jnp.clip(x, -1, 1), self.levels - 1
        y = 2 * jnp.round(0.5 * (clipped + 1) * last) / last - 1
        # The difference is 0 and has the derivative of clipping.
        return jax.lax.stop_gradient(y) + (clipped - jax.lax.stop_gradient(clipped))


def quantisation(image_shape: Shape, levels: int | jax.Array) -> Quantisation:
    """Round to `levels` equidistant values of [-1, 1], the ends among them; halves go to the even value.

    Rounding has the derivative 0 almost everywhere, of which no sampler learns anything. The derivative that is taken
    instead is that of clipping, 1 inside of [-1, 1] and 0 outside: the straight-through estimator (Bengio, Leonard and
    Courville, 2013, arXiv 1308.3432).

    Args:
        image_shape: (H, W, C).
        levels: number of values, at least 2; 256 for eight bits.
    """
    image_shape = check_image_shape(image_shape)
    levels = check_whole("levels is the number of values that are left", levels, 2, hint="4 bits are 16")
    return Quantisation(jnp.asarray(levels, float), image_shape)
