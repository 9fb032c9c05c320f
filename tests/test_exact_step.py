"""The exact step: one data step and one call of the prior in its metric are the prox of the posterior, in float64."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import zooming_grid

from pgm_jax import operators, potentials
from pgm_jax.posteriors import gmm25_problem
from pgm_jax.potentials import (
    Ball,
    Box,
    Denoiser,
    Gaussian,
    GaussianLikelihood,
    Laplace,
    Mixture,
    dense_gaussian_likelihood,
    quadratic,
    tempered,
)
from pgm_jax.proximal import data_first, exact

SHAPE, SIGMA, LAMS = (4, 6, 1), 0.3, (1e-4, 0.05, 2.0, 1e4)
X = np.random.default_rng(0).standard_normal((2, *SHAPE))
HIDDEN = np.arange(24).reshape(SHAPE) % 5 < 2
# Built in double precision, thus not at import.
OPERATORS = {
    "mask": lambda: operators.mask(SHAPE, ~HIDDEN),
    "weighted mask": lambda: 0.3 * operators.mask(SHAPE, ~HIDDEN),
    "circular blur": lambda: operators.gaussian_blur(SHAPE, 0.7, radius=1),
    "decimation": lambda: operators.average_downsampling(SHAPE, 2),
    "conjugate gradients": lambda: operators.reflecting_blur(SHAPE, np.ones((3, 3)) / 9),
    "frequencies": lambda: operators.fourier_sampling(SHAPE, np.arange(24).reshape(4, 6) % 3 == 0),
}


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def measured(operator, sigma=SIGMA):
    operator = OPERATORS[operator]() if isinstance(operator, str) else operator
    return GaussianLikelihood(operator, operator.forward(jnp.asarray(X[0])), sigma)


def gram(operator):
    """A^T A, by unit images."""
    units = jnp.eye(24).reshape(24, *SHAPE)
    return np.asarray(jax.vmap(lambda x: operator.adjoint(operator.forward(x)))(units).reshape(24, 24))


@pytest.mark.parametrize("name", OPERATORS)
def test_sigma_is_the_inverse_of_the_precision(name):
    f = measured(name)
    rows = gram(f.operator) / SIGMA**2

    @jax.jit
    def dense(lam):
        metric = f.metric(f.prox(jnp.asarray(X[1]), lam), lam)
        return metric.dense(jnp.asarray(X[0])), metric.gain(jnp.asarray(X[0]), 0.5)

    for lam in LAMS:
        sigma, believed = dense(lam)
        expected = np.linalg.inv(rows + np.eye(24) / lam)
        np.testing.assert_allclose(sigma, expected, rtol=1e-8, atol=1e-9 * lam)
        share = 0.25 * np.linalg.solve(expected + 0.25 * np.eye(24), X[0].ravel())
        np.testing.assert_allclose(np.ravel(believed), share, atol=1e-8)
    assert f.metric(jnp.asarray(X[1]), 1.0).entrywise == name.endswith("mask")


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("std", [0.5, np.linspace(0.1, 2.0, 24).reshape(SHAPE)], ids=["one std", "a std each"])
def test_it_is_the_prox_of_a_gaussian_posterior(name, std):
    f, g = measured(name), Gaussian(jnp.full(SHAPE, 0.3), jnp.asarray(std))
    rows, step = gram(f.operator) / SIGMA**2, jax.jit(exact(g, f))
    for lam in LAMS[:-1]:
        precision = rows + np.diag(np.broadcast_to(np.asarray(std) ** -2.0, SHAPE).ravel()) + np.eye(24) / lam
        right = f.operator.adjoint(f.y) / SIGMA**2 + 0.3 / np.asarray(std) ** 2 + X[1] / lam
        expected = np.linalg.solve(precision, np.ravel(right)).reshape(SHAPE)
        np.testing.assert_allclose(step(jnp.asarray(X[1]), lam), expected, rtol=1e-8, atol=1e-8)


def test_it_is_the_prox_of_two_quadratics():
    draw = np.random.default_rng(2).standard_normal
    a, b, m, v = draw((3, 5)), draw(5), draw((2, 5)), draw(5)
    f = dense_gaussian_likelihood(m, jnp.asarray(draw(2)), SIGMA)
    linear = np.asarray(f.basis @ f.slopes)
    for lam in LAMS:
        expected = np.linalg.solve(a.T @ a + m.T @ m / SIGMA**2 + np.eye(5) / lam, v / lam - b - linear)
        found = exact(quadratic(a.T @ a, b), f)(jnp.asarray(v), lam)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-8 * lam)


@pytest.mark.parametrize("name", ["Laplace", "Box", "Ball"])
def test_it_is_the_prox_of_u_for_masks_and_convex_priors(name):
    """Beside a long run of proximal gradients, which converges to the prox of U itself."""
    f, v = measured("weighted mask"), jnp.asarray(X[1])
    g = dict(Laplace=Laplace(0.4), Box=Box(-0.5, 0.4), Ball=Ball(1.3))[name]
    for lam in (0.05, 2.0):
        step = 1 / (1 / lam + 0.09 / SIGMA**2)
        descend = jax.jit(lambda u, lam=lam, h=step: g.prox(u - h * (f.grad(u) + (u - v) / lam), h))
        u = v
        for _ in range(400):
            u = descend(u)
        np.testing.assert_allclose(exact(g, f)(v, lam), u, atol=1e-8)


@pytest.mark.parametrize("name", ["Laplace", "Box", "Ball"])
def test_where_sigma_is_not_diagonal_they_refuse(name):
    g = dict(Laplace=Laplace(0.4), Box=Box(-0.5, 0.4), Ball=Ball(1.3))[name]
    f = measured("circular blur")
    with pytest.raises(
        TypeError,
        match="only where Sigma is known to be diagonal, as for masks, and a CircularBlur leaves",
    ):
        exact(g, f)(jnp.asarray(X[1]), 0.1)


MIXED = Mixture(jnp.array([0.4, 0.6]), jnp.asarray(X), 0.3)
MIXTURE = Mixture(jnp.array([0.5, 0.3, 0.2]), jnp.array([[-1.0, 0.0], [1.2, 0.4], [0.3, -1.5]]), 0.4)
MATRIX, Y = np.array([[1.0, -0.6]]), jnp.array([0.4])


@pytest.mark.parametrize("lam", [0.05, 0.7, 5.0])
def test_it_is_the_prox_of_a_mixture_posterior_by_a_grid(lam):
    f, v = dense_gaussian_likelihood(MATRIX, Y, 0.5), jnp.array([0.6, -0.3])
    means = np.asarray(MIXTURE.means)

    def objective(u):
        square = np.sum((u[:, None] - means[None]) ** 2, axis=-1)
        g = -np.log(np.sum(np.asarray(MIXTURE.weights) * np.exp(-square / 0.32), axis=1))
        return (
            g + np.sum((u @ MATRIX.T - 0.4) ** 2, axis=1) / 0.5 + np.sum((u - np.asarray(v)) ** 2, axis=1) / (2 * lam)
        )

    found = exact(MIXTURE, f)(v, lam)
    # A grid finds a minimum to the root of rounding; the slope there says the rest.
    np.testing.assert_allclose(found, zooming_grid(objective, np.asarray(v)), atol=1e-6)
    slope = MIXTURE.grad(found) + f.grad(found) + (found - v) / lam
    np.testing.assert_allclose(slope, 0, atol=1e-8 * (1 + 1 / lam))


@pytest.mark.parametrize(("d", "m"), [(8, 1), (8, 4), (20, 2)])
def test_its_means_are_those_of_the_mixtures_posterior(d, m):
    problem = gmm25_problem(jax.random.key(d + m), d, m, 0.1)
    (_, _, posterior, matrix, y, truth) = problem
    f, prior = dense_gaussian_likelihood(np.asarray(matrix), y, 0.1), problem.prior
    for lam in (0.01, 1.0, 64.0, 3e3):
        v = truth + jnp.sqrt(lam) * jax.random.normal(jax.random.key(3), (d,))
        mean = exact(Denoiser(prior), f)(v, lam)
        np.testing.assert_allclose(mean, posterior.denoise(v, lam), rtol=1e-8, atol=1e-7)
        np.testing.assert_allclose(exact(prior, f)(v, lam), posterior.prox(v, lam), rtol=1e-6, atol=1e-6)


def test_it_degenerates_as_it_should():
    v, lam, sees_nothing = jnp.asarray(X[1]), 0.7, operators.mask(SHAPE, np.zeros(SHAPE))
    mixture = Mixture(jnp.array([0.4, 0.6]), jnp.asarray(X), 0.3)
    for prior in (Gaussian(0.2, 0.5), Denoiser(Gaussian(0.2, 0.5)), Laplace(0.4), Denoiser(mixture)):
        blind = exact(prior, measured(sees_nothing))
        np.testing.assert_allclose(blind(v, lam), prior.prox(v, lam), atol=1e-12)
        f = measured(operators.mask(SHAPE, np.ones(SHAPE)))
        level = lam * SIGMA**2 / (lam + SIGMA**2)
        everywhere = exact(prior, f)(v, lam)
        np.testing.assert_allclose(everywhere, prior.prox(f.prox(v, lam), level), atol=1e-12)
        np.testing.assert_allclose(data_first(prior, f)(v, lam), prior.prox(f.prox(v, lam), lam), atol=1e-12)
        noiseless = measured("mask", 0.0)
        np.testing.assert_allclose(exact(prior, noiseless)(v, lam)[~HIDDEN], X[0][~HIDDEN], atol=1e-12)


@pytest.mark.parametrize("name", ["weighted mask", "decimation"])
def test_perturbing_and_solving_has_the_covariance_sigma(name):
    lam, count = 0.5, 20_000
    f = measured(name)
    truth = jnp.asarray(X[0])

    def estimate(key):
        for_u, for_y = jax.random.split(key)
        y = f.y + SIGMA * jax.random.normal(for_y, f.y.shape)
        return GaussianLikelihood(f.operator, y, SIGMA).prox(
            truth + jnp.sqrt(lam) * jax.random.normal(for_u, SHAPE), lam
        )

    apart = (jax.vmap(estimate)(jax.random.split(jax.random.key(5), count)) - truth[None]).reshape(count, -1)
    sigma = np.asarray(f.metric(truth, lam).dense(truth))
    variances = np.diag(sigma)
    errors = np.sqrt((np.outer(variances, variances) + sigma**2) / count)
    z = (apart.T @ apart / count - sigma) / errors
    # 300 different entries: the largest of so many normal numbers is rarely above 4.
    assert np.max(np.abs(z)) < 4.2 and np.mean(np.abs(z)) < 0.9
    assert np.max(np.abs(np.mean(apart, axis=0) / np.sqrt(variances / count))) < 4


def test_a_tempered_likelihood_has_the_metric_of_its_noise():
    f, v = measured("mask"), jnp.asarray(X[1])
    warmer = measured("mask", SIGMA / np.sqrt(0.3))
    np.testing.assert_allclose(tempered(f, 0.3).metric(v, 0.5).dense(v), warmer.metric(v, 0.5).dense(v), atol=1e-12)
    q = quadratic(np.array([[2.0, -1.0], [-1.0, 0.5]]), np.array([0.3, -0.4]))
    np.testing.assert_allclose(
        tempered(q, 3.0).metric(jnp.zeros(2), 0.5).dense(jnp.zeros(2)),
        np.linalg.inv(3 * np.array([[2, -1], [-1, 0.5]]) + 2 * np.eye(2)),
    )


def test_a_nonlinear_operator_is_linearised_at_the_data_step():
    operator = operators.high_dynamic_range(SHAPE, 2.0)
    f, v = GaussianLikelihood(operator, operator.forward(jnp.asarray(X[0]) / 4), SIGMA), jnp.asarray(X[1]) / 4
    mu = f.prox(v, 0.2)
    slope = np.diag(jax.jacobian(operator.forward)(mu).reshape(24, 24))
    variances = (1 / (slope**2 / SIGMA**2 + 5)).reshape(SHAPE)
    expected = 0.1 + 0.25 / (0.25 + variances) * (mu - 0.1)
    np.testing.assert_allclose(exact(Gaussian(0.1, 0.5), f)(v, 0.2), expected, atol=1e-8)


def test_priors_and_likelihoods_without_it_are_refused_in_words():
    f = measured("mask")
    counts = potentials.PoissonLikelihood(f.operator, f.y, 1.0, 1.0)
    for prior in (potentials.TotalVariation(0.1), Denoiser(Laplace(1.0))):
        with pytest.raises(TypeError, match=f"{type(prior).__name__} has no `prox_metric.*Take `data_first`"):
            exact(prior, f)
    for likelihood in (counts, tempered(counts, 0.5)):
        with pytest.raises(TypeError, match=f"{type(likelihood).__name__} has no `metric.*Take `data_first`"):
            exact(Gaussian(0.0, 1.0), likelihood)
    points = Mixture(jnp.ones(2), jnp.asarray(X), 0.0)
    for prior in (points, Denoiser(points)):
        with pytest.raises(ValueError, match="A distribution on points, std = 0, has no prox in another metric"):
            exact(prior, f)(jnp.asarray(X[1]), 0.5)
    answers = {"float64 of the shape": jnp.ravel, "complex128 of": lambda mu: mu + 0j, "NoneType": lambda mu: None}
    for words, answer in answers.items():
        wrong = SimpleNamespace(prox_metric=lambda mu, metric, answer=answer: answer(mu))
        with pytest.raises(
            ValueError, match=f"the prior, a SimpleNamespace, returned {words}.* real point of the same"
        ):
            exact(wrong, f)(jnp.asarray(X[1]), 0.5)


@pytest.mark.parametrize("name", ["mask", "decimation", "frequencies"])
@pytest.mark.parametrize("std", [0.5, 0.02])
def test_in_single_precision_nothing_cancels_at_high_levels(name, std):
    mixture = lambda kind: Mixture(jnp.ones(2, kind), jnp.asarray(X, kind), jnp.asarray(std, kind))  # noqa: E731
    for lam in (25.0, 1e3):
        v = X[0] + np.sqrt(lam) * np.random.default_rng(1).standard_normal(SHAPE)
        wanted = exact(Denoiser(mixture(jnp.float64)), measured(name))(jnp.asarray(v), lam)
        single = jax.tree.map(
            lambda a: jnp.asarray(a, jnp.float32 if jnp.isrealobj(a) else jnp.complex64), measured(name)
        )
        found = exact(Denoiser(mixture(jnp.float32)), single)(jnp.asarray(v, jnp.float32), jnp.float32(lam))
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, wanted, atol=2e-3)


@pytest.mark.parametrize("lam", [1.0, 25.0, 1e3, 1e6])
def test_in_single_precision_quadratics_keep_their_digits(lam):
    draw = np.random.default_rng(3).standard_normal
    a, m, y, v = draw((8, 8)), draw((5, 8)), draw(5), np.sqrt(lam) * draw(8)

    def found(kind):
        pair = quadratic(a.T @ a, draw(8) * 0), dense_gaussian_likelihood(m, jnp.asarray(y), 0.1)
        g, f = jax.tree.map(lambda x: jnp.asarray(x, kind), pair)
        return exact(g, f)(jnp.asarray(v, kind), jnp.asarray(lam, kind))

    np.testing.assert_allclose(found(jnp.float32), found(jnp.float64), atol=2e-3)


def test_the_proxes_of_masks_are_differentiable_and_take_images_that_are_known():
    f, v = measured("mask"), jnp.asarray(X[1])
    for g in (Ball(1.3), Laplace(0.4), MIXED):
        slope = jax.grad(lambda lam, g=g: jnp.sum(exact(g, f)(v, lam)))(0.5)
        step = sum(s * float(jnp.sum(exact(g, f)(v, 0.5 + s * 1e-6))) for s in (1, -1)) / 2e-6
        np.testing.assert_allclose(slope, step, rtol=1e-4, atol=1e-6)
    everything = measured(operators.mask(SHAPE, np.ones(SHAPE)), 0.0)
    np.testing.assert_allclose(exact(Ball(99.0), everything)(v, 0.5), X[0], atol=1e-12)
    assert np.all(np.isfinite(jax.jacobian(exact(Ball(1.3), f))(jnp.zeros(SHAPE), 0.5)))
