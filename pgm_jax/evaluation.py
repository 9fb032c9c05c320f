"""Evaluation over a set of images, in batches of one shape.

    y = A(x) + noise  ->  samples, mean, std  ->  PSNR, SSIM, misfit of each image  ->  mean and std over images

Image i of a set draws its noise and its chains from keys folded with i, so the results do not depend on the batch
size. From the root key,

    noise  fold_in(fold_in(key, 1), i)        chains  fold_in(fold_in(key, 2), i)
"""

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pgm_jax.metrics import data_misfit, psnr, ssim
from pgm_jax.noise import measure, per_measurement
from pgm_jax.restoration import Restoration, restore
from pgm_jax.tracing import compiled
from pgm_jax.types import Key, Noise, Operator, Shape, as_key

_ROUNDING = 1e-5
_SSIM_SIDE = 11  # of the smallest image that `ssim` takes
_BATCH = 8


class Problem(NamedTuple):
    """A batch of B measurements to restore, simulated or real.

    Attributes:
        operator, operator_axis: A, shared by the batch with the axis None, or stacked, one for each, with 0.
        y: measurements `[B, ...]`, 0 where nothing was observed.
        noise: of the measurements.
        indices: number of each measurement in its set, `[B]`.
        valid: which rows count, `[B]`; the others only fill the batch.
        truth: the images `[B, H, W, C]` in [-1, 1], where they are known.
    """

    operator: Operator
    operator_axis: int | None
    y: Array | np.ndarray
    noise: Noise
    indices: np.ndarray
    valid: np.ndarray
    truth: np.ndarray | None = None


class Case(NamedTuple):
    """One restored image.

    Attributes:
        index: its number in the set.
        truth: `[H, W, C]` in [-1, 1]; None where only a measurement was given.
        operator: what measured it; None where the case was read from files.
        y, observed: its measurement, and which entries were observed, of one shape; y is 0 where nothing was.
        samples: posterior samples `[S, H, W, C]`.
        mean, std: their mean and standard deviation `[H, W, C]`, in the units of the images.
        metrics: `psnr_` and `ssim_` (with a truth; SSIM from 11 x 11 pixels) and `misfit_`, each of `sample` (the
            first one) and of `mean`; `error_in_stds`, the root mean square of mean - truth over that of std, which is
            sqrt(1 + 1 / S) for exact samples of the posterior and larger for overconfident ones (with a truth and
            S > 1); `failed`, the share of steps that were not finite, where there were such; `calls` of the prior for a
            sample; `seconds`, the time of its batch over the images in it, compilation included.
    """

    index: int
    truth: np.ndarray | None
    operator: Operator | None
    y: np.ndarray
    observed: np.ndarray
    samples: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    metrics: dict[str, float]


def evaluate(
    key: Key, prior: Any, operator: Operator, images: Float[Array | np.ndarray, "n h w c"], noise: Noise, **options: Any
) -> Iterator[Case]:
    """Measure, restore and judge the images of a set, one after another; `summarise` makes a table of the cases.

    For operators of each image's own, or measurements without a truth, see `Problem` and `restore_problem`.

    Args:
        key: root key.
        prior: g, see `restore`.
        operator: A, shared by all images.
        images: float `[N, H, W, C]` in [-1, 1].
        noise: of the measurements.
        options: for `restore`: `samples`, `calls`, `setting`, `rows`, `split`, `at_once`.

    Returns:
        An iterator of a `Case` for every image, in order; each batch is restored when its first case is asked for.

    Raises:
        ValueError, TypeError: if the images are not as `check_images` requires, or as `restore` does.
    """
    key, images = as_key(key), check_images(images, operator.image_shape)
    batches = batches_of(np.arange(len(images)), _BATCH)
    problems = (_simulated(key, operator, None, images[rows], noise, rows, valid) for rows, valid in batches)
    return (case for problem in problems for case in restore_problem(key, prior, problem, **options))


def batches_of(indices: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers in batches of one size, and which of them count; the last batch is filled with its last number.

    Args:
        indices: the numbers, `[N]`.
        size: of every batch; N where that is less.
    """
    size = max(min(size, len(indices)), 1)
    for start in range(0, len(indices), size):
        rows = np.arange(start, start + size)
        yield indices[np.minimum(rows, len(indices) - 1)], rows < len(indices)


def simulate(
    key: Key,
    operator: Operator,
    images: Float[Array | np.ndarray, "b h w c"],
    noise: Noise,
    indices: Int[Array | np.ndarray, " b"],
    valid: Bool[Array | np.ndarray, " b"],
    *,
    operator_axis: int | None = None,
) -> Problem:
    """The problem of restoring a batch of images from simulated measurements.

    Args:
        key: root key, as for `restore_problem`.
        operator, operator_axis: A, shared with the axis None, or stacked with 0.
        images: `[B, H, W, C]` in [-1, 1].
        noise: of the measurements.
        indices, valid: number of each image in its set, and which of them count.

    Raises:
        ValueError, TypeError: as `check_images` and `measure` do.
    """
    truth, numbers = check_images(images, operator.image_shape), np.asarray(indices)
    return _simulated(as_key(key), operator, operator_axis, truth, noise, numbers, np.asarray(valid))


def _simulated(key, operator, axis, truth: np.ndarray, noise, indices: np.ndarray, valid: np.ndarray) -> Problem:
    key, numbers = jax.random.fold_in(key, 1), jnp.asarray(indices)
    y = measure(key, operator, jnp.asarray(truth), noise, operator_axis=axis, indices=numbers)
    return Problem(operator, axis, y, noise, indices, valid, truth)


def restore_problem(key: Key, prior: Any, problem: Problem, **options: Any) -> list[Case]:
    """Restore and judge a batch of measurements; without the truth, by the measurement alone.

    Args:
        key: root key.
        prior: g, see `restore`.
        problem: the measurements, their operator and their noise.
        options: for `restore`: `samples`, `calls`, `setting`, `rows`, `split`, `at_once`.

    Raises:
        ValueError, TypeError: as `restore` does.
    """
    key, (operator, axis, y, noise, indices, valid, truth) = as_key(key), problem
    y = jax.block_until_ready(jnp.asarray(y))
    start = time.perf_counter()
    restoration = restore(
        jax.random.fold_in(key, 2),
        prior,
        operator,
        y,
        noise,
        operator_axis=axis,
        indices=jnp.asarray(indices),
        **options,
    )
    jax.block_until_ready(restoration)
    seconds = (time.perf_counter() - start) / max(int(valid.sum()), 1)
    known = None if truth is None else jnp.asarray(truth)
    judged = _judge(operator, y, restoration, known, per_measurement(noise, y.shape), axis)
    r, y, (observed, metrics) = jax.device_get((restoration, y, judged))

    def case(i: int) -> Case:
        numbers = {name: float(values[i]) for name, values in metrics.items()}
        if r.failed[i].any():
            numbers["failed"] = float(r.failed[i].mean())
        numbers |= dict(calls=int(r.calls[i]), seconds=seconds)
        own = operator if axis is None else jax.tree.map(lambda leaf: leaf[i], operator)
        image = None if truth is None else truth[i]
        return Case(int(indices[i]), image, own, y[i], observed[i], r.samples[i], r.mean[i], r.std[i], numbers)

    return [case(i) for i in np.flatnonzero(valid).tolist()]


@compiled
def _judge(operator, y, restoration: Restoration, truth, noise, operator_axis):
    def of_one(operator, y, noise, samples, mean, std, truth):
        sample, metrics = samples[0], {}
        observed = jnp.broadcast_to(operator.observed > 0, y.shape)
        for name, estimate in dict(sample=sample, mean=mean).items():
            if truth is not None:
                metrics[f"psnr_{name}"] = psnr(estimate, truth)
            if truth is not None and min(truth.shape[:2]) >= _SSIM_SIDE:
                metrics[f"ssim_{name}"] = ssim(estimate, truth)
            metrics[f"misfit_{name}"] = data_misfit(operator, estimate, y, noise)
        if truth is not None and len(samples) > 1:
            metrics["error_in_stds"] = jnp.sqrt(jnp.mean((mean - truth) ** 2) / jnp.mean(std**2))
        return observed, metrics

    axes = (operator_axis, 0, 0, 0, 0, 0, None if truth is None else 0)
    return jax.vmap(of_one, axes)(operator, y, noise, restoration.samples, restoration.mean, restoration.std, truth)


class Summary(NamedTuple):
    """A metric over the images.

    Attributes:
        count: number of images that have it.
        mean, std: its mean and standard deviation, with count - 1 in the denominator; 0 for one image.
    """

    count: int
    mean: float
    std: float


def summarise(metrics: Iterable[Mapping[str, float]]) -> dict[str, Summary]:
    """Mean and standard deviation, in double precision, of all `metrics` of the images, such as `case.metrics`."""
    columns: dict[str, list[float]] = {}
    for row in metrics:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return {
        name: Summary(len(values), float(np.mean(values)), float(np.std(values, ddof=min(len(values) - 1, 1))))
        for name, values in columns.items()
    }


def check_images(images: Any, image_shape: Shape) -> Float[np.ndarray, "b h w c"]:
    """The images as float32 `[B, H, W, C]`, if a prior of `image_shape` can restore them.

    Args:
        images: array of floats in [-1, 1], `[B, H, W, C]`.
        image_shape: (H, W, C).

    Raises:
        TypeError: if they are not of a floating type.
        ValueError: if their shape is another, or they hold values that are not finite or lie outside [-1, 1].

    Warns:
        UserWarning: if no value is below 0, as for images in [0, 1].
    """
    images = np.asarray(images)
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(
            f"The images have the type {images.dtype}; floats in [-1, 1] are expected: "
            "turn bytes into them by x / 127.5 - 1."
        )
    if images.ndim != 4 or images.shape[1:] != tuple(image_shape):
        raise ValueError(
            f"The images have the shape {images.shape}, but the prior knows (B, {', '.join(map(str, image_shape))}): "
            "crop, resize or convert them to that height, width and number of channels, or take another prior."
        )
    if bad := int(np.sum(~np.isfinite(images))):
        raise ValueError(f"The images hold {bad} values that are NaN or infinite; every value must lie in [-1, 1].")
    low, high = (float(f(images)) for f in (np.min, np.max)) if images.size else (0.0, 0.0)
    if low < -1 - _ROUNDING or high > 1 + _ROUNDING:
        raise ValueError(
            f"The images reach from {low:.4g} to {high:.4g}; they must lie in [-1, 1]: scale [0, 1] by 2 x - 1 and "
            "[0, 255] by x / 127.5 - 1."
        )
    if images.size and low >= 0 and high > 0:
        warnings.warn(
            f"The images reach from {low:.4g} to {high:.4g}, and none is below 0. If they are in [0, 1], scale them by "
            "2 x - 1: the noise, the prior and the metrics take images in [-1, 1].",
            stacklevel=2,
        )
    return images.astype(np.float32)
