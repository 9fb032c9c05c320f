"""Image sets on disk: folders and Fashion-MNIST as array_record sets that `tfds.data_source` reads without TensorFlow.

TFDS needs TensorFlow to encode an array or to read idx files; here images are encoded and files read without it.
A set is written beside its final place and renamed at the end, so an interrupted run leaves no half set.
"""

import difflib
import gzip
import hashlib
import math
import os
import re
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageOps
from rich.progress import track

from pgm_jax.files import local_path
from pgm_jax.training.images import UnreadableImage, find_images, none_readable, open_image, read_npz
from pgm_jax.types import Shape

_IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

# Any: TFDS's annotations do not say what a builder may set and which methods it has
_Builder: Any = tfds.core.GeneratorBasedBuilder
_Registered: Any = tfds.builder_cls("fashion_mnist")


class PreparedSet(NamedTuple):
    """A set on disk, and what went wrong with single files.

    Attributes:
        path: its folder.
        written: whether this call wrote it; False where it was there.
        sizes: images of each split.
        unreadable: files that were left out by this call.
        unreadable_list: the text file that names them, None where there are none.
        enlarged: how many images were smaller than the wanted size.
    """

    path: Path
    written: bool
    sizes: dict[str, int]
    unreadable: list[UnreadableImage]
    unreadable_list: Path | None = None
    enlarged: int = 0


class _ImageFolder(_Builder, skip_registration=True):  # pyright: ignore[reportGeneralTypeIssues, reportCallIssue]
    """The images of a folder, cropped about the centre to the aspect ratio of `image_shape` and resized (Lanczos)."""

    VERSION = tfds.core.Version("1.0.0")
    name = "image_folder"

    def __init__(self, folder: Path, name: str, image_shape: Shape, data_dir: str | Path | None):
        self.name = name
        self.folder, self.image_shape = folder, image_shape
        self.unreadable: list[UnreadableImage] = []
        self.enlarged = 0
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=self.image_shape, dtype=np.uint8, encoding_format="png")
        features = tfds.features.FeaturesDict({"image": image})
        return tfds.core.DatasetInfo(builder=self, description=f"Images of {self.folder.name}.", features=features)

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Image.Image]]]:
        height, width, channels = self.image_shape
        paths = find_images(self.folder)
        for path in track(paths, description=f"{self.name} (train)"):
            try:
                image = open_image(path, channels)
            except UnreadableImage as error:
                self.unreadable.append(error)
                continue
            self.enlarged += image.width < width or image.height < height
            image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
            yield str(path.relative_to(self.folder)), {"image": image}
        if len(self.unreadable) == len(paths):
            raise none_readable(self.folder, self.unreadable)


class _FashionMnist(_Registered, skip_registration=True):  # pyright: ignore[reportGeneralTypeIssues, reportCallIssue]
    """Fashion-MNIST under the name, version and features that TFDS registers, made without TensorFlow.

    The images keep the order of the original files, so index i is the same image as in an .npz of them.
    """

    name = "fashion_mnist"
    url_infos = _Registered.url_infos

    def __init__(self, source: Path | None, data_dir: str | Path | None):
        self.source = source
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        info = super()._info()
        info.as_proto.disable_shuffling = True
        return info

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {split: self._generate_examples(split, *self._arrays(split)) for split in _IDX_FILES}

    def _arrays(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        if self.source is None:
            images, labels = (_parse_idx(self._download(f"{stem}.gz"), stem) for stem in _IDX_FILES[split])
        elif self.source.suffix == ".npz":
            images, labels = read_npz(self.source, split)
            images = images[..., 0] if images.shape[3] == 1 else images
            labels = np.full(len(images), -1) if labels is None else labels  # TFDS's sign for "not known"
        else:
            paths = [_idx_file(self.source, stem) for stem in _IDX_FILES[split]]
            images, labels = (_parse_idx(path.read_bytes(), str(path)) for path in paths)
        if images.shape[1:] != (28, 28) or images.dtype != np.uint8 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"Fashion-MNIST ({split}) is uint8 images [N, 28, 28] and labels [N]; {self.source} holds "
                f"{images.dtype} {list(images.shape)} and labels {list(labels.shape)}."
            )
        return images, labels

    def _download(self, file: str) -> bytes:
        url = self.URL + file  # not by TFDS's manager, which tries for minutes where there is no network
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                data = response.read()
        except OSError as error:
            raise ConnectionError(
                f"{url} could not be fetched ({error}). Fetch the four idx files of Fashion-MNIST by other means and "
                "give their folder as the source."
            ) from error
        if hashlib.sha256(data).hexdigest() != self.url_infos[url].checksum:
            raise ValueError(f"{url} is not the file that TFDS knows: its SHA-256 differs. Try again.")
        return data

    def _generate_examples(self, split: str, images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, dict]]:
        for index in track(range(len(images)), description=f"{self.name} ({split})"):
            yield index, {"image": Image.fromarray(images[index]), "label": int(labels[index])}


def write_fashion_mnist(source: str | Path | None = None, data_dir: str | Path | None = None) -> PreparedSet:
    """Fashion-MNIST as the TFDS set `fashion_mnist` (splits train and test, image uint8 [28, 28, 1] and label).

    Args:
        source: a folder with the four idx files (`train-images-idx3-ubyte`, ..., each as it is or `.gz`), or an `.npz`
            with train, test and, if known, train_label, test_label; None downloads the files.
        data_dir: where sets lie; None is TFDS's own place (TFDS_DATA_DIR or ~/tensorflow_datasets).

    Raises:
        FileNotFoundError: if `source` or one of its files is missing.
        ValueError: if arrays are not those of Fashion-MNIST, or a download is damaged.
        ConnectionError: if there is no source and the download fails.
    """
    source = None if source is None else local_path(source)
    if source is not None and not source.exists():
        raise FileNotFoundError(f"There is no {source}: give the folder of the idx files, or an .npz.")
    builder = _FashionMnist(source, _local(data_dir))
    written = not is_prepared(builder)
    if written:
        tfds.disable_progress_bar()
        builder.download_and_prepare()
    return PreparedSet(Path(builder.data_dir), written, _sizes(builder), [])


def write_image_folder(
    folder: str | Path, name: str, image_shape: Shape, data_dir: str | Path | None = None
) -> PreparedSet:
    """A folder of images as the TFDS set `name` (split train): cropped about the centre, resized, grey or RGB, as PNG.

    Files that cannot be read are left out, listed in the result and in `<data_dir>/<name>/unreadable.txt`.

    Args:
        folder: searched with its subfolders for files with an image's suffix.
        name: lower-case letters, digits and underscores; not a name that TFDS itself knows.
        image_shape: (H, W, C) in pixels, C = 1 or 3; smaller images are enlarged and counted.
        data_dir: where sets lie; None is TFDS's own place.

    Raises:
        ValueError: for a bad or taken name, a bad shape, a folder without images or without a readable one.
        FileNotFoundError, NotADirectoryError: if `folder` is not there.
    """
    folder = local_path(folder)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"A set's name is lower-case letters, digits and _, beginning with a letter; got {name!r}.")
    if name in tfds.list_builders(with_community_datasets=False):
        raise ValueError(f"{name!r} is the name of a set that TFDS knows: choose another one for your folder.")
    if len(image_shape) != 3 or min(image_shape) < 1 or image_shape[2] not in (1, 3):
        raise ValueError(f"image_shape is (height, width, 1 or 3), got {image_shape}.")
    builder = _ImageFolder(folder, name, tuple(image_shape), _local(data_dir))
    path = Path(builder.data_dir)
    listing = path.parent / "unreadable.txt"
    if is_prepared(builder):
        on_disk: Any = tfds.builder_from_directory(path)  # `builder` itself has the features that were asked for
        shape = on_disk.info.features["image"].shape
        if shape != tuple(image_shape):
            raise ValueError(
                f"{path} is there already with images of {shape}, not {tuple(image_shape)}: choose "
                "another name, or delete it."
            )
        return PreparedSet(path, False, _sizes(builder), [], listing if listing.exists() else None)
    find_images(folder)  # before TFDS makes any folder
    tfds.disable_progress_bar()
    builder.download_and_prepare()
    if unreadable := builder.unreadable:
        listing.write_text("".join(f"{error.path}\t{error.reason}\n" for error in unreadable))
    return PreparedSet(path, True, _sizes(builder), unreadable, listing if unreadable else None, builder.enlarged)


def write_registered(name: str, data_dir: str | Path | None = None) -> PreparedSet:
    """Any set that TFDS registers, downloaded and written as array_record by TFDS's own code.

    Args:
        name: "cifar10", "lsun/bedroom", ...
        data_dir: where sets lie; None is TFDS's own place.

    Raises:
        ValueError: if TFDS knows no such name or configuration.
        ModuleNotFoundError: if this set's code needs TensorFlow, which is then needed for this one step.
    """
    check_known(name, data_dir)
    builder = tfds.builder(name, data_dir=_local(data_dir), file_format="array_record")
    written = not is_prepared(builder)
    if written:
        try:
            builder.download_and_prepare()
        except ImportError as error:
            raise ModuleNotFoundError(
                f"TFDS's own code for {name!r} needs a package that is missing ({error}). If it is TensorFlow, "
                "`pip install tensorflow` serves for this step alone: training reads the set without it."
            ) from error
    return PreparedSet(Path(builder.data_dir), written, _sizes(builder), [])


def is_prepared(builder: tfds.core.DatasetBuilder) -> bool:
    """Whether the set of `builder` is on disk; TFDS's own question logs a warning where the answer is no."""
    return (builder.data_path / "dataset_info.json").exists()


def check_known(name: str, data_dir: str | Path | None = None) -> None:
    """Raise a ValueError with the nearest names, where TFDS has no code and `data_dir` no files for the set `name`."""
    known = set(tfds.list_builders(with_community_datasets=False))  # communities' names would need TensorFlow
    folder = local_path(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"))
    for files in ("*/*/features.json", "*/*/*/features.json"):  # name/version or name/config/version
        known |= {path.relative_to(folder).parts[0] for path in folder.glob(files)}
    bare = re.split("[/:]", name)[0]
    if bare not in known:
        near = difflib.get_close_matches(bare.lower().replace("-", "_"), known, n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"TFDS knows no set {name!r}, and none is in {folder}.{hint}")


def _parse_idx(data: bytes, name: str) -> np.ndarray:
    """An idx file of unsigned bytes, plain or gzip: magic 0, 0, 8, rank; the sizes as big-endian int32; the bytes."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{name} is damaged: {error}") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08" or len(data) < 4 + 4 * data[3]:
        raise ValueError(f"{name} is not an idx file of unsigned bytes: it begins with 0x{data[:4].hex()}.")
    begin = 4 + 4 * data[3]
    shape = np.frombuffer(data[4:begin], ">i4").tolist()
    if len(data) - begin != math.prod(shape):
        raise ValueError(f"{name} announces {shape} bytes and holds {len(data) - begin}.")
    return np.frombuffer(data, np.uint8, offset=begin).reshape(shape)


def _local(data_dir: str | Path | None) -> Path | None:
    return None if data_dir is None else local_path(data_dir)


def _idx_file(folder: Path, stem: str) -> Path:
    for path in (folder / f"{stem}.gz", folder / stem):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder} has neither {stem}.gz nor {stem}; Fashion-MNIST is four such files.")


def _sizes(builder: tfds.core.DatasetBuilder) -> dict[str, int]:
    return {name: split.num_examples for name, split in builder.info.splits.items()}
