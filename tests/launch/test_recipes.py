import jax
import jax.numpy as jnp
import pytest

from launch.recipes import read_recipe, recipe_names
from launch.tasks import describe_task, measurement_of, operators_of, select_tasks, sigma_of, try_operator

KEY = jax.random.key(0)
NAMES = [f"{recipe}/{task}" for recipe in recipe_names() for task in read_recipe(recipe)["tasks"]]
WEIGHTS = {"dps/nonlinear_blur"}  # whose weights are not here
LARGE = {"dps/box_inpainting", "dps/motion_blur", "diffpir/box_inpainting", "diffpir/motion_blur"}


def built(name, shape):
    (task,) = select_tasks({}, [name]).values()
    axis = []

    def build():
        operator, a = operators_of(task, shape, KEY, jnp.arange(1))
        axis.append(a)
        return operator

    operator = jax.eval_shape(build)
    return measurement_of(operator, axis[0])


def test_the_recipes():
    assert recipe_names() == ["ddrm", "diffpir", "dps", "pgm"]


@pytest.mark.parametrize("name", sorted(set(NAMES) - WEIGHTS))
def test_every_task_measures_images_of_its_recipe(name):
    height, width, channels = read_recipe(name.split("/")[0])["image_shape"]
    y = built(name, (height, width, channels))
    if "super_resolution" in name:
        assert y.shape == (height // 4, width // 4, channels)
    elif name == "dps/phase_retrieval":
        assert y.shape == (384, 384, channels)
    elif "blur" in name or "painting" in name:
        assert y.shape == (height, width, channels)


@pytest.mark.parametrize("name", sorted(set(NAMES) - WEIGHTS - LARGE))
def test_tasks_measure_small_images_too(name):
    built(name, (32, 32, 1))


@pytest.mark.parametrize("name", sorted(LARGE))
def test_or_say_why_not(name):
    (task,) = select_tasks({}, [name]).values()
    with pytest.raises(ValueError, match=rf"{name}: .* does not fit .*32 x 32.*for images of shape .256, 256, 3."):
        try_operator(name, task, (32, 32, 1), KEY)


def test_weights_are_asked_for():
    with pytest.raises(ValueError, match="dps/nonlinear_blur .* does not say its weights: --setting=weights="):
        select_tasks({}, sorted(WEIGHTS))
    (task,) = select_tasks({}, sorted(WEIGHTS), dict(weights="GOPRO_wVAE.pth")).values()
    assert task["weights"] == "GOPRO_wVAE.pth"


@pytest.mark.parametrize(("recipe", "sigma"), [("dps", 0.05), ("pgm", 0.05), ("diffpir", 0.1), ("ddrm", 0.1)])
def test_the_noise_is_told_in_both_ranges(recipe, sigma):
    (task,) = select_tasks({}, [f"{recipe}/gaussian_blur"]).values()
    assert sigma_of(task) == pytest.approx(sigma)
    assert describe_task(task).endswith(f"σ = {sigma:g} in [-1, 1], {sigma / 2:g} in [0, 1]")


def test_masks_are_those_of_the_recipe_whatever_the_seed_of_the_run():
    (task,) = select_tasks({}, ["pgm/inpainting"]).values()
    assert task["seed"] == 7
    one, other = (operators_of(task, (16, 16, 3), jax.random.key(i), jnp.arange(2))[0] for i in range(2))
    assert (one.mask == other.mask).all() and one.mask.shape == (16, 16, 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dsp/inpainting", "Unknown recipe 'dsp'; did you mean 'dps'"),
        ("dps/inpaiting", "Unknown task of the recipe dps 'inpaiting'; did you mean 'inpainting'"),
        ("inpainting", "those of recipes are RECIPE/TASK"),
    ],
)
def test_unknown_names_are_refused(name, words):
    with pytest.raises(ValueError, match=words):
        select_tasks({}, [name])
