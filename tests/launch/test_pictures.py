"""Pictures of users: every kind of file there and back, the problems that tasks make of them, and what is refused."""

import io
import json
import subprocess
import sys

import jax
import numpy as np
import png
import pytest
import tifffile
from PIL import Image
from rich.console import Console

from launch import demo, picture_job
from launch.photo_set import read_manifest
from launch.picture_tasks import bayer, disk_kernel, flattest_noise, line_kernel, picture_problem
from launch.pictures import read_picture, write_picture
from pgm_jax.networks import LocalNetwork, LocalUNet
from pgm_jax.pretrained import example_images, save_prior
from pgm_jax.training.data import part_of
from pgm_jax.training.images import UnreadableImage

NOTHING = dict(mask=None, kernel=None, factor=None, pattern="RGGB", noise="0.1")
PROFILE = b"a colour profile" * 9


def values(*shape, most=255, kind=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, most + 1, shape).astype(kind)


def write_deep(path, array):
    channels = 1 if array.ndim == 2 else array.shape[2]
    writer = png.Writer(*array.shape[1::-1], greyscale=channels < 3, alpha=channels in (2, 4), bitdepth=16)
    with path.open("wb") as file:
        writer.write(file, array.reshape(len(array), -1))


def write_planes(path, array):
    tifffile.imwrite(path, np.moveaxis(array, -1, 0), photometric="rgb", planarconfig="separate")


def saved(path, array, **options):
    Image.fromarray(array).save(path, **options)


FILES = {
    "grey.png": (values(7, 5), saved, {}),
    "colour.png": (values(7, 5, 3), saved, dict(icc_profile=PROFILE)),
    "alpha.png": (values(7, 5, 4), saved, {}),
    "grey.tif": (values(7, 5), saved, {}),
    "colour.tif": (values(7, 5, 3), saved, dict(icc_profile=PROFILE)),
    "lossless.webp": (values(7, 5, 3), saved, dict(lossless=True)),
    "alpha.webp": (values(7, 5, 4) | np.uint8([0, 0, 0, 1]), saved, dict(lossless=True, exact=True)),
    "deep_grey.png": (values(7, 5, most=65535, kind=np.uint16), write_deep, {}),
    "deep.png": (values(7, 5, 3, most=65535, kind=np.uint16), write_deep, {}),
    "deep_alpha.png": (values(7, 5, 4, most=65535, kind=np.uint16), write_deep, {}),
    "deep_grey.tif": (values(7, 5, most=65535, kind=np.uint16), tifffile.imwrite, {}),
    "deep.tif": (values(7, 5, 3, most=65535, kind=np.uint16), tifffile.imwrite, dict(photometric="rgb")),
    "planes.tif": (values(7, 5, 3, most=65535, kind=np.uint16), write_planes, {}),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_comes_back_as_it_was(name, tmp_path):
    array, write, options = FILES[name]
    write(tmp_path / name, array, **options)
    picture = read_picture(tmp_path / name)
    write_picture(tmp_path / "back.png", picture.pixels, picture)
    again = read_picture(tmp_path / "back.png")
    assert picture.depth == again.depth == 8 * array.itemsize and not picture.notes
    assert picture.profile == again.profile == options.get("icc_profile")
    channels = 1 if array.ndim == 2 else min(array.shape[2], 3)
    expected = array.reshape(7, 5, -1)
    np.testing.assert_array_equal(np.rint((again.pixels + 1) / 2 * again.white), expected[..., :channels])
    if expected.shape[2] == 4:
        np.testing.assert_array_equal(again.alpha, expected[..., 3])


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("name", ["turned.jpg", "turned.png", "turned.webp", "turned.tif"])
def test_a_picture_is_turned_once_as_its_camera_says(name, orientation, tmp_path):
    tags = Image.Exif()
    tags[0x0112] = orientation
    array = np.kron(values(2, 3, 3), np.ones((8, 8, 1), np.uint8))
    Image.fromarray(array).save(tmp_path / name, exif=tags, **({} if name[-3:] != "ebp" else dict(lossless=True)))
    expected = np.rot90(array, 2 if orientation == 3 else -1)
    pixels = (read_picture(tmp_path / name).pixels + 1) * 127.5
    assert pixels.shape == expected.shape and np.abs(pixels - expected).mean() < 12


def test_a_deep_picture_is_turned_once_and_keeps_its_depth_where_it_is_dark(tmp_path):
    array = values(4, 6, 3, most=200, kind=np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", array, photometric="rgb", extratags=[(0x0112, 3, 1, 6, True)])
    picture = read_picture(tmp_path / "deep.tif")
    assert picture.white == 1023
    write_picture(tmp_path / "back.png", picture.pixels, picture)
    again = read_picture(tmp_path / "back.png")
    np.testing.assert_array_equal(np.rint((again.pixels + 1) / 2 * 1023), np.rot90(array, -1))


def test_a_preview_behind_the_picture_of_a_camera_is_left_out(tmp_path):
    first, second = (Image.fromarray(values(*size, 3)) for size in ((16, 24), (4, 6)))
    first.save(tmp_path / "camera.jpg", "MPO", save_all=True, append_images=[second])
    assert read_picture(tmp_path / "camera.jpg").pixels.shape == (16, 24, 3)


def test_floats_are_written_with_sixteen_bits(tmp_path):
    tifffile.imwrite(tmp_path / "float.tif", np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8))
    picture = read_picture(tmp_path / "float.tif", white=1.0)
    write_picture(tmp_path / "back.png", picture.pixels, picture)
    np.testing.assert_allclose(read_picture(tmp_path / "back.png").pixels, picture.pixels, atol=1e-4)
    with pytest.raises(UnreadableImage, match="--white is the value of a pixel that is white"):
        read_picture(tmp_path / "float.tif", white=0.0)


def test_twelve_bits_in_a_file_of_sixteen_are_told_by_the_range(tmp_path):
    array = values(7, 5, 3, most=4095, kind=np.uint16)
    write_deep(tmp_path / "raw.png", array)
    picture = read_picture(tmp_path / "raw.png")
    assert picture.white == 4095 and "taken for 12 bits" in picture.notes[0]
    assert read_picture(tmp_path / "raw.png", white=8191).white == 8191


def animation(path):
    frames = [Image.fromarray(values(4, 4, 3, seed=i)) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


UNREADABLE = {
    "animated.webp": (animation, "3 pictures, an animation"),
    "print.tif": (lambda path: Image.new("CMYK", (4, 4)).save(path), "colours are CMYK: convert it to RGB"),
    "nan.tif": (lambda path: tifffile.imwrite(path, np.full((4, 4), np.nan, np.float32)), "16 pixels that are NaN"),
    "float.tif": (
        lambda path: tifffile.imwrite(path, np.ones((4, 4), np.float32)),
        "do not say what is white: give --w",
    ),
    "half.png": (lambda path: path.write_bytes(b"\x89PNG\r\n"), "cannot identify"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_picture_is_refused(name, tmp_path):
    make, words = UNREADABLE[name]
    make(tmp_path / name)
    with pytest.raises(UnreadableImage, match=words):
        read_picture(tmp_path / name)


def of(tmp_path, array):
    saved(tmp_path / "picture.png", array)
    return read_picture(tmp_path / "picture.png")


def mask_file(tmp_path, array):
    saved(tmp_path / "mask.png", array)
    return str(tmp_path / "mask.png")


def compared(problem, samples):
    """The number of pictures in a comparison, each panel with two details."""
    image = np.random.default_rng(0).random(problem.operator.image_shape)
    return len(picture_job.comparison(problem, picture_job.Restored(image, image, samples, 2, True)).axes)


def test_problems_have_the_shape_of_their_task(tmp_path):
    colour, grey = of(tmp_path, values(12, 10, 3)), values(12, 10)
    missing = mask_file(tmp_path, np.uint8(255) * (values(12, 10, most=1)))
    cases = [
        ("denoise", {}, (12, 10, 3), (12, 10, 3)),
        ("inpaint", dict(mask=missing), (12, 10, 3), (12, 10, 3)),
        ("deblur", dict(kernel="gaussian:1"), (12, 10, 3), (12, 10, 3)),
        ("deblur", dict(kernel="motion:5,30"), (12, 10, 3), (12, 10, 3)),
        ("deblur", dict(kernel="disk:1.5"), (12, 10, 3), (12, 10, 3)),
        ("super_resolution", dict(factor="4"), (48, 40, 3), (12, 10, 3)),
        ("colourise", {}, (12, 10, 3), (12, 10, 1)),
    ]
    for task, words, image_shape, shape in cases:
        problem = picture_problem(colour, task, NOTHING | words)
        assert problem.operator.image_shape == image_shape and problem.y.shape == shape, task
        assert not problem.grey and problem.sigma == 0.1
        assert compared(problem, samples=2) == 3 * 3, task
    problem = picture_problem(of(tmp_path, grey), "demosaic", NOTHING)
    assert compared(problem, samples=1) == 2 * 3
    assert float(np.asarray(problem.operator.observed).sum()) == 120
    one = picture_problem(of(tmp_path, grey), "denoise", NOTHING)
    assert one.grey and one.sigma == pytest.approx(0.1 * 3**0.5)
    assert picture_problem(of(tmp_path, np.repeat(grey[..., None], 3, 2)), "denoise", NOTHING).grey


def test_kernels_and_patterns():
    for kernel in (disk_kernel(3), line_kernel(15, 30), line_kernel(1, 0)):
        assert kernel.sum() == pytest.approx(1) and kernel.shape[0] % 2 == 1
    across = line_kernel(9, 0)
    assert np.count_nonzero(across.sum(axis=1)) == 1 and np.count_nonzero(across.sum(axis=0)) == 9
    np.testing.assert_array_equal(bayer("RGGB", (2, 2)).argmax(axis=2), [[0, 1], [1, 2]])


def test_noise_is_estimated_where_there_is_no_texture():
    rng = np.random.default_rng(0)
    x = np.zeros((128, 128, 3))
    x[:, 64:] = rng.uniform(-0.9, 0.9, (128, 64, 3))
    assert flattest_noise(x + 0.1 * rng.standard_normal(x.shape)) == pytest.approx(0.1, rel=0.15)
    assert flattest_noise(np.zeros((4, 4, 3))) == 0
    flat = np.full((128, 128, 3), 0.25)
    flat[:, 96:] = rng.uniform(-0.9, 0.9, (128, 32, 3))
    assert flattest_noise(flat) == 0


def test_an_estimate_of_jpeg_needs_a_jpeg(tmp_path):
    smooth = np.asarray(Image.fromarray(values(6, 6, 3)).resize((48, 48), Image.Resampling.BICUBIC))
    Image.fromarray(smooth).save(tmp_path / "small.jpg", quality=10)
    problem = picture_problem(read_picture(tmp_path / "small.jpg"), "jpeg", NOTHING | dict(noise="auto"))
    assert 0.01 < problem.sigma < 0.3
    with pytest.raises(ValueError, match="is no JPEG, and says nothing of its compression: give --noise"):
        picture_problem(of(tmp_path, values(9, 9, 3)), "jpeg", NOTHING | dict(noise="auto"))


REFUSED = {
    "no task": ("sharpen", {}, "Unknown task of a picture 'sharpen'"),
    "no mask": ("inpaint", {}, "--task=inpaint needs --mask"),
    "a mask too many": ("denoise", dict(mask="m.png"), "--mask belongs to --task=inpaint"),
    "no kernel": ("deblur", {}, "--task=deblur needs --kernel"),
    "kernel": ("deblur", dict(kernel="square:3"), "--kernel is 'square:3'; give gaussian:WIDTH"),
    "kernel size": ("deblur", dict(kernel="disk:-1"), "--kernel=disk:-1"),
    "kernel words": ("deblur", dict(kernel="gaussian:wide"), "--kernel=gaussian:wide"),
    "noise": ("denoise", dict(noise="some"), "--noise is 'some'; give a number"),
    "noise of 0": ("denoise", dict(noise="0"), "--noise is the deviation"),
    "pattern": ("demosaic", dict(pattern="RGB"), "Unknown pattern"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_refused(name, tmp_path):
    task, words, message = REFUSED[name]
    array = values(12, 10) if task == "demosaic" else values(12, 10, 3)
    with pytest.raises((ValueError, TypeError), match=message):
        picture_problem(of(tmp_path, array), task, NOTHING | words)


@pytest.mark.parametrize(
    "array, words",
    [
        (values(5, 5), r"has 5 x 5 pixels and the picture 10 x 12; resize"),
        (
            values(12, 10),
            r"a mask has two, black and white. With a threshold it has: convert mask.png -threshold 50% two_mask",
        ),
        (np.full((12, 10), 255, np.uint8), "white everywhere: nothing of the picture is left"),
    ],
)
def test_a_mask_is_black_and_white(array, words, tmp_path):
    picture, path = of(tmp_path, values(12, 10, 3)), mask_file(tmp_path, array)
    with pytest.raises(ValueError, match=words):
        picture_problem(picture, "inpaint", NOTHING | dict(mask=path))


def test_an_even_kernel_gets_a_middle(tmp_path):
    saved(tmp_path / "kernel.png", values(4, 3, seed=1))
    problem = picture_problem(
        of(tmp_path, values(12, 10, 3)), "deblur", NOTHING | dict(kernel=str(tmp_path / "kernel.png"))
    )
    assert "even side" in problem.notes[-1]


def tiny_prior():
    network = LocalNetwork(LocalUNet((8,), (1,), 2, 4), (None, None, 3), -0.1, 0.5, 7)
    return network.prior(network.init(jax.random.key(0)))


def test_the_demo_shows_four_photographs(tmp_path, monkeypatch):
    images = example_images("photos")
    assert images.shape == (4, 192, 192, 3) and float(abs(images).max()) <= 1
    with pytest.raises(ValueError, match="no example images of 'faces'; give one of fashion_mnist, photos"):
        example_images("faces")
    tasks = demo.tasks_for((192, 192, 3))
    shares = [np.mean(np.asarray(task.operator.observed)) for task in tasks]
    assert shares[0] == pytest.approx(0.3, abs=1e-4) and 0.6 < shares[1] < 0.9 and shares[2:] == [1, 1]
    small = demo.tasks_for((24, 24, 3))[:2]  # of one program
    monkeypatch.setattr(demo, "tasks_for", lambda shape: small)
    monkeypatch.setattr(demo.pgm, "example_images", lambda of: images[:2, ::8, ::8])
    monkeypatch.setattr(demo.pgm, "load_prior", lambda of: tiny_prior())
    demo.write_photographs(Console(quiet=True), tmp_path, 1, 2, 0)
    assert Image.open(tmp_path / demo.FIGURE).height > 900


def test_the_photographs_of_the_demo_are_held_out():
    """Of the files in sorted order, as `open_pictures` parts them by the settings of configs/photos.py."""
    names = sorted(photo.name for photo in read_manifest())
    order = np.random.default_rng(0).permutation(len(names))
    begin, end = part_of("train[94%:]", len(names))
    held_out = {names[i] for i in order[begin:end]}
    shown = ["explore_world_animals-lemur", "explore_monuments-konarkSunTemple", "erase-red_panda"]
    assert {*(f"gcompris-qt-data__{name}" for name in shown), "palapeli-data__european-honey-bee"} <= held_out


def test_the_command_restores_a_folder(tmp_path):
    """Two pictures of different sizes, one of them grey with 16 bits, and a file that is none."""
    save_prior(tmp_path / "prior.npz", tiny_prior())
    folder = tmp_path / "pictures"
    folder.mkdir()
    saved(folder / "colour.png", values(9, 20, 3))
    write_deep(folder / "grey.png", values(16, 8, most=65535, kind=np.uint16))
    (folder / "none.png").write_bytes(b"nothing")
    command = [
        sys.executable,
        "-m",
        "launch.restore",
        f"--input={folder}",
        f"--output={tmp_path / 'out'}",
        "--task=denoise",
    ]
    command += [f"--prior={tmp_path / 'prior.npz'}", "--noise=0.1", "--samples=2", "--calls=2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "left out: " in done.stdout and "none.png" in done.stdout
    for name, size, depth in (("colour", (9, 20, 3), 8), ("grey", (16, 8, 1), 16)):
        restored = read_picture(tmp_path / "out" / name / "restored.png")
        assert restored.pixels.shape == size and restored.depth == depth
        record = json.loads((tmp_path / "out" / name / "report.json").read_text())
        assert record["samples"] == 2 and record["calls"] == 2
        written = {path.name for path in (tmp_path / "out" / name).iterdir()}
        assert written == {"restored.png", "samples", "std.png", "comparison.png", "report.json"}
    assert Image.open(io.BytesIO((tmp_path / "out/colour/comparison.png").read_bytes())).width > 300
