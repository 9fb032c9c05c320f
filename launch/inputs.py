"""What a run works on: images from files, arrays or data sets, or measurements, in batches of one size."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from pgm_jax.evaluation import Batch, batches_of, check_images
from pgm_jax.files import local_path, read_arrays
from pgm_jax.pretrained import example_images
from pgm_jax.training.images import UnreadableImage, find_images, none_readable, open_image, pixels_of, to_float
from pgm_jax.types import Shape

BUNDLED = "bundled"


class Inputs(NamedTuple):
    """The images, or measurements, of a run: how many there are, their batches afresh at each call, their names."""

    count: int
    batches: Callable[[int], Iterator[Batch]]  # (batch size) -> batches
    name: Callable[[int], str]  # (number in the set) -> what to call it
    skipped: Sequence[UnreadableImage] = ()


def image_inputs(
    spec: str, image_shape: Shape, first: int = 0, count: int | None = None, resize: bool = False
) -> Inputs:
    """The images `first`, `first + 1`, ... of the bundled ones, of a file, a folder, or the array `images` of an .npz.

    Raises:
        FileNotFoundError: if there is nothing at `spec`.
        ValueError, TypeError: if it cannot be read, or holds images that a prior of `image_shape` does not fit.
    """
    if spec == BUNDLED:
        images = np.asarray(example_images())
    elif Path(spec).suffix == ".npz":
        images = _read_npz(spec)
    else:
        return _file_inputs(local_path(spec), image_shape, first, count, resize)
    chosen = _chosen(len(images), first, count, spec)
    images = check_images(images[chosen.start : chosen.stop], image_shape)
    return Inputs(len(chosen), lambda size: batches_of(images, np.asarray(chosen), size), lambda i: f"{spec} {i}")


def dataset_inputs(name: str, split: str, image_shape: Shape, limit: int | None, data_dir: str | None) -> Inputs:
    """The first `limit` images of a data set by name or path.

    Raises:
        FileNotFoundError, ValueError: as `open_source` does.
    """
    from pgm_jax.training.data import eval_batches, open_source  # a second of import that images do not need

    source = open_source(name, split, image_shape, data_dir)
    count = len(source) if limit is None else min(limit, len(source))
    return Inputs(count, lambda size: eval_batches(source, size, limit), lambda i: f"{source.name} {i}")


def measurement_inputs(
    path: str, measurement_shape: Shape, dtype: Any, observed: Callable[[int], np.ndarray] | None
) -> Inputs:
    """The measurements in an .npy file, one or a stack of them, real or complex as `dtype` is.

    `observed`, for their number, says which entries are measured, 1 or 0: others may be NaN. Without it NaNs say it,
    and there have to be some.

    Raises:
        FileNotFoundError: if there is no file.
        TypeError, ValueError: if it holds no array of numbers of that kind and shape, or NaNs where there may be none.
    """
    arrays = read_arrays(path, "an .npy of one measurement or a stack of them, by numpy.save")
    if list(arrays) != ["array"]:
        raise ValueError(f"{path} holds several arrays; write the measurement alone, by numpy.save.")
    y = arrays["array"]
    kind = np.inexact if np.issubdtype(dtype, np.complexfloating) else np.floating
    if not np.issubdtype(y.dtype, kind):
        expected = "floats, complex ones," if kind is np.inexact else "floats"
        raise TypeError(f"The measurement in {path} has the type {y.dtype}; give {expected} on the scale of [-1, 1].")
    shape = y.shape
    y = y[None] if y.shape == measurement_shape else y
    if y.shape[1:] != measurement_shape:
        expected = ", ".join(map(str, measurement_shape))
        raise ValueError(
            f"The measurement in {path} has the shape {shape}; this task measures ({expected}), or (B, {expected})."
        )
    hidden = np.isnan(y)
    if observed is None and not hidden.any():
        raise ValueError(f"The measurement in {path} hides no pixel: set the hidden ones to NaN.")
    if np.isinf(y).any() or (observed is not None and (hidden & (observed(len(y)) > 0)).any()):
        raise ValueError(
            f"The measurement in {path} holds NaN or infinite values; only what was not measured, such as a mask's "
            "hidden pixels, is NaN."
        )
    y = y.astype(np.complex64 if kind is np.inexact else np.float32)
    return Inputs(len(y), lambda size: batches_of(y, np.arange(len(y)), size), lambda i: f"{path} {i}")


def unfinished(batches: Iterable[Batch], finished: set[int]) -> Iterator[Batch]:
    """The batches without the images that are finished; those with nothing left to do are passed over."""
    for arrays, indices, valid in batches:
        left = valid & ~np.isin(indices, list(finished))
        if left.any():
            yield arrays, indices, left


def _read_npz(path: str) -> np.ndarray:
    arrays = read_arrays(path, "an .npz with an array `images`")
    if "images" not in arrays:
        raise ValueError(f"{path} has no array `images`; it has {', '.join(arrays) or 'none'}.")
    images = arrays["images"]
    images = images[..., None] if images.ndim == 3 else images
    return to_float(images) if images.dtype == np.uint8 else images


def _file_inputs(path: Path, image_shape: Shape, first: int, count: int | None, resize: bool) -> Inputs:
    paths = [path] if path.is_file() else find_images(path)
    chosen = _chosen(len(paths), first, count, str(path))
    images, indices, skipped = [], [], []
    for index in chosen:
        try:
            images.append(_read_file(paths[index], image_shape, resize))
            indices.append(index)
        except UnreadableImage as error:
            skipped.append(error)
    if not images:
        raise none_readable(path, skipped)
    arrays, numbers = np.stack(images), np.asarray(indices)
    return Inputs(len(arrays), lambda size: batches_of(arrays, numbers, size), lambda i: str(paths[i]), skipped)


def _read_file(path: Path, image_shape: Shape, resize: bool) -> np.ndarray:
    height, width, channels = image_shape
    image = open_image(path, channels)
    if resize:
        image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    if image.size != (width, height):
        raise ValueError(
            f"{path} has {image.height} x {image.width} pixels, but the prior knows {height} x {width}: "
            "add --resize to crop about the centre and resize, or take another prior."
        )
    return to_float(pixels_of(image))


def _chosen(available: int, first: int, count: int | None, spec: str) -> range:
    if not 0 <= first < max(available, 1) or (count is not None and count < 1):
        raise ValueError(
            f"--first={first} and --count={count} choose no image: {spec} has {available}, "
            f"numbered from 0 to {available - 1}."
        )
    return range(first, available if count is None else min(first + count, available))
