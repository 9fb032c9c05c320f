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


def test_linked_folders_are_entered_once_and_hidden_names_left_out(tmp_path):
    for place in ("in/.ipynb_checkpoints", "in/sub", "elsewhere"):
        (tmp_path / place).mkdir(parents=True)
    names = ("in/a.jfif", "in/sub/b.jp2", "in/._a.jpg", "in/.ipynb_checkpoints/c.png", "elsewhere/d.JPE", "in/e.txt")
    for name in names:
        Image.new("L", (8, 8)).save(tmp_path / name, "JPEG")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = [str(path.relative_to(tmp_path / "in")) for path in images.find_images(tmp_path / "in")]
    assert found == ["a.jfif", "again/d.JPE", "sub/b.jp2"]
    assert {".png", ".jpg", ".tif", ".jfif", ".jpe", ".webp"} <= images.image_suffixes()
    assert not {".pdf", ".eps", ".h5", ".mpg"} & images.image_suffixes()


@pytest.mark.parametrize(
    ("kind", "white", "error"),
    [
        (np.int32, 4095, "int32 from 0 to 4095"),
        (np.float32, 4095, "float32 from 0 to 4095"),
        (np.uint16, 4095, None),
        (np.uint8, 100, None),
    ],
)
def test_white_is_what_the_user_says(kind, white, error, tmp_path):
    values = np.linspace(0, white, 64).astype(kind).reshape(8, 8)
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path)
    if error:
        with pytest.raises(images.UnreadableImage, match=rf"a.tif .*{error}.*--white=4095"):
            images.read_pixels(path, 1)
    expected = values.astype(float) / white
    for channels in (1, 3):
        read = images.read_image(path, channels, white=white)
        np.testing.assert_allclose(read, np.broadcast_to(2 * expected[..., None] - 1, (8, 8, channels)), atol=1e-6)
        np.testing.assert_array_equal(images.read_pixels(path, channels, white=white), images.to_uint8(read))
    assert (images.read_image(path, 1, white=white / 2) <= 1).all()
    # Resized before it is rounded: the mean of neighbours has more levels than 8 bits.
    small = images.read_image(path, 1, (4, 4), white)
    assert small.shape == (4, 4, 1) and (
        kind == np.uint8 or not np.allclose(small, images.to_float(images.to_uint8(small)))
    )
    for bad in (0, -1, float("nan")):
        with pytest.raises(ValueError, match=f"white is the value.*{bad}"):
            images.read_pixels(path, 1, white=bad)


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
