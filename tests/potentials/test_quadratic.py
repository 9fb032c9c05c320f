"""Quadratic potentials beside dense linear algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.potentials import dense_gaussian_likelihood, quadratic

RNG = np.random.default_rng(0)
FACTOR = RNG.standard_normal((3, 5))
MATRIX, LINEAR = FACTOR.T @ FACTOR, RNG.standard_normal(5)  # rank 3 of 5
V = RNG.standard_normal(5)

prox = jax.jit(lambda potential, v, lam: potential.prox(v, lam))
everything = jax.jit(lambda potential, v: (potential.value(v), potential.grad(v), potential.prox(v, 0.6)))


@pytest.mark.parametrize("lam", [0.0, 1e-3, 0.7, 40.0])
def test_the_prox_solves_its_linear_system(lam):
    with jax.enable_x64(True):
        p = prox(quadratic(MATRIX, LINEAR), V, lam)
    np.testing.assert_allclose(p, np.linalg.solve(np.eye(5) + lam * MATRIX, V - lam * LINEAR), rtol=1e-10, atol=1e-12)


def test_an_inverse_temperature_scales_lam():
    with jax.enable_x64(True):
        scaled = prox(quadratic(3 * MATRIX, 3 * LINEAR), V, 0.2)
        np.testing.assert_allclose(prox(quadratic(MATRIX, LINEAR), V, 3 * 0.2), scaled, rtol=1e-11)


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_a_dense_likelihood_is_the_quadratic_of_its_normal_equations(rows):
    m, y = RNG.standard_normal((rows, 5)), RNG.standard_normal(rows)
    with jax.enable_x64(True):
        thin = dense_gaussian_likelihood(m, jnp.asarray(y), 0.3)
        full = quadratic(m.T @ m / 0.3**2, -m.T @ y / 0.3**2)
        assert thin.basis.shape == (5, min(rows, 5))
        values, others = everything(thin, V), everything(full, V)
    for one, other in zip(values, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)
    misfit = (np.sum((y - m @ V) ** 2) - np.sum(y**2)) / (2 * 0.3**2)
    np.testing.assert_allclose(values[0], misfit, rtol=1e-10)


def test_many_measurements_at_once():
    m, y = RNG.standard_normal((2, 5)), jnp.asarray(RNG.standard_normal((4, 2)), jnp.float32)
    solve = jax.jit(lambda y, sigma: dense_gaussian_likelihood(m, y, sigma).prox(jnp.ones(5), 0.5))
    together = jax.jit(jax.vmap(solve))(y, np.full(4, 0.1, np.float32))
    np.testing.assert_allclose(together, [solve(one, np.float32(0.1)) for one in y], rtol=1e-5)


def test_a_precise_measurement_keeps_single_precision():
    """With sigma = 1e-3 and lam = 1e4 the prox meets the measurement, though lam A is of the order of 1e11."""
    m, y = RNG.standard_normal((2, 80)), RNG.standard_normal(2)
    v = RNG.standard_normal(80)
    p = prox(dense_gaussian_likelihood(m, jnp.asarray(y, jnp.float32), 1e-3), np.float32(v), 1e4)
    expected = v + m.T @ np.linalg.solve(m @ m.T + 1e-10 * np.eye(2), y - m @ v)
    np.testing.assert_allclose(p, expected, atol=2e-6)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: quadratic(np.eye(3), np.zeros(2)), r"\(3, 3\) and linear \(2,\)"),
        (lambda: quadratic(np.ones((2, 3)), np.zeros(3)), r"expected \[d, d\] and \[d\]"),
        (lambda: quadratic(np.triu(np.ones((2, 2))), np.zeros(2)), "not symmetric"),
        (lambda: quadratic(np.diag([1.0, -0.5]), np.zeros(2)), "eigenvalue -0.5"),
        (lambda: dense_gaussian_likelihood(np.ones((2, 3)), jnp.zeros(3), 0.1), r"\(2, 3\) and y \(3,\)"),
    ],
)
def test_errors_say_what_was_wrong(build, words):
    with pytest.raises(ValueError, match=words):
        build()
