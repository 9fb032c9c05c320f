"""Image sets of TFDS on disk: prepared as array_record, and read without TensorFlow.

TFDS needs TensorFlow to read the idx files of Fashion-MNIST and to encode its arrays; here neither does.
A set is written beside its final place and renamed at the end, so an interrupted run leaves no half set.

The files that describe a set name classes, which TFDS imports. Before TFDS opens a set, they are read here, and the set
is refused where they name any other class than TFDS's own features.
"""

import difflib
import gzip
import hashlib
import io
import json
import math
import re
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.constants import DATA_DIR

from pgm_jax.files import local_path, one_line
from pgm_jax.training.images import read_npz

_LARGEST = 2**26  # bytes of an idx file
_IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

# The keys of a class in a description: as protobuf writes and reads it, and, beside "content", as TFDS once did.
_CLASS_KEYS = ("pythonClassName", "python_class_name")
_FEATURE = re.compile(r"tensorflow_datasets\.core\.features(\.[A-Za-z_][A-Za-z0-9_]*)+")
_SHARD_KEYS = ("shardLengths", "shard_lengths")
_MOST_SHARDS = 10_000  # or as many as there are files
_LONGEST_DESCRIPTION = 2**22  # bytes
_LEAST_RECORD = 16  # bytes of an encoded image

# Any: TFDS's annotations do not say what a builder may set and which methods it has
_Registered: Any = tfds.builder_cls("fashion_mnist")


class PreparedSet(NamedTuple):
    """A set on disk.

    Attributes:
        path: its folder.
        written: whether this call wrote it; False where it was there.
        sizes: images of each split.
    """

    path: Path
    written: bool
    sizes: dict[str, int]


def prepare_set(name: str, data_dir: str | Path | None = None, source: str | Path | None = None) -> PreparedSet:
    """Download a set that TFDS knows and write it as array_record; one that is there is left as it is.

    Args:
        name: "fashion_mnist", "cifar10", "lsun/bedroom", ...
        data_dir: where sets lie; None is TFDS's own place (TFDS_DATA_DIR or ~/tensorflow_datasets).
        source: where Fashion-MNIST is, instead of a download: a folder with the four idx files
            (`train-images-idx3-ubyte`, ..., each plain or `.gz`), or an `.npz` with train, test and, if known,
            train_label and test_label.

    Raises:
        ValueError: if TFDS knows no such name or configuration, a source is given for another set, the arrays are
            not those of Fashion-MNIST or damaged, or a set that is there names a class.
        FileNotFoundError: if `source` or one of its files is missing.
        ConnectionError: if Fashion-MNIST cannot be downloaded.
        ModuleNotFoundError: if TFDS's code for this set needs TensorFlow, which is then needed for this one step.
    """
    if not name:
        raise ValueError("The name of the set is empty; give fashion_mnist, or another one that TFDS knows.")
    data_dir = None if data_dir is None else local_path(data_dir)
    if name == "fashion_mnist":
        source = None if source is None else local_path(source)
        if source is not None and not source.exists():
            raise FileNotFoundError(f"There is no {source}: give the folder of the idx files, or an .npz.")
        _refuse_code(local_path(data_dir or DATA_DIR) / name)
        builder = _FashionMnist(source, data_dir)
        if source is not None and not _is_prepared(builder):
            for split in _IDX_FILES:
                builder._arrays(split)  # what is wrong with them is told before TFDS makes folders
    elif source is not None:
        raise ValueError(f"The source {source} is given for {name!r}; only fashion_mnist has one, TFDS fetches others.")
    else:
        builder = _builder(name, data_dir, file_format="array_record")
    written = not _is_prepared(builder)
    if written:
        try:
            builder.download_and_prepare()
        except ImportError as error:
            raise ModuleNotFoundError(
                f"TFDS's own code for {name!r} needs a package that is missing ({error}). If it is TensorFlow, "
                "`pip install tensorflow` serves for this step alone: training reads the set without it."
            ) from error
    sizes = {split: info.num_examples for split, info in builder.info.splits.items()}
    return PreparedSet(Path(builder.data_dir), written, sizes)


def open_set(name: str, split: str, data_dir: Path | None = None) -> Sequence[dict[str, Any]]:
    """The records of a prepared set, with random access; `records[i]["image"]` is uint8 [h, w, C].

    Args:
        name: a name that TFDS knows, that of a set in `data_dir`, or the path of the folder of a set.
        split: "train", "test", or any slice of TFDS such as "train[:90%]".
        data_dir: where sets lie; None is TFDS's own place.

    Raises:
        FileNotFoundError: if the set is not prepared.
        ValueError: if the name or split is unknown, the set has no images, only TensorFlow reads its files, or they
            name a class that is no feature of TFDS.
    """
    path = local_path(name)
    is_folder = (path / "dataset_info.json").is_file()
    builder: Any = _builder_of(path) if is_folder else _builder(name, data_dir)
    arguments = [repr(name)] + [f"data_dir={str(data_dir)!r}"] * (data_dir is not None)
    command = f"pgm_jax.training.image_sets.prepare_set({', '.join(arguments)})"
    if not _is_prepared(builder):
        raise FileNotFoundError(
            f"The TFDS set {name!r} is not in {builder.data_dir} yet; prepare it by launch.prepare, or by `{command}`."
        )
    features = builder.info.features
    if not isinstance(features, tfds.features.FeaturesDict) or "image" not in features:
        found = ", ".join(features) if isinstance(features, tfds.features.FeaturesDict) else type(features).__name__
        raise ValueError(f"The TFDS set {name!r} has no feature 'image'; it has {found}.")
    if split.partition("[")[0] not in builder.info.splits:
        raise ValueError(f"The TFDS set {name!r} has no split {split!r}; it has {', '.join(builder.info.splits)}.")
    try:
        records = builder.as_data_source(split)
        _check_records(records, Path(builder.data_dir))
        return records
    except NotImplementedError as error:
        raise ValueError(
            f"{builder.data_dir} was written as {builder.info.file_format.value}, which only TensorFlow reads: move it "
            f"away and prepare the set again by `{command}`."
        ) from error
    except Exception as error:  # files that are not there or damaged fail in the ways of each format
        raise ValueError(f"The TFDS set in {builder.data_dir} cannot be read: {one_line(error)}") from error


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
        return {split: self._generate_examples(*self._arrays(split)) for split in _IDX_FILES}

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
        if not len(images):
            raise ValueError(f"{self.source} holds no images ({split}).")
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

    def _generate_examples(self, images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, dict]]:
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield index, {"image": Image.fromarray(image), "label": int(label)}


def _builder(name: str, data_dir: Path | None, **settings: Any) -> Any:
    """TFDS's builder of a set, or a ValueError with the nearest names that TFDS or `data_dir` has."""
    known = set(tfds.list_builders(with_community_datasets=False))  # communities' names would need TensorFlow
    folder = local_path(data_dir or DATA_DIR)
    for files in ("*/*/features.json", "*/*/*/features.json"):  # name/version or name/config/version
        known |= {path.relative_to(folder).parts[0] for path in folder.glob(files)}
    bare = re.split("[/:]", name)[0]
    # A word after a colon would make the first a collection elsewhere, whose code TFDS fetches; capitals are another
    # folder for TFDS than for us.
    if bare not in known or bare != bare.lower() or ".." in name or re.match(r"[^/]*:[^\d*]", name):
        near = difflib.get_close_matches(bare.lower().replace("-", "_"), known, n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        path = f" There is a folder {name} here: write ./{name} for its images." if Path(name).is_dir() else ""
        raise ValueError(f"TFDS knows no set {name!r}, and none is in {folder}.{hint}{path}")
    _refuse_code(folder / bare)
    try:
        return tfds.builder(name, data_dir=folder, **settings)
    except ImportError:
        raise
    except Exception as error:  # TFDS, protobuf and the features fail on a damaged description each in its own way
        raise ValueError(f"TFDS cannot open {name!r}: {one_line(error)}") from error


def _builder_of(folder: Path) -> Any:
    """TFDS's builder of the set in a folder."""
    _refuse_code(folder)
    try:
        return tfds.builder_from_directory(folder)
    except Exception as error:  # as above
        raise ValueError(
            f"TFDS cannot open {folder}, as its files are damaged or too old: {one_line(error)}"
        ) from error


def _check_records(records: Any, folder: Path) -> None:
    """Raise a ValueError where a set cannot have as many images as it says, or its first one is no image."""
    held = sum(path.stat().st_size for path in folder.iterdir())
    if len(records) * _LEAST_RECORD > held:
        raise ValueError(f"it says that it has {len(records)} images, and its files have {held} bytes")
    image = records[0]["image"] if len(records) else np.zeros((1, 1, 1), np.uint8)
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
        raise ValueError("its 'image' is something else than uint8 [h, w, C]")


def _refuse_code(folder: Path) -> None:
    """Raise a ValueError where a description in a folder, or in its configurations and versions, names a class.

    One of more shards than there can be is refused too, since TFDS makes objects of each.
    """
    for depth in ("", "*/", "*/*/"):
        for name in ("features.json", "dataset_info.json"):
            for path in sorted(folder.glob(depth + name)):
                if path.stat().st_size > _LONGEST_DESCRIPTION:
                    raise ValueError(f"{path} takes more than {_LONGEST_DESCRIPTION} bytes: it describes no image set.")
                try:
                    classes, shards = _named(path.read_text(encoding="utf-8"))
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"{path} is damaged or another file: {one_line(error)}") from error
                if shards > max(_MOST_SHARDS, sum(1 for _ in path.parent.iterdir())):
                    raise ValueError(f"{path} names {shards} files of records, and there are fewer.")
                if foreign := [name for name in classes if not _FEATURE.fullmatch(name)]:
                    raise ValueError(
                        f"{path} names the class {foreign[0][:100]!r}, which would be run and is no feature of TFDS "
                        "(tensorflow_datasets.core.features): write the set with those, or give its images as a "
                        "folder or an .npz."
                    )


def _named(text: str) -> tuple[list[str], int]:
    """The names of classes in a JSON text, at any depth, in the JSON texts within it too; and the number of shards."""
    found: list[str] = []
    shards = 0

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal shards
        keys = {key for key, _ in pairs}
        for key, value in pairs:  # those that are there twice, too
            if key in _SHARD_KEYS and isinstance(value, list):
                shards += len(value)
            if isinstance(value, str):
                if key in _CLASS_KEYS or (key == "type" and "content" in keys):
                    found.append(value)
                elif value.lstrip()[:1] in ("{", "["):
                    try:
                        json.loads(value, object_pairs_hook=look)
                    except json.JSONDecodeError:
                        pass  # words that begin with a bracket
        return dict(pairs)

    json.loads(text, object_pairs_hook=look)
    return found, shards


def _is_prepared(builder: Any) -> bool:
    # TFDS's own question logs a warning where the answer is no.
    return (builder.data_path / "dataset_info.json").exists()


def _parse_idx(data: bytes, name: str) -> np.ndarray:
    """An idx file of unsigned bytes, plain or gzip: magic 0, 0, 8, rank; the sizes as big-endian int32; the bytes."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(_LARGEST + 1)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{name} is damaged: {error}") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08" or len(data) < 4 + 4 * data[3]:
        raise ValueError(f"{name} is not an idx file of unsigned bytes: it begins with 0x{data[:4].hex()}.")
    if len(data) > _LARGEST:
        raise ValueError(f"{name} holds more than {_LARGEST} bytes; a file of Fashion-MNIST has at most 47,040,016.")
    begin = 4 + 4 * data[3]
    shape = np.frombuffer(data[4:begin], ">i4").tolist()
    if min(shape, default=0) < 0 or len(data) - begin != math.prod(shape):
        raise ValueError(f"{name} announces {shape} bytes and holds {len(data) - begin}.")
    return np.frombuffer(data, np.uint8, offset=begin).reshape(shape)


def _idx_file(folder: Path, stem: str) -> Path:
    for path in (folder / f"{stem}.gz", folder / stem):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder} has neither {stem}.gz nor {stem}; Fashion-MNIST is four such files.")
