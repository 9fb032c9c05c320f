import jax
import numpy as np
import pytest
from PIL import Image

from launch.problems import problems, read_dataset, read_images, read_measurements
from launch.tasks import build_task
from pgm_jax.training.images import read_image

SHAPE = (8, 8, 1)
KEY = jax.random.key(0)
MASKS = build_task("masks", dict(operator="random_mask", hidden=0.5, sigma=0.1), SHAPE, KEY)
BOX = build_task("box", dict(operator="box_mask", box=(2, 2, 4, 4), sigma=0.1), SHAPE, KEY)
AVERAGE = build_task("average", dict(operator="average_downsampling", factor=2, sigma=0.1), SHAPE, KEY)
DENOISING = build_task("denoising", dict(operator="denoising", sigma=0.1), SHAPE, KEY)
SEEN = np.arange(64).reshape(8, 8) < 32
GIVEN = build_task("mask", dict(operator="mask", seen=SEEN, sigma=0.1), SHAPE, KEY)
HOLES = np.where(np.arange(64).reshape(SHAPE) % 2, np.nan, 1.0)
FOURIER = build_task("fourier", dict(operator="cartesian_sampling", sigma=0.1), SHAPE, KEY)


def read(inputs):
    return inputs.read(inputs.indices)


@pytest.fixture
def folder(tmp_path):
    for i in range(4):
        Image.fromarray(np.full((8, 8), 50 * i, np.uint8)).save(tmp_path / f"{i}.png")
    return tmp_path


def test_batches_have_one_size_their_operators_and_no_finished_image(folder):
    inputs = read_images(str(folder), SHAPE)
    for task, axis in ((MASKS, 0), (AVERAGE, None)):
        whole = list(problems(inputs, task, KEY, 3))
        assert [p.indices.tolist() for p in whole] == [[0, 1, 2], [3, 3, 3]]
        assert [p.valid.tolist() for p in whole] == [[True] * 3, [True, False, False]]
        assert all(p.operator_axis == axis and len(p.y) == 3 and p.noise is task.noise for p in whole)
        np.testing.assert_array_equal(whole[1].truth[0], read(inputs)[3])
        left = list(problems(inputs, task, KEY, 2, {0, 2, 3}))
        assert [(p.indices.tolist(), p.valid.tolist()) for p in left] == [([0, 1], [False, True])]
        np.testing.assert_array_equal(left[0].y[1], whole[0].y[1])


def test_bundled_images():
    inputs = read_images("bundled", (32, 32, 1), first=2, count=5)
    assert read(inputs).shape == (5, 32, 32, 1) and inputs.indices.tolist() == [2, 3, 4, 5, 6]
    assert inputs.name(3) == "bundled 3"
    with pytest.raises(ValueError, match=r"\(64, 32, 32, 1\).*or take another prior"):
        read_images("bundled", (64, 64, 1))


def test_a_file_and_a_folder(folder):
    inputs = read_images(str(folder), SHAPE, first=1)
    assert inputs.indices.tolist() == [1, 2, 3] and inputs.name(2) == str(folder / "2.png")
    np.testing.assert_allclose(read(inputs)[:, 0, 0, 0], np.array([50, 100, 150]) / 127.5 - 1, atol=1e-6)
    assert read(read_images(str(folder / "3.png"), SHAPE)).shape == (1, *SHAPE)


def test_unreadable_files_are_left_out_and_named(folder):
    (folder / "1.png").write_bytes(b"not an image")
    inputs = read_images(str(folder), SHAPE)
    assert inputs.indices.tolist() == [0, 2, 3] and [error.path.name for error in inputs.skipped] == ["1.png"]
    with pytest.raises(ValueError, match=r"None of the 1 image files"):
        read_images(str(folder / "1.png"), SHAPE)


def test_other_sizes_need_resize(folder):
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(folder / "4.png")
    with pytest.raises(ValueError, match=r"4.png has 20 x 30 pixels.*8 x 8: add --resize"):
        read_images(str(folder), SHAPE)
    assert read(read_images(str(folder), SHAPE, count=4)).shape == (4, *SHAPE)
    assert read(read_images(str(folder), (8, 4, 3), resize=True)).shape == (5, 8, 4, 3)


def test_an_npy_is_a_stack_of_images(tmp_path):
    np.save(tmp_path / "a.npy", np.full((4, 8, 8), 51, np.uint8))
    np.testing.assert_allclose(read(read_images(str(tmp_path / "a.npy"), SHAPE, count=2)), np.full((2, *SHAPE), -0.6))


@pytest.mark.parametrize(
    "stored", [np.full((4, 8, 8), 255, np.uint8), np.ones((4, *SHAPE)), np.ones((4, *SHAPE), np.float32)]
)
def test_an_npz(stored, tmp_path):
    np.savez(tmp_path / "a.npz", images=stored)
    images = read(read_images(str(tmp_path / "a.npz"), SHAPE, first=1))
    assert images.shape == (3, *SHAPE) and images.dtype == np.float32 and (images == 1).all()


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (dict(x=np.zeros(3)), ValueError, "no array `images`; it has x"),
        (dict(images=np.zeros((2, 8, 8, 1), int)), TypeError, "int64"),
        (dict(images=np.full((2, 8, 8, 1), np.nan)), ValueError, "NaN"),
        (dict(images=np.zeros((2, 8, 8, 3))), ValueError, "number of channels"),
        (b"not an archive", ValueError, "cannot be read"),
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
        read_images(str(path), SHAPE)


@pytest.mark.parametrize("choice", [dict(first=4), dict(first=-1), dict(count=0)])
def test_choosing_no_image_is_refused(choice, folder):
    with pytest.raises(ValueError, match="has 4, numbered from 0 to 3"):
        read_images(str(folder), SHAPE, **choice)


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_images(str(tmp_path / "none"), SHAPE)
    with pytest.raises(ValueError, match="holds no images"):
        read_images(str(tmp_path), SHAPE)


def test_a_data_set(tmp_path):
    np.savez(tmp_path / "set.npz", test=np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((8, 8), np.uint8))
    inputs = read_dataset(str(tmp_path / "set.npz"), "test", SHAPE, first=1, count=3)
    assert inputs.indices.tolist() == [1, 2, 3]
    np.testing.assert_allclose(read(inputs)[:, 0, 0, 0], np.array([1, 2, 3]) / 127.5 - 1, atol=1e-6)


def test_measurements_state_what_they_hide(tmp_path):
    y = np.ones(SHAPE)
    y[2:6, 2:6] = np.nan
    np.save(tmp_path / "y.npy", np.stack([y, y]))
    for task in (MASKS, BOX):
        (problem,) = problems(read_measurements(str(tmp_path / "y.npy"), task), task, KEY, 2)
        assert problem.operator_axis == 0 and problem.truth is None
        np.testing.assert_array_equal(problem.operator.mask, np.isfinite([y, y]))
        np.testing.assert_array_equal(problem.y, np.nan_to_num([y, y]))


def test_a_result_is_a_measurement_too(tmp_path):
    observed = np.arange(64).reshape(SHAPE) % 2 == 0
    np.savez(tmp_path / "arrays.npz", measurement=np.zeros(SHAPE, np.float32), observed=observed, mean=np.ones(SHAPE))
    inputs = read_measurements(str(tmp_path / "arrays.npz"), MASKS)
    assert inputs.y.shape == (1, *SHAPE) and (inputs.observed[0] == observed).all()


def test_measurements_of_other_operators_are_whole(tmp_path):
    np.save(tmp_path / "y.npy", np.zeros((3, 4, 4, 1)))
    whole = list(problems(read_measurements(str(tmp_path / "y.npy"), AVERAGE), AVERAGE, KEY, 2))
    assert [p.y.shape for p in whole] == [(2, 4, 4, 1)] * 2 and all(p.operator is AVERAGE.shared for p in whole)


@pytest.mark.parametrize("elsewhere", [np.nan, 0.5, -9999.0, np.inf])
def test_a_mask_that_is_given_says_what_was_seen(elsewhere, tmp_path):
    np.save(tmp_path / "y.npy", np.where(SEEN[..., None], -0.5, elsewhere))
    (problem,) = problems(read_measurements(str(tmp_path / "y.npy"), GIVEN), GIVEN, KEY, 2)
    assert problem.operator is GIVEN.shared
    np.testing.assert_array_equal(problem.y[0], np.where(SEEN[..., None], -0.5, 0))


def test_a_box_without_holes_is_that_of_the_task(tmp_path):
    np.save(tmp_path / "y.npy", np.full(SHAPE, -0.5))
    inputs = read_measurements(str(tmp_path / "y.npy"), BOX)
    np.testing.assert_array_equal(inputs.observed[0], BOX.shared.observed > 0)


def test_an_image_is_a_measurement(tmp_path):
    pixels = np.arange(64).reshape(8, 8) * 60
    Image.fromarray((pixels // 15).astype(np.uint8)).save(tmp_path / "y.png")
    Image.fromarray(pixels.astype(np.uint16)).save(tmp_path / "deep.png")
    plain = read_measurements(str(tmp_path / "y.png"), DENOISING).y[0, ..., 0]
    np.testing.assert_allclose(plain, pixels // 15 / 127.5 - 1, atol=1e-6)
    deep = read_measurements(str(tmp_path / "deep.png"), DENOISING, white=4095).y[0, ..., 0]
    np.testing.assert_allclose(deep, pixels / 4095 * 2 - 1, atol=1e-6)


def test_what_looks_like_another_range_is_told(tmp_path, monkeypatch):
    np.save(tmp_path / "y.npy", np.linspace(0, 1, 64).reshape(SHAPE))
    with pytest.warns(UserWarning, match=r"0 to 1, .* -1 to 1. If it is of images in \[0, 1\]"):
        read_measurements(str(tmp_path / "y.npy"), DENOISING)
    np.save(tmp_path / "y.npy", np.full(SHAPE, 9.0))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "whole_image.py").write_text(
        "from pgm_jax.operators import average_downsampling\n\n"
        "def make(shape):\n    return average_downsampling(shape, 1)\n"
    )
    own = build_task("own", dict(operator="whole_image:make", sigma=0.1), SHAPE, KEY)
    with pytest.warns(UserWarning, match="9 to 9, .* scale it"):
        read_measurements(str(tmp_path / "y.npy"), own)


def test_more_than_8_bits(folder):
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 65
    for i in range(4):
        Image.fromarray(deep).save(folder / f"{i}.png")
    with pytest.warns(UserWarning, match=r"16-bit images in .* less than a quarter of their range.*--white=4095"):
        read_images(str(folder), SHAPE)
    images = read(read_images(str(folder), SHAPE, white=4095))[..., 0]
    Image.fromarray(np.full(SHAPE[:2], 255, np.uint8)).save(folder.parent / "of_8_bits.png")
    assert (read_image(folder.parent / "of_8_bits.png", 1, white=4095) == 1).all()
    np.testing.assert_allclose(images, np.broadcast_to(deep / 4095 * 2 - 1, images.shape), atol=1e-6)


def test_a_window_of_measurements(tmp_path):
    np.save(tmp_path / "y.npy", np.arange(3 * 16, dtype=float).reshape(3, 4, 4, 1) / 16)
    inputs = read_measurements(str(tmp_path / "y.npy"), AVERAGE, first=1, count=1)
    (problem,) = problems(inputs, AVERAGE, KEY, 2)
    assert problem.indices.tolist() == [1] and problem.y[0, 0, 0, 0] == 1


def test_an_operator_that_is_drawn_for_each_image_did_not_measure(tmp_path):
    np.save(tmp_path / "y.npy", np.zeros(SHAPE))
    blurs = build_task("a", dict(operator="motion_blur", size=5, drawn="each", sigma=0.1), SHAPE, KEY)
    with pytest.raises(ValueError, match="a draws an operator for each image.*--operator="):
        read_measurements(str(tmp_path / "y.npy"), blurs)


def test_complex_measurements(tmp_path):
    for y in (np.full(SHAPE, 1 + 2j), np.ones(SHAPE)):
        np.save(tmp_path / "y.npy", y)
        inputs = read_measurements(str(tmp_path / "y.npy"), FOURIER)
        seen = FOURIER.shared.observed > 0
        assert inputs.y.dtype == np.complex64 and (inputs.y[0] == y * seen).all()


@pytest.mark.parametrize(
    ("y", "task", "error", "words"),
    [
        (np.zeros(SHAPE), MASKS, ValueError, "hides no pixel: set the hidden ones to NaN"),
        (np.full((4, 4, 1), np.nan), AVERAGE, ValueError, "is NaN everywhere"),
        (HOLES, DENOISING, ValueError, "only what was not measured"),
        (HOLES * np.inf, MASKS, ValueError, "32 values of 32 that are NaN or infinite"),
        (HOLES * 1e300, MASKS, ValueError, "up to 1e[+]300, which are infinite in single precision"),
        (HOLES * 255, MASKS, ValueError, r"255 to 255, .* -1 to 1 for images in \[-1, 1\]"),
        (np.full((4, 4, 1), 99.0), AVERAGE, ValueError, "99 to 99, .* about -1 to 1"),
        (HOLES, GIVEN, ValueError, "NaN for 16 values that the operator mask has seen"),
        (np.zeros((0, 8, 8, 1)), GIVEN, ValueError, "no measurements"),
        (np.zeros((5, 4, 1)), AVERAGE, ValueError, r"shape \(5, 4, 1\); this task measures \(4, 4, 1\)"),
        (np.zeros((4, 4, 1), np.uint8), AVERAGE, TypeError, "uint8"),
        (np.zeros((4, 4, 1), complex), AVERAGE, TypeError, "complex128; give floats on"),
        (b"text", AVERAGE, ValueError, "cannot be read"),
        (None, AVERAGE, FileNotFoundError, "There is no file"),
    ],
)
def test_a_measurement_that_does_not_fit_is_refused(y, task, error, words, tmp_path):
    path = tmp_path / "y.npy"
    if isinstance(y, bytes):
        path.write_bytes(y)
    elif y is not None:
        np.save(path, y)
    with pytest.raises(error, match=words):
        read_measurements(str(path), task)


def test_an_archive_without_a_measurement_is_refused(tmp_path):
    np.savez(tmp_path / "y.npz", x=np.zeros(SHAPE))
    with pytest.raises(ValueError, match="no array `measurement`; it has x"):
        read_measurements(str(tmp_path / "y.npz"), AVERAGE)
