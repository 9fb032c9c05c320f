"""A network of two conditions: its forms, what it is told, and how it stands as a prior at every time."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.networks import MLP, DenoiserForm, TimedNetwork, TimedProxNet, eps_form, prox_form
from pgm_jax.networks.layers import fourier_features
from pgm_jax.potentials import Gaussian, marginals
from pgm_jax.samplers import hybrid_rows, proxdm, sample
from pgm_jax.schedules import LinearVP
from pgm_jax.types import DiffusedPrior, Prior

SHAPE = (1, 2, 1)
VP = LinearVP()
FORMS = {"eps": eps_form, "prox": prox_form, "Gaussian": DenoiserForm(0.3, 0.6)}
Y = jnp.asarray(np.random.default_rng(0).standard_normal((3, *SHAPE)), jnp.float32)
T, LAM = jnp.array([0.0, 0.3, 1.0]), jnp.array([0.2, 1.0, 3.0])


def network(form, loss="own"):
    return TimedNetwork(MLP(8, 1, 8), SHAPE, VP, form, loss)


def params(net, seed=0):
    """Parameters whose last layer says something."""
    drawn = net.init(jax.random.key(seed))
    return jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(1), leaf.shape), drawn)


@pytest.mark.parametrize("name", FORMS)
def test_one_is_the_first_of_many_and_the_conditions_count(name):
    net = network(FORMS[name])
    weights = params(net)
    many = net.apply(weights, Y, T, LAM)
    for i in range(3):
        np.testing.assert_allclose(net.apply(weights, Y[i], T[i], LAM[i]), many[i], rtol=1e-5, atol=1e-6)
    for other in (net.apply(weights, Y, T[::-1], LAM), net.apply(weights, Y, T, LAM[::-1])):
        assert np.all(np.abs(other - many)[np.array([0, 2])].max(axis=(1, 2, 3)) > 1e-4)


@pytest.mark.parametrize("name", ["eps", "Gaussian"])
def test_no_step_returns_the_point(name):
    net = network(FORMS[name])
    np.testing.assert_array_equal(net.apply(params(net), Y, T, jnp.zeros(3)), Y)


def test_a_fresh_net_is_the_prox_of_a_gaussian_at_every_time():
    net = network(FORMS["Gaussian"])
    exact = marginals(Gaussian(0.3, 0.6), VP)
    for y, t, lam, found in zip(Y, T, LAM, net.apply(net.init(jax.random.key(0)), Y, T, LAM), strict=True):
        np.testing.assert_allclose(found, exact.at(t).prox(y, lam), rtol=1e-5, atol=1e-6)


def test_the_unit_of_the_gaussian_form_is_what_the_images_leave_open():
    """The deviation of E[x_t | x_0, y] given y for data of N(m, s^2), by the joint Gaussian of x_0 and y."""
    mu, variance = VP.mu(T), VP.sigma(T) ** 2
    slope = mu * LAM / (variance + LAM)  # of E[x_t | x_0, y] in x_0
    left = 0.6**2 * (variance + LAM) / ((mu * 0.6) ** 2 + variance + LAM)
    np.testing.assert_allclose(network(FORMS["Gaussian"]).scale(T, LAM), slope * np.sqrt(left), rtol=1e-5)


def test_two_forms_and_two_losses():
    """The residual is in units of sqrt(lam) for a loss on eps, of 1 for one on the prox, whatever is predicted."""
    for form in (eps_form, prox_form):
        np.testing.assert_allclose(network(form, "eps").scale(T, LAM), np.sqrt(LAM), rtol=1e-6)
        np.testing.assert_allclose(network(form, "prox").scale(T, LAM), 1.0)
    np.testing.assert_allclose(network(eps_form).scale(T, LAM), np.sqrt(LAM), rtol=1e-6)
    np.testing.assert_allclose(network(prox_form).scale(T, LAM), 1.0)
    # f = y - sqrt(lam) eps: the residual of f in these units is that of eps, with the other sign.
    net = network(eps_form)
    weights, eps = params(net), np.random.default_rng(2).standard_normal(Y.shape).astype(np.float32)
    root = np.sqrt(LAM)[:, None, None, None]
    predicted = (Y - net.apply(weights, Y, T, LAM)) / root
    target = Y - root * eps
    np.testing.assert_allclose((net.apply(weights, Y, T, LAM) - target) / root, eps - predicted, atol=1e-5)


def test_it_is_a_prior_at_every_time_and_at_time_zero():
    net = network(FORMS["Gaussian"])
    prior = net.prior(params(net))
    assert isinstance(prior, TimedProxNet) and isinstance(prior, DiffusedPrior) and isinstance(prior, Prior)
    assert prior.image_shape == SHAPE
    np.testing.assert_array_equal(prior.prox(Y[0], 0.4), prior.at(0.0).prox(Y[0], 0.4))
    x = sample(jax.random.key(0), proxdm(prior), jnp.zeros(SHAPE), hybrid_rows(VP, 4), 5)
    assert x.shape == (5, *SHAPE) and np.all(np.isfinite(x))


def test_it_does_not_depend_on_how_a_schedule_counts():
    """Two processes at the times of one level."""
    net, fast = network(FORMS["Gaussian"]), LinearVP(0.1, 40.0)
    other = dataclasses.replace(net, schedule=fast)
    weights, level = params(net), VP.lam(0.4)
    found = net.apply(weights, Y[0], 0.4, 0.5), other.apply(weights, Y[0], fast.time_of_lam(level), 0.5)
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def test_one_time_serves_many_steps():
    net = network(FORMS["Gaussian"])
    weights = params(net)
    shared = net.apply(weights, Y, 0.3, LAM)
    np.testing.assert_allclose(shared, net.apply(weights, Y, jnp.full(3, 0.3), LAM), rtol=1e-5, atol=1e-6)


def test_features_of_several_conditions_stand_side_by_side():
    c = jnp.array([[0.1, -0.4], [0.7, 0.2]])
    both = fourier_features(c, 16)
    np.testing.assert_array_equal(both, jnp.concatenate([fourier_features(c[:, i], 8) for i in (0, 1)], axis=1))
    np.testing.assert_array_equal(fourier_features(c[:, :1], 8), fourier_features(c[:, 0], 8))


def test_mistakes_are_said_in_words():
    net = network(eps_form)
    with pytest.raises(ValueError, match=r"takes images of shape \(H, W, C\) = \(1, 2, 1\).*was given \(2, 2, 1\)"):
        net.apply(params(net), jnp.zeros((2, 2, 1)), 0.0, 1.0)
    with pytest.raises(ValueError, match="The loss is on 'noise'; it is on one of 'own', 'eps', 'prox'"):
        network(eps_form, "noise")
    with pytest.raises(TypeError, match="The form is 'eps'; give `eps_form`, `prox_form` or a `DenoiserForm`"):
        network("eps")
    with pytest.raises(ValueError, match="image_shape must be .height, width, channels."):
        TimedNetwork(MLP(8, 1, 8), (2,), VP)
