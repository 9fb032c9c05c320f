"""Sets on disk: what is written, read back, reported and refused."""

import gzip
import hashlib
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pgm_jax.training import image_sets


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))


def prepare(data_dir, source=None):
    return image_sets.prepare_set("fashion_mnist", data_dir, source)


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
    prepare(tmp_path / "sets", tmp_path)
    file = "fashion_mnist/3.0.1/fashion_mnist-test.array_record-00000-of-00001"
    assert (tmp_path / "sets" / file).read_bytes() == (sets / file).read_bytes()


def test_bad_fashion_mnist_sources(tmp_path, monkeypatch, fashion):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        prepare(tmp_path, tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        prepare(tmp_path / "sets", tmp_path)
    np.savez(tmp_path / "small.npz", train=fashion["train"][:, :8], test=fashion["test"])
    with pytest.raises(ValueError, match=r"\[11, 8, 28\]"):
        prepare(tmp_path / "sets", tmp_path / "small.npz")
    for raw, words in ((b"\0\0\x08\x01\0\0\0\x05ab", "announces"), (b"<html>", "not an idx"), (b"\x1f\x8b", "damaged")):
        with pytest.raises(ValueError, match=words):
            image_sets._parse_idx(raw, "file")
    monkeypatch.setattr(image_sets._FashionMnist, "URL", (tmp_path / "offline").as_uri() + "/")
    with pytest.raises(ConnectionError, match="give their folder as the source"):
        prepare(tmp_path / "sets")
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
    assert prepare(tmp_path / "sets").sizes == {"train": 11, "test": 3}
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", fashion["test"][::-1])
    with pytest.raises(ValueError, match="SHA-256 differs"):
        prepare(tmp_path / "more")


def test_registered_set_whose_code_needs_tensorflow(sets, tmp_path, monkeypatch):
    def download_and_prepare(self):
        raise ImportError("no module named tensorflow")

    monkeypatch.setattr(tfds.builder_cls("mnist"), "download_and_prepare", download_and_prepare)
    with pytest.raises(ModuleNotFoundError, match="pip install tensorflow"):
        image_sets.prepare_set("mnist", tmp_path)
    assert not prepare(sets).written
