import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.fashion_mnist import get_config
from launch.factories import factory_names, find_factory
from launch.tasks import (
    arrays_of,
    describe_task,
    masks_of,
    measurement_of,
    operators_of,
    own_operator,
    select_tasks,
    sigma_of,
    try_operator,
)

SHAPE = (16, 16, 1)
TASKS = dict(
    inpainting=dict(operator="random_mask", hidden=0.5, sigma=0.05),
    box=dict(operator="box_mask", box=(2, 2, 4, 4), sigma=0.05),
    average=dict(operator="average_downsampling", factor=4, sigma=0.05),
    bicubic=dict(operator="bicubic_downsampling", factor=2, sigma=0.05),
    blur=dict(operator="gaussian_blur", width=1.2, boundary="reflect", sigma=0.05),
)
SHAPES = dict(inpainting=SHAPE, box=SHAPE, average=(4, 4, 1), bicubic=(8, 8, 1), blur=SHAPE)
KEY = jax.random.key(0)


OTHERS = dict(  # settings and the shape of the measurement of a grey image of 16 x 16
    bernoulli_mask=(dict(hidden=0.5), SHAPE),
    random_box_mask=(dict(size=(4, 4)), SHAPE),
    mask=(dict(seen="mask.npy"), SHAPE),
    circular_blur=(dict(kernel="kernel.npy"), SHAPE),
    reflecting_blur=(dict(kernel=((0.0, 0.5, 0.0),) * 3), SHAPE),
    motion_blur=(dict(size=5), SHAPE),
    short_blur=(dict(taps=3, down=1.0), SHAPE),
    denoising=({}, SHAPE),
    blur_downsampling=(dict(kernel="kernel.npy", factor=2), (8, 8, 1)),
    separable_map=(dict(rows="rows.npy", cols="rows.npy"), (5, 5, 1)),
    colourisation=({}, SHAPE),
    gaussian_sensing=(dict(count=7), (7,)),
    hadamard_sensing=(dict(count=7), (7, 1)),
    circulant_sensing=(dict(count=7), (7, 1)),
    compressed_sensing=(dict(ratio=4), (64, 1)),
    radon=(dict(angles=(0.0, 45.0, 90.0), detectors=11), (3, 11, 1)),
    tomography=(dict(views=5), (5, 23, 1)),
    fourier_sampling=(dict(mask="mask.npy"), SHAPE),
    cartesian_sampling=(dict(acceleration=2.0), SHAPE),
    mri=(dict(mask="mask.npy", coils="coils.npy"), (2, *SHAPE)),
    cartesian_mri=(dict(coils="coils.npy"), (2, *SHAPE)),
    phase_retrieval=({}, (24, 24, 1)),
    synthetic_blur=({}, SHAPE),
    high_dynamic_range=({}, SHAPE),
    saturation=({}, SHAPE),
    quantisation=(dict(levels=4), SHAPE),
)
# Images of two channels, and of sides that are multiples of 128 with weights that are not here.
ELSEWHERE = {"complex_fourier_sampling", "complex_mri", "nonlinear_blur"}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The folder that commands are run in, with arrays."""
    arrays = dict(mask=np.eye(16)[..., None], kernel=np.full((3, 3), 1 / 9), rows=np.ones((5, 16)))
    for name, array in (arrays | dict(coils=np.ones((2, 16, 16), np.complex64))).items():
        np.save(tmp_path / f"{name}.npy", array)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_is_a_task_here_for_every_operator():
    assert {task["operator"] for task in TASKS.values()} | set(OTHERS) | ELSEWHERE >= set(factory_names())


@pytest.mark.parametrize("name", OTHERS)
def test_every_factory_is_an_operator_by_name(name, files):
    settings, shape = OTHERS[name]
    tasks = dict(a=dict(operator=name, sigma=0.1) | settings)
    task = select_tasks(tasks, ["a"])["a"]
    operator, axis = operators_of(task, SHAPE, KEY, jnp.arange(1))
    assert measurement_of(operator, axis).shape == shape
    assert axis == (0 if name.endswith("_mask") else None)


@pytest.mark.parametrize(("drawn", "axis"), [("each", 0), ("once", None)])
@pytest.mark.parametrize("name", ["random_mask", "motion_blur"])
def test_what_is_random_is_drawn_as_the_task_says(name, drawn, axis):
    settings = dict(hidden=0.5) if name == "random_mask" else dict(size=5)
    task = dict(operator=name, sigma=0.1, drawn=drawn) | settings
    assert own_operator(task) == (drawn == "each") and own_operator(task, measured=True) >= (name == "random_mask")
    operator, found = operators_of(task, SHAPE, KEY, jnp.arange(3))
    assert found == axis
    (array,) = arrays_of(operator).values()
    assert array.shape[:1] == (3,) if axis == 0 else array.shape[:1] != (3,)
    (other,) = arrays_of(operators_of(task, SHAPE, jax.random.key(1), jnp.arange(3))[0]).values()
    assert not np.array_equal(array, other)


def test_a_seed_goes_before_that_of_the_run():
    task = TASKS["inpainting"] | dict(seed=3)
    one, other = (operators_of(task, SHAPE, jax.random.key(i), jnp.arange(2))[0] for i in range(2))
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(
        one.mask, operators_of(TASKS["inpainting"], SHAPE, jax.random.key(3), jnp.arange(2))[0].mask
    )


def test_the_noise_is_that_of_its_range():
    task = dict(TASKS["blur"], sigma=0.05, sigma_range="[0, 1]")
    assert sigma_of(task) == pytest.approx(0.1) and sigma_of(TASKS["blur"]) == 0.05
    assert describe_task(task).endswith("σ = 0.1 in [-1, 1], 0.05 in [0, 1]")
    changed = select_tasks(dict(a=task), ["a"], dict(sigma=0.2))["a"]
    assert sigma_of(changed) == 0.2


def test_settings_are_changed_where_there_are_such():
    tasks = select_tasks(TASKS, ["inpainting", "average"], dict(hidden=0.25, sigma=0.5))
    assert tasks["inpainting"]["hidden"] == 0.25 and "hidden" not in tasks["average"]
    assert {sigma_of(task) for task in tasks.values()} == {0.5}
    with pytest.raises(ValueError, match="did you mean 'hidden'"):
        select_tasks(TASKS, ["inpainting"], dict(hiden=0.25))


OWN = """
import dataclasses
import jax
from pgm_jax.operators import LinearOperator

@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shading(LinearOperator):
    gain: jax.Array
    image_shape: tuple = dataclasses.field(metadata=dict(static=True))

    def forward(self, x):
        return self.gain * x

class Unknown(LinearOperator):
    image_shape = (16, 16, 1)

def make_operator(key, image_shape, strength=1.0):
    return Shading(strength * jax.random.uniform(key, image_shape), image_shape)

def fixed(shape):
    return Shading(jax.numpy.ones(shape), shape)

def nothing(shape):
    return 3

def unknown(shape):
    return Unknown()

def cropped(shape):
    return fixed((8, *shape[1:]))
"""


@pytest.fixture
def own(files, monkeypatch):
    (files / "my_shading.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(files))
    yield
    import sys

    sys.modules.pop("my_shading", None)


def test_an_operator_of_the_users(own):
    task = dict(operator="my_shading:make_operator", sigma=0.1, strength=2.0)
    (task,) = select_tasks(dict(mine=task), ["mine"]).values()
    operator, axis = operators_of(task, SHAPE, KEY, jnp.arange(2))
    assert axis is None and 1 < operator.gain.max() < 2
    assert describe_task(task) == "my_shading:make_operator, strength 2.0, σ = 0.1"
    drawn, axis = operators_of(task | dict(drawn="each"), SHAPE, KEY, jnp.arange(2))
    assert axis == 0 and drawn.gain.shape == (2, *SHAPE)
    assert operators_of(dict(operator="my_shading:fixed", sigma=0.1), SHAPE, KEY, jnp.arange(2))[1] is None


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("nothing", "is a int and no operator, it has no image_shape, observed, forward"),
        ("unknown", "pgm_jax.types.pytree"),
        ("cropped", r"takes images of shape \(8, 16, 1\)"),
        ("fixd", "did you mean 'fixed'"),
        ("", "Unknown function of my_shading"),
    ],
)
def test_what_is_no_operator_is_refused(function, words, own):
    name = f"my_shading:{function}"
    with pytest.raises(ValueError, match=words):
        tasks = select_tasks({name: dict(operator=name, sigma=0.1)}, [name])
        try_operator(name, tasks[name], SHAPE, KEY)


def test_a_module_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="No module named 'my_moduel'.*current folder"):
        find_factory("my_moduel:make")


@pytest.mark.parametrize("name", TASKS)
def test_a_task_measures_a_batch(name):
    operator, axis = operators_of(select_tasks(TASKS, [name])[name], SHAPE, KEY, jnp.arange(2))
    y = jax.vmap(lambda a, x: a.forward(x), (axis, 0))(operator, jnp.ones((2, *SHAPE)))
    assert y.shape == (2, *SHAPES[name])
    assert axis == (0 if name == "inpainting" else None)


def test_every_image_has_its_own_mask_whatever_the_batch():
    whole, _ = operators_of(TASKS["inpainting"], SHAPE, KEY, jnp.arange(5))
    part, _ = operators_of(TASKS["inpainting"], SHAPE, KEY, jnp.array([3, 1]))
    np.testing.assert_array_equal(part.mask, whole.mask[jnp.array([3, 1])])
    assert (np.asarray(whole.mask[0]) != np.asarray(whole.mask[1])).any()
    np.testing.assert_array_equal(np.sum(whole.mask == 0, axis=(1, 2, 3)), 128)


def test_the_width_of_a_blur_is_not_its_noise():
    narrow, wide = (operators_of(TASKS["blur"] | dict(width=w), SHAPE, KEY, jnp.arange(1))[0] for w in (0.5, 1.8))
    noisy, _ = operators_of(TASKS["blur"] | dict(sigma=0.9), SHAPE, KEY, jnp.arange(1))
    spot = jnp.zeros(SHAPE).at[8, 8].set(1.0)
    assert narrow.forward(spot).max() > 5 * wide.forward(spot).max()
    expected = operators_of(TASKS["blur"], SHAPE, KEY, jnp.arange(1))[0].forward(spot)
    np.testing.assert_array_equal(noisy.forward(spot), expected)


def test_the_masks_of_a_measurement_are_its_nans():
    y = np.zeros((2, *SHAPE), np.float32)
    y[1, 3, 4] = np.nan
    operator, axis = masks_of(y, SHAPE)
    assert axis == 0
    np.testing.assert_array_equal(operator.mask, np.isfinite(y))


def test_the_tasks_of_the_configuration_are_sound():
    tasks = get_config().tasks
    for name, task in select_tasks(tasks, tasks).items():
        operators_of(task, (32, 32, 1), KEY, jnp.arange(1))
        assert f"σ = {task['sigma']:g}" in describe_task(task), name


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("inpaintng", {}, "Unknown task 'inpaintng'; did you mean 'inpainting'"),
        ("zzz", {}, "known are inpainting, box"),
        ("blur", dict(operator="gausian_blur"), "did you mean 'gaussian_blur'"),
        ("blur", dict(widht=2.0), "did you mean 'width'"),
        ("inpainting", dict(factor=2), "Unknown setting of config.tasks.inpainting .random_mask. 'factor'"),
        ("box", dict(box=None), "does not say its box"),
        ("average", dict(sigma=None), "does not say its sigma"),
        ("average", dict(operator=None), "no `operator`"),
        ("average", dict(sigma=0.0), r"sigma is 0.0; .* in \[-1, 1\] units"),
        ("average", dict(sigma=float("nan")), "sigma is nan"),
        ("average", dict(sigma_range="[0, 255]"), "Unknown sigma_range"),
        ("inpainting", dict(drawn="twice"), "Unknown `drawn`"),
        ("inpainting", dict(seed=0.5), "seed is 0.5; it is a whole number"),
        ("average", dict(drawn="once"), "Unknown setting"),
    ],
)
def test_a_task_that_cannot_be_is_refused(name, change, words):
    task = {k: v for k, v in (TASKS.get(name, {}) | change).items() if v is not None}
    tasks = TASKS | ({name: task} if name in TASKS else {})
    with pytest.raises(ValueError, match=words):
        select_tasks(tasks, [name])


def test_no_task_is_refused():
    with pytest.raises(ValueError, match="No task is named"):
        select_tasks(TASKS, [])
