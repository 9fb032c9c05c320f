"""Sampled Fourier transforms against their definitions: masks, gains, preconditioners, and what is refused."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operator_rows.row import forward, normal

from pgm_jax.operators import LinearOperator
from pgm_jax.operators.fourier import (
    MRI,
    ComplexFourierSampling,
    ComplexMRI,
    FourierSampling,
    cartesian_mask,
    centred_fft,
    centred_ifft,
    complex_fourier_sampling,
    complex_mri,
    fourier_sampling,
    mri,
)
from pgm_jax.operators.solvers import Solver

KEY = jax.random.key(0)
SHAPE = (4, 5, 1)


def columns(operator):
    """A x for every x of the basis."""
    basis = jnp.eye(math.prod(operator.image_shape)).reshape(-1, *operator.image_shape)
    return jax.vmap(operator.forward)(basis)


def dense(columns):
    """A as a matrix of real numbers."""
    flat = np.reshape(columns, (len(columns), -1))
    return np.concatenate([flat.real, flat.imag], axis=1).T


def spectral_basis(height, width):
    """F as a matrix, by its definition exp(-2 pi i (k p / H + l q / W)) / sqrt(H W) in centred coordinates."""
    rows, cols = (np.arange(side) - side // 2 for side in (height, width))
    along_rows, along_cols = (np.exp(-2j * np.pi * np.outer(c, c) / len(c)) / np.sqrt(len(c)) for c in (rows, cols))
    return np.kron(along_rows, along_cols)


@pytest.mark.parametrize("shape", [(4, 5), (5, 4)])
def test_the_transform_is_centred_unitary_and_undone_by_its_inverse(shape):
    with jax.enable_x64(True):
        x = normal(*shape) + 1j * normal(*shape, seed=1)
        expected = (spectral_basis(*shape) @ np.ravel(x)).reshape(shape)
        there, back, of_stack = jax.jit(
            lambda x: (y := centred_fft(x), centred_ifft(y), centred_fft(x[None], (1, 2))[0])
        )(x)
        np.testing.assert_allclose(there, expected, atol=1e-12)
        np.testing.assert_allclose(back, x, atol=1e-12)
        np.testing.assert_allclose(of_stack, expected, atol=1e-12)


def test_a_constant_image_has_the_frequency_0_in_the_middle():
    for height, width in ((4, 6), (5, 7)):
        y = forward(fourier_sampling((height, width, 1), np.ones((height, width))), np.ones((height, width, 1)))
        expected = np.zeros((height, width, 1))
        expected[height // 2, width // 2] = np.sqrt(height * width)
        np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("factory", [fourier_sampling, complex_fourier_sampling])
def test_the_whole_spectrum_gives_the_image_back(factory):
    operator, x = factory((6, 5, 2), np.ones((6, 5))), normal(6, 5, 2)
    y, back, solved = there_and_back(operator, x)
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(solved, x, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(y), np.linalg.norm(x), rtol=1e-5)


@jax.jit
def there_and_back(operator, x):
    """A x, A^T A x and the solution without noise."""
    y = operator.forward(x)
    return y, operator.adjoint(y), operator.solve(jnp.zeros_like(x), y, 0.0)


@pytest.mark.parametrize("shape", [(4, 5), (6, 6)])
def test_half_of_the_frequencies_determine_a_real_image(shape):
    height, width = shape
    rows, cols = np.meshgrid(np.arange(height) - height // 2, np.arange(width) - width // 2, indexing="ij")
    opposite = (-rows % height) * width + (-cols % width)
    half = (rows % height) * width + (cols % width) <= opposite
    operator, x = fourier_sampling((*shape, 2), half), normal(*shape, 2)
    assert half.sum() < height * width / 2 + 3
    np.testing.assert_allclose(there_and_back(operator, x)[2], x, atol=1e-5)


@pytest.mark.parametrize("kind", [FourierSampling, ComplexFourierSampling])
@pytest.mark.parametrize("shape", [(4, 5, 2), (5, 4, 2)])
def test_closed_forms_hold_for_any_real_gain(kind, shape):
    """Negative, fractional and missing gains, different at k and at -k."""
    with jax.enable_x64(True):
        gains = np.random.default_rng(0).choice([0, 0, 0.5, -1, 2], shape[:2]) * 1.0
        operator = kind(gains[..., None] if kind is FourierSampling else gains, shape)
        v, rhos = normal(*shape), np.array([0.0, 0.1])
        y = normal(*shape) + 1j * normal(*shape, seed=1)
        y = y if kind is FourierSampling else y[..., 0]
        image, of_basis, solutions, norm, s, image_again, *same = closed_forms(operator, v, y, rhos)
        A, flat_y = dense(of_basis), np.concatenate([np.ravel(y.real), np.ravel(y.imag)])
        for rho, solution in zip(rhos, solutions, strict=True):
            inverse = np.linalg.pinv(A.T @ A + rho * np.eye(A.shape[1]), rcond=1e-10) @ A.T
            expected = np.ravel(v) + inverse @ (flat_y - A @ np.ravel(v))
            np.testing.assert_allclose(np.ravel(solution), expected, atol=1e-10)
        np.testing.assert_allclose(norm, np.linalg.norm(A, 2), rtol=1e-10)
        singular = np.sort(np.linalg.svd(A, compute_uv=False))[-s.size :]
        np.testing.assert_allclose(np.sort(np.ravel(s)), singular, atol=1e-10)
        np.testing.assert_allclose(image_again, image, atol=1e-10)
        for again in same:
            np.testing.assert_allclose(again, v, atol=1e-10)


@jax.jit
def closed_forms(operator, v, y, rhos):
    """A v, A, solutions, norm, S, U S V^T v, and v three times: by V V^T, by V^T V and by U^T U."""
    svd, solutions = operator.svd(), jax.vmap(lambda rho: operator.solve(v, y, rho))(rhos)
    known = operator.forward(v), columns(operator), solutions, operator.norm(), svd.s
    return *known, svd.u(svd.s * svd.v_t(v)), svd.v(svd.v_t(v)), svd.v_t(svd.v(v)), svd.u_t(svd.u(v))


def test_masks_of_any_type_say_what_is_sampled():
    seen = np.arange(20).reshape(4, 5) % 3 == 0
    for array in (seen, seen[..., None], seen * 255, seen.astype(np.uint8), 1.0 * seen):
        np.testing.assert_array_equal(fourier_sampling(SHAPE, array).mask, seen[..., None])
        np.testing.assert_array_equal(complex_fourier_sampling((4, 5, 2), array).mask, seen)


def smooth_coils(count, height, width):
    """Gaussian sensitivities around the image with slow phases; sum_k |s_k|^2 = 1."""
    rows, cols = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1) - 0.5
    angles = 2 * np.pi * np.arange(count).reshape(-1, 1, 1) / count
    distance = (rows - 0.6 * np.cos(angles)) ** 2 + (cols - 0.6 * np.sin(angles)) ** 2
    maps = np.exp(-4 * distance + 1j * (angles + 3 * rows * np.cos(angles)))
    return maps / np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))


@pytest.mark.parametrize("factory", [mri, complex_mri])
def test_the_preconditioner_is_the_diagonal_of_the_fourier_basis(factory):
    """In the complex basis F; for real images in that of cosines and sines, where k and -k share the mean."""
    height, width, channels = 5, 6, 1 if factory is mri else 2
    with jax.enable_x64(True):
        coils = normal(3, height, width) + 1j * normal(3, height, width, seed=1)
        seen = np.random.default_rng(2).random((height, width)) < 0.4
        shape, rhos = (height, width, channels), ((0.5, 0.5), (1e-6, None))
        r = normal(*shape)

        @jax.jit
        def program(coils, r):
            operator = factory(shape, seen, coils)
            return operator.density, columns(operator), [operator.precondition(r, rho) for rho, _ in rhos]

        density, of_basis, preconditioned = program(coils, r)
        F = spectral_basis(height, width)
        A = np.concatenate([seen.reshape(-1, 1) * F @ np.diag(np.ravel(coil)) for coil in coils])
        diagonal = np.real(np.diag(F @ A.conj().T @ A @ F.conj().T)).reshape(height, width)
        if factory is mri:
            unshifted = np.fft.ifftshift(diagonal)
            opposite = np.ix_(-np.arange(5) % 5, -np.arange(6) % 6)
            diagonal = np.fft.fftshift((unshifted + unshifted[opposite]) / 2)
        np.testing.assert_allclose(np.reshape(density, (height, width)), diagonal, atol=1e-12)

        # Whatever the operator, the sum of its eigenvalues is that of its diagonal.
        trace = np.linalg.norm(dense(of_basis)) ** 2
        np.testing.assert_allclose(channels * diagonal.sum(), trace, rtol=1e-10)
        # P^-1 = F^H (density + rho) F, with rho at least a hundredth of the largest density.
        flat = np.ravel(r) if factory is mri else np.ravel(r[..., 0] + 1j * r[..., 1])
        for (rho, least), found in zip(rhos, preconditioned, strict=True):
            z = F.conj().T @ ((F @ flat) / (np.ravel(diagonal) + max(rho, least or 1e-2 * diagonal.max())))
            z = z.real if factory is mri else np.stack([z.real, z.imag], axis=-1)
            np.testing.assert_allclose(found, z.reshape(r.shape), atol=1e-10)


def test_nothing_is_invented_where_nothing_is_sampled():
    """Two even coils see single columns only; in float32, what they do not see stays that of v however small rho is."""
    seen = np.zeros((8, 8))
    seen[:, 4] = 1
    v, x = normal(8, 8, 1), normal(8, 8, 1, seed=1)

    @jax.jit
    def solve(v, x, rho):
        operator = mri((8, 8, 1), seen, np.ones((2, 8, 8)) / np.sqrt(2))
        return operator.solve(v, operator.forward(x), rho)

    for rho in (0.0, 1e-7, 1e-3):
        row_means = np.mean(x - v, axis=1, keepdims=True) / (1 + rho)
        np.testing.assert_allclose(solve(v, x, rho), v + row_means, atol=1e-4)


@pytest.mark.parametrize("factory, share", [(mri, 0.6), (complex_mri, 0.85)])
def test_preconditioning_saves_iterations_behind_smooth_coils(factory, share):
    shape = (24, 24, 1) if factory is mri else (24, 24, 2)
    with jax.enable_x64(True):

        @jax.jit
        def preconditioned_and_plain(key, x):
            operator = factory(shape, cartesian_mask(key, shape), smooth_coils(6, 24, 24))
            y, both = operator.forward(x), (operator, Unconditioned(operator, shape))
            return [each.solve_with_info(jnp.zeros(shape), y, 1e-3, Solver(1e-6))[1] for each in both]

        preconditioned, plain = preconditioned_and_plain(KEY, normal(*shape))
        assert preconditioned.residual <= 1e-6 and plain.residual <= 1e-6
        assert preconditioned.iterations <= share * plain.iterations


class Unconditioned(LinearOperator):
    """The same map, without its preconditioner."""

    def __init__(self, operator, image_shape):
        self.operator, self.image_shape = operator, image_shape

    def forward(self, x):
        return self.operator.forward(x)

    def adjoint(self, r):
        return self.operator.adjoint(r)


def test_one_even_coil_is_none():
    seen, x = normal(4, 5) > 0, normal(4, 5, 2)
    for with_coil, without in ((mri, fourier_sampling), (complex_mri, complex_fourier_sampling)):

        @jax.jit
        def program(x, with_coil=with_coil, without=without):
            one, none = with_coil((4, 5, 2), seen, np.ones((1, 4, 5))), without((4, 5, 2), seen)
            assert isinstance(one, MRI if with_coil is mri else ComplexMRI)
            y, gain = one.forward(x), none.gains if with_coil is mri else none.mask
            solutions = one.solve(x, y, 0.1), none.solve(x, y[0], 0.1)
            return (y[0], none.forward(x)), solutions, (one.density.reshape(4, 5), gain.reshape(4, 5) ** 2)

        for actual, expected in program(x):
            np.testing.assert_allclose(actual, expected, atol=1e-4)


COLUMNS = {  # (width, acceleration, centre): (lines, those in the band)
    (64, 4, 0.08): (16, 5),
    (320, 4.0, 0.08): (80, 26),
    (320, 8, 0.04): (40, 13),
    (9, 3.0, 0.0): (3, 0),
    (9, 2.25, 0.45): (4, 4),
    (8, 1, 1.0): (8, 8),
    (7, 7, 0.1): (1, 1),
}


@functools.cache
def cartesian_masks():
    """For each of them the masks of 300 keys."""

    def masks(keys, width, acceleration, centre):
        return jax.vmap(lambda key: cartesian_mask(key, (3, width, 2), acceleration, centre))(keys)

    made = jax.jit(lambda keys: [masks(keys, *case) for case in COLUMNS])(jax.random.split(KEY, 300))
    return dict(zip(COLUMNS, jax.device_get(made), strict=True))


@pytest.mark.parametrize("case", COLUMNS)
def test_cartesian_masks_have_the_columns_asked_for(case):
    (width, _, _), (lines, band), masks = case, COLUMNS[case], cartesian_masks()[case]
    assert masks.shape == (300, 3, width, 1) and set(np.unique(masks)) <= {0.0, 1.0}
    assert np.all(masks == masks[:, :1])
    columns = masks[:, 0, :, 0]
    np.testing.assert_array_equal(columns.sum(1), lines)
    # Whole columns around the frequency 0, on an even number of them one more below it than above.
    middle = slice(width // 2 - band // 2, width // 2 - band // 2 + band)
    assert np.all(columns[:, middle] == 1)
    others = np.delete(columns, np.arange(width)[middle], axis=1)
    if lines > band:
        share = (lines - band) / (width - band)
        assert abs((others.mean(0) - share) / np.sqrt(share * (1 - share) / 300)).max() < 4.5


ONES = np.ones((4, 5))
COILS = np.ones((2, 4, 5))
REFUSED = {
    "a mask of another size": (lambda: fourier_sampling(SHAPE, ONES.T), r"\(5, 4\): .* \(4, 5\) or \(4, 5, 1\)"),
    "a mask for every channel": (
        lambda: fourier_sampling((4, 5, 3), np.ones((4, 5, 3))),
        r"\(4, 5, 3\).*\(4, 5\) or \(4, 5, 1\).*\(2, 2\)",
    ),
    "a grey complex image": (lambda: complex_fourier_sampling(SHAPE, ONES), r"\(4, 5, 1\).*\(4, 5, 2\)"),
    "a complex image of three": (lambda: complex_mri((4, 5, 3), ONES, COILS), "real and the imaginary part"),
    "no channels": (lambda: complex_mri((4, 5), ONES, COILS), "three positive whole numbers"),
    "one map without an axis": (lambda: mri(SHAPE, ONES, ONES), r"\(4, 5\).*\('K', 4, 5\).*first axis"),
    "coils last": (lambda: complex_mri((4, 5, 2), ONES, np.ones((4, 5, 2))), r"\(4, 5, 2\).*\('K', 4, 5\)"),
    "no coil": (lambda: mri(SHAPE, ONES, np.ones((0, 4, 5))), "at least one coil"),
    "coils and another mask": (lambda: mri(SHAPE, ONES.T, COILS), r"\(5, 4\)"),
    "more columns than there are": (lambda: cartesian_mask(KEY, (4, 32, 1), 0.5), "at least 1, and is 0.5"),
    "a centre in per cent": (lambda: cartesian_mask(KEY, (4, 32, 1), 4.0, 8.0), "at most 1, and is 8.0"),
    "a centre below 0": (lambda: cartesian_mask(KEY, (4, 32, 1), 4.0, -0.1), "is -0.1"),
    "an acceleration that is none": (lambda: cartesian_mask(KEY, (4, 32, 1), float("nan")), "is nan"),
    "a wide centre": (lambda: cartesian_mask(KEY, (4, 32, 1), 8.0, 0.5), "samples 4 of 32.* 16 .*or the centre"),
    "no columns": (lambda: cartesian_mask(KEY, (4, 32, 1), 100.0, 0.0), "samples 0 of 32 .*lower the acceleration$"),
}


@pytest.mark.parametrize("build", [lambda mask: fourier_sampling(SHAPE, mask), lambda mask: mri(SHAPE, mask, COILS)])
def test_complex_masks_are_refused(build):
    with pytest.raises(TypeError, match="complex.*coil sensitivities to mri"):
        build(ONES + 0j)


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    build, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        build()
