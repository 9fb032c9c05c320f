"""The other networks of launch.train: they train and resume by the same command, and refuse what they cannot do."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from training_door import SETTINGS, newest

SISTERS = {
    "proxdm.py": {"network.unet.patch": 2, "train.counts": (5, 10)},
    "exact_step.py": {
        "network.unet.patch": 2,
        "network.metric.period": 3,
        "train.start": "",
        "train.families": dict(masks=dict(operator="random_mask", count=3, share=0.5, between=dict(hidden=(0.2, 0.8)))),
    },
    "lpn.py": {"network.conv_icnn.channels": 4, "network.conv_icnn.strides": (1, 2), "train.stages": 1}
    | {"train.zeta_end": 0.2},
}


PHOTOS = {name: value for name, value in SETTINGS.items() if "network" not in name} | {
    "data.image_shape": (16, 16, 3),
    "network.local_unet.channels": (8,),
    "network.local_unet.blocks": (1,),
    "network.local_unet.embedding": 4,
    "train.families": dict(masks=dict(operator="random_mask", count=3, share=0.5)),
    "train.save_every": 3,
    "train.sheet_every": 3,
}


def family(**changes):
    return dict(some=dict(operator="random_mask", count=2, share=0.5) | changes)


BLURS = family(operator="gaussian_blur", between=dict(width=(0.3, 0.7)), count=9)


def settings_of(file):
    """The sizes of these tests for one of the sisters."""
    shared = {name: value for name, value in SETTINGS.items() if file != "lpn.py" or "network" not in name}
    return shared | {"train.sheet_every": 3} | SISTERS[file]


@pytest.mark.parametrize("file", SISTERS)
def test_they_train_and_resume_by_the_same_command(door, images, tmp_path, capsys, file):
    from pgm_jax.pretrained import load_prior

    for steps in (3, 5):
        door(tmp_path, images, file=file, settings=settings_of(file), **{"train.steps": steps})
    assert "Going on from step 3 of 5" in capsys.readouterr().out and newest(tmp_path) == 5
    prior = load_prior(tmp_path / "prior.npz")
    assert (
        type(prior).__name__ == {"proxdm.py": "TimedProxNet", "exact_step.py": "MetricProxNet", "lpn.py": "LPN"}[file]
    )
    assert prior.image_shape == (8, 8, 1) and (tmp_path / "sheets" / "0000003.png").exists()


def test_photographs_are_trained_on_crops_of_a_folder(door, tmp_path, capsys):
    """Files of different sizes, one in four held out; the prior takes pictures of any size."""
    from pgm_jax.pretrained import load_prior

    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number, size in enumerate([(20, 30, 3), (40, 17, 3), (16, 16, 3), (12, 50, 3)]):
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(tmp_path / "pictures" / f"{number}.png")
    splits = {"data.split": "train[:75%]", "data.held_out": "train[75%:]"}
    for steps in (3, 5):
        settings = PHOTOS | splits | {"train.steps": steps}
        door(tmp_path / "run", tmp_path / "pictures", file="photos.py", settings=settings)
    out = capsys.readouterr().out
    assert "Going on from step 3 of 5" in out and "psnr at 25" in out
    prior = load_prior(tmp_path / "run" / "prior.npz")
    assert prior.image_shape == (None, None, 3) and prior.prox(jnp.zeros((7, 9, 3)), 0.1).shape == (7, 9, 3)
    assert (tmp_path / "run" / "sheets" / "0000003.png").exists()


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("proxdm.py", {"train.counts": (0, 5)}, "The numbers of steps are"),
        ("proxdm.py", {"train.counts": (5, 10), "train.backward": True}, "With 5 steps the longest has gamma"),
        ("proxdm.py", {"network.timed.form": "score"}, "timed.form is 'score'"),
        (
            "exact_step.py",
            {"train.families": family(operator="random_masks")},
            "families.some: Unknown operator 'random_m",
        ),
        (
            "exact_step.py",
            {"train.families": family(share=0)},
            "families.some: share is the part of the batch, a number",
        ),
        ("exact_step.py", {"train.families": family(count=0)}, "families.some: count is how many operators are made"),
        (
            "exact_step.py",
            {"train.families": family(width=2.0)},
            "families.some: Unknown setting of random_mask 'width'",
        ),
        (
            "exact_step.py",
            {"train.families": family(between=dict(hidden=(0.5,)))},
            "between.hidden is .0.5,.; give two",
        ),
        ("exact_step.py", {"train.families": BLURS}, "The operators of family 0 have arrays of . different shapes"),
        ("exact_step.py", {"train.noise_min": 1.0}, "noise_min is 1.0 and noise_max 0.3; give two positive numbers"),
        ("exact_step.py", {"train.start": "fashion_mnist"}, "The parameters to start from have"),
        ("exact_step.py", {"network.metric.period": 9}, "metric.period is 9; give a whole number from 1 to 8"),
        ("lpn.py", {"network.conv_icnn.strides": (3,)}, "The images are 8 x 8; the strides"),
        ("lpn.py", {"network.sigma": -1.0}, "sigma is -1.0; give a number"),
    ],
)
def test_their_settings_are_refused_in_words(door, images, tmp_path, file, change, words):
    with pytest.raises(SystemExit, match=words):
        door(tmp_path / "run", images, file=file, settings=settings_of(file), **change)
    assert not (tmp_path / "run").exists()
