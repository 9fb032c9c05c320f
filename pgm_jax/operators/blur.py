"""Blur: the convolution of every channel with one kernel, (A x)_c[p] = sum_q kernel[q] x_c[p - q].

With a circular boundary A is diagonal in the discrete Fourier basis, A = F^-1 K F, hence

    solve(v, y, rho) = v + F^-1 [ conj(K) / (|K|^2 + rho) * F (y - A v) ]

Its decomposition has to be real. |K| is the same at k and -k, and so it is diagonal in the Hartley basis too:

    A = U |K| V^T,   V = V^T = Re F - Im F,   U = (F^-1 K / |K| F) V

With a reflecting boundary A mirrors the image, convolves and cuts the middle out. Conjugate gradients solve with it,
preconditioned in the basis of cosines, of which A^T A is roughly the diagonal P: the mean of |K|^2 over the signs of
a frequency, and at least a tenth of its maximum.

A Gaussian kernel is an outer product, so that at a reflecting boundary its blur is a `Separable` map.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from pgm_jax.operators.base import SVD, ClosedForm, LinearOperator, check_image_shape, left_over, wiener
from pgm_jax.operators.checks import check_array, check_number, check_whole
from pgm_jax.operators.kernels import gaussian_taps, motion_kernel
from pgm_jax.operators.separable import Separable, filter_matrix, separable_map
from pgm_jax.operators.solvers import ACCURATE, Solver
from pgm_jax.types import Key, Scalar, Shape, pytree


@pytree
class CircularBlur(ClosedForm):
    """y_c = kernel * x_c on the torus, for every channel c; build it with `circular_blur` or `gaussian_blur`.

    Attributes:
        kernel: (k, l), odd sides, its middle at (k // 2, l // 2).
    """

    kernel: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    @property
    def transfer(self) -> jax.Array:
        """K, the gain of every frequency: (H, W // 2 + 1), complex."""
        return self._zeros_kept(jnp.fft.rfft2(spread(self.kernel, self.image_shape[:2])))

    @property
    def spectrum(self) -> jax.Array:
        """K of all frequencies, also those that follow from the others by symmetry: (H, W), complex."""
        spectrum = jnp.fft.fft2(spread(self.kernel, self.image_shape[:2]))
        # Bases are orthonormal where K(-k) is conj(K(k)) to the last digit.
        mirrored = jnp.roll(spectrum[::-1, ::-1], (1, 1), axis=(0, 1))
        return self._zeros_kept((spectrum + jnp.conj(mirrored)) / 2)

    def forward(self, x: jax.Array) -> jax.Array:
        """A x = F^-1 [ K F x ]."""
        return self._filter(self.transfer, x)

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r = F^-1 [ conj(K) F r ]."""
        return self._filter(jnp.conj(self.transfer), r)

    def solve(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> jax.Array:
        """v + F^-1 [ conj(K) / (|K|^2 + rho) * F (y - A v) ]."""
        transfer = self.transfer
        # Three transforms; that of y - A v would take four.
        residual = jnp.fft.rfft2(y, axes=(0, 1)) - transfer[..., None] * jnp.fft.rfft2(v, axes=(0, 1))
        return v + self._inverse(wiener(transfer, rho), residual)

    def resolvent(self, r: jax.Array, rho: Scalar, solver: Solver = ACCURATE) -> jax.Array:
        """F^-1 [ rho / (|K|^2 + rho) * F r ]."""
        return self._filter(left_over(self.transfer, rho), r)

    def norm(self) -> jax.Array:
        """max |K|."""
        return jnp.max(jnp.abs(self.transfer))

    def svd(self) -> SVD:
        """U |K| V^T in the Hartley basis; s is |K| for every channel, (H, W, C)."""
        spectrum = self.spectrum
        gain = jnp.abs(spectrum)
        phase = jnp.where(gain > 0, spectrum / jnp.where(gain > 0, gain, 1), 1)[:, : self.transfer.shape[1]]
        return SVD(
            jnp.broadcast_to(gain[..., None], self.image_shape),
            v_t=hartley,
            v=hartley,
            u_t=lambda y: hartley(self._filter(jnp.conj(phase), y)),
            u=lambda c: self._filter(phase, hartley(c)),
        )

    def _zeros_kept(self, spectrum: jax.Array) -> jax.Array:
        # Rounding turns a zero of K into a small number, by which data without noise (rho = 0) would be divided.
        rounding = 4 * jnp.finfo(self.kernel.dtype).eps * jnp.sum(jnp.abs(self.kernel))
        return jnp.where(jnp.abs(spectrum) > rounding, spectrum, 0)

    def _filter(self, gain: jax.Array, x: jax.Array) -> jax.Array:
        return self._inverse(gain, jnp.fft.rfft2(x, axes=(0, 1)))

    def _inverse(self, gain: jax.Array, spectrum: jax.Array) -> jax.Array:
        return jnp.fft.irfft2(gain[..., None] * spectrum, s=self.image_shape[:2], axes=(0, 1))


@pytree
class ReflectingBlur(LinearOperator):
    """y_c = kernel * x_c, the image mirrored at the middle of its edge pixels; build it with `reflecting_blur`.

    Attributes:
        kernel: (k, l), odd sides, its middle at (k // 2, l // 2).
    """

    kernel: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def forward(self, x: jax.Array) -> jax.Array:
        """A x: mirror, convolve, cut out."""
        (height, width, _), (rows, cols) = self.image_shape, self.kernel.shape
        mirrored = jnp.pad(x, ((rows // 2,) * 2, (cols // 2,) * 2, (0, 0)), mode="reflect")
        shape = mirrored.shape[:2]
        # By frequencies: on a CPU the transposed convolution of so few channels is twenty times as slow. On the torus
        # of the mirrored image it is wrong only where it is cut off.
        spectrum = jnp.fft.rfft2(self.kernel, s=shape)[..., None] * jnp.fft.rfft2(mirrored, axes=(0, 1))
        blurred = jnp.fft.irfft2(spectrum, s=shape, axes=(0, 1))
        return blurred[rows - 1 : rows - 1 + height, cols - 1 : cols - 1 + width]

    def precondition(self, r: jax.Array, rho: Scalar) -> jax.Array:
        """C^T [ 1 / (P + rho) * C r ], C the cosine transform and P about |K|^2, see the head of this file."""
        height, width, _ = self.image_shape
        power = jnp.abs(jnp.fft.fft2(self.kernel, s=(2 * height, 2 * width))) ** 2
        power = (power + jnp.roll(power[:, ::-1], 1, axis=1))[:height, :width] / 2
        # Smaller floors mostly take more iterations: where K is weak, the diagonal says little of A^T A.
        power = jnp.maximum(power, 0.1 * jnp.max(power))
        coefficients = jax.scipy.fft.dctn(r, axes=(0, 1), norm="ortho") / (power + rho)[..., None]
        return jax.scipy.fft.idctn(coefficients, axes=(0, 1), norm="ortho")


def circular_blur(image_shape: Shape, kernel: ArrayLike) -> CircularBlur:
    """Convolve every channel with `kernel`, the image extended periodically: y[p] = sum_q kernel[q] x[p - q].

    Args:
        image_shape: (H, W, C).
        kernel: (k, l), odd sides, q = 0 at its middle; used as it is, not normalised. Zeros around a kernel that is
            larger than the image are left out, unless it is traced.
    """
    image_shape = check_image_shape(image_shape)
    return CircularBlur(fitting_kernel(kernel, image_shape), image_shape)


def reflecting_blur(image_shape: Shape, kernel: ArrayLike) -> ReflectingBlur:
    """Convolve every channel with `kernel`, the image mirrored at the middle of its edge pixels.

    Args:
        image_shape: (H, W, C).
        kernel: (k, l), odd sides, as for `circular_blur`.
    """
    image_shape = check_image_shape(image_shape)
    return ReflectingBlur(fitting_kernel(kernel, image_shape), image_shape)


def motion_blur(
    key: Key, image_shape: Shape, size: int = 61, intensity: Scalar = 0.5, boundary: str = "circular"
) -> CircularBlur | ReflectingBlur:
    """Blur with the kernel of a random motion, see `motion_kernel`.

    Args:
        image_shape: (H, W, C).
        size: side of the kernel in pixels, odd.
        intensity: how much the motion turns, in [0, 1].
        boundary: how the image is extended outside, "circular" (periodically) or "reflect" (mirrored at the middle of
            the edge pixel).
    """
    _check_boundary(boundary, "circular", "reflect")
    build = circular_blur if boundary == "circular" else reflecting_blur
    return build(image_shape, motion_kernel(key, size, intensity))


def gaussian_blur(
    image_shape: Shape,
    width: Scalar | Sequence[Scalar],
    boundary: str = "circular",
    truncate: float = 4.0,
    radius: int | None = None,
) -> CircularBlur | Separable:
    """Blur with the kernel exp(-|q|^2 / (2 width^2)), cut off beyond `radius` and normalised to sum 1.

    Args:
        image_shape: (H, W, C).
        width: standard deviation of the kernel in pixels; two of them, (down, across), for one that is not round.
        boundary: "circular" or "reflect", as for `motion_blur`, or "zero": the image is 0 outside.
        truncate: where to cut off, in units of `width`.
        radius: where to cut off in pixels, by default round(truncate width); state it where `width` is traced,
            since it fixes shapes.
    """
    image_shape = check_image_shape(image_shape)
    _check_boundary(boundary, "circular", "reflect", "zero")
    what = "width is the standard deviation of the blur in pixels"
    widths = width if isinstance(width, Sequence) and len(width) == 2 else (width, width)
    widths = [check_number(what, value, above=0) for value in widths]
    truncate = check_number("truncate is where the kernel ends, in units of the width", truncate, least=0)
    reaches = [int(truncate * value + 0.5) if radius is None else radius for value in widths]
    reaches = [check_whole("radius is where the kernel ends, in pixels", reach, 0) for reach in reaches]
    _check_fits(tuple(2 * reach + 1 for reach in reaches), image_shape)
    taps = [gaussian_taps(value, 2 * reach + 1, reach) for value, reach in zip(widths, reaches, strict=True)]
    if boundary == "circular":
        return circular_blur(image_shape, jnp.outer(taps[0], taps[1]))
    outside: Any = boundary
    matrices = [filter_matrix(*of_axis, outside) for of_axis in zip(taps, image_shape[:2], reaches, strict=True)]
    return separable_map(image_shape, *matrices)


def hartley(x: jax.Array) -> jax.Array:
    """Re F x - Im F x along rows and columns, F unitary: real, symmetric and its own inverse."""
    spectrum = jnp.fft.fft2(x, axes=(0, 1), norm="ortho")
    return spectrum.real - spectrum.imag


def spread(kernel: jax.Array, shape: Shape) -> jax.Array:
    """The kernel (k, l) on a torus of `shape` (H, W), its middle at the origin."""
    (height, width), (rows, cols) = shape, kernel.shape
    padded = jnp.pad(kernel, ((0, height - rows), (0, width - cols)))
    return jnp.roll(padded, (-(rows // 2), -(cols // 2)), axis=(0, 1))


def fitting_kernel(kernel: ArrayLike, image_shape: Shape) -> jax.Array:
    """`kernel` as an array, after the checks of `circular_blur` for images of `image_shape`."""
    kernel = check_array("the kernel", kernel)
    if jnp.ndim(kernel) != 2 or not all(side % 2 for side in jnp.shape(kernel)):
        raise ValueError(
            f"the kernel has shape {jnp.shape(kernel)}; a blur kernel is a matrix (k, l) with odd sides, so that it "
            "has a middle: pad an even side by one row of zeros"
        )
    if np.any(np.greater(jnp.shape(kernel), image_shape[:2])) and not isinstance(kernel, Tracer):
        kernel = _without_border(np.asarray(kernel))
    _check_fits(jnp.shape(kernel), image_shape)
    return jnp.asarray(kernel, float)


def _without_border(kernel: np.ndarray) -> np.ndarray:
    middle = np.array(kernel.shape) // 2
    reach = np.max(np.abs(np.argwhere(kernel) - middle), axis=0, initial=0)
    return kernel[tuple(slice(m - r, m + r + 1) for m, r in zip(middle, reach, strict=True))]


def _check_boundary(boundary: str, *known: str) -> None:
    if boundary not in known:
        raise ValueError(f"the boundary of this blur is one of {', '.join(map(repr, known))}, not {boundary!r}")


def _check_fits(kernel_shape: Shape, image_shape: Shape) -> None:
    (rows, cols), (height, width, _) = kernel_shape, image_shape
    if rows > height or cols > width:
        raise ValueError(
            f"a blur kernel of {rows} x {cols} pixels does not fit an image of {height} x {width}: "
            "take a smaller width, radius, size or kernel, or a larger image"
        )
