"""What a prior of photographs is worth: as a denoiser beside CBM3D, and in restoration beside total variation.

    python -m benchmarks.photographs --table=denoising --images=Set14,BSDS --prior=photos
    python -m benchmarks.photographs --table=restoration --images=Set14 --validation=BSDS --prior=photos

Denoising: y = x + sigma n on whole pictures, sigma = 15, 25, 50 of 255, not clipped and not rounded. Ours is
`prior.prox(y, sigma^2)`; CBM3D is `bm3d_rgb` of the package bm3d on the same y.

Restoration: centre crops, five operators at sigma = 0.05 and 0.01 for images in [-1, 1]. Beside the samples of
`restore` stand the mode with total variation as the prior, by ADMM, its weight the best of 2^(k/2) for each setting by
the mean PSNR of crops for validation; and what costs nothing: bicubic interpolation of y, the cubic interpolation of
the pixels that a mask shows, with the nearest one outside their hull, and y itself under blur.

Every noise and mask is drawn by the name of the picture. Grey pictures are R = G = B, and the noise of their channels
differs. What does not depend on the prior is kept in --others, a line for each picture and method, so that another
prior takes minutes (delete them where a method or a score has changed); seconds from there are marked. Without --prior
its columns are left out.

bm3d, free for noncommercial use alone, comes with `pip install 'pgm_jax[bench]'`.
"""

import hashlib
import importlib
import json
import os
import statistics
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import scipy.interpolate
from absl import app, flags

from pgm_jax import operators, proximal
from pgm_jax.evaluation import Problem, restore_problem, summarise
from pgm_jax.files import replacing
from pgm_jax.metrics import psnr, ssim
from pgm_jax.noise import GaussianNoise, measure
from pgm_jax.operators.masks import Mask
from pgm_jax.potentials import GaussianLikelihood, TotalVariation
from pgm_jax.pretrained import load_prior
from pgm_jax.samplers import admm, run
from pgm_jax.training.images import find_images, read_image
from pgm_jax.types import Key, pytree

_TABLE = flags.DEFINE_enum("table", "denoising", ["denoising", "restoration"], "What to measure.")
_IMAGES = flags.DEFINE_list("images", None, "Folders of pictures.", required=True)
_COUNT = flags.DEFINE_integer("count", 50, "How many pictures of a folder, the last in sorted order.", lower_bound=1)
_PRIOR = flags.DEFINE_string("prior", None, "Prior file; without one the other methods are measured alone.")
_OTHERS = flags.DEFINE_string("others", "benchmarks/photographs.jsonl", "File of what the other methods gave.")
_JSON = flags.DEFINE_string("json", None, "File to write the numbers to; out/photographs/TABLE.json by default.")
_SIDE = flags.DEFINE_integer("side", 192, "Side of the centre crops to restore, a multiple of 4.", lower_bound=32)
_VALIDATION = flags.DEFINE_string("validation", None, "Folder of pictures, of which the first choose the weight of TV.")
_SAMPLES = flags.DEFINE_integer("samples", 8, "Samples of every posterior.", lower_bound=2)
_CALLS = flags.DEFINE_integer("calls", 20, "Network calls of a sample.", lower_bound=1)
_SPLIT = flags.DEFINE_enum(
    "split", None, ["exact", "data_first"], "Step of the sampler; what `restore` chooses if None."
)
_ONLY = flags.DEFINE_list("only", [], "Operators to restore from, by the first words of their rows; all by default.")

LEVELS, SIGMAS, FOR_VALIDATION = (15, 25, 50), (0.05, 0.01), 6  # of 255; for images in [-1, 1]; pictures
FIRST_WEIGHT = 6  # k of the weight 2^(k/2) at which the search begins
ROWS, INNER = 150, 20  # iterations of ADMM, and of the prox of total variation in each
STEPS = (0.3, 0.02)  # of ADMM times the weight, first and last: long ones spread what is seen, short ones are accurate

Metrics = dict[str, float]
T = TypeVar("T")


class Picture(NamedTuple):
    """A picture `[H, W, 3]` in [-1, 1], of which folder, its name, and the number by which its noise is drawn."""

    folder: str
    name: str
    number: int
    x: np.ndarray


class Case(NamedTuple):
    """What was measured on one picture, in the row `row` of the table."""

    row: tuple[str, ...]
    picture: str
    metrics: Metrics


class Column(NamedTuple):
    """A column of the table: metrics with their digits."""

    head: str
    metrics: dict[str, int]


def pictures(folder: str, count: slice, side: int | None = None) -> list[Picture]:
    """Some pictures of a folder in sorted order, whole or their centre crops."""
    found = []
    for path in find_images(folder)[count]:
        x = read_image(path, 3)
        if side is not None:
            top, left = ((length - side) // 2 for length in x.shape[:2])
            if min(top, left) < 0:
                raise app.UsageError(f"{path} is smaller than --side={side}")
            x = x[top : top + side, left : left + side]
        found.append(Picture(Path(folder).name, path.stem, zlib.crc32(path.stem.encode()) >> 1, x))
    return found


def progress(jobs: Sequence[T]) -> Iterator[T]:
    """The jobs one by one, and a line with the time left after each."""
    begin = time.perf_counter()
    for done, job in enumerate(jobs, 1):
        yield job
        left = (time.perf_counter() - begin) / done * (len(jobs) - done)
        print(f"    {done} of {len(jobs)}, {timedelta(seconds=round(left))} left", flush=True)


def scored(of: str, estimate: Any, picture: Picture) -> Metrics:
    """PSNR and SSIM of a method."""
    estimate = jnp.asarray(estimate, jnp.float32)
    return {f"{of}_psnr": float(psnr(estimate, picture.x)), f"{of}_ssim": float(ssim(estimate, picture.x))}


def timed(of: str, work: Callable[[], Any]) -> tuple[np.ndarray, Metrics]:
    """What a method answers, its seconds, and those of the processor, in which other processes do not count."""
    start, busy = time.perf_counter(), time.process_time()
    answer = np.asarray(jax.block_until_ready(work()))
    return answer, {f"{of}_seconds": time.perf_counter() - start, f"{of}_busy": time.process_time() - busy}


@cache
def earlier() -> dict[str, Metrics]:
    """The metrics of other methods that were found before, by the digest of what they were given."""
    path = Path(_OTHERS.value)
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines() if path.is_file() else [])
    return {line["given"]: line["metrics"] | {f"{line['method']}_earlier": True} for line in lines}


def kept(of: str, picture: Picture, settings: tuple, work: Callable[[], Any]) -> Metrics:
    """The metrics of a method on a picture; it is run only if the file has no line for it."""
    given = hashlib.sha256(picture.x.tobytes() + repr((picture.number, settings)).encode()).hexdigest()[:16]
    if given not in earlier():
        answer, times = timed(of, work)
        metrics = {name: round(value, 4) for name, value in (times | scored(of, answer, picture)).items()}
        line = dict(method=of, picture=picture.name, settings=settings, given=given, metrics=metrics)
        with Path(_OTHERS.value).open("a", encoding="utf-8") as file:
            print(json.dumps(line), file=file)
        earlier()[given] = metrics
    return dict(earlier()[given])


denoised = jax.jit(lambda prior, y, sigma: prior.prox(y, sigma**2))


def by_bm3d(y: np.ndarray, level: int) -> np.ndarray:
    """CBM3D of an image in [-1, 1]."""
    bm3d = importlib.import_module("bm3d")
    return 2 * bm3d.bm3d_rgb((y.astype(np.float64) + 1) / 2, level / 255) - 1


def denoise(prior: Any, key: Key, level: int, picture: Picture) -> Case:
    """One picture, denoised by CBM3D and by the prior."""
    sigma = 2 * level / 255
    y = GaussianNoise(sigma).sample(jax.random.fold_in(key, picture.number), jnp.asarray(picture.x))
    metrics = kept("bm3d", picture, ("bm3d_rgb", level), partial(by_bm3d, np.asarray(y), level))
    if prior is not None:
        denoised(prior, y, sigma).block_until_ready()  # compile, once a size
        answer, times = timed("prior", lambda: denoised(prior, y, sigma))
        metrics |= times | scored("prior", answer, picture)
        metrics["gain_psnr"] = metrics["prior_psnr"] - metrics["bm3d_psnr"]
    return Case((picture.folder, str(level)), picture.name, metrics)


def denoising(prior: Any, key: Key, write: Callable[[list[Case]], None]) -> list[Case]:
    """All pictures at all levels."""
    sets, cases = [pictures(folder, slice(-_COUNT.value, None)) for folder in _IMAGES.value], []
    jobs = [(level, picture) for found in sets for level in LEVELS for picture in found]
    for level, picture in progress(jobs):
        cases.append(denoise(prior, key, level, picture))
        metrics = cases[-1].metrics
        ours = f", prior {metrics['prior_psnr']:.2f}" if prior is not None else ""
        print(f"{picture.name}, sigma {level}: CBM3D {metrics['bm3d_psnr']:.2f}{ours} dB", flush=True)
        write(cases)
    return cases


class Setting(NamedTuple):
    """A task: its name, the noise, and the operator for a key."""

    name: str
    sigma: float
    operator: Callable[[Key], operators.LinearOperator]


def settings(side: int) -> list[Setting]:
    """All tasks, in the order of the table."""
    shape = (side, side, 3)
    blur = operators.gaussian_blur(shape, 1.6, "reflect")
    twice, four_times = (operators.bicubic_downsampling(shape, factor) for factor in (2, 4))
    tasks: dict[str, Callable[[Key], operators.LinearOperator]] = {
        "inpainting 50 %": lambda key: operators.random_mask(key, shape, 0.5),
        "inpainting 70 %": lambda key: operators.random_mask(key, shape, 0.7),
        "blur 1.6": lambda key: blur,
        "bicubic x2": lambda key: twice,
        "bicubic x4": lambda key: four_times,
    }
    chosen = [name for name in tasks if not _ONLY.value or name.startswith(tuple(_ONLY.value))]
    return [Setting(name, sigma, tasks[name]) for name in chosen for sigma in SIGMAS]


def posed(setting: Setting, key: Key, picture: Picture) -> Problem:
    """The problem of restoring a picture."""
    for_mask, for_noise = jax.random.split(key)
    noise, indices = GaussianNoise(setting.sigma), np.array([picture.number])
    operator = setting.operator(jax.random.fold_in(for_mask, picture.number))
    y = measure(for_noise, operator, jnp.asarray(picture.x)[None], noise, indices=jnp.asarray(indices))
    return Problem(operator, None, y, noise, indices, np.array([True]), picture.x[None])


def interpolated(operator: Any, y: np.ndarray) -> np.ndarray:
    """What costs nothing: an image of one measurement by interpolation alone."""
    height, width, channels = operator.image_shape
    if not isinstance(operator, Mask):
        return np.asarray(jax.image.resize(y, (height, width, channels), "bicubic"))
    places = np.indices((height, width)).reshape(2, -1).T
    seen = np.asarray(operator.observed)[..., 0].ravel() > 0
    values = y.reshape(-1, channels)[seen]
    cubic, nearest = (scipy.interpolate.griddata(places[seen], values, places, how) for how in ("cubic", "nearest"))
    return np.where(np.isnan(cubic), nearest, cubic).reshape(y.shape)


@pytree
class ColourVariation(TotalVariation):
    """The isotropic total variation of the colours together, `w sum_i |(D x)_i|`, whose edges they share."""

    def _length(self, field: jax.Array) -> jax.Array:
        together = super()._length(jnp.moveaxis(field, -1, 1).reshape(-1, *field.shape[1:3], 1))
        # The class above sums over the channels, so that each has a share.
        return jnp.broadcast_to(together / field.shape[-1], field.shape[1:])

    def _shorten(self, field: jax.Array, radius: jax.Array) -> jax.Array:
        return super()._shorten(field, radius / field.shape[-1])


@jax.jit
def by_tv(operator: Any, y: jax.Array, start: jax.Array, sigma: float, weight: float) -> jax.Array:
    """The minimiser of |y - A x|^2 / (2 sigma^2) + weight TV(x)."""
    sampler = admm(ColourVariation(weight, INNER), GaussianLikelihood(operator, y, sigma))
    return run(jax.random.key(0), sampler, start, jnp.geomspace(*STEPS, ROWS) / weight)[0].x


def with_tv(setting: Setting, weight: float, picture: Picture, problem: Problem) -> Metrics:
    """Scores of total variation on one picture; its seconds are those of the interpolation at which it starts, too."""
    operator, _, y, *_ = problem

    def work() -> jax.Array:
        return by_tv(operator, y[0], jnp.asarray(interpolated(operator, np.asarray(y[0]))), setting.sigma, weight)

    return kept("tv", picture, (*setting[:2], weight, ROWS, INNER, STEPS), work)


def best_weight(setting: Setting, key: Key, crops: list[Picture]) -> float:
    """The weight 2^(k/2) with the best mean PSNR, which has one peak: from the first one uphill."""
    problems = [(crop, posed(setting, key, crop)) for crop in crops]

    @cache
    def score(k: int) -> float:
        mean = statistics.mean(with_tv(setting, 2 ** (k / 2), *each)["tv_psnr"] for each in problems)
        print(f"{setting.name}, sigma {setting.sigma:g}: weight {2 ** (k / 2):.3g}: {mean:.2f} dB", flush=True)
        return mean

    k = FIRST_WEIGHT
    while (better := max((k, k - 1, k + 1), key=score)) != k:
        k = better
    return 2 ** (k / 2)


def restored(prior: Any, key: Key, problem: Problem) -> Metrics:
    """The metrics of posterior samples of one problem."""
    split = dict(split=getattr(proximal, _SPLIT.value)) if _SPLIT.value else {}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        options = dict(samples=_SAMPLES.value, calls=_CALLS.value, **split)
        metrics = restore_problem(key, prior, problem, **options)[0].metrics
    metrics["plain_step"] = float(any("`data_first`" in str(warning.message) for warning in told))
    return metrics | dict(seconds=metrics["seconds"] / _SAMPLES.value)


def restoration(prior: Any, key: Key, write: Callable[[list[Case]], None]) -> list[Case]:
    """All crops in all settings."""
    if _VALIDATION.value is None or _SIDE.value % 4:
        raise app.UsageError("--table=restoration needs --validation=FOLDER and a --side that is a multiple of 4")
    side = _SIDE.value
    crops = [crop for folder in _IMAGES.value for crop in pictures(folder, slice(-_COUNT.value, None), side)]
    others = pictures(_VALIDATION.value, slice(FOR_VALIDATION), side)
    if {crop[:2] for crop in crops} & {crop[:2] for crop in others}:
        raise app.UsageError("some of the first pictures of --validation are among --images")
    tasks, cases = settings(side), []
    weights = [best_weight(setting, key, others) for setting in progress(tasks)]
    jobs = [(*each, crop) for each in zip(tasks, weights, strict=True) for crop in crops]
    for setting, weight, crop in progress(jobs):
        problem = posed(setting, key, crop)
        free = interpolated(problem.operator, np.asarray(problem.y[0]))
        metrics = scored("interpolated", free, crop) | with_tv(setting, weight, crop, problem) | dict(weight=weight)
        if prior is not None:
            if crop is crops[0]:
                restored(prior, key, problem)  # compile
            metrics |= restored(prior, key, problem)
        cases.append(Case((crop.folder, setting.name, f"{setting.sigma:g}"), crop.name, metrics))
        ours = f", sample {metrics['psnr_sample']:.2f}, mean {metrics['psnr_mean']:.2f}" if prior is not None else ""
        scores = f"interpolation {metrics['interpolated_psnr']:.2f}, TV {metrics['tv_psnr']:.2f}{ours} dB"
        print(f"{setting.name}, sigma {setting.sigma:g}, {crop.name}: {scores}", flush=True)
        write(cases)
    return cases


def of_method(name: str, of: str) -> list[Column]:
    """The columns of a method, of which the metrics begin with `of`."""
    return [
        Column(f"{name}, PSNR / SSIM", {f"{of}_psnr": 2, f"{of}_ssim": 3}),
        Column("s", {f"{of}_seconds": 1, f"{of}_busy": 1}),
    ]


def columns(table: str, ours: bool) -> tuple[list[str], list[Column]]:
    """The heads of the first columns, and what follows."""
    if table == "denoising":
        own = [*of_method("prior", "prior"), Column("prior - CBM3D, PSNR", dict(gain_psnr=2))]
        return ["pictures", "sigma of 255"], of_method("CBM3D", "bm3d") + own * ours
    own = [
        Column("one sample, PSNR / SSIM", dict(psnr_sample=2, ssim_sample=3)),
        Column(f"mean of {_SAMPLES.value}, PSNR / SSIM", dict(psnr_mean=2, ssim_mean=3)),
        Column("error / std", dict(error_in_stds=2)),
        Column("s a sample", dict(seconds=2)),
    ]
    others = [
        Column("interpolation, PSNR / SSIM", dict(interpolated_psnr=2, interpolated_ssim=3)),
        *of_method("ADMM-TV", "tv"),
        Column("weight", dict(weight=2)),
    ]
    return ["pictures", "task", "sigma"], others + own * ours


def cell(column: Column, metrics: list[Metrics]) -> str:
    """One cell: mean ± deviation over the pictures, or medians of seconds."""
    name = next(iter(column.metrics))
    if name.endswith("seconds"):
        earlier = any(each.get(name.replace("seconds", "earlier"), 0) for each in metrics)
        medians = (f"{statistics.median(each[n] for each in metrics):.{d}f}" for n, d in column.metrics.items())
        return " / ".join(medians) + " (measured earlier)" * earlier
    found = summarise(metrics)
    if name == "weight":
        return f"{found[name].mean:.3g}"
    return " / ".join(f"{found[n].mean:.{d}f} ± {found[n].std:.{d}f}" for n, d in column.metrics.items())


def markdown(table: str, cases: list[Case], ours: bool) -> str:
    """The table, in Markdown."""
    grouped: dict[tuple[str, ...], list[Metrics]] = {}
    for case in cases:
        grouped.setdefault(case.row, []).append(case.metrics)
    first, rest = columns(table, ours)
    lines = [[*first, *(column.head for column in rest)], ["---"] * (len(first) + len(rest))]
    lines += [[*row, *(cell(column, metrics) for column in rest)] for row, metrics in grouped.items()]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    folders = dict.fromkeys(case.row[0] for case in cases)
    counts = ", ".join(f"{folder} {len({c.picture for c in cases if c.row[0] == folder})}" for folder in folders)
    notes = [f"Mean ± deviation over the pictures ({counts}); grey pictures are R = G = B."]
    notes.append("Seconds: medians, those of the clock and, where two, those of the processor, all threads together.")
    if plain := sum(case.metrics.get("plain_step", 0) for case in cases):
        notes.append(f"{plain:.0f} of {len(cases)} restorations took the plain step, `data_first`.")
    return "\n\n".join([text, *notes])


def main(argv: list[str]) -> None:
    """Measure, print the table and write the numbers."""
    del argv
    prior = load_prior(_PRIOR.value) if _PRIOR.value else None
    path = _JSON.value or f"out/photographs/{_TABLE.value}.json"
    about = dict(device=str(jax.devices()[0]), threads=os.cpu_count())
    about |= {flag.name: flag.value for flag in (_TABLE, _PRIOR, _COUNT, _SIDE, _SAMPLES, _CALLS, _SPLIT)}

    def write(cases: list[Case]) -> None:
        with replacing(path) as part:
            rows = [case._asdict() for case in cases]
            part.write_text(json.dumps(about | dict(load=os.getloadavg()[0], cases=rows)), encoding="utf-8")

    measured = (denoising if _TABLE.value == "denoising" else restoration)(prior, jax.random.key(0), write)
    print(f"\n{markdown(_TABLE.value, measured, prior is not None)}\n\nNumbers: {path}")


if __name__ == "__main__":
    app.run(main)
