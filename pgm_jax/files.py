"""Arrays in `.npz` and `.npy` files, read without executing their contents; atomic writers; folders with one writer."""

import contextlib
import copy
import io
import math
import os
import platform
import re
import uuid
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

_MAGIC = b"\x93NUMPY"
_HEADERS: dict[bytes, Callable[[IO[bytes]], tuple[tuple[int, ...], bool, np.dtype]]] = {
    _MAGIC + b"\1\0": np.lib.format.read_array_header_1_0,
    _MAGIC + b"\2\0": np.lib.format.read_array_header_2_0,
}
_LONGEST_HEADER = 10_000  # numpy's own bound, which it compares after it has read the header
_LONGEST_LIST = 2**23
_MOST_ARRAYS = 10_000
_CHUNK = 2**20
# What a file may unpack to: 1 GiB, or 100 times its size where that is more. Deflate packs zeros 1000 to 1, masks and
# drawings some 100 to 1, and a large set of images hardly at all.
_INFLATED = 2**30
_RATIO = 100


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
                return {"array": _read(file, path.stat().st_size)}
            with open_archive(file) as archive:
                return _members(archive, path.stat().st_size)
        except Exception as error:  # zipfile, zlib, numpy and its parser each have their own ways to say it
            reason = one_line(error)
            raise ValueError(
                f"{path} cannot be read, as it is damaged or another file ({reason}); give {what}."
            ) from error


def one_line(error: Exception) -> str:
    """What an error says, on one line of at most 300 characters: it may quote a file, and a file may say anything."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."


def open_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """A zip archive whose list of members is short and true: no name twice, and no byte of the file counted twice.

    Args:
        file: the open file, which stays open with the archive.

    Raises:
        ValueError: if the list is too long or damaged, or names a member twice or outside the archive.
        zipfile.BadZipFile: if the file is no zip archive, or damaged otherwise.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 2**16 - 98, 0))
    # The list ends with this record; its longer form, of 56 + 20 bytes, comes before it. zipfile reads the list whole
    # and takes some 15 times its length in memory, so the length comes first.
    before, mark, end = file.read().rpartition(b"PK\x05\x06")
    count, length = int.from_bytes(end[6:8], "little"), int.from_bytes(end[8:12], "little")
    if mark and len(end) < 18:
        raise ValueError("its list of members is damaged")
    if mark and before[-20:-16] == b"PK\x06\x07":
        place = int.from_bytes(before[-12:-4], "little")
        file.seek(min(place, size))
        record = file.read(56)
        if place + 76 != size - len(end) - 4 or record[:4] != b"PK\x06\x06":
            raise ValueError("its list of members is damaged")
        count, length = int.from_bytes(record[32:40], "little"), int.from_bytes(record[40:48], "little")
    if length > _LONGEST_LIST:
        raise ValueError(f"its list of members takes {length} bytes, and {_LONGEST_LIST} are enough for any file")
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    names = [member.filename for member in members]
    # zipfile does not compare, so that a damaged length would hide a member.
    if count != len(members):
        raise ValueError(f"its list of members is damaged: it has {len(members)} and says {count}")
    if len(set(names)) < len(names):
        raise ValueError("two of its members have the same name")
    if outside := [name for name in names if name.startswith("/") or ".." in re.split(r"[/\\]", name)]:
        raise ValueError(f"the name of its member {outside[0]!r} leads out of the archive")
    if sum(member.compress_size for member in members) > size:
        raise ValueError("its members take more bytes than the file has, so they share some")
    return archive


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, np.ndarray]:
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise ValueError("two of its arrays have the same name")
    if len(members) > _MOST_ARRAYS:
        raise ValueError(f"it has {len(members)} arrays, and at most {_MOST_ARRAYS} are read")
    total, bound = sum(member.file_size for member in members.values()), max(_INFLATED, _RATIO * size)
    if total > bound:
        raise ValueError(f"its arrays take {total} bytes unpacked, and for a file of {size} at most {bound} are read")
    return {name: _member(archive, member) for name, member in members.items()}


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename!r} is packed by another method than numpy's, deflate")
    # zipfile stops at the announced length, whatever follows. Announcing one byte more shows what goes on, and then
    # the checksum is compared here.
    longer: Any = copy.copy(member)
    longer.file_size, longer.CRC = member.file_size + 1, None
    with archive.open(longer) as file:
        checked = _Checked(file)
        array = _read(checked, member.file_size)
    if checked.checksum != member.CRC:
        raise ValueError(f"the checksum of {member.filename!r} differs")
    return array


class _Checked:
    """A file that keeps the checksum of what was read."""

    def __init__(self, file: Any):
        self.file, self.checksum = file, 0

    def read(self, count: int) -> bytes:
        data = self.file.read(count)
        self.checksum = zlib.crc32(data, self.checksum)
        return data


def _read(file: Any, size: int) -> np.ndarray:
    """The array of a file of `size` bytes; nothing is allocated before its header agrees with them."""
    head = file.read(8)
    parse = _HEADERS.get(head)
    if parse is None:
        raise ValueError("it begins like no array of numpy")
    digits = file.read(4 if head[6] == 2 else 2)
    length = int.from_bytes(digits, "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"the header of an array takes {length} bytes")
    shape, fortran, dtype = parse(io.BytesIO(digits + file.read(length)))
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which may be programs and are not read")
    expected = math.prod(shape) * dtype.itemsize
    found = size - len(head) - len(digits) - length
    if min(shape, default=0) < 0 or not dtype.itemsize or expected != found:
        raise ValueError(f"the header of an array says {dtype} {list(shape)[:8]}, and {found} bytes follow")
    array = np.empty(shape, dtype, "F" if fortran else "C")
    data = array.reshape(-1, order="A").view(np.uint8)
    for begin in range(0, expected, _CHUNK):
        piece = file.read(min(_CHUNK, expected - begin))
        if len(piece) < min(_CHUNK, expected - begin):
            raise ValueError("it ends before its header says")
        data[begin : begin + _CHUNK] = np.frombuffer(piece, np.uint8)
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

    Raises:
        OSError: if the file cannot be written; it names the file, be it by what the system said of a part of it.
    """
    path = local_path(path)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(part), part):
            raise
        raise type(error)(error.errno, f"{error.strerror}, so this file is not written", str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def only_writer(folder: str | Path) -> Iterator[None]:
    """Hold a folder, which is made where it is missing, for this process; its end, however it comes, lets go of it.

    Raises:
        ValueError: if another process, which is named, holds the folder, or it is a file.
    """
    folder = local_path(folder)
    if folder.is_file():
        raise ValueError(f"{folder} is a file; a folder was expected.")
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    path = folder / ".lock"
    with contextlib.ExitStack() as stack:
        while True:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(path.open("a+", encoding="utf-8"))  # appended to: the holder's name stays
                _lock(file, folder)
                # The former holder removes its file: what was locked may no longer be the file of this name.
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    break
            except FileNotFoundError:  # removed between two of these lines
                continue
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
                for each in made:  # those that are still empty
                    each.rmdir()


def _lock(file: IO[str], folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows, where nobody watches
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        raise ValueError(
            f"{folder} is in use by {holder}. Wait until it ends, stop it, or give another folder."
        ) from error
    except OSError as error:  # a network file system without locks
        warnings.warn(f"{folder} cannot be locked ({error.strerror}): see that one process writes there.", stacklevel=4)
