"""Sets on disk: what is written, read back, reported and refused."""

import gzip
import hashlib
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pgm_jax.training import data, image_sets


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))


def test_tfds_itself_reads_the_prepared_set(sets, fashion):
    records = tfds.data_source("fashion_mnist", split="train", data_dir=sets, download=False)
    assert records[7]["label"] == 7
    np.testing.assert_array_equal(records[7]["image"][..., 0], fashion["train"][7])


def test_idx_files_give_the_same_set(tmp_path, sets, fashion):
    for split, stems in image_sets._IDX_FILES.items():
        for stem, array in zip(stems, (fashion[split], fashion[f"{split}_label"]), strict=True):
            write_idx(tmp_path / f"{stem}.gz", array)
    images_file = tmp_path / "t10k-images-idx3-ubyte.gz"
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(gzip.decompress(images_file.read_bytes()))
    images_file.unlink()  # one of the four is not compressed
    image_sets.write_fashion_mnist(tmp_path, tmp_path / "sets")
    file = "fashion_mnist/3.0.1/fashion_mnist-test.array_record-00000-of-00001"
    assert (tmp_path / "sets" / file).read_bytes() == (sets / file).read_bytes()


def test_folder_reports_what_it_could_not_read(photos, tmp_path):
    prepared = image_sets.write_image_folder(photos, "mine", (8, 8, 1), tmp_path)
    assert prepared.written and prepared.sizes == {"train": 3} and prepared.enlarged == 1
    assert [error.path.name for error in prepared.unreadable] == ["broken.jpg"]
    assert "broken.jpg" in prepared.unreadable_list.read_text()
    assert len(data.open_source("mine", "train", (8, 8, 1), tmp_path)) == 3
    again = image_sets.write_image_folder(photos, "mine", (8, 8, 1), tmp_path)
    assert not again.written and again.unreadable_list == prepared.unreadable_list
    with pytest.raises(ValueError, match=r"already with images of \(8, 8, 1\)"):
        image_sets.write_image_folder(photos, "mine", (4, 4, 1), tmp_path)


def test_names_and_shapes_of_folders(photos, tmp_path):
    for name, shape, words in (
        ("My Photos", (8, 8, 1), "lower-case"),
        ("mnist", (8, 8, 1), "TFDS knows"),
        ("mine", (8, 8, 2), "1 or 3"),
        ("mine", (0, 8, 1), "image_shape"),
    ):
        with pytest.raises(ValueError, match=words):
            image_sets.write_image_folder(photos, name, shape, tmp_path)


def test_bad_fashion_mnist_sources(tmp_path, monkeypatch, fashion):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        image_sets.write_fashion_mnist(tmp_path / "nowhere", tmp_path)
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        image_sets.write_fashion_mnist(tmp_path, tmp_path / "sets")
    np.savez(tmp_path / "small.npz", train=fashion["train"][:, :8], test=fashion["test"])
    with pytest.raises(ValueError, match=r"\[11, 8, 28\]"):
        image_sets.write_fashion_mnist(tmp_path / "small.npz", tmp_path / "sets")
    for raw, words in ((b"\0\0\x08\x01\0\0\0\x05ab", "announces"), (b"<html>", "not an idx"), (b"\x1f\x8b", "damaged")):
        with pytest.raises(ValueError, match=words):
            image_sets._parse_idx(raw, "file")
    monkeypatch.setattr(image_sets._FashionMnist, "URL", (tmp_path / "offline").as_uri() + "/")
    with pytest.raises(ConnectionError, match="give their folder as the source"):
        image_sets.write_fashion_mnist(None, tmp_path / "sets")
    assert not (tmp_path / "sets" / "fashion_mnist" / "3.0.1").exists()


def test_download_is_checked(tmp_path, monkeypatch, fashion):
    url, known = tmp_path.as_uri() + "/", {}
    arrays = (fashion["train"], fashion["train_label"], fashion["test"], fashion["test_label"])
    for stem, array in zip(sum(image_sets._IDX_FILES.values(), ()), arrays, strict=True):
        write_idx(tmp_path / f"{stem}.gz", array)
        checksum = hashlib.sha256((tmp_path / f"{stem}.gz").read_bytes()).hexdigest()
        known[f"{url}{stem}.gz"] = types.SimpleNamespace(checksum=checksum)
    monkeypatch.setattr(image_sets._FashionMnist, "URL", url)
    monkeypatch.setattr(image_sets._FashionMnist, "url_infos", known)
    assert image_sets.write_fashion_mnist(None, tmp_path / "sets").sizes == {"train": 11, "test": 3}
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", fashion["test"][::-1])
    with pytest.raises(ValueError, match="SHA-256 differs"):
        image_sets.write_fashion_mnist(None, tmp_path / "more")


def test_registered_set_whose_code_needs_tensorflow(sets, tmp_path, monkeypatch):
    def download_and_prepare(self):
        raise ImportError("no module named tensorflow")

    monkeypatch.setattr(tfds.builder_cls("mnist"), "download_and_prepare", download_and_prepare)
    with pytest.raises(ModuleNotFoundError, match="pip install tensorflow"):
        image_sets.write_registered("mnist", tmp_path)
    assert not image_sets.write_registered("fashion_mnist", sets).written
