"""Restorations as pictures: truth, measurement, samples, mean and standard deviation side by side.

A block is one task; its rows are images. More than three blocks make lines of three, with one sample of each image
where else there are three. All standard deviations of a figure share one scale. Pixels that were hidden
are tinted, since black is a value; a measurement of fewer pixels is shown with its own. One that is not an image is
shown from its smallest value, black, to its largest: a sinogram as it is, frequencies by the logarithm of their
magnitude, a vector in rows, several measurements side by side.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Inexact, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from PIL import Image

from pgm_jax.evaluation import Case, summarise
from pgm_jax.training.images import to_uint8

HIDDEN = "#8eb2db"
SPREAD = colormaps["magma"]
STD_TOP = 0.5  # of std.png, whose colours are comparable between images
SPREAD_SHARE = 0.995  # of all pixels lie inside the colour scale
INK, FAINT = "#1a1a1a", "#5c5c5c"
ACROSS = 3  # blocks beside one another
SAMPLES_SHOWN, SAMPLES_OF_MANY = 3, 1  # where there is one line of blocks, and where there are more
IMAGE_TOP = 3.0  # images lie in [-1, 1], and noise of a deviation up to 0.5 does not take them beyond
PEAKED = 30.0  # of the greatest magnitude over the median: what has such a peak is seen by its logarithm alone
FLOOR = 1e-4  # of magnitudes whose logarithm is shown, over the greatest
LETTER = 0.0076  # mean width of one, in inches for each point of size
GAP, GROUP_GAP = 0.06, 0.2  # between images, and between groups of columns, in widths of an image
CELL = 0.62  # width of an image, a third more where one sample is shown; this and what follows in inches
MARGIN, BLOCK_GAP, LINE_GAP, HEAD, FOOT = 0.15, 0.36, 0.22, 1.27, 0.72
BAR_WIDTH, MIN_WIDTH = 2.6, 8.0


class Block(NamedTuple):
    """One task of a figure: its name, its settings in a line, and its images."""

    title: str
    settings: str
    cases: Sequence[Case]


def figure_of(blocks: Sequence[Block], cell: float = CELL) -> Figure:
    """Blocks side by side, and one colour bar for all standard deviations; `cell`: width of an image in inches."""
    spread = np.concatenate([spread_of(case.std).ravel() for block in blocks for case in block.cases])
    top = float(np.quantile(spread, SPREAD_SHARE)) or 1.0
    shown = SAMPLES_SHOWN if len(blocks) <= ACROSS else SAMPLES_OF_MANY
    cell *= 1 if shown == SAMPLES_SHOWN else 4 / 3
    lines = [blocks[i : i + ACROSS] for i in range(0, len(blocks), ACROSS)]
    widths = [cell * max(_extent(b, shown)[0] for b in blocks[i::ACROSS]) for i in range(min(ACROSS, len(blocks)))]
    heights = [cell * max(_extent(block, shown)[1] for block in line) for line in lines]
    across = max(2 * MARGIN + sum(widths) + (len(widths) - 1) * BLOCK_GAP, MIN_WIDTH)
    down = len(lines) * (HEAD + LINE_GAP) - LINE_GAP + sum(heights) + FOOT
    figure = Figure(figsize=(across, down), facecolor="white")

    def write(x: float, y: float, text: str, points: float, colour: str = FAINT, weight: str = "normal") -> None:
        what: Any = dict(fontsize=points, color=colour, fontweight=weight, parse_math=False)  # a $ is a $
        figure.text(x / across, 1 - y / down, text, **what)

    above = 0.0
    for line, height in zip(lines, heights, strict=True):
        left = MARGIN
        for i, (block, width) in enumerate(zip(line, widths, strict=False)):
            room = across - left - MARGIN if i == len(widths) - 1 else width
            size = [cell * length for length in _extent(block, shown)]
            place = (left / across, 1 - (above + HEAD + size[1]) / down, size[0] / across, size[1] / down)
            _draw(figure.add_axes(place), block, top, shown)
            write(left, above + 0.34, block.title, 18, INK, "bold")
            write(left, above + 0.64, block.settings, _fitting(block.settings, room))
            write(left, above + 0.86, _score(block.cases), _fitting(_score(block.cases), room))
            left += width + BLOCK_GAP
        above += HEAD + height + LINE_GAP
    below = above - LINE_GAP + 0.33

    left = 2 * MARGIN
    place = figure.add_axes((left / across, (FOOT - 0.33) / down, BAR_WIDTH / across, 0.11 / down))
    scale = ScalarMappable(Normalize(0, top), SPREAD)
    bar = figure.colorbar(scale, cax=place, orientation="horizontal", extend="max", ticks=MaxNLocator(4))
    bar.ax.tick_params(colors=FAINT, labelsize=11, length=3)
    bar.outline.set_visible(False)
    write(left + BAR_WIDTH + 0.15, below, "std over the samples, of images in [-1, 1]", 11)
    if any((~case.observed).any() for block in blocks for case in block.cases):
        swatch = (across - MARGIN - 1.25, FOOT - 0.35, 0.15, 0.15)
        figure.add_artist(Rectangle(swatch[:2], *swatch[2:], color=HIDDEN, transform=figure.dpi_scale_trans))
        write(swatch[0] + 0.22, below, "hidden pixels", 11)
    return figure


def save_png(path: Path, image: UInt8[np.ndarray, "h w c"]) -> None:
    """Write bytes, grey or RGB, as a PNG with a pixel for each."""
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path)


def seen(y: Inexact[np.ndarray, "..."], observed: Bool[np.ndarray, "..."]) -> UInt8[np.ndarray, "h w 3"]:
    """A measurement as RGB, with a tint where nothing was observed."""
    hidden = (_as_picture(observed.astype(float)) < 1).any(axis=-1, keepdims=True)
    picture = rgb(_scaled(_as_picture(y)))
    return np.where(hidden, np.array(to_rgba_array(HIDDEN)[0, :3] * 255, np.uint8), picture)


def _as_picture(y: np.ndarray) -> np.ndarray:
    """A measurement of any shape, of the shape (h, w, 1) or (h, w, 3)."""
    channels = y.shape[-1] if y.ndim > 1 and y.shape[-1] in (1, 3) else 1
    if y.ndim == 3 and y.shape[-1] > 4:  # several pictures without channels
        y = y[..., None]
    if y.ndim == 4:  # side by side
        y = np.concatenate(list(y), axis=1)
    elif y.ndim == 2 and channels == 1 and y.shape[-1] > 1:
        y = y[..., None]
    elif y.ndim != 3:
        numbers = y.reshape(-1, channels)
        side = math.isqrt(max(len(numbers) - 1, 0)) + 1
        fill = np.zeros((side * -(-len(numbers) // side) - len(numbers), channels), y.dtype)
        y = np.concatenate([numbers, fill]).reshape(-1, side, channels)
    return y if y.shape[-1] in (1, 3) else y.mean(axis=-1, keepdims=True)


def _scaled(picture: np.ndarray) -> np.ndarray:
    """The values as grey ones or colours in [-1, 1]."""
    size = np.abs(picture)
    top = float(size.max(initial=0.0))
    if np.iscomplexobj(picture) or (top > IMAGE_TOP and top > PEAKED * np.median(size)):
        picture = np.log(np.maximum(np.abs(picture), FLOOR * top or 1.0))
    elif top <= IMAGE_TOP:
        return picture
    low, high = float(picture.min()), float(picture.max())
    return 2 * (picture - low) / (high - low or 1.0) - 1


def rgb(image: Float[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """An image in [-1, 1] as RGB; the magnitude of one with two channels, which are the parts of a complex image."""
    image = np.hypot(*np.split(image, 2, axis=-1)) if image.shape[-1] == 2 else image
    return np.broadcast_to(to_uint8(image), (*image.shape[:2], 3))


def coloured(std: Float[np.ndarray, "h w c"], top: float) -> UInt8[np.ndarray, "h w 3"]:
    """A standard deviation in the colours of the map, from 0 to `top`."""
    return SPREAD(spread_of(std) / top, bytes=True)[..., :3]


def spread_of(std: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w"]:
    """One standard deviation a pixel: the root mean square over the channels."""
    return np.sqrt(np.mean(std**2, axis=-1))


def _fitting(text: str, room: float) -> float:
    """The size in points at which a line has room, in inches; at most 12 and at least 6."""
    return min(12.0, max(room / (LETTER * max(len(text), 1)), 6.0))


def _columns(block: Block, shown: int) -> list[tuple[str, float]]:
    """The heads of the columns and where they start, in widths of an image; `shown`: samples, at most."""
    case = block.cases[0]
    given = ["input"] if case.truth is None else ["truth", "input"]
    columns, x = [], 0.0
    for group in (given, ["sample"] * min(shown, len(case.samples)), ["mean", "std"]):
        for head in group:
            columns.append((head, x))
            x += 1 + GAP
        x += GROUP_GAP - GAP
    return columns


def _extent(block: Block, shown: int) -> tuple[float, float]:
    """Width and height of the images of a block, in widths of an image."""
    height, width = block.cases[0].mean.shape[:2]
    return _columns(block, shown)[-1][1] + 1, len(block.cases) * (height / width + GAP) - GAP


def _draw(ax: Axes, block: Block, top: float, shown: int) -> None:
    columns, (width, height) = _columns(block, shown), _extent(block, shown)
    step = (height + GAP) / len(block.cases)
    for row, case in enumerate(block.cases):
        truth = [] if case.truth is None else [rgb(case.truth)]
        samples = [rgb(sample) for sample in case.samples[:shown]]
        cells = [*truth, seen(case.y, case.observed), *samples, rgb(case.mean), coloured(case.std, top)]
        for (_, x), cell in zip(columns, cells, strict=True):
            place = (x, x + 1, (row + 1) * step - GAP, row * step)
            ax.imshow(cell, extent=place, interpolation="nearest", aspect="auto")
    ax.set(xlim=(0, width), ylim=(height, 0), yticks=[])
    starts: dict[str, list[float]] = {}
    for head, x in columns:
        starts.setdefault(head, []).append(x)
    heads = {f"{head}s" if len(xs) > 1 else head: (xs[0] + xs[-1] + 1) / 2 for head, xs in starts.items()}
    ax.set_xticks(list(heads.values()), list(heads), fontsize=12, color=INK)
    ax.xaxis.tick_top()
    ax.tick_params(length=0, pad=3)
    ax.spines[:].set_visible(False)


def _score(cases: Sequence[Case]) -> str:
    summary = summarise(case.metrics for case in cases)
    name, metric, digits, unit = ("PSNR", "psnr", 1, " dB") if "psnr_mean" in summary else ("misfit", "misfit", 2, " σ")
    one, mean = (f"{summary[f'{metric}_{of}'].mean:.{digits}f}{unit}" for of in ("sample", "mean"))
    return f"{name} {one} of one sample, {mean} of the mean of {len(cases[0].samples)}"
