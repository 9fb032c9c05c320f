"""The Radon transform against scikit-image: projections, filtered back projection and the phantom."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operator_rows.row import forward, normal
from operator_rows.tomography import joseph
from scipy import ndimage
from skimage import data, transform

from pgm_jax.operators import Solver
from pgm_jax.operators.phantom import shepp_logan
from pgm_jax.operators.tomography import filtered_back_projection, radon

ANGLES = np.linspace(0, 180, 60, endpoint=False)


def relative(actual, expected):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


def psnr(x, y):
    return -10 * np.log10(np.mean((x - y) ** 2))


@functools.cache
def phantom(size):
    """The phantom of scikit-image, averaged over square cells of 400 / size pixels."""
    cell = 400 // size
    return data.shepp_logan_phantom().astype(float).reshape(size, cell, size, cell).mean((1, 3))


def smooth(size, empty):
    """Smooth noise whose middle circle reaches to `empty` pixels from the border."""
    row, col = np.mgrid[:size, :size] - size // 2
    inside = np.hypot(row, col) < size // 2 - empty
    return ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((size, size)) * inside, 2.0, truncate=2)


@pytest.mark.parametrize(("size", "circle"), [(64, True), (64, False), (65, True), (65, False)])
def test_projections_are_those_of_scikit_image(size, circle):
    x = smooth(size, empty=7)
    theirs = transform.radon(x, ANGLES[::4], circle=circle).T
    operator = radon((size, size, 1), ANGLES[::4], size if circle else None)
    assert operator.measurement_shape == (*theirs.shape, 1)
    # They interpolate in two directions, and blur a little more.
    assert relative(forward(operator, np.float32(x[..., None]))[..., 0], theirs) < 0.01


WINDOWS = "ramp", "shepp-logan", "hann"


@functools.cache
def reconstructions():
    """The phantom from the projections of scikit-image and from Joseph's, by every window."""

    @jax.jit
    def program(x, theirs):
        operator = radon((80, 80, 1), ANGLES)
        sinograms = jnp.stack([theirs, operator.forward(x)])
        return [
            jax.vmap(functools.partial(filtered_back_projection, operator, window=window))(sinograms)[..., 0]
            for window in WINDOWS
        ]

    sinogram = transform.radon(phantom(80), ANGLES, circle=False)
    made = program(np.float32(phantom(80)[..., None]), np.float32(sinogram.T[..., None]))
    return sinogram, dict(zip(WINDOWS, jax.device_get(made), strict=True))


@pytest.mark.parametrize("window", WINDOWS)
def test_filtered_back_projection_is_that_of_scikit_image(window):
    x, (sinogram, made) = phantom(80), reconstructions()
    theirs = transform.iradon(sinogram, ANGLES, 80, window, circle=False)
    ours, from_joseph = made[window]
    # Their Hann window is half a sample off the middle.
    # At the corner beyond the last detector they take 0 at once.
    assert relative(ours[1:, 1:], theirs[1:, 1:]) < (2e-3 if window == "hann" else 2e-5)
    assert psnr(from_joseph, x) > psnr(theirs, x) - 0.2


def test_filtered_back_projection_on_a_detector_of_the_circle():
    x = phantom(80)
    sinogram = transform.radon(x, ANGLES, circle=True)
    theirs = transform.iradon(sinogram, ANGLES, output_size=80, circle=True)
    operator = radon((80, 80, 1), ANGLES, 80)
    ours = jax.jit(filtered_back_projection)(operator, np.float32(sinogram.T[..., None]))[..., 0]
    row, col = np.mgrid[:80, :80] - 40
    inside = np.hypot(row, col) < 39
    assert relative(np.asarray(ours)[inside], theirs[inside]) < 2e-5


@pytest.mark.parametrize("shape", [(64, 64, 1), (37, 50, 2)])
def test_adjoint_has_the_weights_of_the_projection_in_float32(shape):
    # At multiples of 15 degrees crossings lie on pixels, where rounding may fall to either side.
    operator = radon(shape, np.concatenate([np.arange(-180, 360, 15), normal(20) * 90]))
    r = normal(*operator.measurement_shape)
    both = jax.jit(lambda r: (operator.adjoint(r), jax.linear_transpose(operator.forward, jnp.zeros(shape))(r)[0]))
    assert relative(*both(r)) < 1e-6


def test_rounding_moves_no_crossing_by_a_pixel():
    operator, x = radon((40, 40, 1), np.arange(0, 360, 30)), normal(40, 40, 1)
    error = np.abs(forward(operator, x) - joseph(operator, np.float64(x)))
    assert error.max() < 2e-4


def test_images_and_rays_of_unlike_precision():
    with jax.enable_x64(True):
        operator, x = radon((6, 6, 1), np.float32([10.0, 80.0])), normal(6, 6, 1)
        y = jax.eval_shape(operator.forward, x)
        single = jax.ShapeDtypeStruct(y.shape, jnp.float32)
        for r in (y, single):
            assert jax.eval_shape(operator.adjoint, r).shape == (6, 6, 1)
            assert jax.eval_shape(filtered_back_projection, operator, r).shape == (6, 6, 1)
        assert y.dtype == jax.eval_shape(operator.adjoint, y).dtype == jnp.float64


def test_the_preconditioner_is_symmetric_and_positive():
    with jax.enable_x64(True):
        operator = radon((5, 7, 1), ANGLES[::10])
        basis = jnp.eye(35).reshape(35, 5, 7, 1)
        matrix = np.asarray(jax.jit(jax.vmap(operator.precondition, (0, None)))(basis, 0.1)).reshape(35, 35)
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-14)
        assert np.linalg.eigvalsh(matrix).min() > 0


def test_the_preconditioner_saves_iterations():
    operator = radon((64, 64, 1), ANGLES)

    @jax.jit
    def iterations(operator, rho):
        x = 2 * shepp_logan(64) - 1
        y = operator.forward(x)
        return operator.solve_with_info(0 * x, y, rho, Solver(1e-5))[1].iterations

    plain = type("Plain", (type(operator),), {"precondition": lambda self, r, rho: r})
    jax.tree_util.register_dataclass(plain)
    bare = plain(operator.angles, operator.detectors, operator.image_shape)
    for share, gain in ((1e-3, 2.0), (1e-2, 1.7), (1e-1, 1.5)):
        rho = share * 64 * 60  # |A|^2 is about H times the number of angles
        assert gain * iterations(operator, rho) <= iterations(bare, rho)


def test_the_phantom_is_that_of_scikit_image():
    x = np.asarray(jax.jit(lambda: shepp_logan(100))())
    assert x.shape == (100, 100, 1) and x.min() == 0 and x.max() == 1
    assert psnr(x[..., 0], phantom(100)) > 33  # they do not smooth edges
    assert np.corrcoef(x.ravel(), phantom(100).ravel())[0, 1] > 0.99


def test_a_number_of_angles_spreads_them_over_half_a_turn():
    np.testing.assert_array_equal(radon((8, 12, 3), 6).angles, [0, 30, 60, 90, 120, 150])
    with pytest.raises(TypeError, match="a vector of degrees.*whole number at least 1, and is 30.0"):
        radon((8, 12, 3), 30.0)


SHAPE = (8, 12, 3)
REFUSED = {
    "a negative number of angles": (lambda: radon(SHAPE, -1), "at least 1, and is -1"),
    "a table of angles": (lambda: radon(SHAPE, np.ones((2, 3))), r"shape \(2, 3\)"),
    "no angle": (lambda: radon(SHAPE, np.ones(0)), r"shape \(0,\); give at least one angle"),
    "no detector": (lambda: radon(SHAPE, ANGLES, 0), "at least 1, and is 0"),
    "no channel axis": (lambda: radon((8, 12), ANGLES), "grey image has one channel"),
    "detectors before angles": (
        lambda: filtered_back_projection(radon(SHAPE, ANGLES), jnp.ones((17, 60, 3))),
        r"\(17, 60, 3\).*\(60, 17, 3\).*transpose",
    ),
    "an unknown window": (
        lambda: filtered_back_projection(radon(SHAPE, ANGLES), jnp.ones((60, 17, 3)), "cosine"),
        "'ramp', 'shepp-logan', 'hann', not 'cosine'",
    ),
    "an empty phantom": (lambda: shepp_logan(0), "at least 1, and is 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    build, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        build()
