import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.fashion_mnist import get_config
from launch.tasks import FACTORIES, describe_task, masks_of, operators_of, select_tasks

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


def test_there_is_a_task_here_for_every_operator():
    assert {task["operator"] for task in TASKS.values()} == set(FACTORIES)


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
