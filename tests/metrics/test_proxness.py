"""Diagnostics of maps that are proxes, and of maps that miss one property each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convex_network import convex_network

from pgm_jax.metrics import proxness
from pgm_jax.potentials import Box, Laplace, Mixture

KEY = jax.random.key(0)
POINTS = np.random.default_rng(0).standard_normal((12, 3))
MATRIX = np.random.default_rng(1).standard_normal((3, 3))
SYMMETRIC = MATRIX + MATRIX.T


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def linear(matrix):
    return lambda v, lam: jnp.asarray(matrix) @ v


def measured(prox, points=POINTS, lam=0.5, **options):
    return jax.tree.map(float, jax.jit(lambda p: proxness(KEY, prox, p, lam, **options))(jnp.asarray(points)))


def test_of_a_linear_map_they_are_those_of_its_matrix():
    found = measured(linear(SYMMETRIC))
    assert found.asymmetry < 1e-12
    np.testing.assert_allclose(found.smallest_eigenvalue, np.linalg.eigvalsh(SYMMETRIC)[0], rtol=1e-9)
    pairs = [(a, b) for i, a in enumerate(POINTS) for b in POINTS[:i]]
    quotients = [(a - b) @ SYMMETRIC @ (a - b) / ((a - b) @ (a - b)) for a, b in pairs]
    np.testing.assert_allclose(found.monotonicity, min(quotients), rtol=1e-10)
    assert measured(linear(MATRIX)).asymmetry > 0.1
    # With a space that is exhausted at once.
    np.testing.assert_allclose(measured(linear(0.7 * np.eye(3))).smallest_eigenvalue, 0.7, rtol=1e-9)


@pytest.mark.parametrize("prox", [Laplace(1.0).prox, linear(SYMMETRIC @ SYMMETRIC / 50)], ids=["soft", "linear"])
def test_proxes_of_convex_functions_pass(prox):
    found = measured(prox)
    assert found.asymmetry < 1e-9 and found.smallest_eigenvalue > -1e-9
    assert min(found.monotonicity, found.cyclic_monotonicity) >= 0 and found.expansion <= 1 + 1e-9


def test_proxes_that_are_flat_somewhere_pass():
    """Points of one image: nothing moves, and nothing is divided by nothing."""
    for prox in (Laplace(0.05).prox, Box(-0.1, 0.1).prox):
        found = measured(prox)
        assert found.asymmetry == 0 and found.smallest_eigenvalue > -1e-12 and 0 <= found.expansion <= 1 + 1e-9
        assert min(found.monotonicity, found.cyclic_monotonicity) >= 0
    assert measured(Laplace(1.0).prox, np.concatenate([POINTS, POINTS])).monotonicity >= 0


def test_the_prox_of_a_mixture_expands_and_is_one_all_the_same():
    prior = Mixture(jnp.ones(2) / 2, jnp.array([[-1.0, 0, 0], [1.0, 0, 0]]), 0.4)
    found = measured(prior.prox)
    assert found.asymmetry < 1e-7 and found.smallest_eigenvalue > 0
    assert min(found.monotonicity, found.cyclic_monotonicity) >= 0 and found.expansion > 1


def test_a_learned_proximal_network_passes_and_a_turn_does_not():
    found = measured(convex_network(1.0).prox, np.random.default_rng(2).standard_normal((8, 1, 2, 1)), 9.0)
    assert found.asymmetry < 1e-9 and found.smallest_eigenvalue >= 0.2 - 1e-9
    assert min(found.monotonicity, found.cyclic_monotonicity) > 0
    # A turn by 80 degrees is monotone, and neither symmetric nor cyclically monotone.
    c, s = np.cos(np.deg2rad(80)), np.sin(np.deg2rad(80))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    found = measured(linear(turn), cycles=200)
    assert found.monotonicity > 0 and found.asymmetry > 0.5 and found.cyclic_monotonicity < 0


def test_what_is_not_a_number_is_seen():
    for nothing in (lambda v, lam: v * jnp.nan, lambda v, lam: jnp.full_like(v, jnp.nan)):
        assert all(np.isnan(value) for value in measured(nothing))


def test_one_point_is_too_few():
    with pytest.raises(ValueError, match="1 points were given; pairs need at least 2"):
        proxness(KEY, Laplace(1.0).prox, jnp.ones((1, 3)), 0.5)
