"""Every sampler obeys every law: one table of samplers, one table of laws."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from pgm_jax import samplers, types
from pgm_jax.operators import Mask, random_mask
from pgm_jax.potentials import Ball, Box, Gaussian, GaussianLikelihood
from pgm_jax.samplers import Sampler, bridge, pgm, run, with_corrector
from pgm_jax.schedules import geometric_levels, linear_vp, ve

SHAPE = (3, 4, 1)
KEY = jax.random.key(5)


class Row(NamedTuple):
    """A sampler of a prior and a likelihood, and six rows of it on a schedule."""

    module: str
    build: Callable[[Gaussian, GaussianLikelihood], Sampler]
    rows: Callable[[types.Schedule], samplers.Rows]


def grid(schedule, count):
    return geometric_levels(schedule, count, 9.0, 0.01)


# All have the same number of rows, so that the laws compile their programs once for each `build`.
ROWS = {
    "pgm, reverse SDE": Row("pgm", pgm, lambda schedule: bridge(grid(schedule, 6), 1.0)),
    "pgm, half the noise": Row("pgm", pgm, lambda schedule: bridge(grid(schedule, 6), 0.5)),
    "pgm, probability flow": Row("pgm", pgm, lambda schedule: bridge(grid(schedule, 6), 0.0)),
    "pgm with correctors": Row("pgm", pgm, lambda schedule: with_corrector(bridge(grid(schedule, 2)), 2)),
}


class Problem(NamedTuple):
    """What a run takes: everything is an argument, nothing is captured."""

    prior: Gaussian | Box | Ball
    operator: Mask
    y: jax.Array
    rows: samplers.Rows


def problem(row, seed=0, schedule=None, prior=None):
    operator = random_mask(jax.random.key(seed), SHAPE, 0.5)
    mean = jnp.linspace(-0.5, 0.5, 12).reshape(SHAPE)
    y = operator.forward(jax.random.normal(jax.random.key(seed + 1), SHAPE))
    rows = row.rows(ve(0.05, 3.0) if schedule is None else schedule)
    return Problem(Gaussian(mean, 0.3 + mean**2) if prior is None else prior, operator, y, rows)


def sample(build, key, case):
    """One sample of the posterior, and the estimates on the way to it."""
    sampler = build(case.prior, GaussianLikelihood(case.operator, case.y, 0.1))
    state, estimates = run(sampler, key, jnp.zeros(SHAPE), case.rows, lambda state, info: info.estimate)
    return state.x, estimates


class Programs(NamedTuple):
    one: Callable
    chains: Callable  # many keys, one problem
    problems: Callable  # many keys, a problem for each
    gradient: Callable  # of a sample's square


@functools.cache
def compiled(build):
    def loss(case):
        return jnp.sum(sample(build, KEY, case)[0] ** 2)

    one = functools.partial(sample, build)
    return Programs(jax.jit(one), jax.jit(jax.vmap(one, (0, None))), jax.jit(jax.vmap(one)), jax.jit(jax.grad(loss)))


def keys(count=8):
    return jax.vmap(jax.random.fold_in, (None, 0))(KEY, jnp.arange(count))


def one_is_the_first_of_eight(row):
    one, many, *_ = compiled(row.build)
    for alone, batch in zip(one(keys(8)[0], problem(row)), many(keys(8), problem(row)), strict=True):
        np.testing.assert_allclose(batch[0], alone, rtol=1e-5, atol=1e-6)


def batch_is_loop(row):
    """Chains, and problems that differ in mask, measurement and prior."""
    one, many, problems, _ = compiled(row.build)
    chains, _ = many(keys(4), problem(row))
    np.testing.assert_allclose(chains, [one(key, problem(row))[0] for key in keys(4)], rtol=1e-5, atol=1e-6)

    cases = [problem(row, seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[jax.tree.map(jnp.asarray, case) for case in cases])
    batch, _ = problems(keys(3), stacked)
    loop = [one(key, case)[0] for key, case in zip(keys(3), cases, strict=True)]
    np.testing.assert_allclose(batch, loop, rtol=1e-5, atol=1e-6)


def compiled_is_interpreted(row):
    one = compiled(row.build).one
    with jax.disable_jit():
        interpreted, _ = sample(row.build, KEY, problem(row))
    np.testing.assert_allclose(one(KEY, problem(row))[0], interpreted, rtol=1e-5, atol=1e-6)


def eight_devices_are_one_bitwise(row):
    many = compiled(row.build).chains
    mesh = jax.make_mesh((8,), ("chains",), axis_types=(AxisType.Auto,))
    spread = jax.device_put(keys(16), NamedSharding(mesh, PartitionSpec("chains")))
    case = jax.device_put(problem(row), NamedSharding(mesh, PartitionSpec()))
    sharded, estimates = many(spread, case)
    assert len(sharded.sharding.device_set) == 8 and not sharded.is_fully_replicated
    expected, expected_estimates = many(keys(16), problem(row))
    np.testing.assert_array_equal(sharded, expected)
    np.testing.assert_array_equal(estimates, expected_estimates)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Counted(Gaussian):
    """A prior that says how often its prox was traced."""

    calls = 0

    def prox(self, v, lam):
        Counted.calls += 1
        return super().prox(v, lam)


def one_trace_for_two_masks_grids_and_priors(row):
    one = jax.jit(lambda key, case: sample(row.build, key, case))
    Counted.calls = 0
    one(KEY, problem(row, prior=Counted(0.1, 0.5)))
    traced = Counted.calls
    assert 0 < traced < 4, "the prox is traced in the loop, not once for each row"
    one(KEY, problem(row, seed=3, prior=Counted(0.1, 0.5)))
    one(KEY, problem(row, schedule=linear_vp(), prior=Counted(-0.2, 0.6)))
    assert Counted.calls == traced


def nothing_is_captured(row):
    """The program holds no array: masks, measurements, grids and weights are its arguments."""
    captured = jax.make_jaxpr(functools.partial(sample, row.build))(KEY, problem(row)).consts
    assert sum(np.size(constant) for constant in captured) == 0
    case = problem(row)
    with_a_mask = jax.make_jaxpr(lambda key: sample(row.build, key, case)[0])(KEY).consts
    assert sum(np.size(constant) for constant in with_a_mask) >= 12, "a captured mask would be seen"


def the_last_row_returns_the_prox(row):
    """So a constraint of the prior holds exactly, even one that the measurement contradicts."""
    for prior in (Box(-0.2, 0.3), Ball(0.5)):
        many = compiled(row.build).chains
        x, estimates = many(keys(8), problem(row, prior=prior))
        np.testing.assert_array_equal(x, estimates[:, -1])
        np.testing.assert_array_equal(jax.vmap(prior.value)(x), 0.0)
        assert prior.value(problem(row).y) == np.inf


def estimates_are_reported_at_every_row(row):
    one = compiled(row.build).one
    x, estimates = one(KEY, problem(row))
    assert estimates.shape == (problem(row).rows.lam.shape[0], *SHAPE)
    assert x.dtype == estimates.dtype == jnp.float32 and np.all(np.isfinite(estimates))


def another_key_is_another_sample(row):
    one = compiled(row.build).one
    x, y = one(KEY, problem(row))[0], one(jax.random.key(6), problem(row))[0]
    assert np.all(x != y)
    np.testing.assert_array_equal(one(KEY, problem(row))[0], x)


def the_sample_has_a_gradient(row):
    """For learned operators, priors and grids: through the whole run, no NaN."""
    gradients = compiled(row.build).gradient(problem(row))
    assert all(
        np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((gradients.prior, gradients.y, gradients.operator))
    )
    assert np.any(gradients.y != 0)


LAWS = (
    one_is_the_first_of_eight,
    batch_is_loop,
    compiled_is_interpreted,
    eight_devices_are_one_bitwise,
    one_trace_for_two_masks_grids_and_priors,
    nothing_is_captured,
    the_last_row_returns_the_prox,
    estimates_are_reported_at_every_row,
    another_key_is_another_sample,
    the_sample_has_a_gradient,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", ROWS)
def test_law(name, law):
    law(ROWS[name])


def test_every_sampler_has_a_row():
    folder = pathlib.Path(samplers.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "base"}
    assert modules == {row.module for row in ROWS.values()}


def test_a_run_collects_nothing_unless_it_is_told():
    row = ROWS["pgm, reverse SDE"]
    case = problem(row)
    sampler = row.build(case.prior, GaussianLikelihood(case.operator, case.y, 0.1))
    state, nothing = run(sampler, KEY, jnp.zeros(SHAPE), case.rows)
    assert nothing is None and state.x.shape == SHAPE
    _, (lam, x) = run(sampler, KEY, jnp.zeros(SHAPE), case.rows, lambda state, info: (info.lam, state.x))
    np.testing.assert_array_equal(lam, case.rows.lam)
    np.testing.assert_array_equal(x[-1], state.x)
