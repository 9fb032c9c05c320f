"""Pictures of any size and their random crops."""

import numpy as np
import pytest
from PIL import Image

from pgm_jax.training.crops import Pictures, centre_crop, open_pictures, random_crop
from pgm_jax.training.data import batches


def ramp(height, width):
    """A picture whose pixels say where they are."""
    return np.stack(np.broadcast_arrays(*np.ogrid[:height, :width], 7), axis=-1).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    for number, size in enumerate([(40, 30), (90, 200), (12, 50), (64, 64)]):
        Image.fromarray(ramp(*size)).save(tmp_path / f"{number}.png")
    return tmp_path


def test_parts_of_a_folder_are_other_files_and_read_once(folder):
    one, other = (open_pictures(folder, split, 3) for split in ("train[:75%]", "train[75%:]"))
    shapes = [p[i].shape for p in (one, other) for i in range(len(p))]
    assert (len(one), len(other)) == (3, 1) and len(set(shapes)) == 4
    assert one[0] is one[0]
    with pytest.raises(ValueError, match="holds no pictures; choose another split"):
        open_pictures(folder, "train[:1%]", 3)
    with pytest.raises(ValueError, match="has a picture of .*; 1 channels are asked for"):
        Pictures("three", 1, lambda i: ramp(4, 4), 1)[0]
    with pytest.raises(IndexError, match="Picture 3 of"):
        one[3]


def test_crops_are_parts_of_the_picture_mirrored_and_turned():
    picture, rng = ramp(50, 60), np.random.default_rng(0)
    crops = [random_crop(picture, rng, (16, 16)) for _ in range(200)]
    whole = [c for c in crops if {abs(int(c[1, 0, k]) - int(c[0, 0, k])) for k in (0, 1)} == {0, 1}]
    assert all(crop.shape == (16, 16, 3) for crop in crops) and 60 < len(whole) < 140
    turns = {tuple(np.sign((c[1, 1].astype(int) - c[0, 0])[:2])) + (c[1, 0, 0] != c[0, 0, 0],) for c in whole}
    assert len(turns) == 8
    corners = np.array([c[..., 0].min() for c in whole])
    assert corners.min() < 8 and corners.max() > 26


def test_small_pictures_are_enlarged_and_centres_are_the_middle():
    assert random_crop(ramp(5, 9), np.random.default_rng(0), (16, 16)).shape == (16, 16, 3)
    assert centre_crop(ramp(5, 9), (16, 20)).shape == (16, 20, 3)
    np.testing.assert_array_equal(centre_crop(ramp(50, 60), (10, 20))[0, 0], [20, 20, 7])


def test_a_batch_of_crops_depends_on_its_step_alone(folder):
    def crop(picture, rng):
        return random_crop(picture, rng, (8, 8))

    first, second = (batches(open_pictures(folder, "train", 3), 6, 0, augment=crop) for _ in range(2))
    np.testing.assert_array_equal(first[5], second[5])
    assert first[5].shape == (6, 8, 8, 3) and np.abs(first[5] - first[4]).max() > 0
