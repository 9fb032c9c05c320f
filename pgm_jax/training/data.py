"""Images for training and evaluation: sources with random access, and batches as functions of the step.

    source[i]       uint8 [H, W, C]                          from a folder of images, an .npz or TFDS
    dataset[step]   float32 [B, H, W, C] in [-1, 1]          `dataset = batches(source, B, seed)`

A batch depends on (source, B, seed, step) alone: a run that resumes at step n needs no state of its data.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import grain
import numpy as np
from jaxtyping import UInt8

from pgm_jax.files import local_path
from pgm_jax.operators.base import check_image_shape
from pgm_jax.training.folders import folder_images
from pgm_jax.training.images import check_channels_last, read_npz, to_float
from pgm_jax.types import Shape


@runtime_checkable
class RandomAccess(Protocol):
    """Images by their index: a `Source`, or pictures of any size."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...


KEPT_BYTES = 4 * 2**30  # of decoded images that are kept in memory; those beyond are read again each time
_PART = re.compile(r"[^\[\]]+(?:\[(-?\d+%?)?:(-?\d+%?)?\])?")


@dataclasses.dataclass(frozen=True)
class Source:
    """Random access to images: `source[i]` is uint8 of `image_shape`, a smaller image padded with black (0).

    Attributes:
        name: what to call the images in an error.
        length: how many there are.
        read: index to uint8 [h, w, C], h <= H and w <= W.
        image_shape: (H, W, C) in pixels.
    """

    name: str
    length: int
    read: Callable[[int], np.ndarray]
    image_shape: Shape

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        if not 0 <= index < self.length:
            raise IndexError(f"Image {index} of {self.name}, which has {self.length}.")
        return _pad(self.read(index), self.image_shape, self.name)


def open_source(
    name: str | Path, split: str, image_shape: Shape, data_dir: str | Path | None = None, white: float | None = None
) -> Source:
    """Images by name: a folder of images, an `.npz`, or a TFDS set.

    Args:
        name: a path (one in words begins with `.`, `/` or `~`) or the name of a TFDS set, "fashion_mnist". A path is
            that of a folder of images, cropped, resized and kept as one array, see `folder_images`; of a prepared
            TFDS set; or of an .npz with one uint8 array [N, H, W] or [N, H, W, C] per split.
        split: "train", "test", or a part such as "train[:90%]". A folder has one set of images, which is both.
        image_shape: (H, W, C) in pixels. Smaller images are padded on all sides with black; only those of a folder
            are resized.
        data_dir: where TFDS sets and the arrays of folders lie; None is TFDS_DATA_DIR or ~/tensorflow_datasets.
        white: value of a white pixel in the files of a folder; None: the largest of its type, see `read_pixels`.

    Raises:
        FileNotFoundError: if a path, or the prepared files of a TFDS set, are not there.
        ValueError: if the name or split is unknown, the folder has no readable image, an array is not uint8 images,
            or images are larger than `image_shape` or have other channels.
    """
    image_shape = check_image_shape(image_shape)
    if max(image_shape) >= 2**16:
        raise ValueError(f"image_shape is {image_shape}; (height, width, channels) are at most 65535 each.")
    is_folder, name = is_image_folder(name), str(name)
    if not name:
        raise ValueError("The name of the images is empty; give a TFDS set, a folder or an .npz.")
    path, data_dir = local_path(name), None if data_dir is None else local_path(data_dir)
    split_name = split.partition("[")[0]
    if path.suffix == ".npz":
        source = _array_source(read_npz(path, split_name)[0], path, split, image_shape)
    elif is_folder:
        if split_name not in ("train", "test"):
            raise ValueError(
                f"The split is {split!r}; the folder {path} has one set of images, which is 'train' and 'test' alike."
            )
        _part(split)  # before the folder is read
        source = _array_source(folder_images(path, image_shape, data_dir, white), path, split, image_shape)
    else:
        source = _tfds_source(name, split, image_shape, data_dir)
    if not source.length:
        raise ValueError(f"{source.name} holds no images; choose another split or source.")
    source[0]  # wrong sizes and channels are reported here rather than at the first step
    return source


def is_image_folder(name: str | Path) -> bool:
    """Whether a name is that of a path, and not of a TFDS set, be it by its name or in a folder of its own."""
    is_path = isinstance(name, Path) or name.startswith((".", "/", "~"))
    return is_path and not (local_path(name) / "dataset_info.json").is_file()


def batches(
    source: RandomAccess,
    batch_size: int,
    seed: int,
    *,
    flip: bool = False,
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
    shard: tuple[int, int] = (0, 1),
) -> grain.MapDataset:
    """Shuffled batches for ever: `dataset[step]` is float32 [batch_size / count, H, W, C] in [-1, 1], any step >= 0.

    Every epoch has its own order, and a batch may reach over its end. Process `index` of `count` gets rows
    `[index b, (index + 1) b)`, b = batch_size / count, of the batch that a single process would get.

    Args:
        source: uint8 images [H, W, C], of any size where `augment` crops them.
        batch_size: images of one step over all processes.
        seed: 0 <= seed < 2**32.
        flip: mirror each image left to right with probability 1/2.
        augment: maps (image, generator of random numbers) to an image, such as `random_crop`; it comes first.
        shard: (index, count), as `(jax.process_index(), jax.process_count())`.

    Raises:
        ValueError: if `batch_size` is not a positive multiple of `count`, or `index` or `seed` is out of range.
    """
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(f"shard is (index, count) with 0 <= index < count, got {shard}.")
    if batch_size < 1 or batch_size % count:
        raise ValueError(f"batch_size must be a positive multiple of the {count} process(es), got {batch_size}.")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be in 0 .. 2**32 - 1, got {seed}.")
    dataset = grain.MapDataset.source(source).seed(seed).shuffle().repeat(None)
    if augment is not None:
        dataset = dataset.random_map(augment)
    if flip:
        dataset = dataset.random_map(_flip)
    return dataset.batch(batch_size // count, drop_remainder=True)[index::count].map(to_float)


def _flip(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image[:, ::-1] if rng.random() < 0.5 else image


def _pad(image: np.ndarray, image_shape: Shape, name: str) -> np.ndarray:
    height, width, channels = image_shape
    check_channels_last(name, (1, *image.shape))
    if image.shape[2] != channels:
        raise ValueError(
            f"{name} has images with {image.shape[2]} channel(s), image_shape {image_shape} asks for {channels}: "
            f"choose image_shape=({height}, {width}, {image.shape[2]})."
        )
    down, right = height - image.shape[0], width - image.shape[1]
    if down < 0 or right < 0:
        larger = (max(height, image.shape[0]), max(width, image.shape[1]), channels)
        raise ValueError(
            f"{name} has an image of {image.shape}, larger than image_shape {image_shape}: choose "
            f"image_shape={larger}, or give a folder of image files, which are cropped and resized."
        )
    if not down and not right:
        return image
    padded = np.zeros(image_shape, np.uint8)
    top, left = down // 2, right // 2
    padded[top : top + image.shape[0], left : left + image.shape[1]] = image
    return padded


def _array_source(images: np.ndarray, path: Path, split: str, image_shape: Shape) -> Source:
    begin, end = part_of(split, len(images))
    images = images[begin:end]
    return Source(f"{path} ({split})", len(images), images.__getitem__, image_shape)


def _part(split: str) -> Sequence[str | None]:
    """Where a part of a split begins and ends, in its words; None is its beginning or its end."""
    if not (part := _PART.fullmatch(split)):
        raise ValueError(f"The split is {split!r}; give one such as 'train', or a part such as 'train[:90%]'.")
    return part.groups()


def part_of(split: str, count: int) -> tuple[int | None, int | None]:
    """Where the part of `count` images begins and ends that a split such as "train[:90%]" names."""
    begin, end = (_place(text, count) for text in _part(split))
    return begin, end


def _place(text: str | None, count: int) -> int | None:
    if text is None:
        return None
    return round(int(text[:-1]) * count / 100) if text.endswith("%") else int(text)


def _tfds_source(name: str, split: str, image_shape: Shape, data_dir: Path | None) -> Source:
    from pgm_jax.training.image_sets import open_set  # a second of import that the others do not need

    records = open_set(name, split, data_dir)

    def read(index: int) -> np.ndarray:
        return records[index]["image"]

    # Decoding takes some 0.3 ms, more than its share of a small network's step.
    small = len(records) * math.prod(image_shape) <= KEPT_BYTES
    return Source(f"{name} ({split})", len(records), functools.cache(read) if small else read, image_shape)
