"""Sampled Fourier transforms, the measurements of magnetic resonance imaging.

F is the unitary 2-D Fourier transform with the frequency 0 in the middle: pixel and frequency i of an axis of n stand
for the coordinate i - n // 2, and

    F = fftshift fft2 ifftshift / sqrt(H W)        F^-1 = F^H = fftshift ifft2 ifftshift * sqrt(H W)

A mask M is 1 at the frequencies that are sampled and 0 at the others, where y is 0. Images are real, hence k and -k
say the same, and with the mean gain S^2(k) = (M^2(k) + M^2(-k)) / 2 of the two

    y = M F x              Re F^H M^2 F = F^H S^2 F        solve = v + Re F^H [ M (y - M F v) / (S^2 + rho) ]

A complex image is one of two channels, x = x_0 + i x_1, and every frequency stands alone:

    y = M F x              F^H M^2 F                       solve = v + F^H [ M (y - M F v) / (M^2 + rho) ]

Behind receive coils with the sensitivities s_k, y_k = M F (s_k x), A^H A is diagonal nowhere. `solve` then iterates,
preconditioned by its diagonal in the Fourier basis,

    T(k) = sum_l M^2(l) e(l - k)           e = sum_k |F s_k|^2 / (H W)

which is the circulant that is nearest to A^H A (T. F. Chan, SIAM J. Sci. Stat. Comput. 9 (1988) 766).
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from pgm_jax.operators.base import SVD, ClosedForm, LinearOperator, check_image_shape, wiener
from pgm_jax.operators.checks import check_array, check_mask, check_number
from pgm_jax.operators.solvers import ACCURATE, Solver
from pgm_jax.types import Key, Scalar, Shape, as_key, pytree

FLOOR = 1e-2


@pytree
class FourierSampling(ClosedForm):
    """y_c = M F x_c for every channel c, real images of their own; build it with `fourier_sampling`.

    Attributes:
        mask: M, (H, W, 1), real; y is (H, W, C), complex.
    """

    mask: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    @property
    def observed(self) -> jax.Array:
        """The mask."""
        return self.mask

    @property
    def gains(self) -> jax.Array:
        """The singular values S of every frequency, (H, W, 1)."""
        return jnp.sqrt((self.mask**2 + mirrored(self.mask) ** 2) / 2)

    def forward(self, x: jax.Array) -> jax.Array:
        """A x = M F x."""
        return self.mask * centred_fft(x)

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r = Re F^H M r."""
        return centred_ifft(self.mask * r).real

    def solve(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> jax.Array:
        """v + Re F^H [ M (y - M F v) / (S^2 + rho) ]."""
        gains = self.gains
        weights = self.mask / jnp.where(gains > 0, gains**2 + rho, 1.0)
        return v + centred_ifft(weights * (y - self.forward(v))).real

    def norm(self) -> jax.Array:
        """max S."""
        return jnp.max(self.gains)

    def svd(self) -> SVD:
        """V^T is the Hartley transform Re F - Im F, its own inverse, and U = F V with the gain M / S."""
        gains = self.gains
        # A frequency without samples has the singular value 0, and F V completes the basis.
        unit = jnp.where(gains > 0, self.mask / jnp.where(gains > 0, gains, 1.0), 1.0)
        return SVD(
            jnp.broadcast_to(gains, self.image_shape),
            centred_hartley,
            centred_hartley,
            lambda y: centred_hartley(centred_ifft(unit * y).real),
            lambda c: unit * centred_fft(centred_hartley(c)),
        )


@pytree
class ComplexFourierSampling(ClosedForm):
    """y = M F (x_0 + i x_1), one complex image; build it with `complex_fourier_sampling`.

    Attributes:
        mask: M, (H, W), real; y is (H, W), complex.
        image_shape: (H, W, 2), the real and the imaginary part.
    """

    mask: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    @property
    def observed(self) -> jax.Array:
        """The mask."""
        return self.mask

    def forward(self, x: jax.Array) -> jax.Array:
        """A x = M F x."""
        return self.mask * centred_fft(as_complex(x))

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r = F^H M r."""
        return as_channels(centred_ifft(self.mask * r))

    def solve(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> jax.Array:
        """v + F^H [ M (y - M F v) / (M^2 + rho) ]."""
        return v + as_channels(centred_ifft(wiener(self.mask, rho) * (y - self.forward(v))))

    def norm(self) -> jax.Array:
        """max |M|."""
        return jnp.max(jnp.abs(self.mask))

    def svd(self) -> SVD:
        """V^T is F, in real and imaginary parts, S is |M| and U the sign of M."""
        sign = jnp.where(self.mask < 0, -1.0, 1.0)
        return SVD(
            jnp.broadcast_to(jnp.abs(self.mask)[..., None], self.image_shape),
            lambda x: as_channels(centred_fft(as_complex(x))),
            lambda c: as_channels(centred_ifft(as_complex(c))),
            lambda y: as_channels(sign * y),
            lambda c: sign * as_complex(c),
        )


@pytree
class MRI(LinearOperator):
    """y_kc = M F (s_k x_c) for every coil k and channel c, real images of their own; build it with `mri`.

    Attributes:
        mask: M, (H, W, 1), real.
        coils: s, (K, H, W), complex; y is (K, H, W, C), complex.
        density: (H, W, 1), the mean (T(k) + T(-k)) / 2 of the diagonal of F A^H A F^H.
    """

    mask: jax.Array
    coils: jax.Array
    density: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    @property
    def observed(self) -> jax.Array:
        """The mask, the same for every coil: (1, H, W, 1)."""
        return self.mask[None]

    def forward(self, x: jax.Array) -> jax.Array:
        """A x, y_k = M F (s_k x)."""
        return self.mask[None] * centred_fft(self.coils[..., None] * x[None], (1, 2))

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r = Re sum_k conj(s_k) F^H M r_k."""
        return jnp.sum(jnp.conj(self.coils)[..., None] * centred_ifft(self.mask[None] * r, (1, 2)), axis=0).real

    def precondition(self, r: jax.Array, rho: Scalar) -> jax.Array:
        """F^H [ F r / (density + rho) ], rho at least a hundredth of the largest density."""
        return centred_ifft(centred_fft(r) / _stiffness(self.density, rho)).real


@pytree
class ComplexMRI(LinearOperator):
    """y_k = M F (s_k (x_0 + i x_1)) for every coil k, one complex image; build it with `complex_mri`.

    Attributes:
        mask: M, (H, W), real.
        coils: s, (K, H, W), complex; y is (K, H, W), complex.
        density: T, (H, W), the diagonal of F A^H A F^H.
        image_shape: (H, W, 2), the real and the imaginary part.
    """

    mask: jax.Array
    coils: jax.Array
    density: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    @property
    def observed(self) -> jax.Array:
        """The mask, the same for every coil: (1, H, W)."""
        return self.mask[None]

    def forward(self, x: jax.Array) -> jax.Array:
        """A x, y_k = M F (s_k x)."""
        return self.mask[None] * centred_fft(self.coils * as_complex(x)[None], (1, 2))

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r = sum_k conj(s_k) F^H M r_k."""
        return as_channels(jnp.sum(jnp.conj(self.coils) * centred_ifft(self.mask[None] * r, (1, 2)), axis=0))

    def precondition(self, r: jax.Array, rho: Scalar) -> jax.Array:
        """F^H [ F r / (density + rho) ], rho at least a hundredth of the largest density."""
        return as_channels(centred_ifft(centred_fft(as_complex(r)) / _stiffness(self.density, rho)))


def fourier_sampling(image_shape: Shape, mask: ArrayLike) -> FourierSampling:
    """Measure the frequencies that the mask samples, y = M F x, every channel a real image of its own.

    Args:
        image_shape: (H, W, C).
        mask: (H, W) or (H, W, 1), as for `mask`, with the frequency 0 at (H // 2, W // 2).
    """
    height, width, channels = check_image_shape(image_shape)
    return FourierSampling(_sampled(mask, height, width)[..., None], (height, width, channels))


def complex_fourier_sampling(image_shape: Shape, mask: ArrayLike) -> ComplexFourierSampling:
    """Measure some frequencies of a complex image x_0 + i x_1, y = M F x of shape (H, W).

    Args:
        image_shape: (H, W, 2).
        mask: (H, W) or (H, W, 1), as for `mask`, with the frequency 0 at (H // 2, W // 2).
    """
    height, width = _complex_image(image_shape)
    return ComplexFourierSampling(_sampled(mask, height, width), (height, width, 2))


def mri(image_shape: Shape, mask: ArrayLike, coils: ArrayLike) -> MRI:
    """Measure a real image behind coils, y_k = M F (s_k x) of shape (K, H, W, C).

    Args:
        image_shape: (H, W, C).
        mask: as for `fourier_sampling`, the same for every coil.
        coils: sensitivities s, (K, H, W), complex, without units; where sum_k |s_k|^2 = 1, |A| is at most 1.
    """
    height, width, channels = check_image_shape(image_shape)
    sampled, maps = _sampled(mask, height, width), _sensitivities(coils, height, width)
    density = _fourier_diagonal(sampled, maps)[..., None]
    # The image is real, and so k and -k share what is measured at either.
    density = (density + mirrored(density)) / 2
    return MRI(sampled[..., None], maps, density, (height, width, channels))


def complex_mri(image_shape: Shape, mask: ArrayLike, coils: ArrayLike) -> ComplexMRI:
    """Measure a complex image x_0 + i x_1 behind coils, y_k = M F (s_k x) of shape (K, H, W).

    Args:
        image_shape: (H, W, 2).
        mask: as for `fourier_sampling`, the same for every coil.
        coils: sensitivities s, (K, H, W), complex, without units; where sum_k |s_k|^2 = 1, |A| is at most 1.
    """
    height, width = _complex_image(image_shape)
    sampled, maps = _sampled(mask, height, width), _sensitivities(coils, height, width)
    return ComplexMRI(sampled, maps, _fourier_diagonal(sampled, maps), (height, width, 2))


def cartesian_mask(key: Key, image_shape: Shape, acceleration: float = 4.0, centre: float = 0.08) -> jax.Array:
    """A mask (H, W, 1) of round(W / acceleration) whole columns, round(centre W) of them a band around frequency 0.

    The columns outside the band, phase-encoding lines, are drawn without replacement.

    Args:
        image_shape: (H, W, C).
        acceleration: at least 1, columns for one that is sampled.
        centre: share of all columns that the band takes, in [0, 1].
    """
    height, width, _ = check_image_shape(image_shape)
    what = "acceleration is the number of columns for one that is sampled"
    acceleration = check_number(what, acceleration, least=1, hint="a quarter of them are 4")
    what = "centre is the share of columns in the band around frequency 0"
    centre = check_number(what, centre, least=0, most=1, hint="eight per cent are 0.08")
    lines, band = round(width / acceleration), round(centre * width)
    if not band <= lines or lines == 0:
        raise ValueError(
            f"an acceleration of {acceleration} samples {lines} of {width} columns and the centre {centre} takes "
            f"{band} of them: lower the acceleration" + (" or the centre" if band > lines else "")
        )
    first = width // 2 - band // 2
    inside = np.arange(first, first + band)
    others = jax.random.permutation(as_key(key), np.setdiff1d(np.arange(width), inside))[: lines - band]
    columns = jnp.zeros(width).at[inside].set(1).at[others].set(1)
    return jnp.broadcast_to(columns[None, :, None], (height, width, 1))


def centred_fft(x: jax.Array, axes: tuple[int, int] = (0, 1)) -> jax.Array:
    """F x along `axes`, height and width; see the module's docstring."""
    phase, middle = _modulation(x, axes)
    return (phase * jnp.conj(middle)) * jnp.fft.fft2(phase * x, axes=axes, norm="ortho")


def centred_ifft(y: jax.Array, axes: tuple[int, int] = (0, 1)) -> jax.Array:
    """F^-1 y = F^H y along `axes`, height and width; see the module's docstring."""
    phase, middle = _modulation(y, axes)
    return (jnp.conj(phase) * middle) * jnp.fft.ifft2(jnp.conj(phase) * y, axes=axes, norm="ortho")


def _modulation(x: jax.Array, axes: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """exp(2 pi i c j / n), c = n // 2, along both axes, and its value at the middle: what turns fft2 into F.

    With indices that count from c, exp(-2 pi i (k - c) (j - c) / n) is exp(-2 pi i k j / n) between two such factors.
    They are signs where n is even, and cheaper than to shift the arrays.
    """
    phase = np.ones((1,) * x.ndim)
    for axis in axes:
        n = x.shape[axis]
        line = np.exp(2j * np.pi * (n // 2 * np.arange(n) % n / n)) if n % 2 else 1 - 2 * (np.arange(n) % 2)
        phase = phase * line.reshape(*(-1 if a == axis % x.ndim else 1 for a in range(x.ndim)))
    centre = tuple(x.shape[a] // 2 if a in axes else 0 for a in range(x.ndim))
    dtype = x.dtype if jnp.iscomplexobj(x) or not np.iscomplexobj(phase) else jnp.result_type(x.dtype, 1j)
    return jnp.asarray(phase, dtype), jnp.asarray(phase[centre], dtype)


def centred_hartley(x: jax.Array) -> jax.Array:
    """Re F x - Im F x, a real orthonormal transform that is its own inverse, diagonal where gains are even in k."""
    spectrum = centred_fft(x)
    return spectrum.real - spectrum.imag


def mirrored(gain: jax.Array) -> jax.Array:
    """gain(-k), of a gain (H, W, 1) with the frequency 0 in the middle."""
    # An even axis begins with its Nyquist frequency, which is its own mirror image.
    shift = tuple(1 - side % 2 for side in gain.shape[:2])
    return jnp.roll(jnp.flip(gain, (0, 1)), shift, (0, 1))


def as_complex(x: jax.Array) -> jax.Array:
    """x_0 + i x_1, (H, W), of x (H, W, 2)."""
    return jax.lax.complex(x[..., 0], x[..., 1])


def as_channels(z: jax.Array) -> jax.Array:
    """The real and the imaginary part, (H, W, 2), of z (H, W)."""
    return jnp.stack([z.real, z.imag], axis=-1)


def _fourier_diagonal(mask: jax.Array, coils: jax.Array) -> jax.Array:
    """T, (H, W): the correlation of M^2 with e, by Fourier transforms."""
    energy = jnp.sum(jnp.abs(centred_fft(coils, (1, 2))) ** 2, axis=0) / mask.size
    correlation = centred_ifft(centred_fft(mask**2) * jnp.conj(centred_fft(energy))).real * math.sqrt(mask.size)
    # Rounding may leave less than nothing where there is nothing.
    return jnp.maximum(correlation, 0.0)


def _stiffness(density: jax.Array, rho: Scalar) -> jax.Array:
    # A small rho would make much of what rounding leaves where nothing is sampled.
    return density + jnp.maximum(rho, FLOOR * jnp.max(density))


def _complex_image(image_shape: Shape) -> tuple[int, int]:
    height, width, channels = check_image_shape(image_shape)
    if channels != 2:
        raise ValueError(
            f"a complex image has two channels, the real and the imaginary part: image_shape is {tuple(image_shape)} "
            f"and should be {(height, width, 2)}; for real images take fourier_sampling or mri"
        )
    return height, width


def _sampled(mask: ArrayLike, height: int, width: int) -> jax.Array:
    """The mask as (H, W), 1 or 0."""
    hint = f", with the frequency 0 at {(height // 2, width // 2)}"
    return check_mask(mask, (height, width), (height, width, 1), hint=hint).reshape(height, width)


def _sensitivities(coils: ArrayLike, height: int, width: int) -> jax.Array:
    coils = jnp.asarray(check_array("coils", coils, real=False), complex)
    if coils.ndim != 3 or coils.shape[1:] != (height, width) or coils.shape[0] < 1:
        raise ValueError(
            f"the coil sensitivities have shape {coils.shape}; an image of {height} x {width} pixels takes "
            f"{('K', height, width)}, one map for each of at least one coil: add the first axis to a single map"
        )
    return coils
