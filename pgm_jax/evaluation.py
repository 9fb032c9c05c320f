"""Evaluation over a set of images: measure, restore and judge one after another, in batches of one shape.

    y = A(x) + noise  ->  samples, mean, std  ->  PSNR, SSIM, misfit of each image  ->  mean and std over images

Image i of a set draws its measurement and its chains from keys folded with i: the numbers do not depend on the batch
size. From the root key,

    operators  fold_in(key, 0)        noise  fold_in(fold_in(key, 1), i)        chains  fold_in(fold_in(key, 2), i)
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pgm_jax.metrics import data_misfit, psnr, ssim
from pgm_jax.noise import measure, per_measurement
from pgm_jax.restoration import Restoration, restore
from pgm_jax.tracing import compiled
from pgm_jax.types import Key, Noise, Operator, Shape, as_key

# (images or measurements [B, ...], their numbers in the set [B], which rows count [B]); the others only fill a batch.
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
# (key, numbers of the images [B]) -> the operator of a batch and its axis in `vmap`: None (shared) or 0 (one for each)
Operators = Callable[[Key, Array], tuple[Operator, int | None]]

_ROUNDING = 1e-5
_SSIM_SIDE = 11  # of the smallest image that `ssim` takes
_BATCH = 8


class Case(NamedTuple):
    """One image of an evaluation.

    Attributes:
        index: its number in the set.
        truth: `[H, W, C]` in [-1, 1]; None where only a measurement was given.
        y, observed: its measurement, and which entries were observed, of one shape; y is 0 where nothing was.
        samples: posterior samples `[S, H, W, C]`.
        mean, std: their mean and standard deviation `[H, W, C]`, in the units of the images.
        metrics: `psnr_` and `ssim_` (with a truth; SSIM from 11 x 11 pixels) and `misfit_`, each of `sample` (that is
            the first) and of `mean`; `error_in_stds`, the root mean square of mean - truth over that of std, which is
            sqrt(1 + 1 / S) for samples of the posterior and larger for samples that are too sure (with a truth and
            S > 1); `failed`, the share of steps that were not finite, where there were such; `seconds`, the time of its
            batch over the images in it, compilation included.
    """

    index: int
    truth: np.ndarray | None
    y: np.ndarray
    observed: np.ndarray
    samples: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    metrics: dict[str, float]


def evaluate(
    key: Key,
    prior: Any,
    operator: Operator | Operators,
    images: Float[Array | np.ndarray, "n h w c"] | Iterable[Batch],
    noise: Noise,
    **options: Any,
) -> Iterator[Case]:
    """Measure, restore and judge the images of a set, one after another; `summarise` makes a table of the cases.

    Args:
        key: root key.
        prior: g, see `restore`.
        operator: A, shared by all images, or a function that makes it for a batch, see `Operators`.
        images: float `[N, H, W, C]` in [-1, 1], or batches of such (images, their numbers `[B]`, valid `[B]`); those
            that are not valid are left out of the result.
        noise: of the measurements.
        options: for `restore`: `samples`, `calls`, `setting`, `rows`, `split`, `at_once`.

    Yields:
        A `Case` for every valid image, in order.

    Raises:
        ValueError, TypeError: if the images are not as `check_images` wants them, or as `restore` does.
    """
    key, shared = as_key(key), hasattr(operator, "forward")
    make = cast(Operators, (lambda *_: (operator, None)) if shared else operator)
    if hasattr(images, "shape"):
        batches = batches_of(images, size=min(_BATCH, max(len(cast(Any, images)), 1)))
    else:
        batches = cast(Iterable[Batch], images)
    for batch, numbers, valid in batches:
        indices = jnp.asarray(numbers)
        made, axis = make(jax.random.fold_in(key, 0), indices)
        truth = jnp.asarray(check_images(batch, made.image_shape))
        y = measure(jax.random.fold_in(key, 1), made, truth, noise, operator_axis=axis, indices=indices)
        yield from restore_batch(key, prior, made, y, noise, indices, valid, operator_axis=axis, truth=truth, **options)


def batches_of(arrays: Any, indices: np.ndarray | None = None, size: int = _BATCH) -> Iterator[Batch]:
    """Arrays and their numbers in batches of one size; the last is filled with its last row, which does not count.

    Args:
        arrays, indices: images or measurements, `[N, ...]`, and their numbers in the set, `[N]`; 0 ... N - 1 if None.
        size: of a batch.
    """
    arrays = np.asarray(arrays)
    indices = np.arange(len(arrays)) if indices is None else indices
    for start in range(0, len(arrays), size):
        rows = np.arange(start, start + size)
        kept = np.minimum(rows, len(arrays) - 1)
        yield arrays[kept], indices[kept], rows < len(arrays)


def restore_batch(
    key: Key,
    prior: Any,
    operator: Operator,
    y: Float[Array, "b *measurement"],
    noise: Noise,
    indices: Int[Array, " b"],
    valid: Bool[Array | np.ndarray, " b"],
    *,
    operator_axis: int | None = None,
    truth: Float[Array, "b h w c"] | None = None,
    **options: Any,
) -> list[Case]:
    """Restore and judge one batch of measurements; without the truth, by the measurement alone.

    Args:
        key: root key.
        prior: g, see `restore`.
        operator, operator_axis: A, shared with the axis None, or stacked with 0.
        y: measurements, in the units of the images; what is not observed is ignored.
        noise: of the measurements.
        indices, valid: number of each measurement in its set, and which rows to return.
        truth: the images, where they are known.
        options: for `restore`.

    Raises:
        ValueError, TypeError: as `restore` does.
    """
    start, key = time.perf_counter(), as_key(key)
    restoration = restore(
        jax.random.fold_in(key, 2), prior, operator, y, noise, operator_axis=operator_axis, indices=indices, **options
    )
    jax.block_until_ready(restoration)
    valid = np.asarray(valid)
    seconds = (time.perf_counter() - start) / max(int(valid.sum()), 1)
    judged = _judge(operator, y, restoration, truth, per_measurement(noise, y.shape), operator_axis)
    restoration, truths, (measured, observed, metrics) = jax.device_get((restoration, truth, judged))

    def case(i: int) -> Case:
        numbers = {name: float(values[i]) for name, values in metrics.items()}
        if restoration.failed[i].any():
            numbers["failed"] = float(restoration.failed[i].mean())
        numbers["seconds"] = seconds
        r, known = restoration, None if truths is None else truths[i]
        return Case(int(indices[i]), known, measured[i], observed[i], r.samples[i], r.mean[i], r.std[i], numbers)

    return [case(i) for i in np.flatnonzero(valid).tolist()]


@compiled
def _judge(operator, y, restoration: Restoration, truth, noise, operator_axis):
    def of_one(operator, y, noise, samples, mean, std, truth):
        sample, metrics = samples[0], {}
        observed = jnp.broadcast_to(operator.observed > 0, y.shape)
        y = jnp.where(observed, y, jnp.zeros_like(y))
        for name, estimate in dict(sample=sample, mean=mean).items():
            if truth is not None:
                metrics[f"psnr_{name}"] = psnr(estimate, truth)
            if truth is not None and min(truth.shape[:2]) >= _SSIM_SIDE:
                metrics[f"ssim_{name}"] = ssim(estimate, truth)
            metrics[f"misfit_{name}"] = data_misfit(operator, estimate, y, noise)
        if truth is not None and len(samples) > 1:
            metrics["error_in_stds"] = jnp.sqrt(jnp.mean((mean - truth) ** 2) / jnp.mean(std**2))
        return y, observed, metrics

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
    """The images as float32 `[B, H, W, C]`, if they are such as a prior of `image_shape` can restore.

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
