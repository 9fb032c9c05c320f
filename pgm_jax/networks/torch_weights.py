"""PyTorch weight files, read as data: without torch, and without running any code that they contain.

A file of `torch.save` is a zip archive with two kinds of records:

    NAME/data.pkl     a pickle of the state dict, where a tensor is a call: rebuild(storage, offset, size, stride, ...)
    NAME/data/KEY     the raw numbers of the storage that the pickle calls KEY

A pickle may name any function and have it called. The reader here knows the few names that a dict of tensors needs,
gives them meanings of its own, and refuses all others.
"""

import collections
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from pgm_jax.files import local_path


class _Storage(NamedTuple):
    """A type of storage; unlike a dtype, a pickle cannot change it."""

    dtype: np.dtype


_DTYPES: dict[str, Any] = dict(Double="<f8", Float="<f4", Half="<f2", BFloat16=jnp.bfloat16)
_DTYPES |= dict(Long="<i8", Int="<i4", Short="<i2", Char="i1", Byte="u1", Bool="?")
_STORAGES = {f"{name}Storage": _Storage(np.dtype(dtype)) for name, dtype in _DTYPES.items()}


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a file that `torch.save` wrote, name to array, in the order of the file.

    Dicts within dicts are joined by dots, as in "state_dict.conv.weight"; entries that are no tensors are skipped.

    Args:
        path: the file, usually .pth or .pt.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file is no zip archive of torch (PyTorch before 1.6 wrote another format), is damaged, or
            names something that a dict of tensors does not need.
    """
    path = local_path(path)
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(
                f"{path} is not a zip archive, as torch.save writes it since PyTorch 1.6; convert a file of "
                'an older version once, where torch is installed: torch.save(torch.load(old, map_location="cpu", '
                "weights_only=True), new)"
            )
        try:
            with zipfile.ZipFile(file) as archive:
                tensors = dict(_tensors(_loaded(archive)))
        except Exception as error:
            # A damaged file fails in whatever way its bytes happen to say.
            raise ValueError(f"{path} cannot be read as a dict of tensors: {error}") from error
    if not tensors:
        raise ValueError(f"{path} holds no tensors: give the file of a state dict")
    return tensors


def _loaded(archive: zipfile.ZipFile) -> Any:
    pickles = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError(f"it holds {len(pickles)} records data.pkl and a file of torch.save holds one")
    folder = pickles[0].removesuffix("data.pkl")
    order = folder + "byteorder"
    if order in archive.namelist() and archive.read(order).strip() != b"little":
        raise ValueError("it was written on a big-endian machine; load and save it again on another one")
    with archive.open(pickles[0]) as file:
        return _Reader(file, archive, folder).load()


class _Reader(pickle.Unpickler):
    """An unpickler to which only the parts of a dict of tensors mean anything."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str):
        super().__init__(file, encoding="utf-8")
        self._archive = archive
        self._folder = folder
        self._storages: dict[str, bytes] = {}

    def find_class(self, module: str, name: str, /) -> Any:
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): self._parameter,
        }
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) not in known:
            raise ValueError(
                f"it names {module}.{name}, which a dict of tensors does not need and which is not run: "
                "where torch is installed and the file is trusted, save its state_dict() alone"
            )
        return known[module, name]

    def persistent_load(self, pid: Any, /) -> np.ndarray:
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, _Storage):
            raise ValueError(f"it refers to {pid!r}, and only storages of numbers are known")
        if key not in self._storages:
            self._storages[key] = self._archive.read(f"{self._folder}data/{key}")
        return np.frombuffer(self._storages[key], storage.dtype, count)

    def _tensor(self, storage: np.ndarray, offset: int, size: tuple, stride: tuple, *_: Any) -> np.ndarray:
        item = storage.dtype.itemsize
        steps = tuple(item * step for step in stride)
        # numpy checks that offset, size and stride stay within the storage; the copy lets go of it.
        return np.ndarray(size, storage.dtype, storage, item * offset, steps).copy()

    def _parameter(self, data: np.ndarray, *_: Any) -> np.ndarray:
        return data


def _tensors(tree: Any, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(tree, np.ndarray):
        yield prefix.removesuffix("."), tree
    elif isinstance(tree, Mapping):
        for name, branch in tree.items():
            yield from _tensors(branch, f"{prefix}{name}.")
