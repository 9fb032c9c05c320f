"""Ladders of levels, numbers of steps, lengths of steps and weights of the annealed Langevin process."""

import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.samplers import (
    annealed,
    apportion,
    capped,
    exponential,
    half_lam,
    harmonic_step,
    joint_rate,
    linear_step,
    partial_rate,
    quadratic_step,
    u_shaped,
)

LADDER = jnp.array([4.0, 1.0, 0.25])


@pytest.mark.parametrize(
    ("rule", "steps"),
    [
        (half_lam, [2, 0.5, 0.125]),
        (linear_step(0.1), [0.4, 0.1, 0.025]),
        (quadratic_step(0.5), [8, 0.5, 0.03125]),
        (harmonic_step(2.0), [8 / 17, 1, 8 / 17]),
        (capped(quadratic_step(0.5), 0.3), [0.3, 0.3, 0.03125]),
    ],
)
def test_step_rules_say_their_formula(rule, steps):
    np.testing.assert_allclose(rule(LADDER), steps, rtol=1e-6)


def test_rates_say_their_formula():
    np.testing.assert_allclose(joint_rate(LADDER), [0.25, 1, 4], rtol=1e-6)
    np.testing.assert_allclose(partial_rate(LADDER), [4.25, 2, 4.25], rtol=1e-6)


def test_u_shaped_counts_are_written_out():
    assert u_shaped(6, 102) == (23, 16, 12, 12, 16, 23)
    assert u_shaped(1, 7) == (7,)
    assert u_shaped(4, 4) == (1, 1, 1, 1)


@pytest.mark.parametrize("budget", [3, 10, 101, 2000])
def test_shares_add_up_to_the_budget(budget):
    counts = apportion(budget, [1.0, 2.0, 4.0])
    assert sum(counts) == budget and sorted(counts) == list(counts)
    assert np.all(np.abs(np.array(counts) - 1 - (budget - 3) * np.array([1, 2, 4]) / 7) < 1)


@pytest.mark.parametrize(("budget", "shares"), [(2, [1, 1, 1]), (5, []), (5, [1, 0]), (5, [-1, 2])])
def test_shares_that_cannot_be_are_refused(budget, shares):
    with pytest.raises(ValueError, match=f"{budget} steps were asked for .* at least one step a level"):
        apportion(budget, shares)


def test_rows_follow_the_ladder():
    rows = annealed(LADDER, (1, 3, 2), linear_step(0.3), exponential, weight=jnp.array([0.1, 0.5, 1.0]))
    np.testing.assert_array_equal(rows.lam, np.repeat(LADDER, (1, 3, 2)))
    np.testing.assert_array_equal(rows.weight, np.repeat(np.float32([0.1, 0.5, 1]), (1, 3, 2)))
    np.testing.assert_allclose(rows.keep, np.exp(-0.3), rtol=1e-6)
    np.testing.assert_allclose(rows.keep + rows.pull, 1.0, rtol=1e-6)


def test_the_weight_is_that_of_bayes_unless_it_is_given():
    bayes, number = annealed(LADDER, 2), annealed(LADDER, 2, weight=4.0)
    np.testing.assert_array_equal(bayes.weight, 1.0)
    np.testing.assert_array_equal(number.weight, 4.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(counts=(1, 2)), r"\(1, 2\) steps were asked for at 3 levels; give one number, or 3"),
        (dict(counts=-1), "-1 steps were asked for at 3 levels"),
        (dict(counts=1, weight="map"), 'The weight is "map"; it is "bayes", a number, or one number for each level'),
        (dict(counts=1, weight=jnp.ones(2)), r"shape \(2,\); give one number, or 3, one a level"),
    ],
)
def test_what_does_not_fit_the_ladder_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        annealed(LADDER, **options)
