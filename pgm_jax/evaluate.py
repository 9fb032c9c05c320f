"""Evaluation over a data set: measure, restore and judge image after image, in batches of one shape.

    y = A x + sigma n  ->  samples, mean, std  ->  PSNR, SSIM, misfit of each image  ->  mean and std over images

Image i of a set draws its measurement and its chains from keys that are folded with i, and the numbers over the set are
accumulated image by image: neither depends on the batch size. From the root key,

    operators  fold_in(key, 0)        noise  fold_in(fold_in(key, 1), i)        chains  fold_in(fold_in(key, 2), i)
"""

import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pgm_jax.metrics import data_misfit, psnr, ssim
from pgm_jax.operators import measure
from pgm_jax.restore import Restoration, restore
from pgm_jax.samplers import Rows
from pgm_jax.types import Key, Operator, Prior, Scalar, Shape

# (images or measurements [B, ...], their numbers in the set [B], which rows count [B]); the others only fill a batch.
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
# (key, numbers of the images [B]) -> the operator of a batch and its axis in `vmap`: None (shared) or 0 (one for each)
Operators = Callable[[Key, Array], tuple[Operator, int | None]]

ROUNDING = 1e-5
SSIM_SIDE = 11  # of the smallest image that `ssim` takes


class Case(NamedTuple):
    """One image of an evaluation.

    Attributes:
        index: its number in the set.
        truth: `[H, W, C]` in [-1, 1]; None where only a measurement was given.
        y: its measurement; NaN where nothing was observed.
        samples: posterior samples `[S, H, W, C]`.
        mean: their mean `[H, W, C]`.
        std: their standard deviation `[H, W, C]`, in the units of the images.
        metrics: `psnr_` and `ssim_` (with a truth; SSIM from 11 x 11 pixels) and `misfit_`, each of `sample` (that is
            the first) and of `mean`; `error_in_stds`, the root mean square of mean - truth over that of std, which is
            sqrt(1 + 1 / S) for samples of the posterior and larger for samples that are too sure (with a truth and
            S > 1); `seconds`, the time of its batch over the images in it, compilation included.
    """

    index: int
    truth: np.ndarray | None
    y: np.ndarray
    samples: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    metrics: dict[str, float]


def evaluate(
    prior: Prior,
    batches: Iterable[Batch],
    operators: Operators,
    key: Key,
    *,
    sigma: Scalar,
    samples: int = 8,
    rows: Rows | None = None,
) -> Iterator[Case]:
    """Measure, restore and judge the images of a set, one after another.

    Args:
        prior: g, by its prox.
        batches: (images float `[B, H, W, C]` in [-1, 1], their numbers `[B]`, valid `[B]`); rows that are not valid are
            left out of the result.
        operators: (key, numbers) -> (operator, axis), see `Operators`.
        key: root key.
        sigma: standard deviation of the noise, in the units of the images.
        samples: number S of posterior samples of each image.
        rows: level grid; that of `restore` if None.

    Yields:
        A `Case` for every valid image, in order.

    Raises:
        ValueError, TypeError: if the images are not as `check_images` wants them, or as `restore` does.
    """
    for images, numbers, valid in batches:
        indices = jnp.asarray(numbers)
        operator, axis = operators(jax.random.fold_in(key, 0), indices)
        truth = jnp.asarray(check_images(images, operator.image_shape))
        noise_keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, 1), indices)
        y = _measure(noise_keys, operator, truth, sigma, operator_axis=axis)
        yield from restore_batch(
            prior,
            operator,
            y,
            key,
            indices,
            valid,
            sigma=sigma,
            samples=samples,
            rows=rows,
            operator_axis=axis,
            truth=truth,
        )


def restore_batch(
    prior: Prior,
    operator: Operator,
    y: Float[Array, "b *measurement"],
    key: Key,
    indices: Int[Array, " b"],
    valid: Bool[Array | np.ndarray, " b"],
    *,
    sigma: Scalar,
    samples: int = 8,
    rows: Rows | None = None,
    operator_axis: int | None = None,
    truth: Float[Array, "b h w c"] | None = None,
) -> list[Case]:
    """Restore and judge one batch of measurements; without the truth, by the measurement alone.

    Args:
        prior: g, by its prox.
        operator: A, shared, or stacked with `operator_axis=0`.
        y: measurements, in the units of the images; what is not observed is ignored.
        key: root key.
        indices: number of each measurement in its set.
        valid: which rows to return.
        sigma: standard deviation of the noise.
        samples: number of posterior samples of each measurement.
        rows: level grid; that of `restore` if None.
        operator_axis: None or 0.
        truth: the images, where they are known.

    Raises:
        ValueError, TypeError: as `restore` does.
    """
    start = time.perf_counter()
    restoration = restore(
        prior,
        operator,
        y,
        jax.random.fold_in(key, 2),
        sigma=sigma,
        samples=samples,
        rows=rows,
        operator_axis=operator_axis,
        indices=indices,
    )
    jax.block_until_ready(restoration)
    valid = np.asarray(valid)
    seconds = (time.perf_counter() - start) / max(int(valid.sum()), 1)
    judged = _judge(operator, y, restoration, truth, sigma, operator_axis=operator_axis)
    restoration, truths, (observed, metrics) = jax.device_get((restoration, truth, judged))

    def case(i: int) -> Case:
        numbers = {name: float(values[i]) for name, values in metrics.items()}
        return Case(
            int(indices[i]),
            None if truths is None else truths[i],
            observed[i],
            restoration.samples[i],
            restoration.mean[i],
            restoration.std[i],
            numbers | dict(seconds=seconds),
        )

    return [case(i) for i in np.flatnonzero(valid).tolist()]


@functools.partial(jax.jit, static_argnames="operator_axis")
def _measure(keys, operator, images, sigma, *, operator_axis):
    return jax.vmap(measure, (0, operator_axis, 0, None))(keys, operator, images, sigma)


@functools.partial(jax.jit, static_argnames="operator_axis")
def _judge(operator, y, restoration: Restoration, truth, sigma, *, operator_axis):
    def of_one(operator, y, samples, mean, std, truth):
        sample, metrics = samples[0], {}
        for name, estimate in dict(sample=sample, mean=mean).items():
            if truth is not None:
                metrics[f"psnr_{name}"] = psnr(estimate, truth)
            if truth is not None and min(truth.shape[:2]) >= SSIM_SIDE:
                metrics[f"ssim_{name}"] = ssim(estimate, truth)
            metrics[f"misfit_{name}"] = data_misfit(operator, estimate, y, sigma)
        if truth is not None and len(samples) > 1:
            metrics["error_in_stds"] = jnp.sqrt(jnp.mean((mean - truth) ** 2) / jnp.mean(std**2))
        return jnp.where(operator.observed > 0, y, jnp.nan), metrics

    axes = (operator_axis, 0, 0, 0, 0, None if truth is None else 0)
    return jax.vmap(of_one, axes)(operator, y, restoration.samples, restoration.mean, restoration.std, truth)


class Streaming(NamedTuple):
    """Mean and standard deviation of numbers that come one by one, in double precision (Welford, 1962).

    Attributes:
        count: how many came.
        mean: their mean.
        squares: the sum of their squared deviations from it.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> "Streaming":
        """What it becomes with one number more.

        Args:
            value: the number.
        """
        count, deviation = self.count + 1, float(value) - self.mean
        mean = self.mean + deviation / count
        return Streaming(count, mean, self.squares + deviation * (float(value) - mean))

    @property
    def std(self) -> float:
        """The standard deviation, with count - 1 in the denominator; 0 for one number."""
        return math.sqrt(self.squares / max(self.count - 1, 1))


def summarise(rows: Iterable[Mapping[str, float]]) -> dict[str, Streaming]:
    """Mean and standard deviation of every metric over the images.

    Args:
        rows: the metrics of each image, in order.
    """
    summary: dict[str, Streaming] = {}
    for row in rows:
        for name, value in row.items():
            summary[name] = summary.get(name, Streaming()).add(value)
    return summary


def check_images(images: Any, image_shape: Shape) -> Float[np.ndarray, "b h w c"]:
    """The images as float32 `[B, H, W, C]`, if they are such as a prior of `image_shape` can restore.

    Args:
        images: array of floats in [-1, 1], `[B, H, W, C]`.
        image_shape: (H, W, C).

    Raises:
        TypeError: if they are not of a floating type.
        ValueError: if their shape is another, or they hold values that are not finite or lie outside [-1, 1].
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
    bad = int(np.sum(~np.isfinite(images)))
    if bad:
        raise ValueError(f"The images hold {bad} values that are NaN or infinite; every value must lie in [-1, 1].")
    low, high = (float(f(images)) for f in (np.min, np.max)) if images.size else (0.0, 0.0)
    if low < -1 - ROUNDING or high > 1 + ROUNDING:
        raise ValueError(
            f"The images reach from {low:.4g} to {high:.4g}; they must lie in [-1, 1]: scale [0, 1] by 2 x - 1 and "
            "[0, 255] by x / 127.5 - 1."
        )
    return images.astype(np.float32)
