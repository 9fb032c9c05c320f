"""PyTorch weight files, read as data: without torch, and without running any code that they contain.

A file of `torch.save` is a zip archive with two kinds of records:

    NAME/data.pkl     a pickle of the state dict, where a tensor is a call: rebuild(storage, offset, size, stride, ...)
    NAME/data/KEY     the raw numbers of the storage that the pickle calls KEY

A pickle may name any function and have it called. The reader here knows the few names that a dict of tensors needs,
gives them meanings of its own, and refuses all others. What it makes is bounded by what the file holds.
"""

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from pgm_jax.files import local_path, one_line, open_archive
from pgm_jax.networks.torch_pickle import Named, read_pickle

_DTYPES: dict[str, Any] = dict(Double="<f8", Float="<f4", Half="<f2", BFloat16=jnp.bfloat16)
_DTYPES |= dict(Long="<i8", Int="<i4", Short="<i2", Char="i1", Byte="u1", Bool="?")
_STORAGES = {f"torch.{name}Storage": np.dtype(dtype) for name, dtype in _DTYPES.items()}
_DICT, _TENSOR, _PARAMETER = (
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
)
_KNOWN = frozenset((*_STORAGES, _DICT, _TENSOR, _PARAMETER))

# Tensors may take twice the bytes of the storages, since layers that share weights have two names for them, and some
# more, since a mask may be one number that is spread.
_SHARING, _SPREAD = 2, 2**24
# What the names of a tree of dicts may take: their characters, and 64 more for each entry. A dict may be in many
# places, so that the names of a small pickle may be more than could ever be written.
_NAMES, _NAME = 2**25, 64
_DEEPEST = 50
_LONGEST_PICKLE = 2**24  # bytes; a tensor takes some 200


class _Storage(NamedTuple):
    """Numbers as they lie in a record; the view has the type and length that the pickle says."""

    numbers: np.ndarray


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a file that `torch.save` wrote, name to array, in the order of the file.

    Dicts within dicts are joined by dots, as in "state_dict.conv.weight"; entries that are no tensors are skipped.

    Args:
        path: the file, usually .pth or .pt.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file is no zip archive of torch (PyTorch before 1.6 wrote another format), is damaged,
            names something that a dict of tensors does not need, or describes more than it holds.
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
            with open_archive(file) as archive:
                tensors = dict(_tensors(_Reader(archive).tree()))
        except Exception as error:
            # A damaged file fails in whatever way its bytes happen to say.
            raise ValueError(f"{path} cannot be read as a dict of tensors: {one_line(error)}") from error
    if not tensors:
        raise ValueError(f"{path} holds no tensors: give the file of a state dict")
    return tensors


class _Reader:
    """The records of an archive, and the tensors that its pickle makes of them."""

    def __init__(self, archive: zipfile.ZipFile):
        pickles = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"it holds {len(pickles)} records data.pkl and a file of torch.save holds one")
        self._archive = archive
        self._folder = pickles[0].removesuffix("data.pkl")
        self._storages: dict[str, bytes] = {}
        records = f"{self._folder}data/"
        # What is there: a member's unpacked size is only what the archive says.
        held = sum(member.compress_size for member in archive.infolist() if member.filename.startswith(records))
        self._left = _SHARING * held + _SPREAD

    def tree(self) -> Any:
        order = f"{self._folder}byteorder"
        if order in self._archive.NameToInfo and self._record("byteorder", 16).strip() != b"little":
            raise ValueError("it was written on a big-endian machine; load and save it again on another one")
        return read_pickle(self._record("data.pkl", _LONGEST_PICKLE), self._storage, self._call, _KNOWN)

    def _record(self, name: str, most: int) -> bytes:
        member = self._archive.NameToInfo.get(self._folder + name)
        if member is None:
            raise ValueError(f"it has no record {name[:100]!r}")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise ValueError(f"its record {name[:100]!r} is packed, and torch.save packs none")
        if member.file_size > most:
            raise ValueError(f"its record {name[:100]!r} takes {member.file_size} bytes, and {most} were expected")
        return self._archive.read(member)

    def _storage(self, reference: Any) -> _Storage:
        if not isinstance(reference, tuple) or len(reference) != 5:
            raise ValueError("it refers to something else than a storage")
        word, kind, key, _, count = reference
        if word != "storage" or not isinstance(kind, Named) or kind not in _STORAGES or not isinstance(key, str):
            raise ValueError("it refers to something else than a storage of numbers")
        dtype = _STORAGES[kind]
        size = _natural(count) * dtype.itemsize
        if key not in self._storages:
            self._storages[key] = self._record(f"data/{key}", size)
        if len(self._storages[key]) != size:
            raise ValueError(f"its record 'data/{key[:100]}' takes {len(self._storages[key])} bytes, and not {size}")
        return _Storage(np.frombuffer(self._storages[key], dtype))

    def _call(self, function: Named, arguments: tuple) -> Any:
        if function == _DICT and not arguments:
            return {}
        if function == _PARAMETER and arguments and isinstance(arguments[0], np.ndarray):
            return arguments[0]
        if function == _TENSOR and len(arguments) >= 4 and isinstance(arguments[0], _Storage):
            return self._tensor(arguments[0].numbers, *arguments[1:4])
        raise ValueError(f"it calls {function} with other arguments than torch.save writes")

    def _tensor(self, numbers: np.ndarray, offset: Any, size: Any, stride: Any) -> np.ndarray:
        if not isinstance(size, tuple) or not isinstance(stride, tuple) or not len(size) == len(stride) <= 32:
            raise ValueError("the size and stride of a tensor are not of one length, at most 32")
        offset, size, stride = _natural(offset), tuple(map(_natural, size)), tuple(map(_natural, stride))
        count, item = math.prod(size), numbers.dtype.itemsize
        # Here rather than by numpy, whose sums may overflow.
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        if count and last >= len(numbers):
            raise ValueError(f"a tensor reaches to number {last} of a storage of {len(numbers)}")
        self._left -= count * item
        if self._left < 0:
            raise ValueError(f"its tensors take more than {_SHARING} times the bytes of its storages")
        if not count:
            return np.zeros(size, numbers.dtype)
        steps = tuple(item * step for step in stride)
        return np.ndarray(size, numbers.dtype, numbers, item * offset, steps).copy()  # the copy lets go of the storage


def _natural(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError("an offset, size or stride of its tensors is no number from 0 to 2^63 - 1")
    return number


def _tensors(tree: Any) -> Iterator[tuple[str, np.ndarray]]:
    left = _NAMES

    def walk(branch: Any, name: str, depth: int) -> Iterator[tuple[str, np.ndarray]]:
        nonlocal left
        left -= len(name) + _NAME * (1 + (len(branch) if isinstance(branch, dict) else 0))
        if left < 0 or depth > _DEEPEST:
            raise ValueError(
                f"its dicts have too many names, or more than {_DEEPEST} levels: save its state_dict() alone"
            )
        if isinstance(branch, np.ndarray):
            yield name, branch
        elif isinstance(branch, dict):
            for key, value in branch.items():
                if isinstance(value, dict | np.ndarray):
                    yield from walk(value, f"{name}.{key}" if depth else key, depth + 1)

    return walk(tree, "", 0)
