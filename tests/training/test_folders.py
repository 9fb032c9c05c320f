"""A folder of images as an array on disk: what is in it, when it is written, and what is refused."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from pgm_jax.training import folders
from pgm_jax.training.data import batches, open_source

pytestmark = pytest.mark.filterwarnings("ignore:1 files of:UserWarning")


def files_in(place):
    return {path.name: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}


def test_images_are_resized_and_kept_in_sorted_order(photos, tmp_path):
    with pytest.warns(UserWarning, match=r"1 of 4 files of .* cannot be read: see .*unreadable\.txt"):
        source = open_source(photos, "train", (8, 8, 3), tmp_path)
    colours = [(100,) * 3, (0, 0, 255), (255, 0, 0)]  # more/tall.PNG, small.png, wide.png
    expected = np.broadcast_to(np.array(colours, np.uint8)[:, None, None], (3, 8, 8, 3))
    np.testing.assert_array_equal(np.stack(list(source)), expected)
    array, listing = sorted((tmp_path / "pgm_jax_folders").iterdir())
    np.testing.assert_array_equal(np.load(array), expected)
    assert listing.read_text().startswith(f"{photos.resolve() / 'broken.jpg'}\t")
    grey = open_source(str(photos), "train", (4, 6, 1), tmp_path)[2]
    assert grey.shape == (4, 6, 1) and grey[0, 0, 0] == 76  # of red


def test_images_are_cropped_about_the_centre(tmp_path):
    picture = np.arange(8 * 16, dtype=np.uint8).reshape(8, 16)
    (tmp_path / "in").mkdir()
    Image.fromarray(picture).save(tmp_path / "in" / "a.png")
    found = folders.folder_images(tmp_path / "in", (8, 8, 1), tmp_path)
    np.testing.assert_array_equal(found[0, :, :, 0], picture[:, 4:12])


def test_the_array_is_mapped_and_read_only(photos, tmp_path):
    images = folders.folder_images(photos, (8, 8, 3), tmp_path)
    assert isinstance(images.base, np.memmap) and not images.flags.writeable


def test_an_array_is_written_once_and_anew_for_other_files_or_shapes(photos, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes((photos / "wide.png").read_bytes())
    first = open_source(folder, "train", (8, 8, 3), tmp_path / "sets")
    written = files_in(tmp_path / "sets")
    again = open_source(folder, "train", (8, 8, 3), tmp_path / "sets")
    assert files_in(tmp_path / "sets") == written and len(written) == 1
    for step in (0, 5):
        np.testing.assert_array_equal(batches(again, 2, 0)[step], batches(first, 2, 0)[step])
    os.utime(folder / "a.png", ns=(0, 0))
    open_source(folder, "train", (8, 8, 3), tmp_path / "sets")
    (folder / "b.png").unlink()
    assert len(open_source(folder, "train", (8, 8, 3), tmp_path / "sets")) == 1
    open_source(folder, "train", (8, 4, 3), tmp_path / "sets")
    assert len(files_in(tmp_path / "sets")) == 4


def test_several_that_write_at_once_leave_one_whole_array(photos, tmp_path):
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: folders.folder_images(photos, (8, 8, 1), tmp_path), range(3)))
    assert all(np.array_equal(images, found[0]) for images in found) and found[0].shape == (3, 8, 8, 1)
    assert len(files_in(tmp_path)) == 2


def test_an_interrupted_writing_leaves_nothing(photos, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(folders, "read_pixels", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_source(photos, "train", (8, 8, 3), tmp_path)
    assert not files_in(tmp_path)


def test_the_place_is_that_of_data_sets(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    open_source(photos, "train", (8, 8, 3))
    assert len(files_in(tmp_path / "pgm_jax_folders")) == 2


@pytest.mark.parametrize(
    ("split", "rows"), [("train[:1]", [0]), ("train[67%:]", [2]), ("train[-2:]", [1, 2]), ("train[:]", [0, 1, 2])]
)
def test_a_part_of_a_folder(photos, tmp_path, split, rows):
    whole = open_source(photos, "train", (8, 8, 3), tmp_path)
    part = open_source(photos, split, (8, 8, 3), tmp_path)
    np.testing.assert_array_equal(np.stack(list(part)), np.stack([whole[i] for i in rows]))


@pytest.mark.parametrize("split", ["val", "train[50]", "test[:x%]"])
def test_other_splits_are_refused(photos, tmp_path, split):
    with pytest.raises(ValueError) as refused:
        open_source(photos, split, (8, 8, 3), tmp_path)
    assert repr(split) in str(refused.value) and "'train'" in str(refused.value) and not files_in(tmp_path)


def test_a_folder_is_one_set_for_training_and_tests(photos, tmp_path):
    train, test = (open_source(photos, split, (8, 8, 3), tmp_path) for split in ("train", "test"))
    np.testing.assert_array_equal(np.stack(list(test)), np.stack(list(train)))


def test_what_is_white_is_part_of_the_array(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((8, 8), 2048, np.uint16)).save(tmp_path / "in" / "a.png")
    with pytest.warns(UserWarning, match=r"less than a quarter of their range.*--white=4095"):
        dark = folders.folder_images(tmp_path / "in", (8, 8, 1), tmp_path)
    grey = folders.folder_images(tmp_path / "in", (8, 8, 1), tmp_path, 4095)
    assert (dark == 8).all() and (grey == 128).all() and len(files_in(tmp_path / "pgm_jax_folders")) == 2


def test_an_array_that_was_cut_off_is_written_anew(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((8, 8), 90, np.uint8)).save(tmp_path / "in" / "a.png")
    for _ in range(2):
        assert (folders.folder_images(tmp_path / "in", (8, 8, 1), tmp_path) == 90).all()
        (array,) = (tmp_path / "pgm_jax_folders").iterdir()
        array.write_bytes(array.read_bytes()[:150])


def test_bad_folders_leave_nothing_behind(tmp_path, monkeypatch):
    folder, place = tmp_path / "photos", tmp_path / "sets"
    with pytest.raises(FileNotFoundError, match=str(folder)):
        open_source(folder, "train", (8, 8, 1), place)
    folder.mkdir()
    with pytest.raises(ValueError, match=r"holds no images: no file .* ends with \.png"):
        open_source(folder, "train", (8, 8, 1), place)
    (folder / "a.png").write_bytes(b"")
    (folder / "b.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"None of the 2 image files(?s:.)*a\.png"):
        open_source(folder, "train", (8, 8, 1), place)
    with pytest.raises(ValueError, match=r"\(8, 8, 2\).*1 or 3"):
        open_source(folder, "train", (8, 8, 2), place)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no set 'photos'.*write \./photos"):
        open_source("photos", "train", (8, 8, 1), place)
    assert not place.exists()
