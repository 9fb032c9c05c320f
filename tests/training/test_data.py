"""Sources by name and their errors, batches as functions of the step."""

import numpy as np
import pytest

from pgm_jax.training import data, images


def numbered(count, size=2):
    """Image i holds the value i."""
    return data.Source("numbered", count, lambda i: np.full((size, size, 1), i, np.uint8), (size, size, 1))


def values(batch):
    return images.to_uint8(batch)[:, 0, 0, 0].tolist()


def test_npz_is_padded_with_black_and_not_resized(npz, fashion):
    source = data.open_source(npz, "train", (32, 31, 1))
    assert len(source) == 11
    image = source[3]
    assert image.shape == (32, 31, 1) and image.dtype == np.uint8
    np.testing.assert_array_equal(image[2:30, 1:29, 0], fashion["train"][3])
    assert image.sum(dtype=int) == fashion["train"][3].sum(dtype=int)
    assert images.to_float(image)[0, 0, 0] == -1


def test_tfds_set_equals_its_npz_in_order(npz, sets):
    for split in ("train", "test"):
        prepared = data.open_source("fashion_mnist", split, (32, 32, 1), sets)
        direct = data.open_source(npz, split, (32, 32, 1))
        np.testing.assert_array_equal(np.stack(list(prepared)), np.stack(list(direct)))
    np.testing.assert_array_equal(prepared[1], direct[1])  # a second reading comes from memory
    folder = sets / "fashion_mnist" / "3.0.1"
    for part, kept in (("train[:5]", 5), ("train[-20%:]", 2)):
        for name, data_dir in (("fashion_mnist", sets), (folder, None), (npz, None)):
            assert len(data.open_source(name, part, (32, 32, 1), data_dir)) == kept


def test_unknown_and_unprepared_names(sets, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'fashion_mnist'"):
        data.open_source("fashion-mnits", "train", (32, 32, 1), tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"image_sets.prepare_set\('fashion_mnist', data_dir='{tmp_path}'\)"):
        data.open_source("fashion_mnist", "train", (32, 32, 1), tmp_path)
    with pytest.raises(ValueError, match="no split 'val'; it has train, test"):
        data.open_source("fashion_mnist", "val", (32, 32, 1), sets)
    with pytest.raises(ValueError, match="cannot open 'lsun/nowhere'"):
        data.open_source("lsun/nowhere", "train", (32, 32, 3), sets)
    with pytest.raises(FileNotFoundError, match=r"prepare_set\('mnist'\)"):
        data.open_source("mnist", "train", (32, 32, 1))


def test_addresses_are_no_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, data_dir in (("gs://bucket/a.npz", None), ("s3://bucket/photos", None), ("fashion_mnist", "gs://sets")):
        with pytest.raises(ValueError, match="is an address .*mount the bucket"):
            data.open_source(name, "train", (32, 32, 1), data_dir)
    assert not list(tmp_path.iterdir())


def test_sizes_and_channels(npz, sets):
    for name, data_dir in ((npz, None), ("fashion_mnist", sets)):
        with pytest.raises(ValueError, match=r"larger than image_shape \(16, 32, 1\).*\(28, 32, 1\)"):
            data.open_source(name, "train", (16, 32, 1), data_dir)
        with pytest.raises(ValueError, match="1 channel.*asks for 3"):
            data.open_source(name, "train", (32, 32, 3), data_dir)
    with pytest.raises(ValueError, match="is empty"):
        data.open_source("", "train", (32, 32, 1))
    with pytest.raises(ValueError, match="height, width, channels"):
        data.open_source(npz, "train", (32, 32))


def test_bad_npz(npz, tmp_path, fashion):
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        data.open_source(tmp_path / "nowhere.npz", "train", (32, 32, 1))
    with pytest.raises(ValueError, match="no split 'val'; its arrays are train, train_label, test"):
        data.open_source(npz, "val", (32, 32, 1))
    np.savez(tmp_path / "bad.npz", train=fashion["train"] / 255, test=fashion["test"][0], none=fashion["train"][:0])
    for split, words in (("train", "float64"), ("test", r"uint8 \[28, 28\]"), ("none", "holds no images")):
        with pytest.raises(ValueError, match=words):
            data.open_source(tmp_path / "bad.npz", split, (32, 32, 1))
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(ValueError, match="text.npz cannot be read.*give an .npz of images"):
        data.open_source(tmp_path / "text.npz", "train", (32, 32, 1))


def test_batches_are_functions_of_the_step():
    one, two = (data.batches(numbered(10), 4, seed=3) for _ in range(2))
    for step in (0, 7, 1000000):
        np.testing.assert_array_equal(one[step], two[step])
    assert one[0].shape == (4, 2, 2, 1) and one[0].dtype == np.float32
    assert values(data.batches(numbered(10), 4, seed=4)[0]) != values(one[0])


def test_epochs_hold_every_image_once_in_their_own_order():
    dataset = data.batches(numbered(10), 5, seed=0)
    epochs = [values(dataset[2 * epoch]) + values(dataset[2 * epoch + 1]) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_batch_larger_than_the_source():
    assert sorted(set(values(data.batches(numbered(3), 8, seed=0)[0]))) == [0, 1, 2]


def test_shards_join_to_the_batch_of_one_process():
    whole = data.batches(numbered(11), 6, seed=1, flip=True)
    parts = [data.batches(numbered(11), 6, seed=1, flip=True, shard=(index, 3)) for index in range(3)]
    for step in (0, 1, 5):
        np.testing.assert_array_equal(np.concatenate([part[step] for part in parts]), whole[step])


def test_flip_mirrors_half_of_the_images():
    ramp = np.arange(4, dtype=np.uint8)[None, :, None] * np.ones((4, 1, 1), np.uint8)
    source = data.Source("ramp", 1, lambda i: ramp, (4, 4, 1))
    batch = images.to_uint8(data.batches(source, 200, seed=0, flip=True)[3])
    flipped = batch[:, 0, 0, 0] == 3
    assert 70 < flipped.sum() < 130
    np.testing.assert_array_equal(batch[flipped][0], ramp[:, ::-1])
    np.testing.assert_array_equal(batch[~flipped][0], ramp)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(batch_size=0), "batch_size"),
        (dict(batch_size=3, shard=(0, 2)), "multiple of the 2"),
        (dict(batch_size=2, shard=(2, 2)), "shard"),
        (dict(batch_size=2, seed=-1), "seed"),
    ],
)
def test_bad_batches(arguments, words):
    with pytest.raises(ValueError, match=words):
        data.batches(numbered(4), **{"seed": 0, **arguments})
