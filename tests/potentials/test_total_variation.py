"""The prox of total variation: its stated accuracy, and beside solvers of another kind."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize
from skimage import data, restoration, transform

from pgm_jax.potentials import AnisotropicTotalVariation, TotalVariation

BOTH = pytest.mark.parametrize("kind", [TotalVariation, AnisotropicTotalVariation])

value = jax.jit(lambda potential, u: potential.value(u))
with_gap = jax.jit(lambda potential, v, lam: potential.prox_with_gap(v, lam))


def prox(potential, v, lam):
    return np.asarray(with_gap(potential, v, lam)[0])


def objective(potential, v, lam, u):
    return float(lam * value(potential, u) + np.sum((u - v) ** 2) / 2)


@functools.cache
def noisy_photograph(variance):
    """A photograph in [-1, 1] of 64 x 64 pixels and its noise."""
    photograph = transform.resize(data.camera() / 127.5 - 1, (64, 64), anti_aliasing=True)
    noise = np.random.default_rng(0).standard_normal((64, 64))
    return np.float32(photograph + np.sqrt(variance) * noise)[..., None]


def random_image(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@BOTH
@pytest.mark.parametrize(("radius", "gap", "error"), [(0.03, 1e-4, 1e-5), (0.1, 1e-3, 1e-4), (0.3, 5e-3, 5e-4)])
def test_the_accuracy_that_is_stated(kind, radius, gap, error):
    lam = radius / 8
    p, reached = with_gap(kind(8.0), noisy_photograph(lam), lam)
    assert np.sqrt(max(reached, 0) / p.size) < gap
    long_run = prox(kind(8.0, iterations=2000), noisy_photograph(lam), lam)
    assert np.sqrt(np.mean((p - long_run) ** 2)) < error


@BOTH
def test_the_gap_bounds_the_error_and_the_objective(kind):
    with jax.enable_x64(True):
        v, lam = random_image((4, 3, 2)), 0.4
        best = prox(kind(1.0, iterations=1000), v, lam)
        lowest = objective(kind(1.0), v, lam, best)
        for iterations in (3, 30):
            p, gap = map(np.asarray, with_gap(kind(1.0, iterations=iterations), v, lam))
            assert np.sum((p - best) ** 2) <= gap
            assert lowest - 1e-12 <= objective(kind(1.0), v, lam, p) <= lowest + gap


@pytest.mark.parametrize("radius", [0.03, 0.3, 3.0])
def test_no_worse_than_chambolle(radius):
    """The objective after 200 iterations, beside as many of scikit-image's."""
    lam, g = radius / 8, TotalVariation(8.0)
    v = noisy_photograph(lam)
    theirs = restoration.denoise_tv_chambolle(v[..., 0], weight=radius, eps=0.0, max_num_iter=200)
    ours, theirs = (objective(g, v, lam, u) for u in (prox(g, v, lam), np.float32(theirs)[..., None]))
    assert ours <= theirs * (1 + 1e-6)


@BOTH
@pytest.mark.parametrize("shape", [(1, 24, 1), (24, 1, 1)])
def test_a_line_is_solved_as_bounded_least_squares(kind, shape):
    """On a line the dual is a box: scipy's active sets find it exactly."""
    v, radius = np.random.default_rng(1).standard_normal(24), 0.7
    steps = np.diff(np.eye(24), axis=0)
    dual = optimize.lsq_linear(steps.T, v, bounds=(-radius, radius), method="bvls", tol=1e-15).x
    with jax.enable_x64(True):
        p, gap = with_gap(kind(2.0, iterations=1000), v.reshape(shape), radius / 2)
    np.testing.assert_allclose(np.ravel(p), v - steps.T @ dual, atol=1e-9)
    assert float(gap) < 1e-12


@BOTH
def test_a_large_step_leaves_the_mean_of_every_channel(kind):
    v = np.float32(random_image((7, 5, 3)))
    p = prox(kind(1.0, iterations=20), v, 1e4)
    np.testing.assert_allclose(p, np.broadcast_to(v.mean((0, 1), keepdims=True), p.shape), atol=1e-6)
    np.testing.assert_array_equal(prox(kind(1.0, iterations=20), v, 0.0), v)
    np.testing.assert_array_equal(prox(kind(0.0, iterations=20), v, 1.0), v)


@BOTH
def test_channels_are_apart(kind):
    with jax.enable_x64(True):
        v, g = random_image((4, 3, 2)), kind(1.0, iterations=1000)
        apart = [prox(g, v[..., i : i + 1], 0.3) for i in (0, 1)]
        np.testing.assert_allclose(prox(g, v, 0.3), np.concatenate(apart, axis=-1), atol=1e-9)


@BOTH
def test_derivatives_exist_everywhere(kind):
    """No NaN at flat images, at no step, at no weight and at a step that leaves the mean; else as by differences."""
    slopes = jax.jit(jax.grad(lambda g, v, lam: jnp.sum(jnp.sin(g.prox(v, lam))) + g.value(v), (0, 1, 2)))
    with jax.enable_x64(True):
        v = random_image((4, 3, 1))
        flat = np.ones_like(v)
        for weight, image, lam in ((1.0, flat, 0.3), (1.0, 0 * v, 0.0), (0.0, v, 0.3), (1.0, v, 0.0), (1.0, v, 1e6)):
            found = slopes(kind(weight, iterations=1000), image, lam)
            assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
        g, way = kind(1.0, iterations=1000), random_image(v.shape, seed=1)
        tangent = jax.jit(lambda g, v, way: jax.jvp(lambda v: g.prox(v, 0.3), (v,), (way,))[1])(g, v, way)
        by_differences = (prox(g, v + 1e-6 * way, 0.3) - prox(g, v - 1e-6 * way, 0.3)) / 2e-6
        np.testing.assert_allclose(tangent, by_differences, atol=1e-6)
