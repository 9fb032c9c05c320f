"""Blurs and reductions against scipy, Pillow and dense matrices; the kernels of blurs; what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operator_rows.row import forward, normal
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


INTENSITIES = 0.0, 0.5, 1.0


@functools.cache
def all_motions():
    """The literature's kernels of many keys, (intensity, key, H, W), and those of the keys in the other order."""
    of_key = jax.vmap(lambda key, intensity: motion_kernel(key, SIDE, intensity), (0, None))
    draw = jax.jit(jax.vmap(of_key, (None, 0)))
    return jax.device_get([draw(keys, np.float32(INTENSITIES)) for keys in (KEYS, KEYS[::-1])])


def motions(intensity, order=0):
    return all_motions()[order][INTENSITIES.index(intensity)]


@pytest.mark.parametrize("intensity", INTENSITIES)
def test_motions_are_centred_means(intensity):
    kernels, q = motions(intensity), np.arange(SIDE) - SIDE // 2
    assert kernels.min() >= 0
    np.testing.assert_allclose(kernels.sum((1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(kernels.sum(2) @ q, 0, atol=1e-3)
    np.testing.assert_allclose(kernels.sum(1) @ q, 0, atol=1e-3)


def test_a_key_says_which_motion():
    kernels = motions(0.5)
    assert len({kernel.round(4).tobytes() for kernel in kernels}) == len(KEYS)
    np.testing.assert_allclose(motions(0.5, order=1)[::-1], kernels, atol=1e-6)


def test_a_steady_motion_is_a_straight_line_of_uniform_light():
    q = np.arange(SIDE) - SIDE // 2
    for kernel in motions(0.0):
        mixed = q @ kernel @ q
        across, along = np.linalg.eigvalsh([[kernel.sum(1) @ q**2, mixed], [mixed, kernel.sum(0) @ q**2]])
        # The hat functions alone spread a point by at most 1/4 along each axis.
        assert across < 0.3
        assert 29 <= np.sqrt(12 * along) <= 61


def test_motions_turn_more_where_they_are_more_intense():
    reach = [np.mean(np.einsum("nij,ij->n", motions(i), np.hypot(*np.mgrid[-30:31, -30:31]))) for i in INTENSITIES]
    assert reach[0] > 1.2 * reach[1] > 1.2 * 1.2 * reach[2]


@functools.cache
def gaussian():
    """The kernel of width 3, of a width that is known and of one that is traced."""
    return jax.device_get(jax.jit(lambda width: (gaussian_kernel(3.0), gaussian_kernel(width)))(3.0))


def test_the_gaussian_of_the_literature():
    delta = np.zeros((SIDE, SIDE))
    delta[SIDE // 2, SIDE // 2] = 1
    kernel, traced = gaussian()
    np.testing.assert_allclose(kernel, ndimage.gaussian_filter(delta, 3.0), atol=1e-7)
    support = np.argwhere(kernel)
    np.testing.assert_array_equal(support.min(0), 18)
    np.testing.assert_array_equal(support.max(0), 42)
    assert len(support) == 25 * 25
    assert abs(kernel.max() - 0.01768) < 1e-5
    np.testing.assert_allclose(traced, kernel, atol=1e-7)


@pytest.mark.parametrize("build", [circular_blur, reflecting_blur])
def test_a_kernel_with_empty_borders_fits_a_smaller_image(build):
    (kernel, _), shape = gaussian(), (32, 28, 1)
    large, small = build(shape, kernel), build(shape, kernel[18:43, 18:43])
    jax.tree.map(np.testing.assert_array_equal, large, small)
    with pytest.raises(ValueError, match="61 x 61 .* 32 x 28"):
        jax.eval_shape(lambda kernel: build(shape, kernel), kernel)


def test_the_two_reflecting_gaussians_agree():
    x, (kernel, _) = normal(32, 28, 1), gaussian()

    @jax.jit
    def two(x):
        return [a.forward(x) for a in (gaussian_blur(x.shape, 3.0, "reflect"), reflecting_blur(x.shape, kernel))]

    np.testing.assert_allclose(*two(x), atol=1e-5)


@pytest.mark.parametrize(("boundary", "mode"), [("zero", "constant"), ("reflect", "mirror")])
def test_a_blur_that_is_not_round_is_scipys(boundary, mode):
    x, widths = normal(*SHAPE), (0.5, 1.1)
    expected = np.stack([ndimage.gaussian_filter(x[..., c], widths, mode=mode) for c in range(2)], -1)
    np.testing.assert_allclose(forward(gaussian_blur(SHAPE, widths, boundary), x), expected, atol=1e-5)


@pytest.mark.parametrize(("build", "mode"), [(circular_blur, "wrap"), (reflecting_blur, "mirror")])
@pytest.mark.parametrize("sides", [(15, 11), (1, 7), (3, 9)])
def test_a_crooked_kernel_is_scipys(build, mode, sides):
    kernel, x = normal(*sides), normal(*SHAPE)
    expected = np.stack([ndimage.convolve(x[..., c], kernel, mode=mode) for c in range(2)], -1)
    np.testing.assert_allclose(forward(build(SHAPE, kernel), x), expected, atol=5e-5)


def test_the_reflecting_precondition_saves_iterations():
    """Over many kernels: how much it saves for one of them differs, from a few per cent to a half."""
    shape = (32, 32, 1)

    class Plain(type(reflecting_blur(shape, np.ones((1, 1))))):
        def precondition(self, r, rho):
            return r

    @jax.jit
    def both(key, v):
        operator = motion_blur(key, shape, 15, boundary="reflect")
        y = operator.forward(jnp.ones(shape))
        two = operator, Plain(operator.kernel, shape)
        return [one.solve_with_info(v, y, 1e-2, Solver(1e-4))[1] for one in two]

    pairs = [both(key, normal(*shape)) for key in KEYS[:12]]
    assert all(info.residual <= 2e-4 for pair in pairs for info in pair)
    with_it, without = (sum(int(pair[i].iterations) for pair in pairs) for i in (0, 1))
    assert with_it < 0.9 * without


@pytest.mark.parametrize("build", [circular_blur, reflecting_blur])
def test_a_large_blur_is_a_short_program(build):
    operator = build((256, 256, 3), np.ones((61, 61)))
    program = jax.make_jaxpr(lambda x: operator.adjoint(operator.forward(x)))(jnp.zeros((256, 256, 3)))
    assert len(program.eqns) < 100
    assert all(size < 4 * 256 * 256 * 3 for e in program.eqns for size in [v.aval.size for v in e.outvars])


DECOMPOSED = {
    "circular": lambda shape: circular_blur(shape, normal(5, 3)),
    "circular, with zeros": lambda shape: circular_blur(shape, np.ones((3, 3)) / 9),
    "circular Gaussian": lambda shape: gaussian_blur(shape, 0.8),
    "reflecting Gaussian": lambda shape: gaussian_blur(shape, 0.8, "reflect"),
    "average": lambda shape: average_downsampling(shape, 2),
    "bicubic": lambda shape: bicubic_downsampling(shape, 2),
}


@pytest.mark.parametrize("name", DECOMPOSED)
def test_a_decomposition_keeps_channels_apart(name):
    x = normal(8, 12)[None, :, :, None] * np.eye(3, dtype=np.float32)[:, None, None]

    @jax.jit
    def program(x):
        operator = DECOMPOSED[name](x.shape[1:])
        svd = operator.svd()
        c = jax.vmap(svd.v_t)(x)
        assert c.shape[1:] == svd.s.shape
        return jax.vmap(operator.forward)(x), c, jax.vmap(svd.u)(svd.s[None] * c), jax.vmap(svd.v)(c)

    image, c, y, back = jax.device_get(program(x))
    np.testing.assert_allclose(y, image, atol=1e-5)
    other = ~np.eye(3, dtype=bool)
    for array in (c, y, back):
        of_channel = np.abs(array).max((1, 2))
        assert of_channel[~other].min() > 0 and not of_channel[other].any()


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bicubic_is_pillows_inside(factor):
    size = 48
    x = normal(size, size, 1)
    y = np.asarray(jax.jit(lambda x: bicubic_downsampling(x.shape, factor).forward(x))(x))[..., 0]
    image = Image.fromarray(x[..., 0], mode="F")
    pillow = np.asarray(image.resize((size // factor,) * 2, Image.Resampling.BICUBIC))
    # Pillow renormalises at the border instead of mirroring.
    np.testing.assert_allclose(y[2:-2, 2:-2], pillow[2:-2, 2:-2], atol=1e-5)


def test_decimation_keeps_the_first_pixel():
    delta = np.zeros((3, 3))
    delta[1, 1] = 1
    x = normal(*SHAPE)
    np.testing.assert_allclose(forward(blur_downsampling(SHAPE, delta, 4), x), x[::4, ::4], atol=1e-6)


def test_decimation_without_noise_keeps_what_it_does_not_see():
    """Where the blur takes frequencies away the answer stays v, and it is consistent with y."""
    with jax.enable_x64(True):
        operator = blur_downsampling((6, 12, 1), np.ones((3, 3)) / 9, 2)
        x, v = normal(6, 12, 1), normal(6, 12, 1, seed=1)
        y = forward(operator, x)
        solution = jax.jit(type(operator).solve)(operator, v, y, 0.0)
        np.testing.assert_allclose(forward(operator, solution), y, atol=1e-12)
        assert np.linalg.norm(solution - v) <= np.linalg.norm(x - v)


REFUSED = {
    "an even reflecting kernel": (lambda: reflecting_blur(SHAPE, np.ones((4, 3))), r"\(4, 3\).*odd sides"),
    "a reflecting kernel above the image": (lambda: reflecting_blur(SHAPE, np.ones((17, 3))), "17 x 3 .* 16 x 12"),
    "a kernel of three axes": (lambda: reflecting_blur(SHAPE, np.ones((3, 3, 3))), r"\(3, 3, 3\).*a matrix"),
    "a motion larger than the image": (lambda: jax.eval_shape(lambda: motion_blur(KEY, (16, 16, 1))), "fit .* 16 x 16"),
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
