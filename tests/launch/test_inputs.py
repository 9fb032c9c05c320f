import numpy as np
import pytest
from PIL import Image

from launch.inputs import dataset_inputs, image_inputs, measurement_inputs, unfinished
from pgm_jax.evaluation import batches_of

SHAPE = (8, 8, 1)


def gathered(inputs, size=3):
    """The images that count, and their numbers."""
    batches = list(inputs.batches(size))
    assert {len(images) for images, _, _ in batches} == {size}
    images = np.concatenate([images[valid] for images, _, valid in batches])
    assert len(images) == inputs.count
    return images, np.concatenate([indices[valid] for _, indices, valid in batches]).tolist()


@pytest.fixture
def folder(tmp_path):
    for i in range(4):
        Image.fromarray(np.full((8, 8), 50 * i, np.uint8)).save(tmp_path / f"{i}.png")
    return tmp_path


def test_batches_have_one_size_and_say_what_counts():
    batches = list(batches_of(np.arange(5.0), np.arange(10, 15), 3))
    np.testing.assert_array_equal([indices for _, indices, _ in batches], [[10, 11, 12], [13, 14, 14]])
    np.testing.assert_array_equal([valid for _, _, valid in batches], [[True] * 3, [True, True, False]])
    np.testing.assert_array_equal(batches[1][0], [3, 4, 4])


def test_what_is_finished_is_passed_over():
    batches = list(unfinished(batches_of(np.arange(6.0), np.arange(6), 2), {0, 1, 4}))
    assert [(indices.tolist(), valid.tolist()) for _, indices, valid in batches] == [
        ([2, 3], [True, True]),
        ([4, 5], [False, True]),
    ]


def test_bundled_images():
    images, indices = gathered(image_inputs("bundled", (32, 32, 1), first=2, count=5))
    assert images.shape == (5, 32, 32, 1) and indices == [2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match=r"\(64, 32, 32, 1\).*or take another prior"):
        image_inputs("bundled", (64, 64, 1))


def test_a_file_and_a_folder(folder):
    inputs = image_inputs(str(folder), SHAPE, first=1)
    images, indices = gathered(inputs)
    assert indices == [1, 2, 3] and inputs.name(2) == str(folder / "2.png")
    np.testing.assert_allclose(images[:, 0, 0, 0], np.array([50, 100, 150]) / 127.5 - 1, atol=1e-6)
    assert gathered(image_inputs(str(folder / "3.png"), SHAPE))[1] == [0]


def test_unreadable_files_are_left_out_and_named(folder):
    (folder / "1.png").write_bytes(b"no image")
    inputs = image_inputs(str(folder), SHAPE)
    assert gathered(inputs)[1] == [0, 2, 3] and [error.path.name for error in inputs.skipped] == ["1.png"]
    with pytest.raises(ValueError, match=r"None of the 1 image files"):
        image_inputs(str(folder / "1.png"), SHAPE)


def test_other_sizes_need_resize(folder):
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(folder / "4.png")
    with pytest.raises(ValueError, match=r"4.png has 20 x 30 pixels.*knows 8 x 8: add --resize"):
        image_inputs(str(folder), SHAPE)
    assert gathered(image_inputs(str(folder), SHAPE, count=4))[1] == [0, 1, 2, 3]
    assert gathered(image_inputs(str(folder), (8, 4, 3), resize=True))[0].shape == (5, 8, 4, 3)


@pytest.mark.parametrize(
    "stored", [np.full((4, 8, 8), 255, np.uint8), np.ones((4, *SHAPE)), np.ones((4, *SHAPE), np.float32)]
)
def test_an_npz(stored, tmp_path):
    np.savez(tmp_path / "a.npz", images=stored)
    images, _ = gathered(image_inputs(str(tmp_path / "a.npz"), SHAPE))
    assert images.dtype == np.float32 and (images == 1).all()


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (dict(x=np.zeros(3)), ValueError, "no array `images`; it has x"),
        (dict(images=np.zeros((2, 8, 8, 1), int)), TypeError, "int64"),
        (dict(images=np.full((2, 8, 8, 1), np.nan)), ValueError, "NaN"),
        (dict(images=np.zeros((2, 8, 8, 3))), ValueError, "number of channels"),
        (b"no archive", ValueError, "cannot be read"),
        (None, FileNotFoundError, "There is no file"),
    ],
)
def test_an_npz_that_does_not_fit_is_refused(content, error, words, tmp_path):
    path = tmp_path / "a.npz"
    if isinstance(content, dict):
        np.savez(path, **content)
    elif content:
        path.write_bytes(content)
    with pytest.raises(error, match=words):
        image_inputs(str(path), SHAPE)


@pytest.mark.parametrize("choice", [dict(first=4), dict(first=-1), dict(count=0)])
def test_choosing_no_image_is_refused(choice, folder):
    with pytest.raises(ValueError, match="has 4, numbered from 0 to 3"):
        image_inputs(str(folder), SHAPE, **choice)


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        image_inputs(str(tmp_path / "none"), SHAPE)
    with pytest.raises(ValueError, match="holds no images"):
        image_inputs(str(tmp_path), SHAPE)


def test_a_data_set(tmp_path):
    np.savez(tmp_path / "set.npz", test=np.full((5, 8, 8), 255, np.uint8))
    inputs = dataset_inputs(str(tmp_path / "set.npz"), "test", SHAPE, 4, None)
    images, indices = gathered(inputs)
    assert indices == [0, 1, 2, 3] and (images == 1).all()


def everywhere(count):
    return np.ones(())


def test_measurements(tmp_path):
    path = str(tmp_path / "y.npy")
    y = np.zeros((4, 4, 1))
    np.save(path, y)
    assert gathered(measurement_inputs(path, (4, 4, 1), np.float32, everywhere))[0].shape == (1, 4, 4, 1)
    y[2, 2] = np.nan
    np.save(path, np.stack([y, y]))
    assert np.isnan(gathered(measurement_inputs(path, (4, 4, 1), np.float32, None))[0]).sum() == 2
    seen = ~np.isnan(y)
    assert np.isnan(gathered(measurement_inputs(path, (4, 4, 1), np.float32, lambda count: seen))[0]).sum() == 2


def test_complex_measurements(tmp_path):
    path = str(tmp_path / "y.npy")
    for y in (np.full((4, 4, 1), 1 + 2j), np.ones((4, 4, 1))):
        np.save(path, y)
        images, _ = gathered(measurement_inputs(path, (4, 4, 1), np.complex64, everywhere))
        assert images.dtype == np.complex64 and (images[0] == y).all()


@pytest.mark.parametrize(
    ("y", "masked", "error", "words"),
    [
        (np.zeros((4, 4, 1)), True, ValueError, "hides no pixel"),
        (np.full((4, 4, 1), np.nan), False, ValueError, "only what was not measured"),
        (np.full((4, 4, 1), np.inf), True, ValueError, "hides no pixel|infinite"),
        (np.zeros((5, 4, 1)), False, ValueError, r"shape \(5, 4, 1\); this task measures \(4, 4, 1\)"),
        (np.zeros((4, 4, 1), np.uint8), False, TypeError, "uint8"),
        (np.zeros((4, 4, 1), complex), False, TypeError, "complex128; give floats on"),
        (b"text", False, ValueError, "cannot be read"),
        (None, False, FileNotFoundError, "There is no file"),
    ],
)
def test_a_measurement_that_does_not_fit_is_refused(y, masked, error, words, tmp_path):
    path = tmp_path / "y.npy"
    if isinstance(y, bytes):
        path.write_bytes(y)
    elif y is not None:
        np.save(path, y)
    with pytest.raises(error, match=words):
        measurement_inputs(str(path), (4, 4, 1), np.float32, None if masked else everywhere)
