"""Tomography: line integrals of an image along parallel rays, one set of rays for every angle.

With columns c and rows r counted from the pixel (H // 2, W // 2), and detectors t from the detector D // 2, all one
pixel apart, the ray of detector t at the angle theta is the line

    t = c cos(theta) - r sin(theta)

Joseph's method walks along it row by row where |cos| >= |sin| and column by column otherwise, and interpolates the two
neighbours of every crossing. Line l, a row or a column, is crossed at the position p on it,

    y_t = |a| sum_l sum_k hat(p(t, l) - k) x_lk,   p(t, l) = a t + b l,   hat(s) = max(0, 1 - |s|)

    row by row        a =  1 / cos(theta)   b = tan(theta)
    column by column  a = -1 / sin(theta)   b = cot(theta)

1 <= |a| <= sqrt(2) is the length of a step, and |b| <= 1. Both directions are gathers: a ray meets two pixels of a
line, and since |a| >= 1, the hat of a pixel holds at most two detectors, t and t + 1 with t = floor((k - b l) / a):

    (A^T r)_lk = sum_theta |a| sum_t hat(p(t, l) - k) r_t

n angles that are spread evenly over 180 degrees see an image of M pixels a side about as the convolution

    A^T A = F^-1 g F,   g(k) = n / (pi max(|k|, 1 / (pi M))),   k in cycles a pixel

which preconditions `solve`, and whose inverse on the detector's side is the ramp |k| of filtered back projection.

P. M. Joseph, An improved algorithm for reprojecting rays through pixel images, IEEE Trans. Med. Imaging 1 (1982);
A. C. Kak, M. Slaney, Principles of Computerized Tomographic Imaging (1988), chapter 3.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from pgm_jax.operators.base import LinearOperator, check_image_shape
from pgm_jax.operators.checks import check_array, check_whole
from pgm_jax.types import Scalar, Shape, pytree

HIGHEST = jax.lax.Precision.HIGHEST


class Rays(NamedTuple):
    """The crossings p = a t + b l of one angle, or of all of them with a leading axis.

    Attributes:
        upright: whether lines are rows.
        a, b: slope along the detectors, and along the lines.
    """

    upright: jax.Array
    a: jax.Array
    b: jax.Array


@pytree
class Radon(LinearOperator):
    """Line integrals along parallel rays, y of shape (angles, detectors, C); build it with `radon`.

    Attributes:
        angles: (n,), degrees.
        detectors: D, pixels of the detector, one image pixel wide.
    """

    angles: jax.Array
    detectors: int = dataclasses.field(metadata=dict(static=True))
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def forward(self, x: jax.Array) -> jax.Array:
        """A x, two pixels a line and ray."""
        height, width, _ = self.image_shape
        side = max(height, width)
        # Two zeros before the first pixel and after the last are what a ray finds that passes beside a line.
        rows, cols = (
            jnp.pad(z, ((0, side - z.shape[0]), (2, 2 + side - z.shape[1]), (0, 0))) for z in (x, x.swapaxes(0, 1))
        )

        def project(rays: Rays) -> jax.Array:
            z = jnp.where(rays.upright, rows, cols)
            line, offset = jnp.arange(side)[:, None], jnp.arange(self.detectors) - self.detectors // 2
            middle = jnp.where(rays.upright, width // 2, height // 2)
            other = jnp.where(rays.upright, height // 2, width // 2)
            p = self._fixed(rays.a * offset)[None, :] + self._fixed(rays.b * (line - other))
            pixel = (p >> self._bits) + middle
            after = self._float(p & ((1 << self._bits) - 1))
            inside = jnp.clip(pixel + 2, 0, side + 2)

            def taps(weight, k):
                # As a contraction over the lines it is several times as fast as a sum of products.
                values = z.at[line, k].get(mode="promise_in_bounds")
                return jnp.einsum("ld,ldc->dc", weight, values, precision=HIGHEST)

            return jnp.abs(rays.a) * (taps(1 - after, inside) + taps(after, inside + 1))

        return jax.lax.map(project, self._rays())

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r, two detectors a pixel and angle, with the weights of `forward`."""
        height, width, _ = self.image_shape
        row, col = jnp.meshgrid(jnp.arange(height) - height // 2, jnp.arange(width) - width // 2, indexing="ij")
        first, last = -(self.detectors // 2), self.detectors - 1 - self.detectors // 2

        def back_project(image: jax.Array, angle: tuple[Rays, jax.Array]) -> tuple[jax.Array, None]:
            rays, r = angle
            line, k = jnp.where(rays.upright, row, col), jnp.where(rays.upright, col, row)
            below = jnp.clip(jnp.floor((k - rays.b * line) / rays.a), first - 1, last)

            def tap(t):
                p = self._fixed(rays.a * t) + self._fixed(rays.b * line) - (k << self._bits)
                weight = jnp.maximum(0, 1 - self._float(jnp.abs(p)))
                return weight[..., None] * r.at[t.astype(int) - first + 1].get(mode="promise_in_bounds")

            return image + jnp.abs(rays.a) * (tap(below) + tap(below + 1)), None

        beside = jnp.pad(r, ((0, 0), (1, 1), (0, 0)))
        start = jnp.zeros(self.image_shape, jnp.result_type(r, self.angles))
        return jax.lax.scan(back_project, start, (self._rays(), beside))[0]

    def precondition(self, r: jax.Array, rho: Scalar) -> jax.Array:
        """F^-1 [ F r / (g + rho) ] on an image with as many zeros beside it, see the module's docstring.

        Angles over less than 180 degrees gain little by it.
        """
        height, width, _ = self.image_shape
        frequency = jnp.hypot(jnp.fft.fftfreq(2 * height)[:, None], jnp.fft.rfftfreq(2 * width)[None, :])
        lowest = 1 / (math.pi * max(height, width))
        gain = self.angles.shape[0] / (math.pi * jnp.maximum(frequency, lowest)) + rho
        spectrum = jnp.fft.rfft2(r, (2 * height, 2 * width), axes=(0, 1)) / gain[..., None]
        return jnp.fft.irfft2(spectrum, (2 * height, 2 * width), axes=(0, 1))[:height, :width]

    @property
    def _bits(self) -> int:
        # Positions are whole numbers of 2^-bits pixels, as many bits as an integer leaves: floating-point ones close
        # to a pixel's middle may be rounded to either side of it, apart in the index and in the weight.
        largest = math.ceil(math.sqrt(2) * (self.detectors // 2 + 2)) + 2 * max(self.image_shape[:2])
        return jnp.iinfo(jnp.result_type(int)).bits - 1 - largest.bit_length()

    def _fixed(self, position: jax.Array) -> jax.Array:
        return jnp.round(position * 2.0**self._bits).astype(int)

    def _float(self, position: jax.Array) -> jax.Array:
        return position * 2.0**-self._bits

    def _rays(self) -> Rays:
        cos, sin = jnp.cos(jnp.deg2rad(self.angles)), jnp.sin(jnp.deg2rad(self.angles))
        upright = jnp.abs(cos) >= jnp.abs(sin)
        along, across = jnp.where(upright, cos, -sin), jnp.where(upright, sin, -cos)
        return Rays(upright, 1 / along, across / along)


def radon(image_shape: Shape, angles: ArrayLike | int, detectors: int | None = None) -> Radon:
    """Line integrals in steps of a pixel, y[i, j] along t = c cos(angles[i]) - r sin(angles[i]), t = j - D // 2.

    The rotation's centre is the pixel (H // 2, W // 2); columns c and rows r count from there.

    Args:
        image_shape: (H, W, C).
        angles: (n,), degrees; a whole number n takes 0, 180 / n, ..., 180 (n - 1) / n.
        detectors: D, by default ceil(sqrt(2) max(H, W)), which sees every pixel at every angle; min(H, W) sees
            those in the inscribed circle.
    """
    height, width, _ = image_shape = check_image_shape(image_shape)
    if np.ndim(angles) == 0:
        number = check_whole("angles is a vector of degrees, or how many there are over 180", angles, 1)
        angles = 180.0 * np.arange(number) / number
    angles = jnp.asarray(check_array("angles", angles), float)
    if angles.ndim != 1 or not angles.size:
        raise ValueError(
            f"angles has shape {angles.shape}; give at least one angle, in degrees, as a vector (n,), or how many "
            "there are over 180 degrees"
        )
    count = math.ceil(math.sqrt(2) * max(height, width)) if detectors is None else detectors
    hint = "None takes as many as see the whole image"
    return Radon(angles, check_whole("detectors is the number of detector pixels", count, 1, hint=hint), image_shape)


def filtered_back_projection(
    operator: Radon, sinogram: Float[Array, "n d c"], window: str = "ramp"
) -> Float[Array, "h w c"]:
    """An image from its line integrals, pi / n sum_theta (q * y_theta)(c cos(theta) - r sin(theta)).

    q has the frequencies |k| window(k), and q * y_theta is interpolated linearly between detectors.

    Args:
        operator: n angles, evenly spread over 180 degrees.
        sinogram: y, (n, D, C).
        window: 1 for "ramp", sin(pi k) / (pi k) for "shepp-logan", cos(pi k)^2 for "hann", k up to 1/2 cycle a
            detector; from sharp and noisy to smooth. Pixels that the detector does not see at every angle come out
            too dark.
    """
    if window not in WINDOWS:
        raise ValueError(f"the window of the ramp filter is one of {', '.join(map(repr, WINDOWS))}, not {window!r}")
    if sinogram.shape != operator.measurement_shape:
        raise ValueError(
            f"the sinogram has shape {sinogram.shape} and the operator's measurements {operator.measurement_shape}, "
            "(angles, detectors, channels): transpose one whose angles come second, and take a batch by jax.vmap"
        )
    height, width, _ = operator.image_shape
    # So long that the filter does not reach around, and a power of two for the transform.
    length = 2 ** math.ceil(math.log2(2 * operator.detectors))
    response = jnp.fft.rfft(_ramp(length)).real * WINDOWS[window](jnp.fft.rfftfreq(length))
    filtered = jnp.fft.irfft(jnp.fft.rfft(sinogram, length, axis=1) * response[None, :, None], length, axis=1)
    beside = jnp.pad(filtered[:, : operator.detectors], ((0, 0), (2, 2), (0, 0)))
    row, col = (jnp.arange(height) - height // 2)[:, None], (jnp.arange(width) - width // 2)[None, :]

    def back_project(image: jax.Array, angle: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        cos, sin, q = angle
        t = operator._fixed(col * cos) - operator._fixed(row * sin)
        below = jnp.clip((t >> operator._bits) + operator.detectors // 2 + 2, 0, operator.detectors + 2)
        after = operator._float(t & ((1 << operator._bits) - 1))[..., None]
        return image + (1 - after) * q[below] + after * q[below + 1], None

    theta = jnp.deg2rad(operator.angles)
    start = jnp.zeros(operator.image_shape, jnp.result_type(filtered, theta))
    image, _ = jax.lax.scan(back_project, start, (jnp.cos(theta), jnp.sin(theta), beside))
    return math.pi / operator.angles.shape[0] * image


WINDOWS = {
    "ramp": jnp.ones_like,
    "shepp-logan": jnp.sinc,
    "hann": lambda frequency: jnp.cos(math.pi * frequency) ** 2,
}


def _ramp(length: int) -> jax.Array:
    # The samples of the band-limited |k| itself (Kak and Slaney, equation 61): those of |k| on the grid of
    # frequencies would lose the mean of the image.
    distance = jnp.minimum(jnp.arange(length), length - jnp.arange(length))
    odd = -1 / (math.pi * jnp.maximum(distance, 1)) ** 2
    return jnp.where(distance == 0, 0.25, jnp.where(distance % 2 == 1, odd, 0.0))
