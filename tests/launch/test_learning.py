"""Learning of toy proxes: settings are resolved or refused, points keep their shape, the table has its rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from launch.experiments.learning import DEFAULTS, learn_prox, resolved, zeta_table

TINY = dict(width=8, blocks=1, embedding=4, steps=40, batch_size=32, examples=200)


def test_settings_that_are_not_given_are_the_defaults():
    c = resolved(dict(width=7))
    assert c.width == 7 and {**c, "width": DEFAULTS["width"]} == DEFAULTS


def test_an_unknown_setting_is_named():
    with pytest.raises(ValueError, match="zeta_last: no setting .* zeta_end"):
        resolved(dict(zeta_last=1.0))


def test_a_point_keeps_its_shape_and_no_level_returns_it():
    examples = jax.random.uniform(jax.random.key(0), (200, 1, 1, 2))
    prior = learn_prox(jax.random.key(1), examples, TINY)
    v = jnp.asarray([0.3, 0.9])
    np.testing.assert_array_equal(prior.prox(v, 0.0), v)
    assert prior.prox(v, 0.2).shape == (2,)
    np.testing.assert_allclose(prior.net.network.mean, jnp.mean(examples), rtol=1e-6)


def test_the_table_has_the_prox_and_two_rows_for_each_width():
    settings = TINY | dict(sigma_min=0.9, sigma_max=1.1, warm_share=0.5)
    table = zeta_table(jax.random.key(0), (np.inf, 0.3), (1.0, 2.0), settings)
    assert [row[0] for row in table.rows] == [
        "prox",
        "mean (L2), exact",
        "mean (L2), learned",
        "ζ = 0.3, exact",
        "ζ = 0.3, learned",
    ]
    assert all(len(row) == len(table.columns) for row in table.rows)
    np.testing.assert_allclose(table.rows[0][1:3], [0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(table.rows[1][1:3], [0.5032, 1.1611], atol=1e-3)
    np.testing.assert_allclose(table.rows[3][1:3], [0.2349, 1.0], atol=1e-3)
