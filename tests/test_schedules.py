"""Every schedule obeys every law: one table of schedules, one table of laws, in float64 where nothing else is said."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import pytest
from scipy import integrate

from pgm_jax import schedules
from pgm_jax.schedules import VE, geometric_levels, karras_levels, uniform_levels

FAST = True

TIMES, SMALL_TIMES = np.linspace(0, 1, 41), np.geomspace(1e-5, 0.5, 30)


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


class Values(NamedTuple):
    """What a schedule says at some times."""

    mu: np.ndarray
    sigma: np.ndarray
    lam: np.ndarray
    time: np.ndarray  # of that lam


def evaluate(schedule, t):
    lam = schedule.lam(t)
    return Values(schedule.mu(t), schedule.sigma(t), lam, schedule.time_of_lam(lam))


compiled = jax.jit(evaluate)
slopes = jax.jit(jax.vmap(jax.jacfwd(evaluate, 1), (None, 0)))


@functools.cache
def at_times(row):
    """The values at TIMES and at SMALL_TIMES, which come out of one program."""
    values = compiled(row.build(1.0), np.concatenate([TIMES, SMALL_TIMES]))
    return tuple(Values(*(np.asarray(leaf)[part] for leaf in values)) for part in (slice(0, 41), slice(41, 71)))


def says_its_formula(row):
    values, _ = at_times(row)
    np.testing.assert_allclose(values.mu, [row.mu(t) for t in TIMES], rtol=1e-12)
    np.testing.assert_allclose(values.lam, [row.lam(t) for t in TIMES], rtol=1e-9, atol=1e-14)


def lam_is_the_ratio_of_variance_and_signal(row):
    values, _ = at_times(row)
    np.testing.assert_allclose(values.sigma**2, values.mu**2 * values.lam, rtol=1e-13)


def variance_is_preserved(row):
    if row.preserving:
        values, _ = at_times(row)
        np.testing.assert_allclose(values.mu**2 + values.sigma**2, 1, rtol=1e-13)


def begins_with_the_signal_and_ends_with_noise(row):
    values, _ = at_times(row)
    assert abs(values.mu[0] - 1) < 1e-15 and (values.lam[0] == 0) == row.starts_at_zero
    assert np.all(np.diff(values.mu) <= 0) and np.all(np.diff(values.lam) > 0)


def solves_the_forward_process(row):
    """lam(t) - lam(0) = int b^2 / mu^2, by quadrature of the rates that the sources state."""
    if row.rate is not None:
        lam = at_times(row)[0].lam
        for place in (1, 20, 39):
            integral, _ = integrate.quad(
                lambda s: row.rate(s) / row.mu(s) ** 2, 0, TIMES[place], epsabs=0, epsrel=1e-11
            )
            np.testing.assert_allclose(lam[place] - lam[0], integral, rtol=1e-9)


def time_of_lam_is_its_inverse(row):
    np.testing.assert_allclose(at_times(row)[0].time, TIMES, rtol=1e-12, atol=1e-14)


def small_times_are_accurate_in_float32(row):
    _, exact = at_times(row)
    schedule = jax.tree.map(np.float32, row.build(1.0))
    with jax.enable_x64(False):
        single = Values(*(np.asarray(leaf)[41:] for leaf in compiled(schedule, np.float32([*TIMES, *SMALL_TIMES]))))
    assert all(leaf.dtype == np.float32 for leaf in single)
    np.testing.assert_allclose(single.lam, exact.lam, rtol=1e-5)
    np.testing.assert_allclose(single.sigma, exact.sigma, rtol=1e-5)
    # Where lam(0) > 0, the digits of a small t are lost in lam already.
    np.testing.assert_allclose(single.time, SMALL_TIMES, rtol=1e-5, atol=1e-8 if row.starts_at_zero else 1e-6)


def one_trace_for_two(row):
    traces = 0

    @jax.jit
    def counted(schedule, t):
        nonlocal traces
        traces += 1
        return evaluate(schedule, t)

    for factor in (1.0, 1.1):
        counted.eval_shape(jax.tree.map(np.asarray, row.build(factor)), 0.3)
    assert traces == 1


def batch_is_loop(row):
    """Over schedules and times."""
    pair = [jax.tree.map(np.asarray, row.build(factor)) for factor in (1.0, 1.1)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *pair)
    batch = jax.jit(jax.vmap(evaluate))(stacked, np.array([TIMES[8], TIMES[28]]))
    for which, (schedule, place) in enumerate(zip(pair, (8, 28), strict=True)):
        loop = compiled(schedule, np.concatenate([TIMES, SMALL_TIMES]))
        for many, one in zip(batch, loop, strict=True):
            np.testing.assert_allclose(many[which], one[place], rtol=1e-12)


def gradients_are_finite(row):
    for leaf in slopes(row.build(1.0), TIMES[1:]):
        assert np.all(np.isfinite(leaf))


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
    assert public - set(ROWS) - classes == {"Levels", "geometric_levels", "karras_levels", "uniform_levels"}


def test_ddpm_has_the_thousand_steps_of_public_checkpoints():
    """The product of 1 - beta_i that such checkpoints store, at its first, middle and last step."""
    bars = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    for step in (1, 500, 1000):
        np.testing.assert_allclose(schedules.ddpm().mu(step / 1000) ** 2, bars[step - 1], rtol=1e-5)


@functools.partial(jax.jit, static_argnums=1)
def both_grids(schedule, count):
    """The grids, and the times and values on their nodes before the last."""
    lam_max, lam_min = schedule.lam(0.9), schedule.lam(0.1)
    grids = uniform_levels(schedule, count), geometric_levels(lam_max, lam_min, count, schedule)
    times = [schedule.time_of_lam(levels.lam[:-1]) for levels in grids]
    return [(levels, evaluate(schedule, t)._replace(time=t)) for levels, t in zip(grids, times, strict=True)]


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("name", ROWS)
def test_grids_lie_on_the_schedule_and_end_at_zero(name, count):
    with jax.enable_x64(True):
        grids = jax.tree.map(np.asarray, both_grids(ROWS[name].build(1.0), count))
    for (levels, values), first in zip(grids, (1.0, 0.9), strict=True):
        assert all(leaf.shape == (count + 1,) for leaf in levels)
        np.testing.assert_allclose(values.time[0], first, rtol=1e-12)
        assert (levels.mu[-1], levels.lam[-1]) == (1, 0)
        assert np.all(np.diff(values.time) < 0) and np.all(np.diff(levels.lam) < 0)
        assert np.all(np.diff(levels.mu) >= 0)
        np.testing.assert_allclose(levels.lam[:-1], values.lam, rtol=1e-12)
        np.testing.assert_allclose(levels.mu[:-1], values.mu, rtol=1e-12)


@pytest.mark.parametrize("name", ROWS)
def test_grids_are_spaced_as_they_say(name):
    with jax.enable_x64(True):
        (_, uniform), (geometric, _) = jax.tree.map(np.asarray, both_grids(ROWS[name].build(1.0), 7))
    np.testing.assert_allclose(uniform.time, 1 - np.arange(7) / 7, rtol=1e-11)
    ratio = ROWS[name].lam(0.1) / ROWS[name].lam(0.9)
    np.testing.assert_allclose(geometric.lam[:-1] / ROWS[name].lam(0.9), ratio ** (np.arange(7) / 6), rtol=1e-9)


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


def test_the_grid_of_edm():
    """Between the geometric grid and one that is uniform in sigma."""
    levels = karras_levels(9.0, 0.01, 5)
    roots = np.asarray(levels.lam[:-1]) ** (1 / 14)
    np.testing.assert_allclose(np.diff(roots), (0.01 ** (1 / 14) - 9 ** (1 / 14)) / 4, rtol=1e-4)
    np.testing.assert_allclose(levels.lam[np.array([0, 4, 5])], [9.0, 0.01, 0.0], rtol=1e-5)
    np.testing.assert_allclose(karras_levels(9.0, 0.01, 5, 1e4).lam, geometric_levels(9.0, 0.01, 5).lam, rtol=2e-2)
    np.testing.assert_allclose(np.diff(np.sqrt(karras_levels(9.0, 0.01, 5, 1.0).lam[:-1])), -2.9 / 4, rtol=1e-5)


@pytest.mark.parametrize("count", [0, -3])
def test_a_grid_needs_a_level(count):
    with pytest.raises(ValueError, match=f"{count} levels was asked for; it needs at least 1"):
        uniform_levels(VE(), count)
    with pytest.raises(ValueError, match=f"{count} levels was asked for; it needs at least 1"):
        geometric_levels(1.0, 0.1, count)
    with pytest.raises(ValueError, match=f"{count} levels was asked for; it needs at least 1"):
        karras_levels(1.0, 0.1, count)


def test_levels_of_edm_fall():
    with pytest.raises(ValueError, match="from lam_max = 0.002 to lam_min = 80.0; they are to fall"):
        karras_levels(0.002, 80.0, 5)
