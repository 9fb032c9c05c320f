"""Blurs and reductions against scipy, Pillow and dense matrices; the kernels of blurs; what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operator_rows.row import normal
from PIL import Image
from scipy import ndimage

from pgm_jax.operators.blur import circular_blur, gaussian_blur, motion_blur, reflecting_blur
from pgm_jax.operators.decimation import blur_downsampling
from pgm_jax.operators.kernels import gaussian_kernel, motion_kernel
from pgm_jax.operators.resize import average_downsampling, bicubic_downsampling
from pgm_jax.operators.solvers import Solver

KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 50)
SHAPE = (16, 12, 2)
SIDE = 61


@functools.cache
def motions(intensity):
    """The literature's kernels of many keys."""
    return np.asarray(jax.jit(jax.vmap(lambda key: motion_kernel(key, SIDE, intensity)))(KEYS))


@pytest.mark.parametrize("intensity", [0.0, 0.5, 1.0])
def test_motions_are_centred_means(intensity):
    kernels, q = motions(intensity), np.arange(SIDE) - SIDE // 2
    assert kernels.min() >= 0
    np.testing.assert_allclose(kernels.sum((1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(kernels.sum(2) @ q, 0, atol=1e-3)
    np.testing.assert_allclose(kernels.sum(1) @ q, 0, atol=1e-3)


def test_a_key_says_which_motion():
    kernels = motions(0.5)
    assert len({kernel.round(4).tobytes() for kernel in kernels}) == len(KEYS)
    np.testing.assert_allclose(motion_kernel(KEYS[7], SIDE, 0.5), kernels[7], atol=1e-6)


def test_a_steady_motion_is_a_straight_line_of_uniform_light():
    q = np.arange(SIDE) - SIDE // 2
    for kernel in motions(0.0):
        mixed = q @ kernel @ q
        across, along = np.linalg.eigvalsh([[kernel.sum(1) @ q**2, mixed], [mixed, kernel.sum(0) @ q**2]])
        # The hat functions alone spread a point by at most 1/4 along each axis.
        assert across < 0.3
        assert 29 <= np.sqrt(12 * along) <= 61


def test_motions_turn_more_where_they_are_more_intense():
    reach = [np.mean(np.einsum("nij,ij->n", motions(i), np.hypot(*np.mgrid[-30:31, -30:31]))) for i in (0.0, 0.5, 1.0)]
    assert reach[0] > 1.2 * reach[1] > 1.2 * 1.2 * reach[2]


def test_the_gaussian_of_the_literature():
    delta = np.zeros((SIDE, SIDE))
    delta[SIDE // 2, SIDE // 2] = 1
    kernel = np.asarray(gaussian_kernel(3.0))
    np.testing.assert_allclose(kernel, ndimage.gaussian_filter(delta, 3.0), atol=1e-7)
    support = np.argwhere(kernel)
    np.testing.assert_array_equal(support.min(0), 18)
    np.testing.assert_array_equal(support.max(0), 42)
    assert len(support) == 25 * 25
    assert abs(kernel.max() - 0.01768) < 1e-5
    np.testing.assert_allclose(jax.jit(gaussian_kernel)(3.0), kernel, atol=1e-7)


@pytest.mark.parametrize("build", [circular_blur, reflecting_blur])
def test_a_kernel_with_empty_borders_fits_a_smaller_image(build):
    x, kernel = normal(32, 28, 1), gaussian_kernel(3.0)
    np.testing.assert_allclose(
        build((32, 28, 1), kernel).forward(x), build((32, 28, 1), kernel[18:43, 18:43]).forward(x), atol=1e-6
    )
    with pytest.raises(ValueError, match="61 x 61 .* 32 x 28"):
        jax.jit(lambda kernel: build((32, 28, 1), kernel).forward(x))(kernel)


def test_the_two_reflecting_gaussians_agree():
    x = normal(32, 28, 1)
    two = gaussian_blur((32, 28, 1), 3.0, "reflect"), reflecting_blur((32, 28, 1), gaussian_kernel(3.0))
    np.testing.assert_allclose(two[0].forward(x), two[1].forward(x), atol=1e-5)


@pytest.mark.parametrize(("build", "mode"), [(circular_blur, "wrap"), (reflecting_blur, "mirror")])
@pytest.mark.parametrize("sides", [(15, 11), (1, 7), (3, 9)])
def test_a_crooked_kernel_is_scipys(build, mode, sides):
    kernel, x = np.asarray(normal(*sides)), normal(*SHAPE)
    expected = np.stack([ndimage.convolve(np.asarray(x[..., c]), kernel, mode=mode) for c in range(2)], -1)
    np.testing.assert_allclose(build(SHAPE, kernel).forward(x), expected, atol=5e-5)


def test_the_reflecting_precondition_saves_iterations():
    """Over many kernels: how much it saves for one of them differs, from a few per cent to a half."""
    shape = (32, 32, 1)

    class Plain(type(reflecting_blur(shape, np.ones((1, 1))))):
        def precondition(self, r, rho):
            return r

    @jax.jit
    def both(key):
        operator = motion_blur(key, shape, 15, boundary="reflect")
        v, y = normal(*shape), operator.forward(jnp.ones(shape))
        two = operator, Plain(operator.kernel, shape)
        return [one.solve_with_info(v, y, 1e-2, Solver(1e-4))[1] for one in two]

    pairs = [both(key) for key in KEYS[:12]]
    assert all(info.residual <= 2e-4 for pair in pairs for info in pair)
    with_it, without = (sum(int(pair[i].iterations) for pair in pairs) for i in (0, 1))
    assert with_it < 0.9 * without


@pytest.mark.parametrize("build", [circular_blur, reflecting_blur])
def test_a_large_blur_is_a_short_program(build):
    operator = build((256, 256, 3), motion_kernel(KEY))
    program = jax.make_jaxpr(lambda x: operator.adjoint(operator.forward(x)))(jnp.zeros((256, 256, 3)))
    assert len(program.eqns) < 100
    assert all(size < 4 * 256 * 256 * 3 for e in program.eqns for size in [v.aval.size for v in e.outvars])


DECOMPOSED = {
    "circular": lambda: circular_blur((8, 12, 3), normal(5, 3)),
    "circular, with zeros": lambda: circular_blur((6, 12, 3), np.ones((3, 3)) / 9),
    "circular Gaussian": lambda: gaussian_blur((8, 12, 3), 0.8),
    "reflecting Gaussian": lambda: gaussian_blur((8, 12, 3), 0.8, "reflect"),
    "average": lambda: average_downsampling((8, 12, 3), 2),
    "bicubic": lambda: bicubic_downsampling((8, 12, 3), 2),
}


@pytest.mark.parametrize("name", DECOMPOSED)
def test_a_decomposition_keeps_channels_apart(name):
    operator = DECOMPOSED[name]()
    svd = operator.svd()
    for channel in range(3):
        x = jnp.zeros(operator.image_shape).at[..., channel].set(normal(*operator.image_shape[:2]))
        c = svd.v_t(x)
        assert c.shape == svd.s.shape
        y = np.asarray(svd.u(svd.s * c))
        np.testing.assert_allclose(y, operator.forward(x), atol=1e-5)
        others = [c for c in range(3) if c != channel]
        for array in (np.asarray(c), y, np.asarray(svd.v(c))):
            assert np.abs(array[..., channel]).max() > 0 and not array[..., others].any()


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bicubic_is_pillows_inside(factor):
    size = 48
    x = normal(size, size, 1)
    y = np.asarray(bicubic_downsampling((size, size, 1), factor).forward(x))[..., 0]
    image = Image.fromarray(np.asarray(x[..., 0], np.float32), mode="F")
    pillow = np.asarray(image.resize((size // factor,) * 2, Image.Resampling.BICUBIC))
    # Pillow renormalises at the border instead of mirroring.
    np.testing.assert_allclose(y[2:-2, 2:-2], pillow[2:-2, 2:-2], atol=1e-5)


def test_decimation_keeps_the_first_pixel():
    delta = np.zeros((3, 3))
    delta[1, 1] = 1
    x = normal(*SHAPE)
    np.testing.assert_allclose(blur_downsampling(SHAPE, delta, 4).forward(x), x[::4, ::4], atol=1e-6)


def test_decimation_without_noise_keeps_what_it_does_not_see():
    """Where the blur takes frequencies away the answer stays v, and it is consistent with y."""
    with jax.enable_x64(True):
        operator = blur_downsampling((6, 12, 1), np.ones((3, 3)) / 9, 2)
        x, v = normal(6, 12, 1), normal(6, 12, 1, seed=1)
        solution = operator.solve(v, operator.forward(x), 0.0)
        np.testing.assert_allclose(operator.forward(solution), operator.forward(x), atol=1e-12)
        assert np.linalg.norm(solution - v) <= np.linalg.norm(x - v)


REFUSED = {
    "an even reflecting kernel": (lambda: reflecting_blur(SHAPE, np.ones((4, 3))), r"\(4, 3\).*odd sides"),
    "a reflecting kernel above the image": (lambda: reflecting_blur(SHAPE, np.ones((17, 3))), "17 x 3 .* 16 x 12"),
    "a kernel of three axes": (lambda: reflecting_blur(SHAPE, np.ones((3, 3, 3))), r"\(3, 3, 3\).*a matrix"),
    "a motion larger than the image": (lambda: motion_blur(KEY, (16, 16, 1)), "fit .* 16 x 16"),
    "an unknown boundary": (lambda: motion_blur(KEY, SHAPE, 5, boundary="zero"), "not 'zero'"),
    "an even motion": (lambda: motion_kernel(KEY, 60), "odd .* is 60"),
    "no motion": (lambda: motion_kernel(KEY, -1), "is -1"),
    "a percentage": (lambda: motion_kernel(KEY, 5, 50.0), "is 50.0; fifty per cent are 0.5"),
    "less than no turning": (lambda: motion_kernel(KEY, 5, -0.1), "is -0.1"),
    "an even Gaussian": (lambda: gaussian_kernel(3.0, 60), "odd .* is 60"),
    "a Gaussian of no width": (lambda: gaussian_kernel(0.0), "above 0, and is 0.0"),
    "a factor of one side only": (lambda: blur_downsampling(SHAPE, np.ones((3, 3)), 8), "factor 8 .* 16 x 12.*crop"),
    "no factor": (lambda: blur_downsampling(SHAPE, np.ones((3, 3)), 0), "at least 1, and is 0"),
    "an even kernel to decimate": (lambda: blur_downsampling(SHAPE, np.ones((2, 3)), 2), r"\(2, 3\).*odd sides"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    build, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        build()
