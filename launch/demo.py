"""Four photographs, each degraded differently, restored with the prior of photographs: `launch.restore --demo`.

The photographs come with the library and were held out from training.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console

import pgm_jax as pgm
from launch.figures import FAINT, INK, SPREAD_SHARE, coloured, rgb, seen, spread_of
from launch.job import progress_bars
from pgm_jax.evaluation import Case, evaluate
from pgm_jax.proximal import exact
from pgm_jax.types import Operator

FIGURE, SAMPLES = "photographs.jpg", 4
CELL, GAP, LABEL, HEAD = 2.4, 0.06, 0.34, 0.62  # inches: an image, between two, the labels of rows, the heads
DPI = 80  # a pixel for each of a photograph of 192
SCRATCHES, LETTERS = 14, "HANDLE WITH CARE"


class Task(NamedTuple):
    """How a photograph is degraded: in words, by which operator, and the deviation of the noise in [-1, 1]."""

    title: str
    operator: Operator
    sigma: float


def tasks_for(shape: tuple[int, int, int]) -> list[Task]:
    """The four tasks, for images of a shape."""
    intact = np.broadcast_to(~scratched(shape[:2])[..., None], shape)
    return [
        Task("70 % of the pixels missing", pgm.operators.random_mask(jax.random.key(0), shape, hidden=0.7), 0.05),
        Task("scratches and letters", pgm.operators.mask(shape, intact), 0.02),
        Task("blur and noise", pgm.operators.gaussian_blur(shape, 1.6, boundary="reflect"), 0.05),
        Task("a quarter of the resolution", pgm.operators.bicubic_downsampling(shape, 4), 0.02),
    ]


def scratched(size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Where scratches and letters hide an image of a height and width."""
    rng, (height, width) = np.random.default_rng(3), size
    hidden = Image.new("1", (width, height))
    draw = ImageDraw.Draw(hidden)
    for _ in range(SCRATCHES):
        begin, slope = rng.uniform(0, width), rng.uniform(-0.3, 0.3)
        y = np.linspace(0, height, 9)
        x = begin + slope * y + rng.normal(0, width / 80, 9)
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=1, width=int(rng.integers(1, 4)))
    font = ImageFont.load_default(size=width / 11)
    for row in range(3):
        draw.text((width / 2, height * (row + 0.5) / 3), LETTERS, fill=1, font=font, anchor="mm")
    return np.asarray(hidden)


def restored(console: Console, samples: int, calls: int | None, seed: int) -> list[tuple[Task, Case]]:
    """The photographs that come with the library, each restored from another task, with progress."""
    prior, images, found = pgm.load_prior("photos"), np.asarray(pgm.example_images("photos")), []
    with progress_bars(console, "photographs") as progress:
        bar = progress.add_task("", total=len(images))
        for number, (task, image) in enumerate(zip(tasks_for(images.shape[1:]), images, strict=True)):
            key, noise = jax.random.fold_in(jax.random.key(seed), number), pgm.GaussianNoise(task.sigma)
            # The prior was trained on such operators, so that its exact step is taken without a test.
            options = dict(samples=samples, calls=calls, split=exact)
            cases = evaluate(key, prior, task.operator, image[None], noise, **options)
            found += [(task, case) for case in cases]
            progress.advance(bar)
    return found


def photographs_figure(found: Sequence[tuple[Task, Case]]) -> Figure:
    """A column for each photograph: degraded, mean, one sample, standard deviation, original."""
    top = float(np.quantile([spread_of(case.std) for _, case in found], SPREAD_SHARE)) or 1.0
    count = len(found[0][1].samples)
    rows = [
        "degraded",
        f"mean of {count} sample{'s' if count > 1 else ''}",
        "one sample",
        f"std, 0 to {top:.2f}",
        "original",
    ]
    across = LABEL + len(found) * (CELL + GAP)
    down = HEAD + len(rows) * (CELL + GAP)
    figure = Figure(figsize=(across, down), facecolor="white")
    what: Any = dict(ha="center", va="center")
    for column, (task, case) in enumerate(found):
        left = LABEL + column * (CELL + GAP)
        figure.text((left + CELL / 2) / across, 1 - 0.2 / down, task.title, fontsize=13, color=INK, **what)
        scores = [case.metrics[f"psnr_{of}"] for of in ("mean", "sample")]
        words = "{:.1f} dB, one sample {:.1f} dB".format(*scores)
        figure.text((left + CELL / 2) / across, 1 - 0.44 / down, words, fontsize=10, color=FAINT, **what)
        images = [seen(case.y, case.observed), rgb(case.mean), rgb(case.samples[0]), coloured(case.std, top)]
        for row, image in enumerate([*images, rgb(np.asarray(case.truth))]):
            below = down - HEAD - row * (CELL + GAP) - CELL
            axes = figure.add_axes((left / across, below / down, CELL / across, CELL / down))
            axes.set_axis_off()
            axes.imshow(image, interpolation="nearest")
            if not column:
                middle = (LABEL / 2 / across, (below + CELL / 2) / down)
                figure.text(*middle, rows[row], fontsize=12, color=INK, rotation=90, **what)
    return figure


def write_photographs(console: Console, folder: Path, samples: int | None, calls: int | None, seed: int) -> None:
    """Restore the photographs and draw them into a folder, with `SAMPLES` samples and 20 calls where None."""
    found = restored(console, SAMPLES if samples is None else samples, calls, seed)
    photographs_figure(found).savefig(folder / FIGURE, dpi=DPI, pil_kwargs=dict(quality=90))
    console.print(f"Four photographs: {folder / FIGURE}", markup=False, soft_wrap=True)
