"""Conjugates, Moreau scores and splittings against formulas written out in numpy, in float64."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from pgm_jax import proximal
from pgm_jax.operators import random_mask
from pgm_jax.potentials import Ball, Box, Gaussian, GaussianLikelihood, Laplace, tempered
from pgm_jax.proximal import (
    conjugate,
    data_first,
    explicit,
    forward_backward,
    moreau_envelope,
    moreau_score,
    parallel,
    prior_first,
)
from pgm_jax.schedules import VE, LinearVP

V = np.array([-2.0, -0.3, 0.1, 0.9, 4.0])
LAMS = (0.05, 0.7, 20.0)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


CONJUGATES = {
    "a norm and its dual ball": (Laplace(0.8), Box(-1 / 0.8, 1 / 0.8).prox),
    "a box and its dual norm": (Box(-0.8, 0.8), Laplace(1 / 0.8).prox),
    # g = |x - m|^2 / (2 s^2) has g*(z) = m z + s^2 z^2 / 2.
    "a quadratic": (Gaussian(0.3, 0.5), lambda v, lam: (v - lam * 0.3) / (1 + lam * 0.5**2)),
    # The indicator of a ball of radius r has g*(z) = r |z|, whose prox shrinks the norm by lam r.
    "a ball and its dual norm": (Ball(0.6), lambda v, lam: v * max(0.0, 1 - lam * 0.6 / np.linalg.norm(v))),
}


@pytest.mark.parametrize("name", CONJUGATES)
@pytest.mark.parametrize("lam", LAMS)
def test_conjugates_are_those_of_the_books(name, lam):
    potential, expected = CONJUGATES[name]
    np.testing.assert_allclose(
        conjugate(potential.prox)(jnp.asarray(V), lam), expected(jnp.asarray(V), lam), atol=1e-14
    )


@pytest.mark.parametrize("lam", LAMS)
def test_the_envelope_of_an_absolute_value_is_hubers_function(lam):
    huber = [v**2 / (2 * lam) if abs(v) <= lam / 0.8 else abs(v) / 0.8 - lam / (2 * 0.8**2) for v in V]
    envelope = [moreau_envelope(Laplace(0.8), jnp.asarray([v]), lam) for v in V]
    np.testing.assert_allclose(envelope, huber, rtol=1e-13)


@pytest.mark.parametrize("mu", [1.0, 0.4])
@pytest.mark.parametrize("lam", LAMS)
def test_the_moreau_score_is_the_step_to_the_prox(lam, mu):
    """(mu P - x) / sigma^2 with sigma^2 = mu^2 lam."""
    v, prox = jnp.asarray(V), Laplace(0.8).prox
    np.testing.assert_allclose(moreau_score(prox, v, lam), (prox(v, lam) - v) / lam, rtol=1e-12, atol=1e-14)
    expected = (mu * prox(v / mu, lam) - v) / (mu**2 * lam)
    np.testing.assert_allclose(moreau_score(prox, v, lam, mu), expected, rtol=1e-12, atol=1e-14)
    envelope = jax.grad(lambda v: moreau_envelope(Laplace(0.8), v, lam))(v)
    np.testing.assert_allclose(moreau_score(prox, v, lam), -envelope, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("schedule", [VE(0.1, 5.0), LinearVP()], ids=["ve", "vp"])
@pytest.mark.parametrize("rank", [4, 2])
def test_it_is_the_score_of_a_gaussian_target(schedule, rank):
    """Lemma 1 of PGM: for U = (x - m)^T H (x - m) / 2 of any rank, the Moreau score is that of x_t, hence Tweedie's."""
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.standard_normal((4, 4)))[0]
    h = np.where(np.arange(4) < rank, [0.3, 2.0, 7.0, 1.1], 0.0)
    m, x, hessian = random.standard_normal(4), random.standard_normal(4), basis * h @ basis.T

    def prox(v, lam):
        return jnp.linalg.solve(hessian + jnp.eye(4) / lam, hessian @ m + v / lam)

    for t in (0.1, 0.5, 0.9):
        mu, lam = float(schedule.mu(t)), float(schedule.lam(t))
        score = moreau_score(prox, jnp.asarray(x), lam, mu)
        # x_t has the variances mu^2 / h + sigma^2 along the basis: infinite, and no score, where h = 0.
        precisions = h / (mu**2 + mu**2 * lam * h)
        np.testing.assert_allclose(score, -(basis * precisions @ basis.T) @ (x - mu * m), rtol=1e-8, atol=1e-12)
        if rank == 4:
            covariance = mu**2 * np.linalg.inv(hessian) + mu**2 * lam * np.eye(4)
            gain = mu * np.linalg.inv(hessian) @ np.linalg.inv(covariance)
            tweedie = (mu * (m + gain @ (x - mu * m)) - x) / (mu**2 * lam)
            np.testing.assert_allclose(score, tweedie, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("lam", LAMS)
def test_it_is_near_the_score_of_a_convex_target(lam):
    """Proposition 2.2 of PGM: the two differ by at most sqrt(2 d / lam); here d = 1 and the target is no Gaussian."""
    scale, differences = 0.8, []
    for x in V:

        def moment(power, x=x):
            def integrand(u):
                return (u - x) ** power * np.exp(-abs(u) / scale - (u - x) ** 2 / (2 * lam))

            return integrate.quad(integrand, -60, 60, points=[0.0, x], limit=500)[0]

        score = moment(1) / moment(0) / lam
        differences.append(abs(float(moreau_score(Laplace(scale).prox, jnp.asarray([x]), lam)[0]) - score))
    assert 0 < max(differences) <= np.sqrt(2 / lam)


F, G, BETA = Gaussian(1.5, 0.3), Gaussian(-0.4, 0.8), 0.7  # a measurement of the point itself, and a prior
TEMPERED = tempered(F, BETA)


def after_f(v, step):
    return (0.3**2 * v + step * 1.5) / (0.3**2 + step)


def after_g(v, lam):
    return (0.8**2 * v + lam * -0.4) / (0.8**2 + lam)


SPLITTINGS = {
    "data_first": (data_first, lambda v, lam: after_g(after_f(v, BETA * lam), lam)),
    "prior_first": (prior_first, lambda v, lam: after_f(after_g(v, lam), BETA * lam)),
    "forward_backward": (forward_backward, lambda v, lam: after_g(v - BETA * lam * (v - 1.5) / 0.3**2, lam)),
    "forward_backward with a cap": (
        functools.partial(forward_backward, max_step=0.08),
        lambda v, lam: after_g(v - min(lam, 0.08) * BETA * (v - 1.5) / 0.3**2, lam),
    ),
    "parallel": (parallel, lambda v, lam: after_g(v, lam) - BETA * lam * (v - 1.5) / 0.3**2),
    "explicit": (explicit, lambda v, lam: v - lam * (BETA * (v - 1.5) / 0.3**2 + (v + 0.4) / 0.8**2)),
}


@pytest.mark.parametrize("name", SPLITTINGS)
@pytest.mark.parametrize("lam", LAMS)
def test_splittings_are_their_formulas(name, lam):
    split, expected = SPLITTINGS[name]
    np.testing.assert_allclose(split(G, TEMPERED)(jnp.asarray(V), lam), expected(V, lam), rtol=1e-12)


@pytest.mark.parametrize("name", SPLITTINGS)
def test_splittings_agree_where_the_step_is_small(name):
    """(v - P) / lam -> grad(beta f + g), as for the prox of the sum."""
    split, _ = SPLITTINGS[name]
    v = jnp.asarray(V)
    slope = (v - split(G, TEMPERED)(v, 1e-7)) / 1e-7
    np.testing.assert_allclose(slope, BETA * F.grad(v) + G.grad(v), rtol=1e-4)


def test_every_splitting_has_a_row():
    splittings = {
        name
        for name, function in inspect.getmembers(proximal, inspect.isfunction)
        if function.__module__ == proximal.__name__
        and not name.startswith("_")
        and "likelihood" in inspect.signature(function).parameters
    }
    # The exact step has laws of its own, in test_exact_step.py.
    assert splittings == {name.split()[0] for name in SPLITTINGS} | {"exact"}


@pytest.mark.parametrize("name", SPLITTINGS)
def test_splittings_are_pytrees_of_their_arrays(name):
    """So that other priors and likelihoods do not compile again."""
    split, _ = SPLITTINGS[name]
    leaves, structure = jax.tree.flatten(split(G, TEMPERED))
    assert structure == jax.tree.structure(split(Gaussian(0.1, 0.2), TEMPERED))
    assert all(isinstance(leaf, float | jax.Array) for leaf in leaves) and len(leaves) >= 5


def test_the_limit_of_a_step_falls_with_the_temperature():
    operator = random_mask(jax.random.key(0), (4, 4, 1), 0.5)
    f = GaussianLikelihood(operator, jnp.zeros((4, 4, 1)), 0.1)
    np.testing.assert_allclose(tempered(f, 4.0).step_limit, f.step_limit / 4, rtol=1e-12)
    assert tempered(F, 2.0).step_limit == np.inf


@pytest.mark.parametrize("prior", [Box(-0.5, 0.5), Ball(0.5)], ids=["box", "ball"])
@pytest.mark.parametrize("split", [data_first, forward_backward])
@pytest.mark.parametrize("lam", LAMS)
def test_a_constraint_holds_after_the_prior(prior, split, lam):
    shape = (4, 4, 1)
    operator = random_mask(jax.random.key(0), shape, 0.5)
    likelihood = GaussianLikelihood(operator, operator.forward(jnp.full(shape, 3.0)), 0.1)
    v = jax.random.normal(jax.random.key(1), shape)
    assert prior.value(split(prior, likelihood)(v, lam)) == 0
    assert prior.value(prior_first(prior, likelihood)(v, lam)) == np.inf


def test_the_explicit_step_needs_its_cap_and_the_implicit_one_none():
    """At lam L = 2000 the iterates of the explicit step run away; those of the others settle at the measurement."""
    f, g, lam = Gaussian(1.0, 0.1), Gaussian(0.0, 1e3), 20.0

    def after(split, count=40):
        return jax.lax.fori_loop(0, count, lambda _, v: split(g, f)(v, lam), jnp.asarray([3.0]))[0]

    assert abs(after(forward_backward)) > 1e6
    for split in (functools.partial(forward_backward, max_step=0.1**2), data_first, prior_first):
        np.testing.assert_allclose(after(split), 1.0, atol=1e-3)
