"""FISTA, ADMM and half-quadratic splitting against minimisers that are known, and against their papers' bounds."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize
from skimage import restoration

from pgm_jax.operators import circular_blur, gaussian_blur
from pgm_jax.potentials import (
    Box,
    Gaussian,
    GaussianLikelihood,
    Laplace,
    TotalVariation,
    dense_gaussian_likelihood,
    quadratic,
    tempered,
)
from pgm_jax.samplers.admm import admm
from pgm_jax.samplers.base import converged, run
from pgm_jax.samplers.fista import fista
from pgm_jax.samplers.hqs import hqs

KEY = jax.random.key(0)
SIZE, STEPS, BETA = 12, 600, 1.7
TAU = 1 / (4 * BETA)
OPTIMISERS = {"fista": fista, "admm": admm, "hqs": hqs}


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Denoiser:
    """A prior that is a map and disregards lam, as most networks do: `v -> shrink v + bend tanh(v)`, a gradient."""

    shrink: float
    bend: float

    def prox(self, v, lam):
        return self.shrink * v + self.bend * jnp.tanh(v)


@functools.cache
def hessian(smallest):
    generator = np.random.default_rng(0)
    basis, _ = np.linalg.qr(generator.normal(size=(SIZE, SIZE)))
    return basis * np.geomspace(smallest, 4.0, SIZE) @ basis.T


@functools.cache
def sparse_problem(smallest, scale=0.5):
    """A likelihood such that the minimiser of `BETA f + |x|_1 / scale` is a sparse point that is chosen first."""
    generator = np.random.default_rng(1)
    x = generator.normal(size=SIZE) * (np.arange(SIZE) % 3 == 0)
    subgradient = np.where(x != 0, np.sign(x), generator.uniform(-0.9, 0.9, SIZE)) / scale
    return Laplace(scale), quadratic(hessian(smallest), -(hessian(smallest) @ x + subgradient / BETA)), x


@functools.cache
def gaussian_problem(smallest, std):
    """A Gaussian prior and likelihood, and the minimiser of `M_{BETA f}^lam + g`, at lam = 0 of `BETA f + g`."""
    mean, slope, h = np.linspace(-1.0, 1.0, SIZE), start(), hessian(smallest)

    def minimiser(lam=0.0):
        damping = np.linalg.inv(np.eye(SIZE) + BETA * lam * h)
        return np.linalg.solve(BETA * damping @ h + np.eye(SIZE) / std**2, mean / std**2 - BETA * damping @ slope)

    return Gaussian(jnp.asarray(mean), std), quadratic(h, slope), minimiser


@functools.partial(jax.jit, static_argnums=0)
def minimise(factory, prior, likelihood, rows, x, key=KEY):
    state, history = run(key, factory(prior, tempered(likelihood, BETA)), x, rows, lambda state, info: (state, info))
    return state.x, history


def in_numpy(tree):
    return jax.tree.map(np.asarray, tree)


@functools.cache
def start():
    return jnp.asarray(np.random.default_rng(2).normal(size=SIZE))


def steps(factory):
    """Rows with which the optimiser converges where the largest curvature of f is 4."""
    if factory is hqs:
        return np.geomspace(1.0, 1e-3, 40 * STEPS)
    return np.full(STEPS, TAU if factory is fista else 0.5)


@pytest.mark.parametrize("name", ["gaussian", "sparse"])
@pytest.mark.parametrize("factory", [fista, admm])
def test_the_minimiser_is_found(factory, name):
    prior, likelihood, truth = sparse_problem(0.1) if name == "sparse" else gaussian_problem(0.1, 1.0)
    truth = truth if name == "sparse" else truth()
    x, (_, info) = minimise(factory, prior, likelihood, steps(factory), start())
    np.testing.assert_allclose(x, truth, atol=1e-10)
    np.testing.assert_array_equal(x == 0, truth == 0)
    ended, row = converged(info.residual, 1e-9)
    assert ended and 5 < row < STEPS // 2


def blurred():
    operator = gaussian_blur((5, 4, 1), 0.6, truncate=2.0)
    generator = np.random.default_rng(3)
    x = generator.uniform(-1.5, 1.5, (5, 4, 1))
    y = operator.forward(jnp.asarray(x)) + 0.1 * generator.normal(size=x.shape)
    return GaussianLikelihood(operator, jnp.asarray(y), 0.5)


@pytest.mark.parametrize("factory", [fista, admm])
def test_box_and_blur_against_scipy(factory):
    likelihood = blurred()
    matrix = jax.jit(jax.vmap(likelihood.operator.forward))(np.eye(20).reshape(20, 5, 4, 1)).reshape(20, 20).T
    truth = optimize.lsq_linear(matrix, likelihood.y.reshape(-1), (-1.0, 1.0), tol=1e-14).x.reshape(5, 4, 1)
    x, (_, info) = minimise(factory, Box(-1.0, 1.0), likelihood, steps(factory), jnp.zeros((5, 4, 1)))
    assert 3 < np.sum(np.abs(truth) > 1 - 1e-6) < 17
    np.testing.assert_allclose(x, truth, atol=1e-7)
    assert np.max(np.abs(info.estimate)) <= 1.0, "the estimate of every row is inside the box"
    assert converged(info.residual, 1e-9)[0]


def test_the_three_agree():
    prior, likelihood, truth = sparse_problem(0.5)
    ends = {name: minimise(f, prior, likelihood, steps(f), start())[0] for name, f in OPTIMISERS.items()}
    np.testing.assert_allclose(ends["fista"], ends["admm"], atol=1e-12)
    np.testing.assert_allclose(ends["hqs"], truth, atol=5e-3)


def plain_fista(prior, likelihood, x, count):
    """The iterates of the paper's recursion, without a restart."""
    step = jax.jit(lambda z: prior.prox(z - TAU * BETA * likelihood.grad(z), TAU))
    x = np.asarray(x)
    z, t, points = x, 1.0, []
    for _ in range(count):
        x_next, t_next = np.asarray(step(z)), (1 + np.sqrt(1 + 4 * t**2)) / 2
        z = x_next + (t - 1) / t_next * (x_next - x)
        x, t = x_next, t_next
        points.append(x)
    return np.array(points)


objectives = jax.jit(jax.vmap(lambda f, g, x: BETA * f.value(x) + g.value(x), (None, None, 0)))


@pytest.mark.parametrize("smallest", [1e-7, 1e-3, 1.0])
def test_fista_keeps_its_bound_at_every_row(smallest):
    prior, likelihood, truth = sparse_problem(smallest)
    _, (_, info) = minimise(fista, prior, likelihood, steps(fista), start())
    bound = 2 * np.sum((start() - truth) ** 2) / (TAU * np.arange(2, STEPS + 2) ** 2)
    gap = np.asarray(objectives(likelihood, prior, info.estimate) - objectives(likelihood, prior, truth[None]))
    assert np.all(gap <= bound + 1e-12) and np.all(gap > -1e-12)


def test_fista_is_linear_on_strongly_convex_problems_and_the_restart_is_why():
    prior, likelihood, minimiser = gaussian_problem(0.04, 1e3)
    _, (_, info) = minimise(fista, prior, likelihood, steps(fista), start())
    plain = plain_fista(prior, likelihood, start(), 300)
    first = int(np.argmax(info.restarted))
    assert 10 < first < 100, "the momentum is dropped, but not at once"
    # What a row drops is missing from the next one.
    np.testing.assert_allclose(info.estimate[: first + 1], plain[: first + 1], atol=1e-12)
    assert np.max(np.abs(info.estimate[first + 1] - plain[first + 1])) > 1e-3
    error = np.linalg.norm(np.asarray(info.estimate) - minimiser(), axis=-1)
    # The condition is 100: gradient steps without momentum divide the error by e^2 in 100 rows, at the worst.
    assert error[200] < 1e-2 * error[100] and error[300] < 1e-2 * error[200]
    assert error[299] < 1e-5 * np.linalg.norm(plain[-1] - minimiser())


@pytest.mark.parametrize("taps", [(0.0, 1.0, 0.0), (0.3, 0.4, 0.3)], ids=["denoised", "deblurred"])
def test_total_variation_goes_lower_than_chambolle(taps):
    """Two flat regions; the rival removes the noise alone, with the weight that is right where there is no blur."""
    truth = jnp.asarray(np.where(np.add.outer(np.arange(9), np.arange(8)) < 8, -0.5, 0.6)[..., None])
    operator = circular_blur(truth.shape, np.outer(taps, taps))
    y = operator.forward(truth) + 0.1 * jax.random.normal(KEY, truth.shape)
    prior, likelihood = TotalVariation(0.5, 400), GaussianLikelihood(operator, y, 0.5)
    x, other = (minimise(factory, prior, likelihood, steps(factory)[:80], y)[0] for factory in (fista, admm))
    np.testing.assert_allclose(x, other, atol=1e-4)

    rival = functools.partial(restoration.denoise_tv_chambolle, np.asarray(y[..., 0]), 0.5 * 0.5**2 / BETA)
    objective = jax.jit(lambda x: BETA * likelihood.value(x) + prior.value(x))
    assert objective(x) < objective(jnp.asarray(rival()[..., None]))
    if taps[1] == 1.0:
        np.testing.assert_allclose(x[..., 0], rival(eps=1e-14, max_num_iter=3_000), atol=1e-7)


gradients = jax.jit(jax.vmap(lambda f, x: f.grad(x), (None, 0)))


def test_what_fista_reports():
    """When it restarts, and a residual that bounds the distance of 0 from the subgradients of U at x+."""
    prior, likelihood, _ = sparse_problem(4e-3)
    _, (state, info) = in_numpy(minimise(fista, prior, likelihood, steps(fista), start()))
    x, z = (np.concatenate([start()[None], now[:-1]]) for now in (state.x, state.z))
    uphill = np.sum((z - state.x) * (state.x - x), axis=-1) > 0
    np.testing.assert_array_equal(info.restarted, uphill)
    np.testing.assert_array_equal(state.t == 1, uphill)
    np.testing.assert_array_equal(state.z[uphill], state.x[uphill])

    mapping = (z - info.estimate) / TAU
    np.testing.assert_allclose(info.residual, np.max(np.abs(mapping), axis=-1), rtol=1e-10, atol=1e-14)
    gradient, x = BETA * np.asarray(gradients(likelihood, info.estimate)), info.estimate
    smallest = np.sign(gradient) * np.maximum(np.abs(gradient) - 1 / prior.scale, 0)
    subgradient = np.where(x == 0, smallest, gradient + np.sign(x) / prior.scale)
    assert np.all(np.linalg.norm(subgradient, axis=-1) <= 2 * np.linalg.norm(mapping, axis=-1) + 1e-12)


def test_fista_asks_the_likelihood_for_its_gradient_alone():
    prior, likelihood, truth = sparse_problem(1.0)
    gradient_alone = types.SimpleNamespace(value=pytest.fail, grad=likelihood.grad, prox=pytest.fail)
    state, _ = run(KEY, fista(prior, tempered(gradient_alone, BETA)), start(), steps(fista))
    np.testing.assert_allclose(state.x, truth, atol=1e-10)


VARYING = {
    "by turns, then constant": np.where(np.arange(STEPS) < 100, np.where(np.arange(STEPS) % 2, 5.0, 0.05), 0.5),
    "by less and less": 0.5 * (1 + 3 * np.cos(np.arange(STEPS)) ** 2 / np.arange(1, STEPS + 1) ** 2),
    "random, then constant": np.where(np.arange(STEPS) < 200, np.random.default_rng(0).uniform(0.1, 3.0, STEPS), 0.3),
}


@pytest.mark.parametrize("name", VARYING)
def test_admm_converges_with_a_varying_step(name):
    prior, likelihood, truth = sparse_problem(0.1)
    x, (_, info) = minimise(admm, prior, likelihood, VARYING[name], start())
    np.testing.assert_allclose(x, truth, atol=1e-10)
    for residuals in (info.primal, info.dual, info.residual):
        assert converged(residuals, 1e-9)[0] and residuals[0] > 1e-2


def test_admm_is_boyds_with_its_scaled_dual():
    """Equations (3.5) to (3.7), u rescaled whenever rho changes (3.4.1), and the residuals of (3.8) and (3.10)."""
    prior, likelihood, _ = sparse_problem(0.1)
    rows = VARYING["random, then constant"][:12]
    _, (state, info) = in_numpy(minimise(admm, prior, likelihood, rows, start()))
    data, shrink = jax.jit(likelihood.prox), jax.jit(prior.prox)
    z, u, previous = np.asarray(start()), np.zeros(SIZE), rows[0]
    for index, lam in enumerate(rows):
        u, previous = u * (lam / previous), lam
        x = np.asarray(data(z - u, BETA * lam))
        z, last = np.asarray(shrink(x + u, lam)), z
        u = u + x - z
        primal, dual = np.max(np.abs(x - z)), np.max(np.abs(z - last)) / lam
        expected = (x, z, u / lam, primal, dual, max(primal / lam, dual), np.linalg.norm(x - last))
        reported = (info.data, state.x, state.y, info.primal, info.dual, info.residual, info.move)
        for one, other in zip(reported, expected, strict=True):
            np.testing.assert_allclose(one[index], other, atol=1e-11)
    assert np.any(info.residual > info.dual) and np.any(info.residual > info.primal / rows)


def test_admm_dual_is_a_gradient_of_both_sides():
    """y is a subgradient of g, the dual residual how far -y is from the gradient of beta f."""
    prior, likelihood, _ = sparse_problem(0.1)
    _, (state, info) = in_numpy(minimise(admm, prior, likelihood, VARYING["random, then constant"], start()))
    assert np.all(np.abs(state.y) <= (1 + 1e-12) / prior.scale)
    inside = state.x != 0
    np.testing.assert_allclose(state.y[inside], np.sign(state.x[inside]) / prior.scale)
    gradient = BETA * np.asarray(gradients(likelihood, info.data))
    np.testing.assert_allclose(np.max(np.abs(gradient + state.y), axis=-1), info.dual, atol=1e-12)


def test_admm_does_not_take_a_data_minimiser_for_the_end():
    """At a start where the data step stands still, the prior has yet to speak."""
    prior, likelihood, _ = sparse_problem(1.0)
    x = likelihood.basis @ (-likelihood.slopes / likelihood.eigenvalues)
    _, (_, info) = minimise(admm, prior, likelihood, jnp.full(1, 0.5), x)
    np.testing.assert_allclose(info.data[0], x, atol=1e-12)
    assert info.residual[0] > 0.1


def test_hqs_minimises_the_envelope_of_the_data_term():
    """So that it is off by O(lam), and the gap between its sides tells by how much."""
    prior, likelihood, minimiser = gaussian_problem(0.5, 0.8)
    errors = []
    for lam in (0.2, 0.1):
        x, (_, info) = minimise(hqs, prior, likelihood, np.full(STEPS, lam), start())
        np.testing.assert_allclose(x, minimiser(lam), atol=1e-12)
        assert converged(info.residual, 1e-9)[0]
        np.testing.assert_allclose(info.gap, np.max(np.abs(info.data - info.estimate), axis=-1), rtol=1e-12)
        np.testing.assert_allclose(info.gap[-1], lam * np.max(np.abs(prior.grad(x))), rtol=1e-9)
        errors.append(np.linalg.norm(x - minimiser()))
    assert 0.45 < errors[1] / errors[0] < 0.7


def test_hqs_reaches_the_minimiser_on_levels_that_fall_slowly():
    prior, likelihood, truth = sparse_problem(0.5)
    k = np.arange(1.0, 40 * STEPS + 1)
    x, (_, info) = minimise(hqs, prior, likelihood, 2.0 / k, start())
    error = np.max(np.abs(np.asarray(info.estimate) - truth), axis=-1)
    assert error[-1] < 1e-3 and 0.4 < error[-1] / error[12_000 - 1] < 0.6, "the error is O(lam)"
    short, _ = minimise(hqs, prior, likelihood, 2.0 * 0.5 ** (k - 1), start())
    assert np.max(np.abs(short - truth)) > 0.1, "a summable schedule stops short"


@functools.cache
def observed(strength):
    """`BETA f = strength |A x - y|^2` with 7 observations of 12 entries: A' A, A' y and f."""
    generator = np.random.default_rng(5)
    matrix, y = generator.normal(size=(7, SIZE)) / 3, generator.normal(size=7)
    return matrix.T @ matrix, matrix.T @ y, dense_gaussian_likelihood(matrix, y, np.sqrt(BETA / (2 * strength)))


@pytest.mark.parametrize("lam", [0.2, 0.5])
@pytest.mark.parametrize("factory", [fista, admm])
def test_a_map_that_disregards_lam_regularises_by_it(factory, lam):
    """With the prox of `|x|^2 / (2 tau)` at step 1 whatever lam: `(2 s A'A + I / (lam tau)) x = 2 s A'y`."""
    tau, strength = 3.0, 0.5
    gram, back, likelihood = observed(strength)
    x, _ = minimise(factory, Denoiser(tau / (1 + tau), 0.0), likelihood, np.full(STEPS, lam), start())
    expected = np.linalg.solve(2 * strength * gram + np.eye(SIZE) / (lam * tau), 2 * strength * back)
    np.testing.assert_allclose(x, expected, atol=1e-10)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_limit_is_a_fixed_point_of_any_map(name):
    prior, (_, _, likelihood) = Denoiser(0.6, 0.3), observed(0.5)
    x, (_, info) = minimise(OPTIMISERS[name], prior, likelihood, np.full(STEPS, 0.4), start())
    data = likelihood.prox(x, BETA * 0.4) if name == "hqs" else x - 0.4 * BETA * likelihood.grad(x)
    np.testing.assert_allclose(x, prior.prox(data, 0.4), atol=1e-10)
    assert converged(info.residual, 1e-9)[0] and np.max(np.abs(x)) > 0.05


@pytest.mark.parametrize("name", OPTIMISERS)
def test_it_starts_at_the_point_and_uses_no_key(name):
    prior, likelihood, _ = sparse_problem(0.5)
    np.testing.assert_array_equal(OPTIMISERS[name](prior, likelihood).init(KEY, start(), jnp.asarray(0.1)).x, start())
    rows = np.full(STEPS, 0.1)
    x, (state, info) = minimise(OPTIMISERS[name], prior, likelihood, rows, start())
    other, _ = minimise(OPTIMISERS[name], prior, likelihood, rows, start(), jax.random.key(9))
    np.testing.assert_array_equal(x, other)
    np.testing.assert_array_equal(state.x, info.estimate)
    np.testing.assert_array_equal(x, info.estimate[-1])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_batch_is_a_loop(name):
    """Problems that differ in their data, start and rows; a restart of one does not restart its neighbours."""
    prior, likelihood, _ = sparse_problem(4e-3)
    problems = [dataclasses.replace(likelihood, slopes=factor * likelihood.slopes) for factor in (1.0, 0.3, -2.0)]
    starts = np.stack([factor * np.asarray(start()) for factor in (0.0, 1.0, 5.0)])
    rows = np.outer(np.linspace(0.05, 0.14, 3), np.ones(STEPS))
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *problems)
    solve = functools.partial(minimise, OPTIMISERS[name], prior)
    batch, (_, info) = jax.vmap(solve)(stacked, rows, starts)
    alone = [solve(*problem) for problem in zip(problems, rows, starts, strict=True)]
    np.testing.assert_allclose(batch, [x for x, _ in alone], atol=1e-10)
    if name == "fista":
        first = [int(np.argmax(one.restarted)) for _, (_, one) in alone]
        assert [int(np.argmax(row)) for row in info.restarted] == first and len(set(first)) > 1


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_gradient_through_a_run_is_finite(name):
    """Also where residuals are exactly 0: in a corner of the box, from the first row on."""
    corner = jnp.ones(SIZE)

    @jax.jit
    @jax.grad
    def gradient(y, step, bound):
        likelihood = dense_gaussian_likelihood(hessian(1.0), y, 1.0)
        sampler = OPTIMISERS[name](Box(-bound, bound), tempered(likelihood, BETA))
        state, info = run(KEY, sampler, corner, step * jnp.ones(20), lambda state, info: info)
        return jnp.sum(state.x**2) + jnp.sum(info.estimate) + 0 * jnp.sum(info.residual)

    inside = gradient(0.2 * start(), jnp.asarray(0.1), jnp.asarray(1.0))
    assert np.all(np.isfinite(inside)) and np.any(inside != 0)
    pressed = gradient(jnp.full(SIZE, 100.0), jnp.asarray(0.1), jnp.asarray(1.0))
    np.testing.assert_array_equal(pressed, 0.0)


@pytest.mark.parametrize(
    ("residuals", "expected"),
    [
        ([3.0, 0.1, 0.5, 0.4], (True, 1)),
        ([3.0, 0.1, 2.0, 0.4], (True, 3)),
        ([0.1, 0.1, 0.1, 1.0], (True, 0)),
        ([0.1, 0.1, 0.1, 1.1], (False, 4)),
        ([0.1, np.nan, 0.1, 0.1], (True, 2)),
        ([0.1, 0.1, 0.1, np.nan], (False, 4)),
        ([np.inf, np.inf, np.inf, np.inf], (False, 4)),
    ],
)
def test_converged_from_a_row_on(residuals, expected):
    one = jax.jit(converged)(np.asarray(residuals), 1.0)
    assert (bool(one[0]), int(one[1])) == expected
    batch = jax.jit(jax.vmap(converged, (0, None)))(np.asarray([residuals, residuals]), 1.0)
    assert [int(row) for row in batch[1]] == [expected[1]] * 2
