"""Every schedule obeys every law: one table of schedules, one table of laws, in float64 where nothing else is said."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from pgm_jax import schedules
from pgm_jax.schedules import VE, geometric_levels, uniform_levels

with jax.enable_x64(True):
    TIMES = jnp.linspace(0, 1, 41)
    SMALL_TIMES = jnp.geomspace(1e-5, 0.5, 30)


class Row(NamedTuple):
    """A schedule of each of two parameters, and what it says at time t, said without jax."""

    build: Callable  # 1.0 builds the schedule of `mu` and `lam`, another factor one of the same kind
    mu: Callable[[float], float]
    lam: Callable[[float], float]
    rate: Callable[[float], float] | None = None  # b(t)^2 = d sigma^2/dt - 2 (d log mu/dt) sigma^2
    preserving: bool = False
    starts_at_zero: bool = False


def ddpm_mu(t, steps=100, first=1e-4, last=0.02):
    """The product written out, for whole steps and, between two of them, for the share of the next factor."""
    product = 1.0
    for i in range(steps):
        beta = first + (last - first) * i / (steps - 1)
        share = min(max(t * steps - i, 0.0), 1.0)
        product *= (1 - beta) ** share
    return math.sqrt(product)


def vp_integral(t):
    return 0.1 * t + 19.9 * t * t / 2


def cosine_mu(t, s=0.008, end=0.999):
    return math.cos((end * t + s) / (1 + s) * math.pi / 2) / math.cos(s / (1 + s) * math.pi / 2)


ROWS = {
    "VE": Row(
        lambda factor: schedules.VE(0.01 * factor, 10.0),
        mu=lambda t: 1.0,
        lam=lambda t: 1e-4 * 1e6**t,
        rate=lambda t: 1e-4 * 1e6**t * math.log(1e6),
    ),
    "log_linear": Row(
        lambda factor: schedules.log_linear(10.0 * factor, 8.0),
        mu=lambda t: 1.0,
        lam=lambda t: math.exp(10 * t - 8),
        rate=lambda t: 10 * math.exp(10 * t - 8),
    ),
    "LinearVP": Row(
        lambda factor: schedules.LinearVP(0.1, 20.0 * factor),
        mu=lambda t: math.exp(-vp_integral(t) / 2),
        lam=lambda t: math.expm1(vp_integral(t)),
        rate=lambda t: 0.1 + 19.9 * t,
        preserving=True,
        starts_at_zero=True,
    ),
    "Cosine": Row(
        lambda factor: schedules.Cosine(0.008 * factor, 0.999),
        mu=cosine_mu,
        lam=lambda t: 1 / cosine_mu(t) ** 2 - 1,
        rate=lambda t: 0.999 / 1.008 * math.pi * math.tan((0.999 * t + 0.008) / 1.008 * math.pi / 2),
        preserving=True,
        starts_at_zero=True,
    ),
    "ddpm": Row(
        lambda factor: schedules.ddpm(100, beta_first=1e-4, beta_last=0.02 * factor),
        mu=ddpm_mu,
        lam=lambda t: 1 / ddpm_mu(t) ** 2 - 1,
        preserving=True,
        starts_at_zero=True,
    ),
}


def says_its_formula(row):
    schedule = row.build(1.0)
    np.testing.assert_allclose(schedule.mu(TIMES), [row.mu(t) for t in TIMES], rtol=1e-12)
    np.testing.assert_allclose(schedule.lam(TIMES), [row.lam(t) for t in TIMES], rtol=1e-9, atol=1e-14)


def lam_is_the_ratio_of_variance_and_signal(row):
    schedule = row.build(1.0)
    np.testing.assert_allclose(schedule.sigma(TIMES) ** 2, schedule.mu(TIMES) ** 2 * schedule.lam(TIMES), rtol=1e-13)


def variance_is_preserved(row):
    if row.preserving:
        schedule = row.build(1.0)
        np.testing.assert_allclose(schedule.mu(TIMES) ** 2 + schedule.sigma(TIMES) ** 2, 1, rtol=1e-13)


def begins_with_the_signal_and_ends_with_noise(row):
    schedule = row.build(1.0)
    mu, lam = schedule.mu(TIMES), schedule.lam(TIMES)
    assert abs(mu[0] - 1) < 1e-15 and (lam[0] == 0) == row.starts_at_zero
    assert np.all(np.diff(mu) <= 0) and np.all(np.diff(lam) > 0)


def solves_the_forward_process(row):
    """lam(t) - lam(0) = int b^2 / mu^2, by quadrature of the rates that the sources state."""
    if row.rate is not None:
        for t in (0.03, 0.5, 0.97):
            integral, _ = integrate.quad(lambda s: row.rate(s) / row.mu(s) ** 2, 0, t, epsabs=0, epsrel=1e-11)
            np.testing.assert_allclose(row.build(1.0).lam(t) - row.build(1.0).lam(0.0), integral, rtol=1e-9)


def time_of_lam_is_its_inverse(row):
    schedule = row.build(1.0)
    np.testing.assert_allclose(schedule.time_of_lam(schedule.lam(TIMES)), TIMES, rtol=1e-12, atol=1e-14)


def small_times_are_accurate_in_float32(row):
    schedule = row.build(1.0)
    lam, sigma = schedule.lam(SMALL_TIMES), schedule.sigma(SMALL_TIMES)
    with jax.enable_x64(False):
        single, t = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (schedule, SMALL_TIMES))
        for value, exact in ((single.lam(t), lam), (single.sigma(t), sigma)):
            assert value.dtype == jnp.float32
            np.testing.assert_allclose(value, exact, rtol=1e-5)
        # Where lam(0) > 0, the digits of a small t are lost in lam already.
        atol = 1e-8 if row.starts_at_zero else 1e-6
        np.testing.assert_allclose(single.time_of_lam(single.lam(t)), t, rtol=1e-5, atol=atol)


def every_function(schedule, t):
    return schedule.mu(t), schedule.sigma(t), schedule.lam(t), schedule.time_of_lam(schedule.lam(t))


def one_trace_for_two(row):
    traces = 0

    @jax.jit
    def counted(schedule, t):
        nonlocal traces
        traces += 1
        return every_function(schedule, t)

    for factor in (1.0, 1.1):
        for one, other in zip(counted(row.build(factor), 0.3), every_function(row.build(factor), 0.3), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
    assert traces == 1


def batch_is_loop(row):
    pair = [jax.tree.map(jnp.asarray, row.build(factor)) for factor in (1.0, 1.1)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *pair)
    batch = jax.jit(jax.vmap(every_function))(stacked, jnp.array([0.2, 0.7]))
    loop = [every_function(schedule, t) for schedule, t in zip(pair, (0.2, 0.7), strict=True)]
    for many, ones in zip(batch, zip(*loop, strict=True), strict=True):
        np.testing.assert_allclose(many, jnp.stack(ones), rtol=1e-12)


def gradients_are_finite(row):
    schedule = row.build(1.0)
    for f in (schedule.mu, schedule.lam, lambda t: schedule.time_of_lam(schedule.lam(t))):
        assert np.all(np.isfinite(jax.vmap(jax.grad(f))(jnp.asarray(TIMES[1:]))))


LAWS = (
    says_its_formula,
    lam_is_the_ratio_of_variance_and_signal,
    variance_is_preserved,
    begins_with_the_signal_and_ends_with_noise,
    solves_the_forward_process,
    time_of_lam_is_its_inverse,
    small_times_are_accurate_in_float32,
    one_trace_for_two,
    batch_is_loop,
    gradients_are_finite,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", ROWS)
def test_law(name, law):
    with jax.enable_x64(True):
        law(ROWS[name])


def test_every_schedule_has_a_row():
    public = {
        name
        for name, thing in vars(schedules).items()
        if callable(thing) and not name.startswith("_") and thing.__module__ == schedules.__name__
    }
    classes = {type(row.build(1.0)).__name__ for row in ROWS.values()}
    assert public - set(ROWS) - classes == {"Levels", "geometric_levels", "uniform_levels"}


def test_ddpm_has_the_thousand_steps_of_public_checkpoints():
    """The product of 1 - beta_i that such checkpoints store, at its first, middle and last step."""
    bars = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    for step in (1, 500, 1000):
        np.testing.assert_allclose(schedules.ddpm().mu(step / 1000) ** 2, bars[step - 1], rtol=1e-5)


def both_grids(schedule, count):
    lam_max, lam_min = schedule.lam(0.9), schedule.lam(0.1)
    return uniform_levels(schedule, count), geometric_levels(lam_max, lam_min, count, schedule)


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("name", ROWS)
def test_grids_lie_on_the_schedule_and_end_at_zero(name, count):
    with jax.enable_x64(True):
        schedule = ROWS[name].build(1.0)
        for levels, first in zip(both_grids(schedule, count), (1.0, 0.9), strict=True):
            assert all(leaf.shape == (count + 1,) for leaf in jax.tree.leaves(levels))
            times = schedule.time_of_lam(levels.lam[:-1])
            np.testing.assert_allclose(times[0], first, rtol=1e-12)
            assert (levels.mu[-1], levels.lam[-1]) == (1, 0)
            assert np.all(np.diff(times) < 0) and np.all(np.diff(levels.lam) < 0)
            assert np.all(np.diff(levels.mu) >= 0)
            np.testing.assert_allclose(levels.lam[:-1], schedule.lam(times), rtol=1e-12)
            np.testing.assert_allclose(levels.mu[:-1], schedule.mu(times), rtol=1e-12)


@pytest.mark.parametrize("name", ROWS)
def test_grids_are_spaced_as_they_say(name):
    with jax.enable_x64(True):
        schedule = ROWS[name].build(1.0)
        uniform, geometric = both_grids(schedule, 5)
        np.testing.assert_allclose(schedule.time_of_lam(uniform.lam[:-1]), [1, 0.8, 0.6, 0.4, 0.2], rtol=1e-11)
        ratio = schedule.lam(0.1) / schedule.lam(0.9)
        np.testing.assert_allclose(geometric.lam[:-1] / schedule.lam(0.9), ratio ** (np.arange(5) / 4), rtol=1e-9)


def test_grids_are_arguments_of_one_program():
    traces = 0

    @jax.jit
    def grid(schedule, lam_max):
        nonlocal traces
        traces += 1
        return geometric_levels(lam_max, 0.01, 4, schedule).lam

    for lam_max in (4.0, 9.0):
        np.testing.assert_allclose(grid(VE(0.01, lam_max), lam_max)[0], lam_max, rtol=1e-5)
    assert traces == 1


def test_without_a_schedule_the_grid_is_in_clean_space():
    levels = geometric_levels(9.0, 0.01, 4)
    np.testing.assert_array_equal(levels.mu, 1.0)
    np.testing.assert_allclose(levels.lam, geometric_levels(9.0, 0.01, 4, VE()).lam, rtol=1e-5)


@pytest.mark.parametrize("count", [0, -3])
def test_a_grid_needs_a_level(count):
    with pytest.raises(ValueError, match=f"{count} levels was asked for; it needs at least 1"):
        uniform_levels(VE(), count)
    with pytest.raises(ValueError, match=f"{count} levels was asked for; it needs at least 1"):
        geometric_levels(1.0, 0.1, count)
