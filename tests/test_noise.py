"""Noise: what it draws is what its likelihood judges, for numbers, batches and maps; and its estimate."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax import noise as noises
from pgm_jax.noise import GaussianNoise, PoissonNoise, measure, per_measurement
from pgm_jax.operators import average_downsampling, fourier_sampling, gaussian_blur, random_mask
from pgm_jax.pretrained import example_images

SHAPE, KEY = (4, 6, 1), jax.random.key(3)
X = jnp.linspace(-0.8, 0.9, 24).reshape(SHAPE)
SIGMAS = jnp.linspace(0.1, 0.9, 24).reshape(SHAPE)
OPERATORS = {
    "mask": random_mask(KEY, SHAPE, 0.4),
    "blur": gaussian_blur(SHAPE, 0.35),
    "averages": average_downsampling(SHAPE, 2),
    "spectrum": fourier_sampling(SHAPE, jnp.arange(24).reshape(4, 6) % 3 > 0),
}
# Noise, and for which operators: counts are real.
NOISES = {
    "Gaussian": (GaussianNoise(0.3), OPERATORS),
    "Gaussian, a map": (GaussianNoise(SIGMAS), ["mask", "blur"]),
    "Poisson": (PoissonNoise(50.0, 2.0), ["mask", "blur", "averages"]),
    "Poisson, a map": (PoissonNoise(20.0 + 100 * SIGMAS, 2.0), ["mask", "blur"]),
}
CASES = [(name, operator) for name, (_, among) in NOISES.items() for operator in among]


def test_every_noise_has_a_row():
    kinds = {value for value in vars(noises).values() if isinstance(value, type) and hasattr(value, "likelihood")}
    assert kinds - {noises.Noise} == {type(noise) for noise, _ in NOISES.values()}


@pytest.mark.parametrize(("name", "operator"), CASES)
def test_it_draws_what_it_says(name, operator):
    """Mean and deviation of every entry over many draws, as z-scores."""
    noise, a, count = NOISES[name][0], OPERATORS[operator], 4000
    clean = noise.clean(a, X)
    y = jax.vmap(lambda key: noise.sample(key, clean))(jax.random.split(KEY, count))
    std = np.asarray(noise.std(clean))
    for part in (np.real, np.imag) if np.iscomplexobj(y) else (np.real,):
        z = (part(y).mean(0) - part(clean)) / std * np.sqrt(count)
        assert np.max(np.abs(z)) < 4.5
        # The fourth moment of counts is 3 + 1 / I times the squared variance.
        excess = 1 / clean if "Poisson" in name else 0.0
        spread = (part(y).var(0) / std**2 - 1) / np.sqrt((2 + excess) / count)
        assert np.max(np.abs(spread)) < 4.5


@pytest.mark.parametrize(("name", "operator"), CASES)
def test_its_likelihood_is_that_of_what_it_draws(name, operator):
    """The score has the mean 0 at the truth, and its covariance is the expected Hessian: along one direction."""
    noise, a, count = NOISES[name][0], OPERATORS[operator], 2000
    clean = noise.clean(a, X)
    direction = jax.random.normal(jax.random.key(9), SHAPE)

    def along(key):
        def value(t):
            return noise.likelihood(a, jnp.where(a.observed > 0, noise.sample(key, clean), 0)).value(X + t * direction)

        return jax.grad(value)(0.0), jax.grad(jax.grad(value))(0.0)

    slopes, curvatures = jax.jit(jax.vmap(along))(jax.random.split(KEY, count))
    information = float(jnp.mean(curvatures))
    assert abs(float(jnp.mean(slopes))) < 4 * np.sqrt(information / count)
    assert abs(float(jnp.var(slopes)) / information - 1) < 5 * np.sqrt(2.5 / count)


@pytest.mark.parametrize("operator", ["mask", "blur"])
def test_a_map_of_one_value_is_the_number(operator):
    a, y = OPERATORS[operator], OPERATORS[operator].forward(X)
    number, field = GaussianNoise(0.3).likelihood(a, y), GaussianNoise(jnp.full(SHAPE, 0.3)).likelihood(a, y)
    v = X[::-1]
    np.testing.assert_allclose(field.value(v), number.value(v), rtol=1e-5)
    np.testing.assert_allclose(field.grad(v), number.grad(v), atol=1e-4)
    np.testing.assert_allclose(field.prox(v, 0.5), number.prox(v, 0.5), atol=2e-4)


def test_an_image_is_a_batch_of_one():
    a, noise, batch = OPERATORS["mask"], GaussianNoise(0.1), jnp.stack([X, -X, X / 2])
    y = measure(KEY, a, batch, noise)
    np.testing.assert_array_equal(measure(KEY, a, X, noise), y[0])
    np.testing.assert_array_equal(np.asarray(y)[:, np.asarray(a.mask) == 0], 0)
    part = measure(KEY, a, batch[1:], noise, indices=jnp.array([1, 2]))
    np.testing.assert_allclose(part, y[1:], atol=1e-6)


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_a_measurement_alone_is_that_among_four_for_keys_of_any_generator(impl):
    key, batch = jax.random.key(0, impl=impl), jnp.stack([X] * 4)
    four = measure(key, OPERATORS["blur"], batch, GaussianNoise(0.1))
    np.testing.assert_allclose(measure(key, OPERATORS["blur"], X, GaussianNoise(0.1)), four[0], atol=1e-6)


def test_old_keys_are_taken():
    old, new = (make(3) for make in (jax.random.PRNGKey, jax.random.key))
    one, other = (measure(key, OPERATORS["blur"], X, GaussianNoise(0.1)) for key in (old, new))
    np.testing.assert_array_equal(one, other)


def test_each_measurement_may_have_its_own_deviation():
    batch = jnp.zeros((3, 32, 32, 1))
    y = measure(KEY, gaussian_blur((32, 32, 1), 0.7), batch, GaussianNoise(jnp.array([0.1, 1.0, 5.0])))
    np.testing.assert_allclose(jnp.std(y, axis=(1, 2, 3)), [0.1, 1.0, 5.0], rtol=0.1)


SPREADS = {
    "a number": (0.2, (3, 4, 6, 1), (3,)),
    "one each": (np.full(3, 0.2), (3, 4, 6, 1), (3,)),
    "a map": (np.full((4, 6, 1), 0.2), (3, 4, 6, 1), (3, 4, 6, 1)),
    "a row of a map": (np.full((1, 6, 1), 0.2), (3, 4, 6, 1), (3, 1, 6, 1)),
    "a map each": (np.full((3, 4, 6, 1), 0.2), (3, 4, 6, 1), (3, 4, 6, 1)),
    "one each, of vectors": (np.full(3, 0.2), (3, 5), (3,)),
    "a map of a vector": (np.full(5, 0.2), (3, 5), (3, 5)),
}


@pytest.mark.parametrize("name", SPREADS)
def test_numbers_are_spread_over_a_batch(name):
    number, shape, expected = SPREADS[name]
    assert per_measurement(GaussianNoise(jnp.asarray(number)), shape).sigma.shape == expected


REFUSED = {
    "0": (0.0, "holds 0.0; its numbers must be positive and finite"),
    "numpy's 0": (np.float32(0), "must be positive and finite"),
    "negative": (-1, "positive"),
    "NaN": (float("nan"), "positive"),
    "infinity in an array": (jnp.array([0.1, jnp.inf, 1.0]), "positive"),
    "no shape that fits": (jnp.full((2,), 0.1), r"shape \(2,\), which is neither.*\(3, 1, 1, 1\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_numbers_that_cannot_be_are_refused(name):
    number, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        measure(KEY, OPERATORS["blur"], jnp.stack([X] * 3), GaussianNoise(number))


def test_a_vector_that_could_be_both_is_refused():
    with pytest.raises(ValueError, match=r"one for each of 5 measurements or a map.*\(5, 1\).*\(1, 5\)"):
        per_measurement(GaussianNoise(jnp.full(5, 0.1)), (5, 5))


@pytest.mark.parametrize(
    ("key", "x", "error", "words"),
    [
        (0, X, TypeError, r"key is 0, which is no key; give one key: jax.random.key\(0\)"),
        (jax.random.split(KEY, 3), X, TypeError, r"array of shape \(3,\).*one of jax.random.split"),
        (KEY, X[None, None], ValueError, r"shape \(1, 1, 4, 6, 1\) and the operator takes \(4, 6, 1\)"),
        (KEY, (127 * X).astype(jnp.uint8), TypeError, "x / 127.5 - 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(key, x, error, words):
    with pytest.raises(error, match=words):
        inspect.unwrap(measure)(key, OPERATORS["blur"], x, GaussianNoise(0.1))


def estimate_sigma(y, observed=None):
    return GaussianNoise.estimate(y, observed).sigma


def test_it_is_that_of_white_noise_within_chance():
    noise = jax.random.normal(jax.random.key(0), (16, 32, 32, 3))
    blocks = noise.size / 4
    # The deviation of a median of |n| is 1 / (2 p sqrt(N)), p = 0.6356 its density there.
    z = (estimate_sigma(0.3 * noise) / 0.3 - 1) * 0.6745 * 2 * 0.6356 * np.sqrt(blocks)
    assert abs(z) < 4


def test_smooth_images_do_not_count():
    ramp = jnp.broadcast_to(jnp.linspace(-1, 1, 64)[:, None, None], (64, 64, 1)) ** 2
    noisy = ramp + 0.05 * jax.random.normal(jax.random.key(0), ramp.shape)
    np.testing.assert_allclose(estimate_sigma(noisy), 0.05, rtol=0.1)


@pytest.mark.parametrize(("sigma", "excess"), [(0.05, 1.35), (0.2, 1.15)])
def test_the_texture_of_small_images_counts_as_noise(sigma, excess):
    images = example_images()[:8]
    noisy = images + sigma * jax.random.normal(jax.random.key(0), images.shape)
    assert sigma < estimate_sigma(noisy) < excess * sigma


def test_hidden_pixels_are_left_out():
    noise = 0.1 * jax.random.normal(jax.random.key(0), (64, 64, 1))
    hidden = jax.random.bernoulli(jax.random.key(1), 0.3, noise.shape)
    np.testing.assert_allclose(estimate_sigma(jnp.where(hidden, jnp.nan, noise)), 0.1, rtol=0.15)
    assert estimate_sigma(jnp.where(hidden, 5.0, noise), ~hidden) == estimate_sigma(jnp.where(hidden, jnp.nan, noise))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (jnp.ones((1, 100, 1)), r"neighbouring pixels.*give GaussianNoise\(sigma\)"),
        (jnp.full((8, 8, 1), jnp.nan), "Only 0 blocks"),
        (jnp.ones((8, 8, 1), complex), "complex64 is no image"),
        (jnp.ones((8, 8, 1)), "estimate of the noise is 0"),
    ],
)
def test_what_is_no_image_is_refused(y, words):
    with pytest.raises(ValueError, match=words):
        estimate_sigma(y)
