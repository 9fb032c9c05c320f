"""Compressed sensing and colourisation against independent code."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operator_rows.row import normal
from scipy import linalg

from pgm_jax.operators.colour import colourisation
from pgm_jax.operators.compressed import circulant_sensing, gaussian_sensing, hadamard_sensing, walsh_hadamard

KEY = jax.random.key(0)
BUILDS = {  # how to build it, shape of y
    "gaussian": (functools.partial(gaussian_sensing, image_shape=(4, 5, 2), count=13), (13,)),
    "gaussian, all of it": (functools.partial(gaussian_sensing, image_shape=(2, 3, 2), count=12), (12,)),
    "hadamard": (functools.partial(hadamard_sensing, image_shape=(4, 4, 2), count=5), (5, 2)),
    "hadamard, all of it": (functools.partial(hadamard_sensing, image_shape=(2, 8, 1), count=16), (16, 1)),
    "circulant, odd": (functools.partial(circulant_sensing, image_shape=(5, 7, 1), count=6), (6, 1)),
    "circulant, even": (functools.partial(circulant_sensing, image_shape=(4, 6, 2), count=7), (7, 2)),
    "circulant, all of it": (functools.partial(circulant_sensing, image_shape=(3, 4, 1), count=12), (12, 1)),
}


@functools.cache
def facts(name):
    """The columns and rows of A for three keys, and for the same keys in another order."""
    build, shape = BUILDS[name]

    @jax.jit
    @jax.vmap
    def program(key):
        operator = build(key)
        assert operator.measurement_shape == shape
        count, size = math.prod(shape), math.prod(operator.image_shape)
        columns = jax.vmap(operator.forward)(jnp.eye(size).reshape(-1, *operator.image_shape))
        rows = jax.vmap(operator.adjoint)(jnp.eye(count).reshape(-1, *shape))
        return columns.reshape(size, count), rows.reshape(count, size)

    keys = jax.random.split(KEY, 3)
    return jax.device_get([program(keys), program(keys[::-1])])


@pytest.mark.parametrize("name", BUILDS)
def test_rows_are_orthonormal_and_as_many_as_asked_for(name):
    for columns, rows in zip(*facts(name)[0], strict=True):
        A = np.float64(columns).T
        np.testing.assert_allclose(A @ A.T, np.eye(len(A)), atol=2e-6)
        np.testing.assert_allclose(rows, A, atol=1e-6)


@pytest.mark.parametrize("name", BUILDS)
def test_a_key_says_which_operator(name):
    (_, many), (_, reversed_) = facts(name)
    np.testing.assert_array_equal(many, reversed_[::-1])
    assert np.abs(many[0] - many[1]).max() > 0.01


def test_the_fast_transform_is_the_matrix_of_hadamard():
    sizes = 2, 4, 32, 256
    transforms = jax.jit(lambda: [walsh_hadamard(jnp.eye(size)) for size in sizes])()
    for size, made in zip(sizes, transforms, strict=True):
        np.testing.assert_allclose(made, linalg.hadamard(size) / np.sqrt(size), rtol=1e-5)


@pytest.mark.parametrize("factory", [hadamard_sensing, circulant_sensing])
@pytest.mark.parametrize("shape", [(256, 256, 3), (128, 64, 1)])
def test_photographs_fit_in_float32(shape, factory):
    count = shape[0] * shape[1] // 10
    x, r = normal(*shape), normal(count, shape[2], seed=1)

    @jax.jit
    def program(key, x, r):
        operator = factory(key, shape, count)
        z = operator.adjoint(r)
        return operator.forward(x), z, operator.forward(z)

    x, r, y, z, again = (np.float64(a) for a in (x, r, *program(KEY, x, r)))
    assert abs(np.vdot(y, r) - np.vdot(x, z)) <= 1e-6 * np.linalg.norm(y) * np.linalg.norm(r)
    np.testing.assert_allclose(np.linalg.norm(z), np.linalg.norm(r), rtol=1e-6)
    assert np.linalg.norm(again - r) <= 2e-6 * np.linalg.norm(r)


@functools.cache
def thousand(name):
    return jax.device_get(jax.jit(jax.vmap(BUILDS[name][0]))(jax.random.split(KEY, 1000)))


def test_selections_are_uniform_and_without_repetition():
    hadamard, circulant = thousand("hadamard"), thousand("circulant, even")
    for places, size in ((np.asarray(hadamard.rows), 16), (np.asarray(circulant.pixels), 24)):
        assert all(len(set(row)) == places.shape[1] for row in places)
        share = places.shape[1] / size
        z = (np.bincount(places.ravel(), minlength=size) / 1000 - share) / np.sqrt(share * (1 - share) / 1000)
        assert len(z) == size and abs(z).max() < 4
    signs = np.asarray(hadamard.signs)
    assert set(np.unique(signs)) == {-1, 1}
    assert abs(signs.mean(0)).max() < 4 / np.sqrt(1000)


def test_phases_are_uniform():
    spectrum = thousand("circulant, even").spectrum
    np.testing.assert_allclose(abs(spectrum), 1, rtol=1e-6)
    assert abs(spectrum.mean(0)).max() < 4 / np.sqrt(1000)
    own = spectrum[:, 0, 0]  # the mean of a real filter is real
    assert set(np.round(np.real(own))) == {-1, 1} and np.all(np.imag(own) == 0)


def test_gaussian_matrices_are_uniformly_distributed():
    """Of a uniformly random orthonormal row every entry has the mean 0 and the mean square 1 / n."""
    draw = functools.partial(gaussian_sensing, image_shape=(2, 2, 1), count=2)
    matrices = np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(KEY, 4000)).matrix)
    assert abs(matrices.mean(0)).max() < 4 * 0.5 / np.sqrt(4000)
    # The square of such an entry is Beta(1/2, 3/2), of variance 1/16.
    assert abs((matrices**2).mean(0) - 0.25).max() < 4 * 0.25 / np.sqrt(4000)


def test_colourisation_keeps_what_is_seen():
    luma = np.array([0.299, 0.587, 0.114])
    operator = colourisation((5, 4, 3), luma)
    x, v = normal(2, 5, 4, 3)
    y, solution = jax.device_get(jax.jit(lambda x, v: (y := operator.forward(x), operator.solve(v, y, 0.0)))(x, v))
    np.testing.assert_allclose(y[..., 0], x @ luma, atol=1e-6)
    np.testing.assert_allclose(solution @ luma, y[..., 0], atol=1e-6)
    across = np.cross(luma, [1.0, 1.0, 1.0])
    np.testing.assert_allclose(solution @ across, v @ across, atol=1e-6)


REFUSED = {
    "none measured": (lambda: gaussian_sensing(KEY, (4, 5, 2), 0), "from 1 to 40.*is 0"),
    "more than the image": (lambda: gaussian_sensing(KEY, (4, 5, 2), 41), "1 to 40, and is 41.*40 entries"),
    "more rows than pixels": (lambda: hadamard_sensing(KEY, (4, 4, 3), 17), "1 to 16, and is 17.*16 pixels"),
    "fewer than one row": (lambda: hadamard_sensing(KEY, (4, 4, 3), -1), "is -1; .*a tenth of them are count=1"),
    "more than the pixels": (lambda: circulant_sensing(KEY, (5, 5, 3), 26), "from 1 to 25.*count=2"),
    "no power of two": (lambda: hadamard_sensing(KEY, (4, 6, 3), 2), "4 x 6 has 24.*circulant_sensing"),
    "one pixel": (lambda: hadamard_sensing(KEY, (1, 1, 3), 1), "1 x 1 has 1"),
    "no channel axis": (lambda: circulant_sensing(KEY, (4, 4), 2), "grey image has one channel"),
    "weights of fewer channels": (lambda: colourisation((4, 4, 3), [0.5, 0.5]), r"\(2,\).* 3 channels.*\(3,\)"),
    "weights of pixels": (lambda: colourisation((4, 4, 3), np.ones((4, 4, 3))), r"\(4, 4, 3\).*one weight"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    build, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        build()
