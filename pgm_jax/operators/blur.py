"""Blur: the convolution of every channel with one kernel.

With a circular boundary A is diagonal in the discrete Fourier basis, A = F^-1 K F, hence

    invert(v, y, rho) = v + F^-1 [ conj(K) / (|K|^2 + rho) * F (y - A v) ]

A Gaussian kernel is an outer product, so that at a reflecting boundary its blur is a `Separable` map.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from pgm_jax.operators.base import ClosedForm, check_image_shape, wiener
from pgm_jax.operators.separable import Separable, filter_matrix, separable_map
from pgm_jax.types import Scalar, Shape


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CircularBlur(ClosedForm):
    """y_c = kernel * x_c on the torus, for every channel c; build it with `circular_blur` or `gaussian_blur`.

    kernel: (k, l), odd sides, its middle at (k // 2, l // 2). image_shape: (H, W, C).
    """

    kernel: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    @property
    def transfer(self) -> jax.Array:
        """K, the gain of every frequency: (H, W // 2 + 1), complex."""
        (height, width, _), (rows, cols) = self.image_shape, self.kernel.shape
        padded = jnp.pad(self.kernel, ((0, height - rows), (0, width - cols)))
        return jnp.fft.rfft2(jnp.roll(padded, (-(rows // 2), -(cols // 2)), axis=(0, 1)))

    def forward(self, x: jax.Array) -> jax.Array:
        """A x = F^-1 [ K F x ]."""
        return self._filter(self.transfer, x)

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r = F^-1 [ conj(K) F r ]."""
        return self._filter(jnp.conj(self.transfer), r)

    def invert(self, v: jax.Array, y: jax.Array, rho: Scalar) -> jax.Array:
        """v + F^-1 [ conj(K) / (|K|^2 + rho) * F (y - A v) ]."""
        transfer = self.transfer
        return v + self._filter(wiener(transfer, rho), y - self._filter(transfer, v))

    def norm(self) -> jax.Array:
        """max |K|."""
        return jnp.max(jnp.abs(self.transfer))

    def _filter(self, gain: jax.Array, x: jax.Array) -> jax.Array:
        spectrum = gain[..., None] * jnp.fft.rfft2(x, axes=(0, 1))
        return jnp.fft.irfft2(spectrum, s=self.image_shape[:2], axes=(0, 1))


def circular_blur(image_shape: Shape, kernel: ArrayLike) -> CircularBlur:
    """Convolve every channel with `kernel`, the image going on periodically: y[p] = sum_q kernel[q] x[p - q].

    image_shape: (H, W, C). kernel: (k, l), odd sides, q = 0 at its middle; used as it is, not normalised.
    Raises ValueError where the kernel is not a matrix of odd sides or is larger than the image.
    """
    image_shape = check_image_shape(image_shape)
    kernel = jnp.asarray(kernel, float)
    if kernel.ndim != 2 or not all(side % 2 for side in kernel.shape):
        raise ValueError(
            f"the kernel has shape {kernel.shape}; a blur kernel is a matrix (k, l) with odd sides, so that it has a "
            "middle: pad an even side by one row of zeros"
        )
    _check_fits(kernel.shape, image_shape)
    return CircularBlur(kernel, image_shape)


def gaussian_blur(
    image_shape: Shape,
    sigma: Scalar,
    boundary: str = "circular",
    truncate: float = 4.0,
    radius: int | None = None,
) -> CircularBlur | Separable:
    """Blur with the kernel exp(-|q|^2 / (2 sigma^2)), cut off beyond `radius` and normalised to sum 1.

    image_shape: (H, W, C). sigma: deviation in pixels. boundary: how the image goes on outside, "circular"
    (periodically) or "reflect" (mirrored at the middle of the edge pixel). truncate: where to cut off, in units of
    sigma. radius: where to cut off in pixels, by default round(truncate sigma); state it where sigma is traced, since
    it fixes shapes.
    Raises ValueError where the boundary is unknown, sigma not positive, the radius negative or the kernel larger than
    the image.
    """
    height, width, _ = image_shape = check_image_shape(image_shape)
    if boundary not in ("circular", "reflect"):
        raise ValueError(f'the boundary of a blur is "circular" or "reflect", not {boundary!r}')
    if isinstance(sigma, int | float) and sigma <= 0:
        raise ValueError(f"sigma is the blur's deviation in pixels, above 0, and is {sigma}")
    if radius is None:
        radius = int(truncate * sigma + 0.5)
    if radius < 0:
        raise ValueError(f"the radius of the kernel, in pixels, must be at least 0, and is {radius}")
    _check_fits((2 * radius + 1, 2 * radius + 1), image_shape)
    taps = jnp.exp(-0.5 * (jnp.arange(-radius, radius + 1) / sigma) ** 2)
    taps = taps / jnp.sum(taps)
    if boundary == "circular":
        return circular_blur(image_shape, jnp.outer(taps, taps))
    rows, cols = (filter_matrix(taps, size, before=radius, boundary="reflect") for size in (height, width))
    return separable_map(image_shape, rows, cols)


def _check_fits(kernel_shape: Shape, image_shape: Shape) -> None:
    (rows, cols), (height, width, _) = kernel_shape, image_shape
    if rows > height or cols > width:
        raise ValueError(
            f"a blur kernel of {rows} x {cols} pixels does not fit an image of {height} x {width}: "
            "take a smaller sigma, radius or kernel, or a larger image"
        )
