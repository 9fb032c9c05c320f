"""The network of the exact step: what it is told of a measurement, and where it is the network of PGM."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax import load_prior, operators, restore, save_prior
from pgm_jax.networks import MetricNetwork, Preconditioned, UNet
from pgm_jax.networks.descriptions import describe, network_of
from pgm_jax.noise import GaussianNoise, measure
from pgm_jax.potentials import Gaussian, GaussianLikelihood, Laplace
from pgm_jax.proximal import data_first, exact
from pgm_jax.samplers import exact_rows
from pgm_jax.training.step import init_state

SHAPE, SIGMA, LAM = (8, 8, 1), 0.1, 0.6
UNET = UNet(channels=(8,), blocks=(1,), attention=(False,), embedding=4)
PLAIN, NETWORK = (kind(UNET, SHAPE, -0.25, 0.5) for kind in (Preconditioned, MetricNetwork))
X = jnp.asarray(np.random.default_rng(0).standard_normal((3, *SHAPE)), jnp.float32)
HIDDEN = (np.arange(64).reshape(SHAPE) * 7 % 10) < 6


@pytest.fixture(scope="module")
def params():
    """Of the plain network, none left at the zero that it starts from."""
    random = np.random.default_rng(1)
    drawn = PLAIN.init(jax.random.key(0))
    return jax.tree.map(lambda leaf: leaf + 0.1 * random.random(leaf.shape, np.float32), drawn)


@pytest.fixture(scope="module")
def prior(params):
    """Started from the plain one, with maps that have something to say."""
    import optax

    both = init_state(jax.random.key(2), NETWORK, optax.sgd(1.0), start=params).params
    noise = np.random.default_rng(3).standard_normal(both["maps"]["kernel"].shape)
    return NETWORK.prior(both | dict(maps=dict(kernel=jnp.asarray(0.3 * noise, jnp.float32))))


def likelihood(operator, sigma=SIGMA):
    return GaussianLikelihood(operator, operator.forward(X[0]), sigma)


def test_before_training_it_is_the_plain_network_where_nothing_or_everything_was_measured(params):
    silent = NETWORK.prior(params | dict(maps=NETWORK.init(jax.random.key(0))["maps"]))
    for lam in (0.02, LAM, 9.0):
        plain = PLAIN.prior(params).prox(X[1], lam)
        np.testing.assert_allclose(silent.prox(X[1], lam), plain, atol=1e-5)
        blind = exact(silent, likelihood(operators.mask(SHAPE, np.zeros(SHAPE))))
        np.testing.assert_allclose(blind(X[1], lam), plain, atol=1e-5)
        level = lam * SIGMA**2 / (lam + SIGMA**2)
        for everything in (operators.mask(SHAPE, np.ones(SHAPE)), operators.average_downsampling(SHAPE, 1)):
            f = likelihood(everything)
            known = PLAIN.prior(params).prox(f.prox(X[1], lam), level)
            np.testing.assert_allclose(exact(silent, f)(X[1], lam), known, atol=1e-4)


def test_pixels_that_were_measured_without_noise_stay(prior):
    f = likelihood(operators.mask(SHAPE, ~HIDDEN), 0.0)
    found = np.asarray(exact(prior, f)(X[1], LAM))
    np.testing.assert_array_equal(found[~HIDDEN], np.asarray(f.prox(X[1], LAM))[~HIDDEN])
    np.testing.assert_allclose(found[~HIDDEN], np.asarray(X[0])[~HIDDEN], atol=1e-6)
    assert np.all(np.isfinite(found)) and np.abs(found - X[1])[HIDDEN].min() > 0


def test_it_is_told_the_variances_of_a_mask():
    f = likelihood(operators.mask(SHAPE, ~HIDDEN))
    variances, coupling, believed = NETWORK.conditions(X[1], f.metric(X[1], LAM))
    np.testing.assert_allclose(variances, np.where(HIDDEN, LAM, 1 / (1 / LAM + 1 / SIGMA**2)), rtol=1e-5)
    np.testing.assert_array_equal(coupling, 0)
    np.testing.assert_allclose(believed, 0.25 / (0.25 + variances) * (X[1] + 0.25), rtol=1e-5)


@pytest.mark.parametrize("period", [3, 7])
def test_of_other_operators_it_is_told_a_variance_and_the_response_of_a_comb(period):
    network = dataclasses.replace(NETWORK, period=period)
    f = likelihood(operators.average_downsampling(SHAPE, 2))
    metric = f.metric(X[1], LAM)
    variances, coupling, believed = network.conditions(X[1], metric)
    np.testing.assert_allclose(believed, Gaussian(-0.25, 0.5).prox_metric(X[1], metric) + 0.25, atol=1e-5)
    # Every block of four pixels has its mean measured: three quarters of their variance are left.
    mean = 0.75 * LAM + 0.25 / (1 / LAM + 0.25 / SIGMA**2)
    np.testing.assert_allclose(variances, mean, rtol=1e-4)
    comb = coupling * 0 + np.asarray(network._comb(SHAPE))
    assert set(np.unique(comb).tolist()) <= {-1, 0, 1} and np.sum(comb**2) == len(range(period // 2, 8, period)) ** 2
    np.testing.assert_allclose(coupling, metric.apply(comb) / mean - comb, atol=1e-4)
    assert np.abs(coupling).max() > 0.1


def test_its_answer_depends_on_the_shape_of_the_noise(prior):
    mean = exact(prior, likelihood(operators.average_downsampling(SHAPE, 2)))(X[1], LAM)
    alike = data_first(prior, likelihood(operators.average_downsampling(SHAPE, 2)))(X[1], LAM)
    assert np.abs(mean - alike).max() > 1e-2


def test_a_file_brings_it_back(prior, tmp_path):
    save_prior(tmp_path / "prior", prior)
    found = load_prior(tmp_path / "prior")
    assert found.network == NETWORK
    metric = likelihood(operators.gaussian_blur(SHAPE, 1.0, radius=3)).metric(X[1], LAM)
    np.testing.assert_allclose(found.prox_metric(X[1], metric), prior.prox_metric(X[1], metric), atol=2e-2)


def test_what_does_not_fit_is_refused_in_words(prior, params):
    import optax

    with pytest.raises(ValueError, match=r"The network takes images of shape .H, W, C. = .8, 8, 1."):
        prior.prox(jnp.zeros((4, 8, 1)), LAM)
    with pytest.raises(ValueError, match="The period of the comb is 9; give 1 to 8 pixels"):
        MetricNetwork(UNET, SHAPE, period=9)
    with pytest.raises(ValueError, match="start from have extra, which the network lacks"):
        init_state(jax.random.key(0), NETWORK, optax.sgd(1.0), start=dict(extra=jnp.zeros(3)))
    wrong = dict(Conv_0=dict(bias=jnp.zeros(9)))
    with pytest.raises(ValueError, match=r"the shape .9,. at Conv_0/bias, and those of the network .8,."):
        init_state(jax.random.key(0), NETWORK, optax.sgd(1.0), start=wrong)
    with pytest.raises(ValueError, match="of another kind at the root: give those of a network, `prior.params`"):
        init_state(jax.random.key(0), NETWORK, optax.sgd(1.0), start=prior)
    with pytest.raises(ValueError, match="a network has metric or timed, and the description has both"):
        network_of(describe(NETWORK) | dict(timed=dict(beta_min=0.1, beta_max=20.0, form="eps", loss="own")))


@pytest.mark.parametrize("sigma", [0.0, 1e-4, 1e-3])
def test_what_little_noise_leaves_is_finite_at_the_highest_level(prior, sigma):
    weights = operators.mask(SHAPE, ~HIDDEN)
    weighted = operators.compose(weights, operators.mask(SHAPE, ~HIDDEN) * 0.7)
    for operator in (weighted, operators.average_downsampling(SHAPE, 1), operators.gaussian_blur(SHAPE, 0.5, radius=2)):
        f = likelihood(operator, sigma)
        found = exact(prior, f)(X[0] + 5 * X[1], 25.0)
        assert np.all(np.isfinite(found)), type(operator)


def test_restore_takes_the_exact_step_by_default(prior):
    masks = jax.vmap(lambda key: operators.random_mask(key, SHAPE, 0.5))(jax.random.split(jax.random.key(4), 3))
    noise, key = GaussianNoise(SIGMA), jax.random.key(5)
    y = measure(key, masks, X, noise, operator_axis=0)
    given = dict(samples=2, calls=3, operator_axis=0)
    usual = restore(key, prior, masks, y, noise, **given)
    same = restore(key, prior, masks, y, noise, samples=2, rows=exact_rows(3), split=exact, operator_axis=0)
    np.testing.assert_array_equal(usual.samples, same.samples)
    other = restore(key, prior, masks, y, noise, split=data_first, setting="calibrated", **given)
    assert np.abs(other.samples - usual.samples).max() > 1e-3
    for i in range(3):
        one = jax.tree.map(lambda a, i=i: a[i], masks)
        alone = restore(key, prior, one, y[i], noise, samples=2, calls=3, indices=jnp.array([i]))
        np.testing.assert_allclose(alone.samples, usual.samples[i], atol=1e-4)


def test_a_prior_of_modes_keeps_its_correctors():
    operator, y, key = operators.mask(SHAPE, ~HIDDEN), X[0], jax.random.key(0)
    given = dict(samples=2, calls=20, split=exact)
    usual = restore(key, Laplace(0.5), operator, y, GaussianNoise(SIGMA), **given)
    same = restore(key, Laplace(0.5), operator, y, GaussianNoise(SIGMA), setting="calibrated", **given)
    np.testing.assert_array_equal(usual.samples, same.samples)
    with pytest.raises(TypeError, match="split"):
        restore(key, Laplace(0.5), operator, y, GaussianNoise(SIGMA), split="exact")  # type: ignore[arg-type]


@pytest.mark.parametrize("double", [False, True])
def test_the_result_is_of_the_type_of_the_measurement(prior, double):
    operator = operators.mask(SHAPE, ~HIDDEN)
    with jax.enable_x64(double):
        found = restore(jax.random.key(0), prior, operator, X[0], GaussianNoise(SIGMA), calls=2)
        assert found.samples.dtype == jnp.float32
