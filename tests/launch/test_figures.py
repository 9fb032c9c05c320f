import types

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from rich.console import Console

from launch.figures import HIDDEN, Block, coloured, figure_of, rgb, save_png, seen
from launch.results import print_table
from pgm_jax.evaluation import Case
from pgm_jax.noise import GaussianNoise


def a_case(shape=(8, 8, 1), truth=True, samples=4, measured=(2, 2)):
    draw = np.random.default_rng(0).uniform(-1, 1, (samples + 3, *shape)).astype(np.float32)
    metrics = dict(psnr_sample=20.0, psnr_mean=21.0) if truth else dict(misfit_sample=1.0, misfit_mean=0.9)
    y = np.zeros((*measured, shape[-1]), np.float32)
    return Case(
        0, draw[0] if truth else None, None, y, np.ones(y.shape, bool), draw[3:], draw[1], abs(draw[2]), metrics
    )


def panels(figure):
    return [list(ax.images) for ax in figure.axes if ax.images]


def words(figure):
    return " ".join(text.get_text() for text in figure.texts)


def test_a_sheet_has_a_row_for_each_image_and_its_scores():
    blocks = [Block("Inpainting", "hidden 0.7", [a_case()] * 3), Block("Blur", "width 2", [a_case(samples=2)] * 3)]
    figure = figure_of(blocks)
    assert [len(images) for images in panels(figure)] == [3 * 7, 3 * 6]
    heads = [[label.get_text() for label in ax.get_xticklabels()] for ax in figure.axes[:2]]
    assert heads == [["truth", "input", "samples", "mean", "std"]] * 2
    for text in ("Inpainting", "hidden 0.7", "PSNR 20.0 dB of one sample, 21.0 dB of the mean of 4"):
        assert text in words(figure)
    assert "hidden pixels" not in words(figure)


def test_words_of_the_users_are_no_markup(capsys, tmp_path):
    name, kernel = "my_$x$_$[b]:make[/b]", "kernel in_$_[red].npy $\\frac$"
    figure = figure_of([Block(name, kernel, [a_case()])])
    figure.savefig(tmp_path / "a.png")
    assert name in words(figure) and kernel in words(figure)
    row = dict(task=name, index=0, image="a[/red].png", psnr_sample=20.0, psnr_mean=21.0, seconds=2.0)
    noise = types.SimpleNamespace(noise=GaussianNoise(0.05))
    print_table(Console(width=120), [row], {name: noise}, 1)
    assert name in capsys.readouterr().out


def test_many_tasks_make_lines_of_three_with_one_sample():
    blocks = [Block(f"task {i}", "σ = 0.05", [a_case(samples=2 - i % 2)]) for i in range(5)]
    figure = figure_of(blocks)
    assert [len(images) for images in panels(figure)] == [5] * 5
    places = [tuple(figure.axes[i].get_position().p0.round(3)) for i in range(5)]
    assert [x for x, _ in places[3:]] == [x for x, _ in places[:2]] and len({y for _, y in places}) == 2
    assert all(f"task {i}" in words(figure) for i in range(5))


def test_without_truth_there_is_no_truth():
    figure = figure_of([Block("Blur", "width 2", [a_case(truth=False, samples=1)])])
    assert len(panels(figure)[0]) == 4
    assert "misfit 1.00 σ of one sample" in words(figure)


def test_a_measurement_keeps_its_own_pixels():
    (images,) = panels(figure_of([Block("x", "y", [a_case(measured=(2, 4))])]))
    assert images[1].get_array().shape[:2] == (2, 4) and images[1].get_interpolation() == "nearest"
    left, right, bottom, top = images[1].get_extent()
    assert right - left == pytest.approx(1) and bottom - top == pytest.approx(1)


def test_hidden_pixels_are_tinted_and_explained():
    y, observed = np.full((4, 4, 1), -1.0, np.float32), np.ones((4, 4, 1), bool)
    y[1, 2], observed[1, 2] = 0.0, False
    picture = seen(y, observed)
    np.testing.assert_allclose(picture[1, 2] / 255, to_rgb(HIDDEN), atol=1 / 255)
    assert (picture[observed[..., 0]] == 0).all()
    assert "hidden pixels" in words(figure_of([Block("x", "y", [a_case()._replace(y=y, observed=observed)])]))


@pytest.mark.parametrize(
    ("y", "shape"),
    [
        (np.linspace(-40, 40, 60).reshape(5, 12, 1), (5, 12)),  # a sinogram
        (np.linspace(-1, 1, 24), (5, 5)),
        (np.linspace(-1, 1, 24).reshape(8, 3), (3, 3)),
        (np.ones((2, 4, 6, 1)) * np.exp(1j), (4, 12)),  # coils
        (np.ones((2, 4, 6)) * np.exp(1j), (4, 12)),
        (np.zeros((4, 6), complex), (4, 6)),
    ],
)
def test_a_measurement_that_is_no_image_is_a_picture_too(y, shape):
    assert seen(y, np.ones(y.shape, bool)).shape == (*shape, 3)


def test_measurements_are_shown_from_the_least_to_the_greatest_and_frequencies_by_their_logarithm():
    sinogram = np.linspace(0, 40, 60).reshape(5, 12, 1)
    everywhere = np.ones(sinogram.shape, bool)
    picture = seen(sinogram, everywhere)
    assert picture.min() == 0 and picture.max() == 255 and abs(int(picture[2, 5, 0]) - 125) < 10
    frequencies = np.exp(np.linspace(0, 5, 60) + 1j * np.arange(60)).reshape(5, 12, 1)
    np.testing.assert_array_equal(seen(frequencies, everywhere), picture)
    everywhere[1, 2] = False
    np.testing.assert_allclose(seen(frequencies, everywhere)[1, 2] / 255, to_rgb(HIDDEN), atol=1 / 255)


def test_deviations_share_one_scale():
    small, large = (a_case()._replace(std=np.full((8, 8, 1), s, np.float32)) for s in (0.1, 0.4))
    (first, second) = panels(figure_of([Block("x", "y", [small]), Block("z", "y", [large])]))
    np.testing.assert_array_equal(first[-1].get_array(), coloured(small.std, 0.4))
    np.testing.assert_array_equal(second[-1].get_array(), coloured(large.std, 0.4))
    figure_of([Block("x", "y", [small._replace(std=np.zeros((8, 8, 1), np.float32))])])


def test_colours_are_kept():
    image = a_case((8, 6, 3)).mean
    np.testing.assert_array_equal(rgb(image), np.rint((image + 1) * 127.5).astype(np.uint8))
    assert coloured(image, 1.0).shape == (8, 6, 3)


def test_files_are_written(tmp_path):
    figure_of([Block("x", "y", [a_case((8, 6, 3))])]).savefig(tmp_path / "figure.png", dpi=40)
    assert Image.open(tmp_path / "figure.png").size > (100, 50)
    for channels in (1, 3):
        pixels = np.arange(4 * 5 * channels, dtype=np.uint8).reshape(4, 5, channels)
        save_png(tmp_path / "image.png", pixels)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "image.png")).reshape(pixels.shape), pixels)
