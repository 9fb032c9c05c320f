"""Bytes and floats, and image files of every kind, the broken ones too."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pgm_jax.training import images

ASSETS = Path(images.__file__).parents[1] / "assets"


def test_floats_and_bytes_are_inverse():
    pixels = np.arange(256, dtype=np.uint8)
    x = images.to_float(pixels)
    assert x.dtype == np.float32 and (x[0], x[-1]) == (-1, 1)
    np.testing.assert_array_equal(images.to_uint8(x), pixels)
    np.testing.assert_array_equal(images.to_uint8(np.array([-1.5, 1.5])), [0, 255])
    with pytest.raises(TypeError, match="float32"):
        images.to_float(x)
    with pytest.raises(ValueError, match="NaN"):
        images.to_uint8(np.array([np.nan]))


def read(path, channels=3):
    return images.to_float(images.read_pixels(path, channels))


def test_images_are_found_and_read(photos):
    found = images.find_images(photos)
    assert [path.name for path in found] == ["broken.jpg", "tall.PNG", "small.png", "wide.png"]
    assert [read(path).shape for path in found[1:]] == [(16, 8, 3), (4, 4, 3), (8, 12, 3)]
    np.testing.assert_array_equal(read(found[3])[0, 0], [1, -1, -1])
    assert read(found[3], 1).shape == (8, 12, 1)
    with pytest.raises(images.UnreadableImage, match="broken.jpg") as error:
        read(found[0])
    assert "None of the 1 image files" in str(images.none_readable(found[0], [error.value]))


def test_read_image_kinds(photos, tmp_path):
    ramp = np.array([[0, 257, 65535]], np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(images.to_uint8(read(tmp_path / "deep.png", 1))[..., 0], [[0, 1, 255]])
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    Image.new("RGB", (4, 2)).save(tmp_path / "turned.jpg", exif=exif)
    assert read(tmp_path / "turned.jpg").shape == (4, 2, 3)
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "float.tif")
    whole = (tmp_path / "turned.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    for file in ("float.tif", "cut.jpg"):
        with pytest.raises(images.UnreadableImage, match=file):
            read(tmp_path / file)
    with pytest.raises(ValueError, match="channels must be 1"):
        read(photos / "wide.png", 4)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read(tmp_path / "nowhere.png")
    with pytest.raises(IsADirectoryError, match="one image file"):
        read(tmp_path)


def test_bundled_images():
    with np.load(ASSETS / "fashion_mnist_test.npz") as arrays:
        assert arrays["images"].shape == (64, 28, 28) and arrays["images"].dtype == np.uint8
        assert arrays["images"].reshape(64, -1).std(1).min() > 10
    assert "Zalando SE" in (ASSETS / "NOTICE").read_text()
