"""Every sampler obeys every law: one table of samplers, one table of laws."""

import functools
import inspect
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from laws import law_test
from tracing import Counted

from pgm_jax import samplers, types
from pgm_jax.operators.masks import Mask
from pgm_jax.potentials import Ball, Box, Gaussian, GaussianLikelihood
from pgm_jax.proximal import data_first, explicit, forward_backward, parallel, prior_first
from pgm_jax.samplers import Sampler, run
from pgm_jax.schedules import VE, LinearVP, geometric_levels, karras_levels

FAST = {"pgm, corrected", "diffusion, DDPM", "FISTA"}

SHAPE = (3, 4, 1)
KEY = jax.random.key(5)


class Row(NamedTuple):
    """A sampler of a prior and a likelihood, six rows of it that a schedule moves, and what it promises."""

    factory: Callable[..., Sampler]  # the public function
    build: Callable[[Gaussian, GaussianLikelihood], Sampler]
    rows: Callable[[types.Schedule], Any]
    constrained: bool = True  # a constraint of the prior holds at the end
    ends_on_estimate: bool = True  # the last state is the last estimate
    random: bool = True


def grid(schedule, count):
    return geometric_levels(9.0, 0.01, count, schedule)


def ladder(schedule, count=6):
    """Levels that suit explicit steps on a likelihood of sigma = 0.1, thus of L = 100."""
    return jnp.geomspace(0.01, 0.002, count) / (1.0 + schedule.lam(0.1))


def six(rows):
    return lambda schedule: rows(ladder(schedule, 1)[0], count=6)


def projected(wrap):
    def build(prior, likelihood):
        free = samplers.diffusion(lambda u, lam: likelihood.prox(u, lam))
        return wrap(free, lambda x: prior.prox(x, jnp.float32(0.01)))

    return build


def driven(factory, split):
    return lambda prior, likelihood: factory(split(prior, likelihood))


def mala(prior, likelihood):
    return samplers.proximal_mala(data_first(prior, likelihood), prior, likelihood)


@types.pytree
class Still:
    """The posterior of a splitting as a prior that no noise changes, for samplers of marginals."""

    prior: Any
    likelihood: Any

    def at(self, t):
        return self

    def prox(self, v, lam):
        return data_first(self.prior, self.likelihood)(v, lam)


def proxdm(prior, likelihood):
    return samplers.proxdm(Still(prior, likelihood))


def preserving(rows):
    """Six steps of a process that preserves the variance, whose rate follows the schedule."""
    return lambda schedule: rows(LinearVP(0.1, 1.0 + schedule.lam(0.1)), 6)


def in_its_time(schedule, count):
    return samplers.vp_euler(schedule, 1.0 - jnp.arange(count + 1) / count)


def bridged(eta):
    return lambda schedule: samplers.bridge(grid(schedule, 6), eta)


def corrected(scheme):
    return lambda schedule: samplers.with_corrector(samplers.bridge(grid(schedule, 2)), 2, 0.5, scheme)


def annealed(scheme, kappa=lambda lam: 1 / lam):
    def rows(schedule):
        lam = ladder(schedule, 2)
        return samplers.with_last_prox(samplers.langevin(lam, lam / 2, (3, 2), scheme, kappa(lam)), 1e-3)

    return rows


def at_one_level(lam=None):
    """Six Langevin steps at one level, as long as the steps of the ladder."""

    def rows(schedule):
        delta = ladder(schedule, 1)
        return samplers.langevin(delta if lam is None else jnp.full_like(delta, lam), delta, 6)

    return rows


PGM, PRIOR_FIRST, JOINT, PARTIAL, EXPLICIT = (
    driven(samplers.pgm, split) for split in (data_first, prior_first, forward_backward, parallel, explicit)
)
DIFFUSION, MULTISTEP = (driven(factory, data_first) for factory in (samplers.diffusion, samplers.multistep))
EACH, LAST = projected(samplers.project_each), projected(samplers.project_last)
FREE: Any = dict(constrained=False, ends_on_estimate=False)
DESCENT: Any = dict(random=False)

# Nearly all have the same number of rows, so that the laws compile their programs once for each `build`.
ROWS = {
    "pgm, reverse SDE": Row(samplers.pgm, PGM, bridged(1.0)),
    "pgm, half the noise": Row(samplers.pgm, PGM, bridged(0.5)),
    "pgm, probability flow": Row(samplers.pgm, PGM, bridged(0.0)),
    "pgm, corrected": Row(samplers.pgm, PGM, corrected(samplers.euler_maruyama)),
    "pgm, corrected, exponential": Row(samplers.pgm, PGM, corrected(samplers.exponential)),
    "pgm, corrected, imex": Row(samplers.pgm, PGM, corrected(samplers.imex)),
    "pgm, prior first": Row(samplers.pgm, PRIOR_FIRST, bridged(1.0), constrained=False),
    "joint Langevin": Row(samplers.pgm, JOINT, annealed(samplers.euler_maruyama)),
    "joint Langevin, exponential": Row(samplers.pgm, JOINT, annealed(samplers.exponential)),
    "joint Langevin, imex": Row(samplers.pgm, JOINT, annealed(samplers.imex)),
    "partial Langevin": Row(
        samplers.pgm, PARTIAL, annealed(samplers.euler_maruyama, lambda lam: 1 / lam + lam), constrained=False
    ),
    "diffusion, DDPM": Row(samplers.diffusion, DIFFUSION, bridged(1.0)),
    "diffusion, DDIM": Row(samplers.diffusion, DIFFUSION, bridged(0.0)),
    "diffusion, Euler-Maruyama": Row(
        samplers.diffusion, DIFFUSION, lambda schedule: samplers.euler(grid(schedule, 6), 1.0)
    ),
    "diffusion, Euler": Row(
        samplers.diffusion, DIFFUSION, lambda schedule: samplers.euler(grid(schedule, 6), 0.0), **FREE
    ),
    "diffusion, in the time of a VP process": Row(samplers.diffusion, DIFFUSION, preserving(in_its_time), **FREE),
    "multistep, Heun": Row(
        samplers.multistep, MULTISTEP, lambda schedule: samplers.heun_rows(karras_levels(9.0, schedule.lam(0.1), 4))
    ),
    "multistep, DPM-Solver++(2M)": Row(
        samplers.multistep, MULTISTEP, lambda schedule: samplers.dpm_solver_rows(grid(schedule, 6))
    ),
    "ProxDM, backward": Row(samplers.proxdm, proxdm, preserving(samplers.backward_rows)),
    "ProxDM, hybrid": Row(samplers.proxdm, proxdm, preserving(samplers.hybrid_rows)),
    "ProxDM, hybrid flow": Row(samplers.proxdm, proxdm, preserving(lambda vp, n: samplers.hybrid_rows(vp, n, 0.0))),
    "projected at each step": Row(samplers.project_each, EACH, bridged(1.0), ends_on_estimate=False),
    "projected at the end": Row(samplers.project_last, LAST, bridged(1.0), ends_on_estimate=False),
    "P-ULA": Row(samplers.pgm, PGM, six(samplers.proximal_rows), **FREE),
    "MYULA": Row(samplers.pgm, PARTIAL, at_one_level(0.01), **FREE),
    "subgradient Langevin": Row(samplers.pgm, EXPLICIT, at_one_level(1.0), **FREE),
    "proximal MALA": Row(samplers.proximal_mala, mala, six(samplers.proximal_rows), ends_on_estimate=False),
    "FISTA": Row(samplers.fista, samplers.fista, ladder, **DESCENT),
    "ADMM": Row(samplers.admm, samplers.admm, ladder, **DESCENT),
    "HQS": Row(samplers.hqs, samplers.hqs, ladder, **DESCENT),
}


class Problem(NamedTuple):
    """What a run takes: everything is an argument, nothing is captured."""

    prior: Gaussian | Box | Ball
    operator: Mask
    y: jax.Array
    rows: Any


@functools.cache
def rows_of(row, schedule):
    return jax.tree.map(np.asarray, row.rows(schedule))


def problem(row, seed=0, schedule=VE(0.05, 3.0), prior=None):  # noqa: B008
    draws = np.random.default_rng(seed)
    seen = draws.uniform(size=SHAPE) < 0.5
    y = np.where(seen, draws.standard_normal(SHAPE), 0).astype(np.float32)
    mean = np.linspace(-0.5, 0.5 + 0.1 * seed, 12, dtype=np.float32).reshape(SHAPE)
    prior = Gaussian(mean, 0.3 + mean**2) if prior is None else prior
    return Problem(prior, Mask(seen.astype(np.float32), SHAPE), y, rows_of(row, schedule))


def sample(build, key, case):
    """One sample of the posterior, and the estimates on the way to it."""
    sampler = build(case.prior, GaussianLikelihood(case.operator, case.y, 0.1))
    state, estimates = run(key, sampler, jnp.zeros(SHAPE), case.rows, lambda state, info: info.estimate)
    return state.x, estimates


class Programs(NamedTuple):
    """All of them share one trace."""

    one: Callable
    many: Callable  # many keys, a problem for each
    gradient: Callable  # of a sample's square


@functools.cache
def compiled(build):
    one = jax.jit(functools.partial(sample, build))
    loss = jax.grad(lambda case: jnp.sum(one(KEY, case)[0] ** 2))
    return Programs(one, jax.jit(jax.vmap(one)), jax.jit(loss))


COUNT = 16
KEYS = jax.vmap(jax.random.fold_in, (None, 0))(KEY, np.arange(COUNT))


def stacked(*cases):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *cases)


def cases(row):
    """The same problem four times, then others of its kind."""
    return [problem(row, max(0, seed - 3)) for seed in range(COUNT)]


@functools.cache
def batch(row):
    """Samples, and estimates at every row, of a batch of problems."""
    return jax.tree.map(np.asarray, compiled(row.build).many(KEYS, stacked(*cases(row))))


@functools.cache
def alone(row, place):
    return jax.tree.map(np.asarray, compiled(row.build).one(KEYS[place], cases(row)[place]))


def one_is_the_first_of_many(row):
    for many, one in zip(batch(row), alone(row, 0), strict=True):
        np.testing.assert_allclose(many[0], one, rtol=1e-5, atol=1e-6)


def batch_is_loop(row):
    """Chains, and problems that differ in mask and measurement."""
    for place in (1, 2, 3, 4, 5, 6):
        np.testing.assert_allclose(batch(row)[0][place], alone(row, place)[0], rtol=1e-5, atol=1e-6)


def compiled_is_interpreted(row):
    with jax.disable_jit():
        interpreted, _ = sample(row.build, KEYS[0], jax.tree.map(jnp.asarray, problem(row)))
    np.testing.assert_allclose(alone(row, 0)[0], interpreted, rtol=1e-5, atol=1e-6)


def eight_devices_are_one_bitwise(row):
    mesh = jax.make_mesh((8,), ("chains",), axis_types=(AxisType.Auto,))
    given = jax.device_put((KEYS, stacked(*cases(row))), NamedSharding(mesh, PartitionSpec("chains")))
    sharded, estimates = compiled(row.build).many(*given)
    assert len(sharded.sharding.device_set) == 8 and not sharded.is_fully_replicated
    np.testing.assert_array_equal(sharded, batch(row)[0])
    np.testing.assert_array_equal(estimates, batch(row)[1])


def one_trace_for_two_masks_grids_and_priors(row):
    one = jax.jit(functools.partial(sample, row.build))
    Counted.calls = 0
    one.eval_shape(KEY, problem(row, prior=Counted(0.1, 0.5)))
    traced = Counted.calls
    assert 0 < traced < 5, "the prox is traced in the loop, not once for each row"
    one.eval_shape(KEY, problem(row, seed=3, prior=Counted(0.1, 0.5)))
    one.eval_shape(KEY, problem(row, schedule=LinearVP(), prior=Counted(-0.2, 0.6)))
    assert Counted.calls == traced


def nothing_is_captured(row):
    """The program holds no array: masks, measurements, grids and weights are its arguments."""
    assert sizes(compiled(row.build).one.trace(KEY, problem(row))) == 0


def sizes(traced):
    return sum(np.size(constant) for constant in traced.jaxpr.consts)


def a_constraint_holds_exactly(row):
    """Even one that the measurement contradicts."""
    if row.constrained:
        for prior in (Box(-0.2, 0.3), Ball(0.5)):
            case = problem(row, prior=prior)
            values = [value(prior, compiled(row.build).one(key, case)[0]) for key in KEYS[:8]]
            np.testing.assert_array_equal(values, 0.0)
            assert value(prior, case.y) == np.inf


value = jax.jit(lambda prior, x: prior.value(x))


def the_run_ends_on_its_estimate(row):
    if row.ends_on_estimate:
        x, estimates = batch(row)
        np.testing.assert_array_equal(x, estimates[:, -1])


def estimates_are_reported_at_every_row(row):
    x, estimates = alone(row, 0)
    assert estimates.shape == (len(jax.tree.leaves(problem(row).rows)[0]), *SHAPE)
    assert x.dtype == estimates.dtype == jnp.float32 and np.all(np.isfinite(estimates))


def another_key_is_another_sample(row):
    x, other = alone(row, 0)[0], alone(row, 1)[0]
    assert np.all(x != other) if row.random else np.all(x == other)
    np.testing.assert_array_equal(compiled(row.build).one(KEYS[0], problem(row))[0], x)


def the_sample_has_a_gradient(row):
    """For learned operators, priors and grids: through the whole run, no NaN."""
    gradients = compiled(row.build).gradient(problem(row))
    assert all(
        np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((gradients.prior, gradients.y, gradients.operator))
    )
    assert np.any(gradients.y != 0)


def as_a_pytree_it_is_sampled(row):
    """`sample` takes the sampler itself, traces its arrays, and starts every chain from its own key."""
    case = jax.tree.map(jnp.asarray, problem(row))
    sampler = row.build(case.prior, GaussianLikelihood(case.operator, case.y, 0.1))
    x = samplers.sample(KEY, sampler, jnp.zeros(SHAPE), case.rows, 4)
    np.testing.assert_allclose(x, [alone(row, place)[0] for place in range(4)], rtol=1e-5, atol=1e-6)


LAWS = (
    one_is_the_first_of_many,
    batch_is_loop,
    compiled_is_interpreted,
    eight_devices_are_one_bitwise,
    one_trace_for_two_masks_grids_and_priors,
    nothing_is_captured,
    a_constraint_holds_exactly,
    the_run_ends_on_its_estimate,
    estimates_are_reported_at_every_row,
    another_key_is_another_sample,
    the_sample_has_a_gradient,
    as_a_pytree_it_is_sampled,
)


test_law = law_test(ROWS, LAWS, double=False)


def test_a_captured_mask_would_be_seen():
    row = ROWS["pgm, reverse SDE"]
    case = problem(row)._replace(operator=Mask(jnp.ones(SHAPE), SHAPE))
    traced = jax.jit(lambda key, y: sample(row.build, key, case._replace(y=y))).trace(KEY, jnp.asarray(case.y))
    assert sizes(traced) >= 12


def test_every_sampler_has_a_row():
    """Every public function that returns a sampler, so that a new file or factory without a row is seen."""
    public = {value for value in vars(samplers).values() if inspect.isfunction(value)}
    factories = {value for value in public if inspect.signature(value).return_annotation is Sampler}
    assert factories == {row.factory for row in ROWS.values()}


def test_every_module_is_public():
    """A file of samplers that `pgm_jax.samplers` does not export would escape the table."""
    folder = pathlib.Path(samplers.__file__).parent
    exported = {inspect.getmodule(getattr(samplers, name)).__name__.split(".")[-1] for name in samplers.__all__}
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == exported


def test_a_run_collects_nothing_unless_it_is_told():
    row = ROWS["pgm, reverse SDE"]
    case = jax.tree.map(jnp.asarray, problem(row))
    sampler = row.build(case.prior, GaussianLikelihood(case.operator, case.y, 0.1))
    state, nothing = run(KEY, sampler, jnp.zeros(SHAPE), case.rows)
    assert nothing is None and state.x.shape == SHAPE
    _, (lam, x) = run(KEY, sampler, jnp.zeros(SHAPE), case.rows, lambda state, info: (info.lam, state.x))
    np.testing.assert_array_equal(lam, case.rows.lam)
    np.testing.assert_array_equal(x[-1], state.x)


def test_mala_without_a_potential_is_refused():
    with pytest.raises(ValueError, match="No potential was given; give proximal_mala"):
        samplers.proximal_mala(lambda v, lam: v)
