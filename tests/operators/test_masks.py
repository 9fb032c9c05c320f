"""Random masks hide what they are asked to, evenly, and are the same for the same key."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.operators.fourier import fourier_sampling
from pgm_jax.operators.masks import bernoulli_mask, mask, random_box_mask, random_mask

SHAPE = (7, 10, 3)
KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 2000)
BOX = functools.partial(random_box_mask, image_shape=SHAPE, size=(2, 3), margin=1)
DRAWS = {
    "random": functools.partial(random_mask, image_shape=SHAPE, hidden=0.4),
    "random of every channel": functools.partial(random_mask, image_shape=SHAPE, hidden=0.4, shared=False),
    "bernoulli": functools.partial(bernoulli_mask, image_shape=SHAPE, hidden=0.4),
    "bernoulli of every channel": functools.partial(bernoulli_mask, image_shape=SHAPE, hidden=0.4, shared=False),
    "box": BOX,
}


@functools.cache
def drawn():
    """By name one mask for every key, (key, H, W, 1 or C), and those of the keys in the other order."""
    program = jax.jit(lambda keys: {name: jax.vmap(draw)(keys).mask for name, draw in DRAWS.items()})
    return jax.device_get([program(KEYS), program(KEYS[::-1])])


def masks(name):
    return drawn()[0][name]


@pytest.mark.parametrize("name", DRAWS)
def test_a_key_says_which_mask(name):
    many = masks(name)
    assert many.shape == (2000, 7, 10, 3 if "every channel" in name else 1)
    assert set(np.unique(many)) == {0, 1}
    np.testing.assert_array_equal(drawn()[1][name][::-1], many)
    assert len({one.tobytes() for one in many}) > 20


@pytest.mark.parametrize("name", [name for name in DRAWS if name != "box"])
def test_every_entry_is_hidden_as_often_as_asked_for(name):
    hidden = 1 - masks(name)
    z = (hidden.mean(0) - 0.4) / np.sqrt(0.4 * 0.6 / len(KEYS))
    assert abs(z).max() < 4.5
    # Two entries are hidden together as often as if they had nothing to do with each other.
    pairs = hidden.reshape(2000, 7, 10, -1)
    together = (pairs[:, 0, 0, 0] * pairs[:, -1, -1, -1]).mean()
    assert abs(together - 0.16) < 4 * np.sqrt(0.16 * 0.84 / len(KEYS))


def test_channels_hide_their_own_pixels():
    random, bernoulli = masks("random of every channel"), masks("bernoulli of every channel")
    for many in (random, masks("random")):
        np.testing.assert_array_equal(many.sum((1, 2)), 70 - 28)
    # The number of hidden entries of a Bernoulli mask varies as that of independent ones.
    numbers = (1 - bernoulli).sum((1, 2, 3))
    assert abs(numbers.mean() - 84) < 4 * np.sqrt(84 * 0.6 / len(KEYS))
    assert abs(numbers.var() / (84 * 0.6) - 1) < 4 * np.sqrt(2 / len(KEYS))
    for many in (random, bernoulli):
        agree = (many[..., 0] == many[..., 1]).mean()
        assert abs(agree - (0.16 + 0.36)) < 4 * np.sqrt(0.25 / (len(KEYS) * 70))


def test_the_probability_may_be_traced():
    hidden = np.linspace(0, 1, 5)
    seen = np.asarray(jax.jit(jax.vmap(lambda hidden: bernoulli_mask(KEY, (64, 64, 1), hidden)))(hidden).mask)
    np.testing.assert_allclose(seen.mean((1, 2, 3)), 1 - hidden, atol=4 * 0.5 / 64)
    assert np.all(seen[1:] <= seen[:-1])


def test_a_random_box_is_whole_inside_its_margin_and_uniform():
    hidden = masks("box")[..., 0] == 0
    np.testing.assert_array_equal(hidden.sum((1, 2)), 6)
    rows, cols = hidden.any(2), hidden.any(1)
    np.testing.assert_array_equal([rows.sum(1), cols.sum(1)], [[2] * len(KEYS), [3] * len(KEYS)])
    top, left = rows.argmax(1), cols.argmax(1)
    for i in range(len(KEYS)):
        assert hidden[i, top[i] : top[i] + 2, left[i] : left[i] + 3].all()
    counts = np.zeros((7, 10), int)
    np.add.at(counts, (top, left), 1)
    places = counts[1:5, 1:7]  # top from 1 to 7 - 1 - 2, left from 1 to 10 - 1 - 3
    assert places.sum() == len(KEYS)
    z = (places - 2000 / 24) / np.sqrt(2000 / 24 * (1 - 1 / 24))
    assert abs(z).max() < 4


def test_a_box_that_just_fits_has_one_place():
    expected = np.ones((7, 10, 1))
    expected[2:5, 2:8] = 0
    made = jax.jit(lambda key: random_box_mask(key, SHAPE, (3, 6), margin=2))(KEY)
    np.testing.assert_array_equal(made.mask, expected)


@pytest.mark.parametrize("shape", [(7, 10), (7, 10, 1), (7, 10, 3)])
def test_masks_of_any_type_and_shape_say_what_is_seen(shape):
    seen = np.arange(np.prod(shape)).reshape(shape) % 3 == 0
    arrays = (seen, seen * 255, seen.astype(np.uint8), seen.astype(np.float32), jnp.asarray(seen))
    plane = seen[..., 0] if len(shape) == 3 else seen
    *pixels, spectral = jax.jit(lambda: [*(mask(SHAPE, array) for array in arrays), fourier_sampling(SHAPE, plane)])()
    for made in pixels:
        np.testing.assert_array_equal(made.mask, seen.reshape(7, 10, -1).astype(np.float32))
    np.testing.assert_array_equal(np.asarray(spectral.mask)[..., 0], plane)


def test_traced_masks_are_masks():
    seen = np.arange(140).reshape(2, 7, 10) % 3 == 0
    made = jax.jit(jax.vmap(lambda seen: mask(SHAPE, seen)))(seen)
    np.testing.assert_array_equal(np.asarray(made.mask)[..., 0], seen)


@pytest.mark.parametrize("build", [mask, fourier_sampling])
@pytest.mark.parametrize(
    ("low", "between", "words"),
    [
        (0.0, 0.02, "1 of 70 values .* neither 0 nor 1, such as 0.02.*mask > 0.5.*w \\* A"),
        (0.0, np.nan, "1 of 70 values .* such as nan"),
        (0.0, -1.0, "1 of 70 values .* such as -1.0"),
        (0.0, 254.0, "such as 254.0.*mask > 127.0"),
        (255.0, 17.0, "1 of 70 values .* neither 0 nor 255, such as 17.0.*mask > 127.5"),
    ],
)
def test_what_is_neither_seen_nor_hidden_is_refused(build, low, between, words):
    with pytest.raises(ValueError, match=words):
        build(SHAPE, np.where(np.arange(70).reshape(7, 10) == 4, between, low))


REFUSED = {
    "a hidden share above 1": (lambda: bernoulli_mask(KEY, SHAPE, 70.0), "is 70.0; seventy per cent are 0.7"),
    "everything hidden": (lambda: bernoulli_mask(KEY, SHAPE, 1.0), "below 1, and is 1.0"),
    "less than nothing hidden": (lambda: bernoulli_mask(KEY, SHAPE, -0.1), "at least 0.*is -0.1"),
    "all hidden in every channel": (lambda: random_mask(KEY, SHAPE, 1.0, shared=False), "below 1, and is 1.0"),
    "no channel axis": (lambda: bernoulli_mask(KEY, (7, 10)), r"\(7, 10\).*grey image has one channel"),
    "a high box": (lambda: random_box_mask(KEY, SHAPE, (6, 3), margin=1), r"\(6, 3\) with a margin of 1.*7 x 10"),
    "a wide box": (lambda: random_box_mask(KEY, SHAPE, (3, 9), margin=1), r"\(3, 9\) .* fit .* 7 x 10"),
    "an empty box": (lambda: random_box_mask(KEY, SHAPE, (0, 3)), "both sides are at least 1"),
    "a box of no width": (lambda: random_box_mask(KEY, SHAPE, (3, 0)), "both sides are at least 1"),
    "a negative margin": (lambda: random_box_mask(KEY, SHAPE, (3, 3), margin=-1), "margin .*at least 0, and is -1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    build, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        build()
