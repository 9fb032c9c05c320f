"""The one reader of arrays: what is written comes back, and no damage to a file shows as anything but a ValueError."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from pgm_jax.files import local_path, read_arrays, replacing, write_arrays
from pgm_jax.training.images import read_npz

FAST = True

ARRAYS = dict(
    train=np.arange(60, dtype=np.uint8).reshape(10, 3, 2),
    train_label=np.arange(10),
    file=np.asarray("words"),
    complex=np.ones((2, 3), np.complex64).T,
)


def flipped(data):
    """The file with one byte changed, at every place of a small one, by a bit or by many."""
    for place in range(len(data)):
        for change in (0x01, 0x20, 0xFF):
            yield data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]


def same(found, arrays):
    assert found.keys() == arrays.keys()
    for name in arrays:
        np.testing.assert_array_equal(found[name], arrays[name])
        assert found[name].dtype == arrays[name].dtype


def test_what_is_written_comes_back(tmp_path):
    path = tmp_path / "new" / "folder" / "a.npz"
    write_arrays(path, ARRAYS)
    same(read_arrays(path, "arrays"), ARRAYS)
    with np.load(path) as arrays:  # numpy's own format
        same(dict(arrays), ARRAYS)
    np.save(tmp_path / "a.npy", ARRAYS["complex"])
    same(read_arrays(tmp_path / "a.npy", "an array"), dict(array=ARRAYS["complex"]))
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_flipped_byte_of_an_npz_is_seen_or_harmless(tmp_path, save):
    path, arrays = tmp_path / "a.npz", dict(train=ARRAYS["train"], train_label=ARRAYS["train_label"])
    save(path, **arrays)
    refused = 0
    for data in flipped(path.read_bytes()):
        path.write_bytes(data)
        try:
            images, labels = read_npz(path, "train")
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            np.testing.assert_array_equal(images[..., 0], arrays["train"])
            np.testing.assert_array_equal(labels, arrays["train_label"])
    assert refused > 100


@pytest.mark.filterwarnings("ignore")
def test_a_flipped_byte_of_an_npy_is_a_value_error_or_another_number(tmp_path):
    """The format has no checksum: a changed number is a number."""
    path = tmp_path / "a.npy"
    np.save(path, np.arange(12, dtype=np.float32).reshape(3, 4))
    refused = 0
    for data in flipped(path.read_bytes()):
        path.write_bytes(data)
        try:
            assert read_arrays(path, "an array")["array"].nbytes == 48
        except ValueError as error:
            assert f"{path} cannot be read" in str(error) and "give an array" in str(error)
            refused += 1
    assert refused > 50


def test_nothing_in_a_file_is_run(tmp_path):
    for save in (lambda path, a: np.savez(path, a=a), np.save):
        with open(tmp_path / "a", "wb") as file:
            save(file, np.array([{"a": 1}], object))
        with pytest.raises(ValueError, match="holds Python objects"):
            read_arrays(tmp_path / "a", "numbers")
    with pytest.raises(ValueError, match="Object arrays"):
        write_arrays(tmp_path / "b.npz", dict(a=np.array([{}], object)))
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(ValueError, match=r"c\.npz cannot be read.*give numbers"):
        read_arrays(tmp_path / "c.npz", "numbers")


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_paths_are_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert local_path("~/a") == tmp_path / "a" and local_path("a:b/c") == Path("a:b/c")
    for address in ("gs://bucket/a.npz", "s3://bucket/a", "https://a.org/a.npz", Path("gs://bucket/a"), "file:///a"):
        for use in (local_path, lambda path: read_arrays(path, "a"), lambda path: write_arrays(path, {})):
            with pytest.raises(ValueError, match="is an address .*copy it here or mount the bucket"):
                use(address)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="no file .*nowhere; give a prior"):
        read_arrays("nowhere", "a prior")
