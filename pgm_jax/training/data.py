"""Images for training and evaluation: sources with random access, and batches that are functions of their number.

    source[i]       uint8 [H, W, C]                          from TFDS, a folder of images or an .npz
    dataset[step]   float32 [B, H, W, C] in [-1, 1]          `dataset = batches(source, B, seed)`

A batch depends on (source, B, seed, step) alone: a run that continues at step n needs no state of its data. No
TensorFlow: `tfds.data_source` reads array_record sets, Grain shuffles and batches.
"""

import dataclasses
import hashlib
import math
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import grain
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from pgm_jax.files import local_path
from pgm_jax.training.images import find_images, read_npz, to_float
from pgm_jax.types import Shape

_KEPT_BYTES = 4 * 2**30  # decoded images of a larger TFDS set are not kept in memory


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


def open_source(name: str | Path, split: str, image_shape: Shape, data_dir: str | Path | None = None) -> Source:
    """Images by name: a TFDS set, a folder of images, or an `.npz`.

    Args:
        name: a prepared TFDS set ("fashion_mnist", "lsun/bedroom", one of your own); a folder of images, which is
            cropped, resized and written once as a TFDS set (by one process: with several, by
            `write_image_folder` first); or an .npz with one uint8 array [N, H, W] or [N, H, W, C] per split.
        split: "train", "test", or for TFDS sets any slice such as "train[:90%]".
        image_shape: (H, W, C) in pixels. Smaller images are padded on all sides with black; none is resized, save
            those of a folder.
        data_dir: where TFDS sets lie; None is TFDS's own place (TFDS_DATA_DIR or ~/tensorflow_datasets).

    Raises:
        FileNotFoundError: if a path, or the prepared files of a TFDS set, are not there.
        ValueError: if the name or split is unknown, the folder has no readable image, an array is not uint8 images,
            or images are larger than `image_shape` or have other channels.
    """
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ValueError(f"image_shape is (height, width, channels), got {image_shape}.")
    name, image_shape = str(name), tuple(image_shape)
    if not name:
        raise ValueError("The name of the images is empty; give a TFDS set, a folder or an .npz.")
    path, data_dir = local_path(name), None if data_dir is None else local_path(data_dir)
    if path.suffix == ".npz":
        images, _ = read_npz(path, split)
        source = Source(f"{path} ({split})", len(images), lambda i: images[i], image_shape)
    elif name.startswith((".", "/", "~")):
        source = _folder_source(path, split, image_shape, data_dir)
    else:
        source = _tfds_source(name, split, image_shape, data_dir)
    if not source.length:
        raise ValueError(f"{source.name} holds no images.")
    source[0]  # wrong sizes and channels are told here rather than at the first step
    return source


def batches(
    source: Source, batch_size: int, seed: int, *, flip: bool = False, shard: tuple[int, int] = (0, 1)
) -> grain.MapDataset:
    """Shuffled batches for ever: `dataset[step]` is float32 [batch_size / count, H, W, C] in [-1, 1], any step >= 0.

    Every epoch has its own order, and a batch may reach over its end. Process `index` of `count` gets rows
    `[index b, (index + 1) b)`, b = batch_size / count, of the batch that a single process would get.

    Args:
        source: uint8 images [H, W, C].
        batch_size: images of one step over all processes.
        seed: 0 <= seed < 2**32.
        flip: mirror each image left to right with probability 1/2.
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
    if flip:
        dataset = dataset.random_map(_flip)
    return dataset.batch(batch_size // count, drop_remainder=True)[index::count].map(to_float)


def eval_batches(
    source: Source, batch_size: int, limit: int | None = None
) -> Iterator[tuple[Float[np.ndarray, "b h w c"], Int[np.ndarray, " b"], Bool[np.ndarray, " b"]]]:
    """The first `limit` images in their stored order, as (images, indices, valid) of one fixed batch size.

    Rows with `valid` False only fill the last batch; they repeat its last image and index.

    Args:
        source: uint8 images [H, W, C].
        batch_size: rows of every batch.
        limit: how many images, None for all; more than there are means all.

    Raises:
        ValueError: if `batch_size` or `limit` is not positive.
    """
    if batch_size < 1 or (limit is not None and limit < 1):
        raise ValueError(f"batch_size and limit must be positive, got {batch_size} and {limit}.")
    count = len(source) if limit is None else min(limit, len(source))
    return (_eval_batch(source, start + np.arange(batch_size), count) for start in range(0, count, batch_size))


def _eval_batch(source: Source, rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    valid = rows < count
    images = [source[int(row)] for row in rows[valid]]
    images += images[-1:] * (len(rows) - len(images))
    return to_float(np.stack(images)), np.minimum(rows, count - 1), valid


def _flip(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image[:, ::-1] if rng.random() < 0.5 else image


def _pad(image: np.ndarray, image_shape: Shape, name: str) -> np.ndarray:
    height, width, channels = image_shape
    if image.shape[2] != channels:
        raise ValueError(
            f"{name} has images with {image.shape[2]} channel(s), image_shape {image_shape} asks for {channels}: "
            f"choose image_shape=({height}, {width}, {image.shape[2]})."
        )
    down, right = height - image.shape[0], width - image.shape[1]
    if down < 0 or right < 0:
        larger = (max(height, image.shape[0]), max(width, image.shape[1]), channels)
        raise ValueError(
            f"{name} has an image of {image.shape}, larger than image_shape {image_shape}; images are not resized "
            f"here. Choose image_shape={larger}, or resize a folder of images once by `pgm_jax.training.image_sets."
            f"write_image_folder(folder, name, {image_shape})` and give its name."
        )
    if not down and not right:
        return image
    padded = np.zeros(image_shape, np.uint8)
    top, left = down // 2, right // 2
    padded[top : top + image.shape[0], left : left + image.shape[1]] = image
    return padded


def _keep(source: Source) -> Source:
    """The same images, each decoded once: decoding takes some 0.3 ms, more than its share of a small network's step."""
    images = np.empty((source.length, *source.image_shape), np.uint8)  # takes memory only as it is filled
    known = np.zeros(source.length, bool)
    shown = images.view()
    shown.flags.writeable = False

    def read(index: int) -> np.ndarray:
        if not known[index]:
            images[index] = source[index]
            known[index] = True
        return shown[index]

    return dataclasses.replace(source, read=read)


def _folder_source(folder: Path, split: str, image_shape: Shape, data_dir: str | Path | None) -> Source:
    import tensorflow_datasets as tfds  # a second of import that an .npz does not need

    if (folder / "dataset_info.json").is_file():
        return _split_of(tfds.builder_from_directory(folder), str(folder), split, image_shape, None)
    files = [(str(path.relative_to(folder)), path.stat()) for path in find_images(folder)]
    contents = repr((str(folder.resolve()), [(file, stat.st_size, stat.st_mtime_ns) for file, stat in files]))
    stem = re.sub(r"[^a-z0-9]+", "_", folder.resolve().name.lower()).strip("_")
    size = "x".join(map(str, image_shape))
    # the name changes with the files and the size, so a stale copy is never read
    name = f"images_{stem}_{size}_{hashlib.sha256(contents.encode()).hexdigest()[:8]}"

    from pgm_jax.training.image_sets import write_image_folder

    prepared = write_image_folder(folder, name, image_shape, data_dir)
    if prepared.unreadable_list:
        warnings.warn(
            f"Some files of {folder} could not be read and were left out; {prepared.unreadable_list} lists them.",
            stacklevel=3,
        )
    return _split_of(tfds.builder(name, data_dir=data_dir), str(folder), split, image_shape, data_dir)


def _tfds_source(name: str, split: str, image_shape: Shape, data_dir: str | Path | None) -> Source:
    import tensorflow_datasets as tfds

    from pgm_jax.training.image_sets import check_known

    try:
        check_known(name, data_dir)
    except ValueError as error:
        if Path(name).is_dir():
            return _folder_source(Path(name), split, image_shape, data_dir)
        raise ValueError(f"{error} Nor is {name!r} a folder or an .npz here.") from None
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (ValueError, AssertionError) as error:
        raise ValueError(f"TFDS cannot open {name!r}: {error}") from error
    return _split_of(builder, name, split, image_shape, data_dir)


def _split_of(builder, name: str, split: str, image_shape: Shape, data_dir: str | Path | None) -> Source:
    from pgm_jax.training.image_sets import is_prepared

    own = name == "fashion_mnist"
    arguments = [repr(name)] * (not own) + [f"data_dir={str(data_dir)!r}"] * (data_dir is not None)
    writer = "write_fashion_mnist" if own else "write_registered"
    command = f"pgm_jax.training.image_sets.{writer}({', '.join(arguments)})"
    if not is_prepared(builder):
        raise FileNotFoundError(f"The TFDS set {name!r} is not in {builder.data_dir} yet; prepare it by `{command}`.")
    if "image" not in builder.info.features:
        raise ValueError(f"The TFDS set {name!r} has no feature 'image'; it has {', '.join(builder.info.features)}.")
    if split.partition("[")[0] not in builder.info.splits:
        raise ValueError(f"The TFDS set {name!r} has no split {split!r}; it has {', '.join(builder.info.splits)}.")
    try:
        records = builder.as_data_source(split)
    except NotImplementedError as error:
        raise ValueError(
            f"{builder.data_dir} was written as {builder.info.file_format.value}, which only TensorFlow reads: move it "
            f"away and prepare the set anew by `{command}`."
        ) from error
    source = Source(f"{name} ({split})", len(records), lambda i: records[i]["image"], image_shape)
    return _keep(source) if len(records) * math.prod(image_shape) <= _KEPT_BYTES else source
