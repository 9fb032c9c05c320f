"""Restores pictures as they are: `launch.restore --input`.

A sample at a time, in the memory of one chain; the mean and the deviation of the samples run along.
"""

import dataclasses
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags, logging
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.console import Console

from launch.figures import SPREAD_SHARE, STD_TOP, coloured, rgb, save_png, seen, spread_of
from launch.job import progress_bars
from launch.picture_tasks import TASKS, PictureProblem, picture_problem
from launch.pictures import Picture, read_picture, write_picture
from launch.runs import machine_memory, write_json
from pgm_jax.files import local_path
from pgm_jax.networks import LocalNetwork, MetricProxNet
from pgm_jax.noise import GaussianNoise
from pgm_jax.operators.checks import check_whole
from pgm_jax.pretrained import load_prior
from pgm_jax.proximal import data_first, exact
from pgm_jax.restoration import restore
from pgm_jax.training.images import UnreadableImage, find_images

WHOLE = 2**21  # pixels of the largest picture that is evaluated at once
TILE = 1024
_ARRAYS = 40  # of the size of a picture that a chain holds, in single precision
REPORT = "report.json"
_OTHERS = ("sigma", "setting", "images", "dataset", "measurement", "operator", "demo", "first", "count", "figures")

flags.DEFINE_string("input", None, "A degraded picture, or a folder of them, to restore; needs --task.")
flags.DEFINE_string("mask", None, "For --task=inpaint: an image, white where the picture is missing.")
flags.DEFINE_string("kernel", None, "For --task=deblur: gaussian:1.6, motion:15,30, disk:3, or an image.")
flags.DEFINE_enum("factor", None, ["2", "4"], "For --task=super_resolution.")
flags.DEFINE_string("pattern", "RGGB", "For --task=demosaic: the colours of a square of the sensor, row by row.")
flags.DEFINE_string("noise", "auto", "Deviation of the noise for pictures in [-1, 1], or auto, to estimate it.")
flags.DEFINE_bool("fast", False, "10 network calls and one sample.")
flags.DEFINE_integer("tile", None, "Side of the tiles of a large picture in pixels, a multiple of 8.", lower_bound=8)


class Restored(NamedTuple):
    """What was found for a picture, `[H, W, C]` each, in the channels that are written."""

    mean: Float[np.ndarray, "h w c"]
    std: Float[np.ndarray, "h w c"]
    samples: int
    calls: int
    exact: bool


def restore_pictures(console: Console) -> None:
    """Restore what --input names, a picture or a folder of them.

    Raises:
        ValueError, OSError: if a flag or a picture cannot be used; of a folder, those that cannot be read are left out.
    """
    logging.set_verbosity(logging.WARNING)
    given = flags.FLAGS
    if others := [name for name in _OTHERS if given[name].present]:
        hint = " --noise says how much noise there is." if "sigma" in others else ""
        raise ValueError(f"--{others[0]} does not go with --input.{hint}")
    tasks = given.tasks if given["tasks"].present else []
    if len(tasks) != 1:
        raise ValueError(f"--input needs one --task of {', '.join(TASKS)}.")
    path, folder = local_path(given.input), local_path(given.output or "out/pictures")
    if not path.exists():
        raise FileNotFoundError(f"There is no picture or folder {path}.")
    paths = [path]
    if path.is_dir():
        paths = [place for place in find_images(path) if folder.resolve() not in place.resolve().parents]
    prior = load_prior(given.prior or "photos")
    if not isinstance(prior, MetricProxNet) or not isinstance(prior.network, LocalNetwork):
        raise ValueError(f"{given.prior} is a prior of images of one size; --input needs one of any size: photos.")
    words = dict(mask=given.mask, kernel=given.kernel, factor=given.factor, pattern=given.pattern, noise=given.noise)
    left_out = []
    stems = [place.with_suffix("") for place in paths]
    for place in paths:
        own = place if stems.count(place.with_suffix("")) > 1 else place.with_suffix("")
        own = folder if path.is_file() else folder / own.relative_to(path)
        if (own / REPORT).exists() and not given.overwrite:
            if given.resume:
                console.print(f"{place}: restored before", markup=False, soft_wrap=True)
                continue
            raise ValueError(f"{own} holds a restored picture; give another --output, --resume or --overwrite.")
        try:
            picture = read_picture(place, given.white)
            restore_picture(console, prior, picture, tasks[0], words, own)
        except ValueError as error:
            if path.is_file():
                raise
            left_out.append(str(error) if isinstance(error, UnreadableImage) else f"{place}: {error}")
        jax.clear_caches()  # the next picture may have another size, and programs hold its arrays
    if len(left_out) == len(paths):
        raise ValueError("\n  ".join([f"None of the pictures of {path} could be restored:", *left_out[:5]]))
    for words_of in left_out:
        console.print(f"left out: {words_of}", markup=False, soft_wrap=True)


def restore_picture(
    console: Console, prior: MetricProxNet, picture: Picture, task: str, words: dict[str, Any], folder: Path
) -> None:
    """Restore one picture into a folder, and say what was found out about it."""
    given, begun = flags.FLAGS, time.perf_counter()
    height, width = (side * int(words["factor"] or 1) for side in picture.pixels.shape[:2])
    check_memory(height * width)
    size = " x ".join(map(str, picture.pixels.shape[1::-1]))
    if words["factor"]:
        size += f" -> {width} x {height}"
    console.print(f"{picture.path}: {size} pixels, {task.replace('_', ' ')}", markup=False, soft_wrap=True)
    problem = picture_problem(picture, task, words)
    for note in problem.notes:
        console.print(f"  {note}", markup=False, soft_wrap=True)
    tile = given.tile or (TILE if height * width > WHOLE else None)
    prior = MetricProxNet(prior.params, dataclasses.replace(prior.network, tile=tile))
    samples = (1 if given.fast else 8) if given.samples is None else given.samples
    check_whole("--samples is the number of samples", samples, 1)
    calls = given.calls or (10 if given.fast else None)
    (folder / REPORT).unlink(missing_ok=True)
    for former in (folder / "samples").glob("sample_*.png"):
        former.unlink()
    found = draw(console, prior, problem, samples, calls, given.seed, folder / "samples", picture)
    write_picture(folder / "restored.png", found.mean, picture)
    if samples > 1:
        save_png(folder / "std.png", coloured(found.std, STD_TOP))
    record = dict(
        input=str(given.input),
        task=task,
        size=[width, height],
        sigma=problem.sigma,
        notes=problem.notes,
        prior=given.prior or "photos",
        samples=found.samples,
        calls=found.calls,
        step="exact" if found.exact else "data_first",
        seed=given.seed,
        mean_std=float(found.std.mean()) if samples > 1 else None,
        seconds=round(time.perf_counter() - begun, 2),
        flags={name: value for name, value in words.items() if given[name].present},
    )
    write_json(folder / REPORT, record)
    comparison(problem, found).savefig(folder / "comparison.png", dpi=110)
    what = "the one sample" if samples == 1 else f"the mean of {samples} samples"
    console.print(f"  {folder / 'comparison.png'} shows it; restored.png is {what}.", markup=False, soft_wrap=True)


def draw(
    console: Console,
    prior: MetricProxNet,
    problem: PictureProblem,
    samples: int,
    calls: int | None,
    seed: int,
    folder: Path,
    picture: Picture,
) -> Restored:
    """Samples one by one, each written as it comes, and their mean and deviation."""
    key, y, noise = jax.random.key(seed), jnp.asarray(problem.y)[None], GaussianNoise(problem.sigma)
    mean, squares, taken = 0.0, 0.0, 0
    options: dict[str, Any] = dict(samples=1, calls=calls, split=None, quantiles=())
    with progress_bars(console, "  samples") as progress:
        bar = progress.add_task("", total=samples)
        for number in range(samples):
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                drawn = restore(key, prior, problem.operator, y, noise, indices=jnp.array([number]), **options)
            # The prior is tested once, on the first sample; a message of `restore` says that it did not pass.
            said = any("data_first" in str(each.message) for each in told)
            for each in told:
                console.print(f"  {each.message}", markup=False, soft_wrap=True)
            taken = int(drawn.calls[0])
            options |= dict(calls=taken, split=options["split"] or (data_first if said else exact))
            sample = final(np.asarray(drawn.samples[0, 0], np.float64), problem)
            write_picture(folder / f"sample_{number}.png", sample, picture)
            before = sample - mean
            mean = mean + before / (number + 1)
            squares = squares + before * (sample - mean)
            progress.advance(bar)
    std = np.sqrt(squares / max(samples - 1, 1))
    return Restored(np.asarray(mean), np.asarray(std), samples, taken, options["split"] is exact)


def final(pixels: Float[np.ndarray, "h w 3"], problem: PictureProblem) -> Float[np.ndarray, "h w c"]:
    """The pixels as they are written: those of a grey picture as one channel."""
    return pixels.mean(axis=2, keepdims=True) if problem.grey else pixels


def check_memory(pixels: int) -> None:
    """Refuse a picture that does not fit into the memory of this machine; a ValueError that says what would."""
    memory = machine_memory()
    if (needed := pixels * 3 * 4 * _ARRAYS) > memory:
        most = memory / (12e6 * _ARRAYS)
        raise ValueError(
            f"The picture has {pixels / 1e6:.0f} megapixels, which take {needed / 2**30:.0f} GiB, and this machine has "
            f"{memory / 2**30:.0f} GiB: cut it into parts of at most {most:.0f} megapixels."
        )


def comparison(problem: PictureProblem, found: Restored) -> Figure:
    """The picture, what was made of it and how sure that is, with two details enlarged."""
    height, width = found.mean.shape[:2]
    observed = np.broadcast_to(problem.operator.observed, problem.y.shape).max(axis=2, keepdims=True) > 0
    # A single sample says nothing of the deviation: then the details are one of many edges and one of few.
    std = spread_of(found.std) if found.samples > 1 else np.hypot(*np.gradient(found.mean.mean(axis=2)))
    top_std = max(float(np.quantile(std, SPREAD_SHARE)), 1e-6)
    side = max(8, min(height, width) // 5)
    places = details(std, side)
    shown = seen(problem.seen, np.broadcast_to(observed, problem.seen.shape))
    panels = {"the picture" + ", missing in blue" * bool((~observed).any()): shown, "restored": rgb(found.mean)}
    if found.samples > 1:
        panels["standard deviation"] = coloured(found.std, top_std)
    wide, gap, head, count = 3.6, 0.08, 0.3, len(panels)
    tall, small = wide * height / width, (wide - gap) / 2
    size = (count * wide + (count + 1) * gap, head + tall + small + 3 * gap)
    figure = Figure(figsize=size)

    def axes_at(left: float, top: float, across: float, down: float) -> Any:
        return figure.add_axes((left / size[0], 1 - (top + down) / size[1], across / size[0], down / size[1]))

    for number, (name, values) in enumerate(panels.items()):
        axes = axes_at(gap + number * (wide + gap), head, wide, tall)
        _show(axes, values)
        axes.set_title(name, fontsize=10)
        scale = values.shape[0] / height
        for row, column in places:
            corner = (column * scale - 0.5, row * scale - 0.5)
            axes.add_patch(Rectangle(corner, side * scale, side * scale, fill=False, edgecolor="white", linewidth=1))
    # Two details below each panel.
    cells = [(place, values) for values in panels.values() for place in places]
    for number, ((row, column), values) in enumerate(cells):
        scale = values.shape[0] / height
        top, left, cell = round(row * scale), round(column * scale), max(round(side * scale), 1)
        axes = axes_at(gap + number * (small + gap), head + tall + gap, small, small)
        _show(axes, values[top : top + cell, left : left + cell])
    return figure


def details(std: Float[np.ndarray, "h w"], side: int) -> list[tuple[int, int]]:
    """The corners of two squares, one where most is uncertain and one elsewhere."""
    sums = np.pad(std, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    side = min(side, *std.shape)
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    first = np.unravel_index(np.argmax(boxes), boxes.shape)
    down, across = np.ogrid[: boxes.shape[0], : boxes.shape[1]]
    apart = (np.abs(down - first[0]) >= 1.5 * side) | (np.abs(across - first[1]) >= 1.5 * side)
    middle = np.where(apart, boxes, np.inf) if apart.any() else boxes
    level = np.median(boxes[apart]) if apart.any() else 0.0
    second = np.unravel_index(np.argmin(np.abs(middle - level)), boxes.shape)
    return [(int(first[0]), int(first[1])), (int(second[0]), int(second[1]))]


def _show(axes: Any, values: np.ndarray) -> None:
    axes.set_axis_off()
    axes.imshow(values, interpolation="nearest")
