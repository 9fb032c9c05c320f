"""Every numeric argument of every factory is checked by its value, whoever made the number: Python, numpy or jax."""

import functools
import inspect

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from pgm_jax import operators
from pgm_jax.operators import kernels, phantom

SHAPE = (8, 8, 2)
KEY = jax.random.key(0)
PIXELS, KERNEL, COILS = np.ones((8, 8)), np.ones((3, 3)), np.ones((2, 8, 8))
INNER = operators.circular_blur(SHAPE, KERNEL)
NAN, INF = float("nan"), float("inf")
OTHERS = {"key", "image_shape", "shared", "boundary", "function", "linear", "operator", "outer", "inner", "parts"}

CALCULATE = {"cartesian_mask", "phase_retrieval", "random_mask"}

# A number, with what is bad of it beside NaN, infinity and text; 2.5 says that it is whole.
positive, at_least_0, share, whole = (0.0, -1.0), (-1.0,), (-1.0, 2.0), (0, -1, 2.5)
COUNT = dict(count=(4, whole))
GAIN = dict(gain=(2.0, positive))


def entry(of_one):
    """An array and how to put a bad number into it."""
    return lambda bad: np.where(np.arange(np.size(of_one)).reshape(np.shape(of_one)) == 1, bad, of_one)


NUMBERS = {
    "average_downsampling": dict(factor=(2, whole)),
    "bernoulli_mask": dict(hidden=(0.5, share)),
    "bicubic_downsampling": dict(factor=(2, whole)),
    "blur_downsampling": dict(kernel=KERNEL, factor=(2, whole)),
    "box_mask": dict(box=((0, 0, 2, 2), lambda bad: (bad, 0, 2, 2))),
    "cartesian_mask": dict(acceleration=(4.0, (0.0, -1.0)), centre=(0.2, share)),
    "circulant_sensing": COUNT,
    "circular_blur": dict(kernel=KERNEL),
    "colourisation": dict(weights=np.ones(2)),
    "complex_fourier_sampling": dict(mask=PIXELS),
    "complex_mri": dict(mask=PIXELS, coils=COILS),
    "compose": {},
    "fourier_sampling": dict(mask=PIXELS),
    "from_function": {},
    "gaussian_blur": dict(width=(0.5, positive), truncate=(2.0, at_least_0), radius=(1, (-1, 2.5))),
    "gaussian_sensing": COUNT,
    "hadamard_sensing": COUNT,
    "high_dynamic_range": GAIN,
    "mask": dict(seen=PIXELS),
    "motion_blur": dict(size=(5, whole), intensity=(0.5, share)),
    "mri": dict(mask=PIXELS, coils=COILS),
    "phase_retrieval": dict(oversampling=(2.0, positive), image_range=((0.0, 1.0), lambda bad: (0.0, bad))),
    "quantisation": dict(levels=(4, whole)),
    "radon": dict(angles=np.ones(3), detectors=(5, whole)),
    "random_box_mask": dict(size=((2, 2), lambda bad: (bad, 2)), margin=(1, (-1, 2.5))),
    "random_mask": dict(hidden=(0.5, share)),
    "reflecting_blur": dict(kernel=KERNEL),
    "saturation": GAIN,
    "scale": dict(factor=(2.0, (0.0,))),
    "separable_map": dict(rows=np.eye(8), cols=np.eye(8)),
    "stack": {},
    "synthetic_blur": dict(gamma=(2.0, positive), widths=((0.5, 1.0), lambda bad: (0.5, bad)), fields=(2, whole)),
    "gaussian_kernel": dict(width=(0.5, positive), size=(5, whole), truncate=(2.0, at_least_0)),
    "motion_kernel": dict(size=(5, whole), intensity=(0.5, share)),
    "shepp_logan": dict(size=(4, whole)),
}


@pytest.fixture(autouse=True)
def as_users_have_it():
    """Without the checker of types of the tests, which would refuse in the place of the factory."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def factory(name):
    """The factory of a name."""
    return getattr(next(module for module in (operators, kernels, phantom) if hasattr(module, name)), name)


def arguments(name, **changed):
    """Good arguments of a factory, but for some."""
    good = dict(key=KEY, image_shape=SHAPE, operator=INNER, function=jnp.tanh, outer=INNER, inner=INNER)
    good |= {key: value[0] if isinstance(value, tuple) else value for key, value in NUMBERS[name].items()}
    wanted = inspect.signature(factory(name)).parameters
    return {key: value for key, value in (good | changed).items() if key in wanted}


def bad_values(spec):
    """What is wrong of an argument, in words and as a value."""
    make = (
        spec[1]
        if isinstance(spec, tuple) and callable(spec[1])
        else entry(spec)
        if not isinstance(spec, tuple)
        else None
    )
    numbers = [NAN, INF, *(spec[1] if make is None else ())]
    makers = {"python": lambda bad: bad, "numpy": np.float32, "jax": jnp.float32, "0-d": np.asarray}
    for number in numbers:
        for kind, of in makers.items():
            yield f"{kind} {number}", (make or (lambda bad: bad))(of(number))
            if isinstance(number, int):
                of_int = {"numpy": np.int64, "jax": jnp.int32}.get(kind)
                if of_int:
                    yield f"{kind} int {number}", of_int(number)
    yield "text", "5"
    if make is not None:
        yield "text inside", make("5")
    if isinstance(spec, np.ndarray):
        yield "nested lists", entry(spec)(NAN).tolist()
        yield "jax array", jnp.asarray(entry(spec)(INF))


@pytest.mark.parametrize(("name", "argument"), [(name, key) for name in NUMBERS for key in NUMBERS[name]])
def test_bad_numbers_are_refused(name, argument):
    for words, bad in bad_values(NUMBERS[name][argument]):
        with pytest.raises((ValueError, TypeError), match=r"\w{3}"):
            factory(name)(**arguments(name, **{argument: bad}))
            pytest.fail(f"{name} took {argument} = {bad!r} ({words})")


@pytest.mark.parametrize(
    "name", [name for name in NUMBERS if "image_shape" in inspect.signature(factory(name)).parameters]
)
def test_bad_image_shapes_are_refused(name):
    for bad in ((8.0, 8, 2), (8, NAN, 2), (8, 8), 8, (8, 8, 0), "882", (8, np.float32(8), 2)):
        with pytest.raises(ValueError, match="three positive whole numbers"):
            jax.eval_shape(functools.partial(factory(name), **arguments(name, image_shape=bad)))


@pytest.mark.parametrize("name", NUMBERS)
def test_good_numbers_of_every_make_are_taken(name):
    for key, spec in NUMBERS[name].items():
        if isinstance(spec, tuple) and np.ndim(spec[0]) == 0:
            good = spec[0]
            for made in (np.asarray(good)[()], jnp.asarray(good), np.asarray(good)):
                make = functools.partial(factory(name), **arguments(name, **{key: made}))
                # Traced, nothing is computed or compiled, but some calculate with the number itself.
                make() if name in CALCULATE else jax.eval_shape(make)


def test_every_factory_has_an_entry():
    public = {name for name in operators.__all__ if inspect.isfunction(getattr(operators, name))}
    assert set(NUMBERS) == public | {"gaussian_kernel", "motion_kernel", "shepp_logan"}
    for name, entries in NUMBERS.items():
        assert set(inspect.signature(factory(name)).parameters) - OTHERS == set(entries), name


REFUSED = {
    "a blur of no width": ("gaussian_blur", dict(width=np.float32(0)), ValueError, "width .*above 0, and is 0.0"),
    "less than float32 holds": ("gaussian_blur", dict(width=1e-300), ValueError, "above 0, and is 1e-300"),
    "a share of text": ("random_mask", dict(hidden="0.7"), TypeError, "hidden .*and is 0.7.*of type str"),
    "yes as a number": ("gaussian_blur", dict(width=True), TypeError, "of type bool"),
    "a factor with a fraction": ("average_downsampling", dict(factor=2.5), TypeError, "whole number .*is 2.5"),
    "a count of floats": ("gaussian_sensing", dict(count=3.0), TypeError, "whole number from 1 to 128, and is 3.0"),
    "a size in words": ("motion_kernel", dict(size="5"), TypeError, "whole number at least 1, and is '5'"),
    "a complex kernel": ("circular_blur", dict(kernel=KERNEL + 1j), TypeError, "the kernel is real.*complex128"),
    "a kernel that is not finite": (
        "circular_blur",
        dict(kernel=KERNEL * NAN),
        ValueError,
        "9 values of 9 that are NaN",
    ),
    "weights of 0": ("colourisation", dict(weights=[0, 0]), ValueError, "not all of them 0"),
    "a box of three": ("box_mask", dict(box=(1, 2, 3)), ValueError, r"4 numbers, and is \(1, 2, 3\)"),
    "a whole number as key": ("random_mask", dict(key=0), TypeError, r"jax.random.key\(0\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    name, changed, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        factory(name)(**arguments(name, **changed))


@pytest.mark.parametrize("name", [name for name in NUMBERS if "key" in inspect.signature(factory(name)).parameters])
def test_old_keys_are_keys(name):
    @jax.jit
    def make(old):
        return [factory(name)(**arguments(name, key=key)) for key in (jax.random.wrap_key_data(old), old)]

    jax.tree.map(np.testing.assert_array_equal, *make(jax.random.PRNGKey(0)))
    with pytest.raises(TypeError, match=r"jax.random.key\(0\)"):
        factory(name)(**arguments(name, key=0))


def test_traced_numbers_are_let_through():
    make = jax.jit(lambda sigma, kernel, hidden: (
        operators.gaussian_blur(SHAPE, sigma, radius=1),
        operators.circular_blur(SHAPE, kernel),
        operators.bernoulli_mask(KEY, SHAPE, hidden),
    ))  # fmt: skip
    for made in make(0.0, KERNEL * NAN, 2.0):
        assert made.image_shape == SHAPE


def test_arrays_that_a_program_closes_over_are_checked():
    kernel = jnp.asarray(KERNEL * NAN)
    with pytest.raises(ValueError, match="NaN"):
        jax.jit(lambda x: operators.circular_blur(SHAPE, kernel).forward(x))(jnp.ones(SHAPE))
