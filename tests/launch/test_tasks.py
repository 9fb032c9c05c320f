import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.fashion_mnist import get_config
from launch.operators import NAMED
from launch.results import arrays_of
from launch.tasks import benchmark_names, build_task, describe_task, read_benchmark, select_tasks, sigma_of
from pgm_jax import operators
from pgm_jax.operators.masks import Mask

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
    denoising=({}, SHAPE),
    blur_downsampling=(dict(kernel="kernel.npy", factor=2), (8, 8, 1)),
    separable_map=(dict(rows="rows.npy", cols="rows.npy"), (5, 5, 1)),
    colourisation=({}, SHAPE),
    gaussian_sensing=(dict(count=7), (7,)),
    hadamard_sensing=(dict(count=7), (7, 1)),
    circulant_sensing=(dict(count=7), (7, 1)),
    compressed_sensing=(dict(ratio=4), (64, 1)),
    radon=(dict(angles=(0.0, 45.0, 90.0), detectors=11), (3, 11, 1)),
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


def built(name, settings, key=KEY, shape=SHAPE):
    """A task of settings that were checked."""
    return build_task(name, select_tasks({name: settings}, [name])[name], shape, key)


def of_batch(settings, count, key=KEY):
    """The operator of a batch, and its axis."""
    return built("a", settings, key).operators(np.arange(count))


def test_there_is_a_task_here_for_every_operator():
    assert {task["operator"] for task in TASKS.values()} | set(OTHERS) | ELSEWHERE == set(NAMED)


def test_every_public_factory_of_images_has_a_name():
    others = {"cartesian_mask", "compose", "from_function", "scale", "stack"}  # of arrays, functions or operators
    factories = {name for name in operators.__all__ if callable(getattr(operators, name)) and name.islower()}
    assert factories - others <= set(NAMED)


@pytest.mark.parametrize("name", OTHERS)
def test_every_factory_is_an_operator_by_name(name, files):
    settings, shape = OTHERS[name]
    task = built("a", dict(operator=name, sigma=0.1) | settings)
    assert task.measurement.shape == shape
    assert (task.shared is None) == task.hides_pixels == name.endswith("_mask")


def test_a_mask_with_weights_is_not_taken_from_a_measurement(files, monkeypatch):
    monkeypatch.syspath_prepend(files)
    (files / "weighted.py").write_text(
        "import numpy as np\nfrom pgm_jax.operators import mask\n\n"
        "def make_operator(image_shape):\n"
        "    return 2.0 * np.ones(image_shape) * mask(image_shape, np.ones((16, 16)))\n"
    )
    task = built("a", dict(operator="weighted:make_operator", sigma=0.1))
    assert isinstance(task.like, Mask) and not task.hides_pixels


@pytest.mark.parametrize(("drawn", "axis"), [("each", 0), ("once", None)])
@pytest.mark.parametrize("name", ["random_mask", "motion_blur"])
def test_what_is_random_is_drawn_as_the_task_says(name, drawn, axis):
    settings = dict(hidden=0.5) if name == "random_mask" else dict(size=5)
    task = dict(operator=name, sigma=0.1, drawn=drawn) | settings
    operator, found = of_batch(task, 3)
    assert found == axis
    (array,) = arrays_of(operator).values()
    assert array.shape[:1] == (3,) if axis == 0 else array.shape[:1] != (3,)
    (other,) = arrays_of(of_batch(task, 3, jax.random.key(1))[0]).values()
    assert not np.array_equal(array, other)


def test_a_seed_takes_precedence_over_that_of_the_run():
    task = TASKS["inpainting"] | dict(seed=3)
    one, other = (of_batch(task, 3, jax.random.key(i))[0] for i in range(2))
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(one.mask, of_batch(TASKS["inpainting"], 3, jax.random.key(3))[0].mask)


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
    settings = dict(operator="my_shading:make_operator", sigma=0.1, strength=2.0, drawn="once")
    task = built("mine", settings)
    assert 1 < task.shared.gain.max() < 2
    assert describe_task(settings) == "my_shading:make_operator, strength 2.0, drawn once, σ = 0.1"
    drawn, axis = of_batch(settings | dict(drawn="each"), 3)
    assert axis == 0 and drawn.gain.shape == (3, *SHAPE)
    assert built("fixed", dict(operator="my_shading:fixed", sigma=0.1)).shared is not None


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("nothing", "returned a int, which is not an operator: it has no image_shape, observed, forward"),
        ("make_operator", "does not take what it is given: missing a required argument: 'image_shape'"),
        ("unknown", "pgm_jax.types.pytree"),
        ("cropped", r"takes images of shape \(8, 16, 1\)"),
        ("fixd", "did you mean 'fixed'"),
        ("", "Unknown function of my_shading"),
    ],
)
def test_what_is_no_operator_is_refused(function, words, own):
    name = f"my_shading:{function}"
    with pytest.raises(ValueError, match=words):
        built(name, dict(operator=name, sigma=0.1))


def test_masks_and_kernels_may_be_images(files):
    from PIL import Image

    kernel = np.array([[0, 2, 0], [2, 4, 2], [0, 2, 0]], np.uint8)
    for name, pixels in (("mask", np.eye(16) * 255), ("dim", np.eye(16) * 3), ("kernel", 20 * kernel)):
        Image.fromarray(pixels.astype(np.uint8)).save(files / f"{name}.png")
    for name in ("mask", "dim"):
        task = built("a", dict(operator="mask", seen=f"{name}.png", sigma=0.1))
        np.testing.assert_array_equal(task.shared.mask[..., 0], np.eye(16))
    task = built("a", dict(operator="circular_blur", kernel="kernel.png", sigma=0.1))
    np.testing.assert_allclose(task.shared.forward(jnp.ones(SHAPE)), 1, atol=1e-5)
    spot = task.shared.forward(jnp.zeros(SHAPE).at[8, 8].set(1.0))
    np.testing.assert_allclose(spot[7:10, 7:10, 0], kernel / 12, atol=1e-5)
    np.savez(files / "kernel.npz", whatever=kernel / 12)
    other = built("a", dict(operator="circular_blur", kernel="kernel.npz", sigma=0.1))
    np.testing.assert_allclose(other.shared.forward(spot), task.shared.forward(spot), atol=1e-6)


def test_a_module_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="No module named 'my_moduel'.*current folder"):
        built("a", dict(operator="my_moduel:make", sigma=0.1))


@pytest.mark.parametrize("name", TASKS)
def test_a_task_measures_images(name):
    task = built(name, TASKS[name])
    assert task.measurement.shape == SHAPES[name] and (task.shared is None) == (name == "inpainting")


def test_every_image_has_its_own_mask_whatever_the_batch():
    task = built("inpainting", TASKS["inpainting"])
    whole, part = (np.asarray(task.operators(np.array(numbers))[0].mask) for numbers in ([0, 1, 3], [3, 1, 1]))
    np.testing.assert_array_equal(part, whole[[2, 1, 1]])
    assert (whole[0] != whole[1]).any()
    np.testing.assert_array_equal(np.sum(whole == 0, axis=(1, 2, 3)), 128)


def test_the_width_of_a_blur_is_not_its_noise():
    narrow, wide = (built("a", TASKS["blur"] | dict(width=width)).shared for width in (0.5, 1.8))
    spot = jnp.zeros(SHAPE).at[8, 8].set(1.0)
    assert narrow.forward(spot).max() > 5 * wide.forward(spot).max()
    noisy = built("a", TASKS["blur"] | dict(sigma=0.9))
    np.testing.assert_array_equal(noisy.shared.rows, built("a", TASKS["blur"]).shared.rows)
    assert noisy.noise.sigma == 0.9


def test_the_tasks_of_the_configuration_are_sound():
    tasks = get_config().tasks
    for name, settings in select_tasks(tasks, tasks).items():
        build_task(name, settings, (32, 32, 1), KEY)
        assert f"σ = {settings['sigma']:g}" in describe_task(settings), name


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("inpaintng", {}, "Unknown task 'inpaintng'; did you mean 'inpainting'"),
        ("zzz", {}, "known are inpainting, box"),
        ("blur", dict(operator="gausian_blur"), "did you mean 'gaussian_blur'"),
        ("blur", dict(widht=2.0), "did you mean 'width'"),
        ("inpainting", dict(factor=2), "Unknown setting of config.tasks.inpainting .random_mask. 'factor'"),
        ("box", dict(box=None), "does not state its box"),
        ("average", dict(sigma=None), "does not state its sigma"),
        ("average", dict(operator=None), "no `operator`"),
        ("average", dict(sigma=0.0), r"sigma is 0.0; .* in \[-1, 1\] units"),
        ("average", dict(sigma=1e300), "sigma is 1e[+]300"),
        ("blur", dict(width=float("nan")), "blur.width is nan"),
        ("inpainting", dict(shared="no"), "shared is 'no'; it is True or False"),
        ("inpainting", dict(seed=2**63), "seed is 9223372036854775808"),
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


BENCHMARKS = [f"{benchmark}/{task}" for benchmark in benchmark_names() for task in read_benchmark(benchmark)["tasks"]]
WEIGHTS = {"dps/nonlinear_blur"}  # whose weights are not here
LARGE = {"dps/box_inpainting", "dps/motion_blur", "diffpir/box_inpainting", "diffpir/motion_blur"}


def measured_shape(name, shape):
    """The shape of a measurement of a benchmark's task; nothing is computed."""
    (settings,) = select_tasks({}, [name]).values()
    shapes = []

    def build():
        shapes.append(build_task(name, settings, shape, KEY).measurement.shape)

    jax.eval_shape(build)
    return shapes[0]


def test_the_benchmarks():
    assert benchmark_names() == ["ddrm", "diffpir", "dps", "pgm"]


@pytest.mark.parametrize("name", sorted(set(BENCHMARKS) - WEIGHTS))
def test_every_task_measures_images_of_its_benchmark(name):
    height, width, channels = read_benchmark(name.split("/")[0])["image_shape"]
    shape = measured_shape(name, (height, width, channels))
    if "super_resolution" in name:
        assert shape == (height // 4, width // 4, channels)
    elif name == "dps/phase_retrieval":
        assert shape == (384, 384, channels)
    elif "blur" in name or "painting" in name:
        assert shape == (height, width, channels)


def test_tasks_measure_small_images_too():
    for name in sorted(set(BENCHMARKS) - WEIGHTS - LARGE):
        measured_shape(name, (32, 32, 1))


@pytest.mark.parametrize("name", sorted(LARGE))
def test_or_say_why_not(name):
    (settings,) = select_tasks({}, [name]).values()
    with pytest.raises(ValueError, match=rf"{name}: .* does not fit .*32 x 32.*for images of shape .256, 256, 3."):
        build_task(name, settings, (32, 32, 1), KEY)


def test_weights_are_asked_for():
    with pytest.raises(ValueError, match="dps/nonlinear_blur .* does not state its weights; add --setting=weights="):
        select_tasks({}, sorted(WEIGHTS))
    (task,) = select_tasks({}, sorted(WEIGHTS), dict(weights="GOPRO_wVAE.pth")).values()
    assert task["weights"] == "GOPRO_wVAE.pth"


@pytest.mark.parametrize(("benchmark", "sigma"), [("dps", 0.05), ("pgm", 0.05), ("diffpir", 0.1), ("ddrm", 0.1)])
def test_the_noise_is_given_in_both_ranges(benchmark, sigma):
    (task,) = select_tasks({}, [f"{benchmark}/gaussian_blur"]).values()
    assert sigma_of(task) == pytest.approx(sigma)
    assert describe_task(task).endswith(f"σ = {sigma:g} in [-1, 1], {sigma / 2:g} in [0, 1]")


def test_masks_are_those_of_the_benchmark_whatever_the_seed_of_the_run():
    (settings,) = select_tasks({}, ["pgm/inpainting"]).values()
    one, other = (build_task("a", settings, (16, 16, 3), jax.random.key(i)).shared.mask for i in range(2))
    assert settings["seed"] == 7 and (one == other).all() and one.shape == (16, 16, 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dsp/inpainting", "Unknown benchmark 'dsp'; did you mean 'dps'"),
        ("dps/inpaiting", "Unknown task of the benchmark dps 'inpaiting'; did you mean 'inpainting'"),
        ("inpainting", "those of benchmarks are BENCHMARK/TASK"),
    ],
)
def test_unknown_names_are_refused(name, words):
    with pytest.raises(ValueError, match=words):
        select_tasks({}, [name])
