"""What a training of the exact step sees: noise of the covariance that random measurements leave."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pgm_jax import operators
from pgm_jax.networks import MetricNetwork, Preconditioned, UNet
from pgm_jax.schedules import VE
from pgm_jax.training import fit
from pgm_jax.training.losses import l2, matching_objective
from pgm_jax.training.metric_draws import metric_draws
from pgm_jax.training.step import make_step

SHAPE, KEY = (4, 4, 1), jax.random.key(0)
UNET = UNet(channels=(8,), blocks=(1,), attention=(False,), embedding=4)
NETWORK = MetricNetwork(UNET, SHAPE, 0.0, 1.0, period=3)
MASKS = [operators.random_mask(key, SHAPE, 0.5) for key in jax.random.split(KEY, 6)]
MEANS = [operators.average_downsampling(SHAPE, 2)]
LEVELS = VE(0.3, 3.0)


def test_the_noise_has_the_variances_that_the_network_is_told():
    images = jnp.full((4000, *SHAPE), 0.3)
    seen = metric_draws(NETWORK, LEVELS, (MASKS, MEANS), (0.5, 0.25), 0.1, 1.0).draw(KEY, images)
    variances, coupling, believed = seen.conditions
    assert (
        seen.target is images
        and variances.shape == coupling.shape == seen.point.shape == believed.shape == images.shape
    )
    z = np.asarray((seen.point - images) / jnp.sqrt(variances))
    for part in (slice(0, 2000), slice(2000, 3000), slice(3000, 4000)):
        # In a block the pixels of a mean hang together: of 16 numbers, 12 degrees of freedom.
        count = z[part].size * 0.75
        assert abs(np.mean(z[part] ** 2) - 1) < 4 * np.sqrt(2 / count) and abs(np.mean(z[part])) < 4 / np.sqrt(
            count / 4
        )
        assert variances[part].max() / variances[part].min() > 20  # each family sees all levels
    assert np.all(coupling[:2000] == 0) and np.all(coupling[3000:] == 0) and np.abs(coupling[2000:3000]).max() > 0.1
    assert np.ptp(variances[3000:], axis=(1, 2, 3)).max() == 0 < np.ptp(variances[:2000], axis=(1, 2, 3)).min()


def test_the_levels_of_measured_images_begin_at_a_quarter_of_the_noise():
    draws = metric_draws(NETWORK, VE(1e-3, 3.0), (MASKS,), (0.5,), 2.0, 2.0)
    images = jnp.zeros((200, *SHAPE))
    variances = np.asarray(draws.draw(KEY, images).conditions[0])
    # Where a mask hides, the variance is lam; the least is sigma^2 / 4.
    assert 0.95 < variances[:100].max(axis=(1, 2, 3)).min() < 1.2 and variances[100:].min() < 1e-5


def test_a_sheet_shows_every_family():
    draws = metric_draws(NETWORK, LEVELS, (MASKS, MEANS), (0.02, 0.02), 0.1, 1.0)
    shown = draws.previews(KEY, jnp.zeros((2, *SHAPE)))
    assert [seen.point.shape for seen in shown] == [(2, *SHAPE)] * 2
    np.testing.assert_allclose(shown[0].conditions[0].max(), LEVELS.lam(0.8), rtol=1e-4)
    assert np.all(shown[0].conditions[1] == 0) and np.any(shown[1].conditions[1] != 0)


def test_a_network_learns_from_it_what_no_isotropic_one_knows():
    """Images of one grey each: what is seen of a mask says all of the rest."""
    greys = np.random.default_rng(0).standard_normal((256, 1, 1, 1)).astype(np.float32)
    images = jnp.asarray(np.broadcast_to(greys, (256, *SHAPE)))
    draws = metric_draws(NETWORK, VE(3.0, 3.0), (MASKS,), (1.0,), 0.05, 0.05)
    objective = matching_objective(l2, 300, 300, 1.0, 1.0)
    prior, _ = fit(KEY, NETWORK, optax.adam(1e-2), draws, objective, images, steps=300, batch_size=64)
    seen = draws.draw(jax.random.key(1), images)
    found = NETWORK.apply(prior.params, seen.point, *seen.conditions)
    error = float(jnp.sqrt(jnp.mean((found - images) ** 2)))
    # The mean of all pixels, which is what an isotropic network takes, errs by 3 / 4 of a deviation.
    assert error < 0.25


def test_what_does_not_fit_is_refused_in_words():
    with pytest.raises(ValueError, match="The shares are .0.5, 0.7. for 2 families"):
        metric_draws(NETWORK, LEVELS, (MASKS, MEANS), (0.5, 0.7))
    with pytest.raises(ValueError, match="The shares are .0.5,. for 2 families"):
        metric_draws(NETWORK, LEVELS, (MASKS, MEANS), (0.5,))
    with pytest.raises(ValueError, match="noise_min is 1.0 and noise_max 0.1; give two positive"):
        metric_draws(NETWORK, LEVELS, (MASKS,), (0.5,), 1.0, 0.1)
    with pytest.raises(ValueError, match=r"A Separable of family 0 measures images of .8, 8, 1., and the network"):
        metric_draws(NETWORK, LEVELS, ([operators.average_downsampling((8, 8, 1), 2)],), (0.5,))
    with pytest.raises(ValueError, match="Family 0 is a Mask; give some operators"):
        metric_draws(NETWORK, LEVELS, (MASKS[0],), (0.5,))
    with pytest.raises(ValueError, match="have arrays of 2 different shapes.*as radius does for a blur"):
        metric_draws(NETWORK, LEVELS, ([operators.gaussian_blur(SHAPE, 0.5, radius=r) for r in (0, 1)],), (0.5,))
    with pytest.raises(ValueError, match="A share of 0.1 of 4 images is none; give more"):
        metric_draws(NETWORK, LEVELS, (MASKS,), (0.1,)).draw(KEY, jnp.zeros((4, *SHAPE)))
    objective, draws = matching_objective(l2, 1, 1, 1.0, 1.0), metric_draws(NETWORK, LEVELS, (MASKS,), (0.5,))
    with pytest.raises(
        ValueError, match="A MetricNetwork does not learn from LevelDraws.*together: give `metric_draws`"
    ):
        make_step(NETWORK, optax.adam(1.0), LEVELS, objective, 0.9)
    with pytest.raises(ValueError, match="A Preconditioned does not learn from MetricDraws.*train a MetricNetwork"):
        make_step(Preconditioned(UNET, SHAPE), optax.adam(1.0), draws, objective, 0.9)
    other = dataclasses.replace(NETWORK, mean=0.5)
    with pytest.raises(ValueError, match="The draws are for another network than the one that is trained"):
        make_step(other, optax.adam(1.0), draws, objective, 0.9)
