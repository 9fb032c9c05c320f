"""Compressed sensing: the measurement is a few random mixtures of all pixels.

Every A has orthonormal rows, A A^T = I, whence |A| = 1 and

    solve(v, y, rho) = v + A^T (y - A v) / (1 + rho)

    gaussian    A = rows of a uniformly random orthogonal matrix; dense, for small images
    hadamard    A = S H D / sqrt(n) in every channel of n pixels: random signs D, the Walsh-Hadamard matrix H and a
                random selection S of its rows (Do, Gan, Nguyen and Tran, 2012); n log n additions
    circulant   A = S F^-1 E F in every channel: a filter of random phases E, |E| = 1, and a random selection S of
                pixels (Romberg, 2009); two Fourier transforms, of any size
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.operators.base import SVD, ClosedForm, check_image_shape
from pgm_jax.operators.checks import check_whole
from pgm_jax.operators.solvers import ACCURATE, Solver
from pgm_jax.types import Key, Scalar, Shape, as_key, pytree


class OrthonormalRows(ClosedForm):
    """A with A A^T = I: U = I, s = 1 and V = A^T, by `forward` and `adjoint` alone."""

    def solve(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> jax.Array:
        """v + A^T (y - A v) / (1 + rho)."""
        return v + self.adjoint(y - self.forward(v)) / (1 + rho)

    def norm(self) -> jax.Array:
        """1, the only singular value."""
        return jnp.asarray(1.0)

    def svd(self) -> SVD:
        """U = I, s = 1, V = A^T."""
        return SVD(jnp.ones(self.measurement_shape), self.forward, self.adjoint, lambda y: y, lambda c: c)


@pytree
class GaussianSensing(OrthonormalRows):
    """y = matrix x, x as one vector, matrix (count, H W C) of orthonormal rows; build it with `gaussian_sensing`."""

    matrix: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def forward(self, x: jax.Array) -> jax.Array:
        # By default accelerators round the factors to fewer bits, and A^T would not be the adjoint of A.
        return jnp.matmul(self.matrix, x.ravel(), precision=jax.lax.Precision.HIGHEST)

    def adjoint(self, r: jax.Array) -> jax.Array:
        return jnp.matmul(r, self.matrix, precision=jax.lax.Precision.HIGHEST).reshape(self.image_shape)


@pytree
class HadamardSensing(OrthonormalRows):
    """y_c = (H D x_c)[rows] / sqrt(n) for every channel c as a vector; build it with `hadamard_sensing`.

    Attributes:
        signs: (n,), the diagonal of D, n = H W.
        rows: (count,), different rows of the Walsh-Hadamard matrix.
    """

    signs: jax.Array
    rows: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def forward(self, x: jax.Array) -> jax.Array:
        return walsh_hadamard(self.signs[:, None] * _vectors(x))[self.rows]

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r = D H r / sqrt(n), r = 0 in the rows that were not measured."""
        filled = _fill(r, self.rows, self.signs.size)
        return (self.signs[:, None] * walsh_hadamard(filled)).reshape(self.image_shape)


@pytree
class CirculantSensing(OrthonormalRows):
    """y_c = (F^-1 E F x_c)[pixels] for every channel c; build it with `circulant_sensing`.

    Attributes:
        spectrum: E, (H, W // 2 + 1), complex of modulus 1, that of a real filter.
        pixels: (count,), different numbers i W + j of the seen pixels (i, j).
    """

    spectrum: jax.Array
    pixels: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def forward(self, x: jax.Array) -> jax.Array:
        return _vectors(self._filter(self.spectrum, x))[self.pixels]

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r = F^-1 conj(E) F r, r = 0 at the pixels that were not measured."""
        height, width, _ = self.image_shape
        filled = _fill(r, self.pixels, height * width).reshape(self.image_shape)
        return self._filter(jnp.conj(self.spectrum), filled)

    def _filter(self, gain: jax.Array, x: jax.Array) -> jax.Array:
        spectrum = gain[..., None] * jnp.fft.rfft2(x, axes=(0, 1))
        return jnp.fft.irfft2(spectrum, s=self.image_shape[:2], axes=(0, 1))


def gaussian_sensing(key: Key, image_shape: Shape, count: int) -> GaussianSensing:
    """Measure `count` random mixtures of all entries, y = Q x with orthonormal rows Q that span a random subspace.

    Q has the row space of a Gaussian matrix and holds count H W C numbers: for larger images take `hadamard_sensing`.

    Args:
        image_shape: (H, W, C).
        count: length of y, from 1 to H W C.
    """
    image_shape = check_image_shape(image_shape)
    size = math.prod(image_shape)
    count = _checked_count(count, size, "entries of the image")
    q, r = jnp.linalg.qr(jax.random.normal(as_key(key), (size, count)))
    # With these signs Q is distributed uniformly: without them it depends on how the decomposition is computed.
    return GaussianSensing((q * jnp.where(jnp.diagonal(r) < 0, -1, 1)[None]).T, image_shape)


def hadamard_sensing(key: Key, image_shape: Shape, count: int) -> HadamardSensing:
    """Measure `count` random rows of the Walsh-Hadamard transform of every channel, after random flips of sign.

    Signs and rows are the same in every channel; y has the shape (count, C).

    Args:
        image_shape: (H, W, C), H W a power of two.
        count: measurements of a channel, from 1 to H W.
    """
    height, width, _ = image_shape = check_image_shape(image_shape)
    size = height * width
    if size & (size - 1) or size == 1:
        raise ValueError(
            f"the Walsh-Hadamard transform takes a number of pixels that is a power of two, at least 2, and an image "
            f"of {height} x {width} has {size}: crop or pad it, or take circulant_sensing, for images of any size"
        )
    count = _checked_count(count, size, "pixels of a channel")
    for_signs, for_rows = jax.random.split(as_key(key))
    signs = jax.random.rademacher(for_signs, (size,), jnp.result_type(float))
    return HadamardSensing(signs, jax.random.choice(for_rows, size, (count,), replace=False), image_shape)


def circulant_sensing(key: Key, image_shape: Shape, count: int) -> CirculantSensing:
    """Measure `count` random pixels of every channel after its circular convolution with a filter of random phases.

    Filter and pixels are the same in every channel; y has the shape (count, C).

    Args:
        image_shape: (H, W, C).
        count: measurements of a channel, from 1 to H W.
    """
    height, width, _ = image_shape = check_image_shape(image_shape)
    count = _checked_count(count, height * width, "pixels of a channel")
    for_phases, for_pixels = jax.random.split(as_key(key))
    # The spectrum of white noise has uniform phases, and the symmetry that makes a filter real.
    noise = jnp.fft.rfft2(jax.random.normal(for_phases, (height, width)))
    spectrum = jnp.where(noise == 0, 1, noise / jnp.where(noise == 0, 1, jnp.abs(noise)))
    pixels = jax.random.choice(for_pixels, height * width, (count,), replace=False)
    return CirculantSensing(spectrum, pixels, image_shape)


def walsh_hadamard(x: Float[Array, "n c"]) -> Float[Array, "n c"]:
    """H x / sqrt(n), H the Walsh-Hadamard matrix in the order of Sylvester: orthogonal, symmetric, its own inverse."""
    size = x.shape[0]

    def butterfly(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        even, odd = x[0::2], x[1::2]
        return jnp.concatenate([even + odd, even - odd]), None

    # A stage mixes the last binary digit of the index and makes it the first: all stages are one and the same
    # program, and after the last of them the digits stand in their order again.
    mixed, _ = jax.lax.scan(butterfly, x, length=size.bit_length() - 1)
    return mixed / math.sqrt(size)


def _vectors(x: jax.Array) -> jax.Array:
    return x.reshape(-1, x.shape[-1])


def _fill(r: jax.Array, places: jax.Array, size: int) -> jax.Array:
    return jnp.zeros((size, r.shape[-1]), r.dtype).at[places].set(r, unique_indices=True)


def _checked_count(count: Any, most: int, of_what: str) -> int:
    hint = f"there are {most} {of_what}, a tenth of them are count={max(1, most // 10)}"
    return check_whole("count is the number of measurements", count, 1, most, hint)
