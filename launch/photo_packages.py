"""Files out of packages (.deb, wheel, sdist) and out of containers in them (Qt's .rcc, Enlightenment's .edj).

They may be of anybody's making: no length in them is trusted, all is read into memory, up to a bound, and nothing is
written to a path that they name.
"""

import contextlib
import gzip
import io
import lzma
import os
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from pgm_jax.files import one_line, open_archive

_LARGEST = 2**28  # bytes of a file of a package, and of an entry of a container, unpacked
_MOST = 2**32  # bytes of a package, unpacked
_CHUNK = 2**20
_QT, _EET = b"qres", b"\x1e\xe7\x0f\x42"  # how containers begin


class UnreadablePackage(ValueError):
    """A package that is damaged, or that Python cannot unpack."""


def read_members(path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """The files of a package that have these names, in its order, each once; of a .tar.gz, below its one folder.

    Raises:
        UnreadablePackage: if it is damaged, or packed in a way that Python does not unpack.
    """
    left = set(names)
    try:
        with path.open("rb") as file, contextlib.ExitStack() as stack:
            if path.suffix == ".deb":
                members = _tar_members(_open_deb(file, stack), left, 0)
            elif path.suffix == ".whl":
                members = _zip_members(file, left)
            else:
                members = _tar_members(stack.enter_context(gzip.GzipFile(fileobj=file)), left, 1)
            for name, data in members:
                left.remove(name)
                yield name, data
                if not left:
                    return
    except Exception as error:  # tarfile, zipfile, lzma and zlib each have their own ways to say it
        raise UnreadablePackage(f"{path.name} cannot be read ({one_line(error)})") from error


def _open_deb(file: IO[bytes], stack: contextlib.ExitStack) -> Any:
    """The unpacked tar archive in a .deb, which is an `ar` archive: 8 bytes, then headers of 60, each with a file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(8) != b"!<arch>\n":
        raise ValueError("it begins like no .deb")
    while header := file.read(60):
        digits = header[48:58].strip()
        if header[58:] != b"`\n" or not digits.isdigit():
            raise ValueError(f"its header at byte {file.tell() - len(header)} is damaged")
        begin, length = file.tell(), int(digits)
        if begin + length > size:
            raise ValueError(f"a part of it takes {length} bytes, and {size - begin} follow")
        name = header[:16].decode("latin-1").strip(" /")
        if name == "data.tar.xz":
            return stack.enter_context(lzma.LZMAFile(_Part(file, length)))  # pyright: ignore[reportArgumentType]
        if name == "data.tar.gz":
            return stack.enter_context(gzip.GzipFile(fileobj=_Part(file, length)))
        if name.startswith("data.tar"):
            if not (dpkg := shutil.which("dpkg-deb")):
                raise ValueError(f"it is packed as {name}, for which dpkg-deb is needed; install dpkg")
            command = [dpkg, "--fsys-tarfile", file.name]
            child = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
            return child.stdout
        file.seek(begin + length + length % 2)
    raise ValueError("it holds no data.tar")


class _Part(io.RawIOBase):
    """The next bytes of a file, as a file."""

    def __init__(self, file: IO[bytes], length: int):
        self.file, self.left = file, length

    def read(self, size: int = -1, /) -> bytes:
        data = self.file.read(self.left if size < 0 else min(size, self.left))
        self.left -= len(data)
        return data


class _Forward:
    """A stream of which tarfile reads little at a time, and not without end; a length that leads back is an error."""

    def __init__(self, file: Any):
        self.file, self.place = file, 0

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LARGEST or self.place + size > _MOST:
            raise ValueError(f"a file in it takes {size} bytes")
        data = self.file.read(size)
        self.place += len(data)
        return data

    def tell(self) -> int:
        return self.place

    def seek(self, place: int) -> None:
        if not self.place <= place <= _MOST:
            raise ValueError(f"a length in it leads from byte {self.place} to {place}")
        while self.place < place and self.read(min(_CHUNK, place - self.place)):
            pass


def _tar_members(file: Any, names: Collection[str], above: int) -> Iterator[tuple[str, bytes]]:
    """The regular files of a tar archive with these names below the first `above` folders."""
    stream: Any = _Forward(file)
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            name = "/".join(member.name.removeprefix("./").split("/")[above:])
            if name in names and member.isreg() and not member.issparse():
                stream.seek(member.offset_data)
                data = stream.read(member.size)
                if len(data) < member.size:
                    raise ValueError(f"it ends within {name}")
                yield name, data


def _zip_members(file: IO[bytes], names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    with open_archive(file) as archive:
        for member in archive.infolist():
            if member.filename in names:
                if member.file_size > _LARGEST:
                    raise ValueError(f"a file in it takes {member.file_size} bytes")
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ValueError(f"{member.filename} is packed by another method than deflate")
                yield member.filename, archive.read(member)


def read_entry(data: bytes, name: str) -> bytes:
    """An entry of a container: a resource file of Qt (.rcc), or an Eet file of Enlightenment (.edj).

    Raises:
        ValueError: if the container is another one, damaged, or has no such entry.
    """
    if data[:4] == _QT:
        return _qt_entry(data, name)
    if data[:4] == _EET:
        return _eet_entry(data, name)
    raise ValueError("it is neither a resource file of Qt nor an Eet file")


def _unpack(layout: str, data: bytes, place: int) -> tuple[Any, ...]:
    return struct.unpack(f">{layout}", _slice(data, place, struct.calcsize(f">{layout}")))


def _slice(data: bytes, place: int, length: int) -> bytes:
    if place + length > len(data):
        raise ValueError(f"the container has {len(data)} bytes and says that {length} are at {place}")
    return data[place : place + length]


def _qt_entry(data: bytes, name: str) -> bytes:
    """Nodes of a fixed size: a folder has the count and the first of its children, a file the place of its bytes."""
    version, tree, contents, names = _unpack("4I", data, 4)
    node_bytes = 14 if version == 1 else 22
    node = 0
    for part in name.split("/"):
        flags, count, first = _unpack("H2I", data, tree + node * node_bytes + 4)
        for child in range(first, first + count if flags & 2 else first):
            (begin,) = _unpack("I", data, tree + child * node_bytes)
            (length,) = _unpack("H", data, names + begin)  # of UTF-16, after a hash of four bytes
            if _slice(data, names + begin + 6, 2 * length) == part.encode("utf-16-be"):
                node = child
                break
        else:
            raise ValueError(f"the container has no {name}")
    flags, _, begin = _unpack("H2I", data, tree + node * node_bytes + 4)
    (length,) = _unpack("I", data, contents + begin)
    found = _slice(data, contents + begin + 4, length)
    if flags & ~1:
        raise ValueError(f"{name} is a folder, or packed by another method than zlib")
    if flags:
        try:
            found = zlib.decompressobj().decompress(found[4:], _LARGEST)  # the first four bytes are its length
        except zlib.error as error:
            raise ValueError(f"{name} is damaged: {error}") from error
    return found


def _eet_entry(data: bytes, name: str) -> bytes:
    """A list of entries of 24 bytes, each with the places of its contents and of its name."""
    (count,) = _unpack("I", data, 4)
    for entry in range(count):
        begin, length, _, name_begin, name_length, flags = _unpack("6I", data, 12 + 24 * entry)
        if _slice(data, name_begin, name_length).rstrip(b"\0") == name.encode():
            if flags & 1:
                raise ValueError(f"{name} is packed")
            return _slice(data, begin, length)
    raise ValueError(f"the container has no {name}")
