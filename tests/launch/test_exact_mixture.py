"""The exact step on the mixture, at toy size, and what is learned for it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from toy_settings import toy_settings

from launch.experiments import exact_mixture
from launch.experiments.mixture.learned import learn
from pgm_jax.operators.metric import Metric
from pgm_jax.potentials import Denoiser, Mixture, dense_gaussian_likelihood

LEARN = dict(examples=2000, units=8, most=1, noise=(0.1, 1.0), lam_min=0.1, batch_size=128, ema_decay=0.98)
KEY = jax.random.key(0)


def test_it_runs_at_toy_size():
    sizes = dict(dimensions=(8,), problems=(1,), sigmas=(0.1,), measurements=(2,), samples=40, directions=20)
    learning = LEARN | dict(steps=3, learning_rate=1e-3)
    found = exact_mixture.run(toy_settings("exact_mixture", **sizes, calls=(2, 3), judged=3, learn=learning), KEY)
    distances, floors = found.tables
    assert [row[0] for row in distances.rows][:3] == ["exact samples", "data first, 2", "data first, 3"]
    assert len(distances.rows) == 9 and len(floors.rows) == 8 and floors.columns == ("sampler, calls", "all", "d = 8")
    assert len(found.claims) == 2 and set(found.figures) == {"exact_mixture"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (dict(learned_in=9), "learned_in 9"),
        (dict(judged=7), "judged 7"),
        (dict(problems=(1,)), "problems .1,."),
        (dict(measurements=(1, 5)), "config.measurements is .1, 5.; give numbers from 1 to 4"),
    ],
)
def test_settings_that_fit_no_table_are_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        exact_mixture.run(toy_settings("exact_mixture", **changed), KEY)


def test_the_posterior_mean_is_learned_from_samples_alone():
    means = jnp.array([[-3.0, 0.0], [3.0, 1.0]])
    which = jax.random.bernoulli(KEY, 0.3, (2000,)).astype(int)
    examples = means[which] + jax.random.normal(jax.random.key(1), (2000, 2))
    settings = ConfigDict(LEARN | dict(steps=600, learning_rate=2e-2))
    found = learn(KEY, examples, 30.0, 0.1, settings)
    known = Denoiser(Mixture(jnp.array([0.7, 0.3]), means, jnp.asarray(1.0)))
    metric = Metric(dense_gaussian_likelihood(np.array([[0.6, 0.8]]), np.zeros(1), 0.3), 1 / 20.0, 20.0)
    points = 4 * jax.random.normal(jax.random.key(2), (50, 2))
    ours, theirs = (jax.vmap(lambda mu, of=of: of.prox_metric(mu, metric))(points) for of in (found, known))
    # The means themselves spread by 3; the exact mean errs by about 1.
    assert float(jnp.sqrt(jnp.mean((ours - theirs) ** 2))) < 0.25
