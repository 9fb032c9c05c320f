"""Noise: what it draws is what its likelihood judges, for numbers, batches and maps; and its estimate."""

import functools
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
X = jnp.asarray(np.linspace(-0.8, 0.9, 24, dtype=np.float32).reshape(SHAPE))
SIGMAS = jnp.asarray(np.linspace(0.1, 0.9, 24, dtype=np.float32).reshape(SHAPE))
OPERATORS = {
    "mask": random_mask(KEY, SHAPE, 0.4),
    "blur": gaussian_blur(SHAPE, 0.35),
    "averages": average_downsampling(SHAPE, 2),
    "spectrum": fourier_sampling(SHAPE, np.arange(24).reshape(4, 6) % 3 > 0),
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


# The draws apart from the operator, since operators of one shape then share the large program of a Poisson variable.
draw = jax.jit(jax.vmap(lambda noise, clean, key: noise.sample(key, clean), (None, None, 0)))


@jax.jit
def expected(noise, a):
    clean = noise.clean(a, X)
    return clean, noise.std(clean)


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, None, 0, None))
def derivatives(noise, a, y, direction):
    """Slope and curvature of the likelihood of a measurement at the truth, along a direction."""

    def value(t):
        return noise.likelihood(a, jnp.where(a.observed > 0, y, 0)).value(X + t * direction)

    return jax.jvp(jax.grad(value), (0.0,), (1.0,))


@functools.cache
def drawn(name, operator):
    """The measurement without noise, its deviation, and draws."""
    noise = NOISES[name][0]
    clean, std = expected(noise, OPERATORS[operator])
    return jax.tree.map(np.asarray, (clean, std, draw(noise, clean, jax.random.split(KEY, COUNT))))


COUNT = 4000


@pytest.mark.parametrize(("name", "operator"), CASES)
def test_it_draws_what_it_says(name, operator):
    """Mean and deviation of every entry over many draws, as z-scores."""
    clean, std, y = drawn(name, operator)
    for part in (np.real, np.imag) if np.iscomplexobj(y) else (np.real,):
        z = (part(y).mean(0) - part(clean)) / std * np.sqrt(COUNT)
        assert np.max(np.abs(z)) < 4.5
        # The fourth moment of counts is 3 + 1 / I times the squared variance.
        excess = 1 / clean if "Poisson" in name else 0.0
        spread = (part(y).var(0) / std**2 - 1) / np.sqrt((2 + excess) / COUNT)
        assert np.max(np.abs(spread)) < 4.5


@pytest.mark.parametrize(("name", "operator"), CASES)
def test_its_likelihood_is_that_of_what_it_draws(name, operator):
    """The score has the mean 0 at the truth, and its covariance is the expected Hessian: along one direction."""
    direction = np.float32(np.random.default_rng(9).standard_normal(SHAPE))
    given = NOISES[name][0], OPERATORS[operator], drawn(name, operator)[2], direction
    slopes, curvatures = map(np.asarray, derivatives(*given))
    information = np.mean(curvatures)
    assert abs(np.mean(slopes)) < 4 * np.sqrt(information / COUNT)
    assert abs(np.var(slopes) / information - 1) < 5 * np.sqrt(2.5 / COUNT)


@pytest.mark.parametrize("operator", ["mask", "blur"])
def test_a_map_of_one_value_is_the_number(operator):
    a, y = OPERATORS[operator], OPERATORS[operator].forward(X)
    everything = jax.jit(lambda f, v: (f.value(v), f.grad(v), f.prox(v, 0.5)))
    spreads = jnp.float32(0.3), jnp.full(SHAPE, 0.3)
    number, field = (everything(GaussianNoise(sigma).likelihood(a, y), X[::-1]) for sigma in spreads)
    for one, other, tolerances in zip(field, number, ((1e-5, 0), (1e-7, 1e-4), (1e-7, 2e-4)), strict=True):
        np.testing.assert_allclose(one, other, *tolerances)


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


def normal(*shape):
    return np.float32(np.random.default_rng(0).standard_normal(shape))


def estimate_sigma(y, observed=None):
    return GaussianNoise.estimate(y, observed).sigma


def test_it_is_that_of_white_noise_within_chance():
    noise = normal(16, 32, 32, 3)
    blocks = noise.size / 4
    # The deviation of a median of |n| is 1 / (2 p sqrt(N)), p = 0.6356 its density there.
    z = (estimate_sigma(0.3 * noise) / 0.3 - 1) * 0.6745 * 2 * 0.6356 * np.sqrt(blocks)
    assert abs(z) < 4


def test_smooth_images_do_not_count():
    ramp = np.broadcast_to(np.linspace(-1, 1, 64)[:, None, None], (64, 64, 1)) ** 2
    noisy = ramp + 0.05 * normal(64, 64, 1)
    np.testing.assert_allclose(estimate_sigma(noisy), 0.05, rtol=0.1)


@pytest.mark.parametrize(("sigma", "excess"), [(0.05, 1.35), (0.2, 1.15)])
def test_the_texture_of_small_images_counts_as_noise(sigma, excess):
    images = np.asarray(example_images()[:8])
    noisy = images + sigma * normal(*images.shape)
    assert sigma < estimate_sigma(noisy) < excess * sigma


def test_hidden_pixels_are_left_out():
    noise = 0.1 * normal(64, 64, 1)
    hidden = np.random.default_rng(1).uniform(size=noise.shape) < 0.3
    expected = estimate_sigma(np.where(hidden, np.nan, noise))
    np.testing.assert_allclose(expected, 0.1, rtol=0.15)
    assert estimate_sigma(np.where(hidden, 5.0, noise), ~hidden) == expected


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
