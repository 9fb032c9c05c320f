"""Arrays in `.npz` and `.npy` files: one reader that never executes their contents, and atomic writers."""

import contextlib
import os
import re
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_MAGIC = b"\x93NUMPY"


def local_path(path: str | Path) -> Path:
    """The path of a file or folder on this machine, with `~` expanded.

    Raises:
        ValueError: if `path` is the address of something elsewhere, such as `gs://bucket/file`.
    """
    # Two letters or more, so that the drives of Windows are paths; pathlib makes `gs://` of a Path `gs:/`.
    if scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise ValueError(
            f"{str(path)!r} is an address ({scheme[0]}/...), and files are read and written on this machine alone: "
            "copy it here or mount the bucket, and give the path."
        )
    return Path(path).expanduser()


def read_arrays(path: str | Path, what: str) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` by name; that of an `.npy` is called "array".

    Args:
        path: file to read; its contents say which of the two it is.
        what: what it should be, for the errors: "a prior that `save_prior` wrote".

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is another one or damaged, be it by a byte, or the path is no path of this machine.
    """
    path = local_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; give {what}.")
    with path.open("rb") as file:
        try:
            if file.read(len(_MAGIC)) == _MAGIC:
                file.seek(0)
                return {"array": _read(file)}
            with zipfile.ZipFile(file) as archive:
                _check_count(file, len(archive.namelist()))
                return {name.removesuffix(".npy"): _member(archive, name) for name in archive.namelist()}
        except Exception as error:  # zipfile, zlib, numpy and its parser each have their own ways to say it
            reason = str(error) or type(error).__name__
            raise ValueError(
                f"{path} cannot be read, as it is damaged or another file ({reason}); give {what}."
            ) from error


def _check_count(file: Any, count: int) -> None:
    # zipfile does not compare, so that a damaged length in its directory would hide an array.
    file.seek(max(file.seek(0, os.SEEK_END) - 2**16 - 22, 0))
    _, _, end = file.read().rpartition(b"PK\x05\x06")
    if int.from_bytes(end[6:8], "little") not in (count, 2**16 - 1):
        raise ValueError("its list of arrays is damaged")


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as file:
        return _read(file)


def _read(file: Any) -> np.ndarray:
    array = np.lib.format.read_array(file, allow_pickle=False)
    # A shape that is damaged to a smaller one; at the end of a member, zipfile compares its checksum.
    if file.read(1):
        raise ValueError("there is more in it than its header says")
    return array


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a compressed `.npz` atomically, and create its folder if it is missing.

    Args:
        path: file to write, by this very name.
        arrays: names and arrays, or what numpy makes arrays of.
    """
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path` that replaces it at the end, and is removed on an error.

    The folder is made where it is missing.
    """
    path = local_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
