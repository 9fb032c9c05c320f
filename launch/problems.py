"""From images, or from real measurements, to the problems of a task: batches of measurements with their operators.

    images        y = A(x) + noise is simulated, and the truth is known
    measurements  y is given, and there is no truth

Both have numbers, names and a method `problem`, which makes the problem of a batch of their numbers.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from launch.operators import NAMED
from launch.tasks import Task
from pgm_jax.evaluation import Problem, batches_of, check_images, simulate
from pgm_jax.files import local_path, read_arrays
from pgm_jax.operators import mask
from pgm_jax.operators.trial import check_measurements
from pgm_jax.pretrained import example_images
from pgm_jax.training.images import (
    UnreadableImage,
    check_channels_last,
    find_images,
    none_readable,
    read_image,
    read_measured,
    to_float,
)
from pgm_jax.types import Key, Shape

BUNDLED = "bundled"
flags.DEFINE_float("white", None, "Value of a white pixel in image files; by default the largest of their type.")


class Images(NamedTuple):
    """Images whose measurements are simulated."""

    indices: np.ndarray  # their numbers in the set
    read: Callable[[np.ndarray], np.ndarray]  # numbers [B] -> images [B, H, W, C]
    name: Callable[[int], str]
    skipped: Sequence[UnreadableImage] = ()  # files that could not be read

    def problem(self, task: Task, key: Key, numbers: np.ndarray, valid: np.ndarray) -> Problem:
        """The problem of a batch; its noise is drawn from the key."""
        operator, axis = task.operators(numbers)
        return simulate(key, operator, self.read(numbers), task.noise, numbers, valid, operator_axis=axis)


class Measurements(NamedTuple):
    """Real measurements."""

    indices: np.ndarray
    y: np.ndarray  # [N, ...], 0 where nothing was observed
    observed: np.ndarray
    name: Callable[[int], str]
    skipped: Sequence[UnreadableImage] = ()

    def problem(self, task: Task, key: Key, numbers: np.ndarray, valid: np.ndarray) -> Problem:
        """The problem of a batch; a task that hides pixels gets the masks of the measurements."""
        if task.hides_pixels:
            seen = jnp.asarray(self.observed[numbers])
            operator, axis = jax.vmap(lambda pixels: mask(task.image_shape, pixels))(seen), 0
        else:
            operator, axis = task.operators(numbers)
        return Problem(operator, axis, self.y[numbers], task.noise, numbers, valid)


def problems(
    inputs: Images | Measurements, task: Task, key: Key, size: int, finished: Collection[int] = ()
) -> Iterator[Problem]:
    """The problems of a task in batches of one size, without the numbers that are finished."""
    for numbers, valid in batches_of(inputs.indices, size):
        left = valid & ~np.isin(numbers, list(finished))
        if left.any():
            yield inputs.problem(task, key, numbers, left)


def read_images(
    spec: str,
    image_shape: Shape,
    first: int = 0,
    count: int | None = None,
    resize: bool = False,
    white: float | None = None,
) -> Images:
    """The images `first`, `first + 1`, ... of the bundled ones, a file, a folder, an .npy, or `images` of an .npz.

    `white` is the value of a white pixel in image files; None is the largest of their type.

    Raises:
        FileNotFoundError: if there is nothing at `spec`.
        ValueError, TypeError: if it cannot be read, or holds images that do not fit a prior of `image_shape`.
    """
    if spec != BUNDLED and Path(spec).suffix not in (".npz", ".npy"):
        return _read_files(local_path(spec), image_shape, first, count, resize, white)
    images = np.asarray(example_images()) if spec == BUNDLED else _read_arrays(spec)
    chosen = _chosen(len(images) if images.ndim else 1, first, count, spec)
    try:
        kept = check_images(images[chosen] if images.ndim else images, image_shape)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{spec}: {error}") from error
    return Images(chosen, lambda numbers: kept[numbers - first], lambda i: f"{spec} {i}")


def read_dataset(
    name: str,
    split: str,
    image_shape: Shape,
    first: int = 0,
    count: int | None = None,
    data_dir: str | None = None,
    white: float | None = None,
) -> Images:
    """The images `first`, `first + 1`, ... of a data set by name or path; `white` is that of the files of a folder.

    Raises:
        FileNotFoundError, ValueError: as `open_source` does, or if these images are not there.
    """
    from pgm_jax.training.data import open_source  # a second of import that images do not need

    source = open_source(name, split, image_shape, data_dir, white)
    read = lambda numbers: to_float(np.stack([source[int(i)] for i in numbers]))  # noqa: E731
    return Images(_chosen(len(source), first, count, source.name), read, lambda i: f"{source.name} {i}")


def read_measurements(
    path: str, task: Task, first: int = 0, count: int | None = None, white: float | None = None
) -> Measurements:
    """The measurements `first`, `first + 1`, ... of a task in a file, which has one or a stack of them.

    An .npy is NaN where nothing was observed; an .npz, such as the arrays.npz of a restoration, has `measurement` and,
    where not everything was observed, `observed`; an image is one measurement, from black, -1, to `white`, 1.

    Raises:
        FileNotFoundError, IsADirectoryError: if there is no file.
        TypeError, ValueError: if it holds no array of numbers of the task's kind and shape, misses values that the
            task observes, or the task draws an operator for each image, which is not the one that measured.
    """
    if task.shared is None and not task.hides_pixels:
        raise ValueError(
            f"{task.name} draws an operator for each image, which is not the one that measured {path}: specify "
            "the one that did, such as --operator=circular_blur --setting=kernel=kernel.npy, or --tasks=inpainting"
        )
    y, observed = read_measured(path, task.measurement, white)
    chosen, what = _chosen(len(y), first, count, path), f"The measurement in {path}"
    if not observed[chosen].reshape(len(chosen), -1).any(axis=1).all():
        raise ValueError(f"{what} is NaN everywhere: nothing was measured.")
    if task.hides_pixels and (task.shared is None or not observed.all()):
        if observed.all():
            raise ValueError(f"{what} hides no pixel: set the hidden ones to NaN.")
        seen, operator = observed, None
    else:
        operator = task.like
        seen = np.broadcast_to(np.asarray(operator.observed) > 0, y.shape)
        if missing := int(np.sum(seen[chosen] & ~observed[chosen])):
            raise ValueError(
                f"{what} holds NaN for {missing} values that the operator {task.settings['operator']} has seen; only "
                "what was not measured, such as a mask's hidden pixels, is NaN."
            )
    check_measurements(what, y[chosen], seen[chosen], operator, task.noise.sigma, task.settings["operator"] in NAMED)
    kind = np.complex64 if np.iscomplexobj(y) else np.float32
    with np.errstate(over="ignore"):  # of what is not restored
        y = np.where(seen, y, 0).astype(kind)
    return Measurements(chosen, y, seen, lambda i: f"{path} {i}")


def _read_arrays(path: str) -> np.ndarray:
    arrays = read_arrays(path, "an .npz with an array `images`, or an .npy of images")
    images = arrays.get("images", arrays.get("array"))
    if images is None:
        raise ValueError(f"{path} has no array `images`; it has {', '.join(arrays) or 'none'}.")
    check_channels_last(path, images.shape)
    images = images[..., None] if images.ndim == 3 else images
    return to_float(images) if images.dtype == np.uint8 else images


def _read_files(
    path: Path, image_shape: Shape, first: int, count: int | None, resize: bool, white: float | None
) -> Images:
    if not path.exists():
        raise FileNotFoundError(f"There is no image file or folder {path}.")
    paths = [path] if path.is_file() else find_images(path)
    images, skipped = {}, []
    for index in _chosen(len(paths), first, count, str(path)).tolist():
        try:
            images[index] = _read_file(paths[index], image_shape, resize, white)
        except UnreadableImage as error:
            skipped.append(error)
    if not images:
        raise none_readable(path, skipped)
    read = lambda numbers: np.stack([images[i] for i in numbers.tolist()])  # noqa: E731
    return Images(np.asarray(list(images)), read, lambda i: str(paths[i]), skipped)


def _read_file(path: Path, image_shape: Shape, resize: bool, white: float | None) -> np.ndarray:
    height, width, channels = image_shape
    pixels = read_image(path, channels, (height, width) if resize else None, white)
    if pixels.shape != (height, width, channels):
        raise ValueError(
            f"{path} has {' x '.join(map(str, pixels.shape[:2]))} pixels, but the prior expects {height} x {width}: "
            "add --resize to crop about the centre and resize, or give another prior."
        )
    return pixels


def _chosen(available: int, first: int, count: int | None, spec: str) -> np.ndarray:
    if not available:
        raise ValueError(f"{spec} holds no images and no measurements.")
    if not 0 <= first < available or (count is not None and count < 1):
        raise ValueError(
            f"--first={first} and --count={count} choose no image: {spec} has {available}, "
            f"numbered from 0 to {available - 1}."
        )
    return np.arange(first, available if count is None else min(first + count, available))
