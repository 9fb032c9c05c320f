"""A prox learned from samples alone: its settings, and the prox inside a sampler."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from launch.experiments.chains import chains, paper_rows
from launch.experiments.learning import DEFAULTS, learn_prox, resolved
from pgm_jax.samplers import pgm

TINY = dict(width=8, blocks=1, embedding=4, steps=20, batch_size=32)


def test_settings_have_defaults_and_unknown_ones_are_named():
    c = resolved(dict(width=7))
    assert c.width == 7 and {**c, "width": DEFAULTS["width"]} == DEFAULTS
    with pytest.raises(ValueError, match="zeta_last.*zeta_end"):
        resolved(dict(zeta_last=1.0))


def test_a_learned_prox_takes_points_and_drives_a_sampler():
    examples = np.random.default_rng(0).uniform(size=(200, 1, 1, 2)).astype(np.float32)
    prior = learn_prox(jax.random.key(1), jnp.asarray(examples), TINY)
    np.testing.assert_allclose(prior.net.network.mean, examples.mean(), rtol=1e-6)
    v = jnp.asarray([0.3, 0.9])
    np.testing.assert_array_equal(prior.prox(v, 0.0), v)
    x = chains(pgm(prior.prox), paper_rows(3), (2,)).draw(jax.random.key(0), 4)
    assert x.shape == (4, 2) and np.all(np.isfinite(x))
