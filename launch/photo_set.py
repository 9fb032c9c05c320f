"""The photographs that the bundled prior of photographs is trained on, from packages of Debian and of PyPI.

`photos.json` lists them, a line each: the package and the file in it (`a!b` is the entry b of the container a), the
SHA-256 of that file, its author, licence and size, and the size of the photograph in the set, which is reduced
until the traces of its compression are small.

A picture is decoded only once its SHA-256 is the listed one.
"""

import bz2
import hashlib
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps
from rich.progress import track

from launch.photo_packages import UnreadablePackage, read_entry, read_members
from pgm_jax.files import local_path, one_line, only_writer, replacing

MANIFEST = Path(__file__).with_name("photos.json")
LONGER = 2048  # pixels of the longer side, at most
ENOUGH = 0.9  # of the photographs; a set of fewer is another one
# The Python that a wheel is made for: the pictures are in all wheels of a version, and these are there on any machine.
WHEELS = {"scikit-image": "3.8", "scipy": "3.8", "scikit-learn": "3.11"}
PLATFORMS = ("manylinux1_x86_64", "manylinux2014_x86_64", "manylinux_2_27_x86_64", "manylinux_2_28_x86_64")


class Photo(NamedTuple):
    """A line of the manifest.

    Attributes:
        name: that of its PNG, without the suffix.
        source: "debian" or "pypi".
        package, version, file: where it is.
        sha256: of the file, or of the entry of the container, as stored.
        author, licence: as its package states them; the licence by its SPDX identifier, or "public-domain".
        size: width and height as stored.
        reduced_to: width and height in the set, upright.
    """

    name: str
    source: str
    package: str
    version: str
    file: str
    sha256: str
    author: str
    licence: str
    size: list[int]
    reduced_to: list[int]


class PreparedPhotos(NamedTuple):
    """What became of the photographs.

    Attributes:
        written: names of those that this call wrote.
        there: names of those that were there, whole.
        missing: why the others could not be had, by the name.
    """

    written: list[str]
    there: list[str]
    missing: dict[str, str]


def prepare_photos(
    output: str | Path, source: str | Path | None = None, manifest: str | Path = MANIFEST
) -> PreparedPhotos:
    """Write the photographs of the manifest as PNG, and CREDITS.txt, which names author and licence of each.

    Those that are there and whole are left as they are, so a call goes on where an interrupted one ended.

    Args:
        output: the folder, made where it is missing.
        source: a folder with the packages (.deb, .whl, .tar.gz); None downloads them by apt-get and pip, one at a time.
        manifest: which photographs.

    Raises:
        FileNotFoundError: if `source` is not there, or apt-get is needed and not there.
        ValueError: if a path is no path of this machine, `output` is a file or another process writes there, or fewer
            than nine in ten photographs can be had; what could be had is written.
    """
    photos = read_manifest(manifest)
    output = local_path(output)
    packages = None
    if source is not None:
        source = local_path(source)
        if not source.is_dir():
            raise FileNotFoundError(f"There is no folder {source}: give the one that holds the packages.")
        packages = sorted(path for path in source.iterdir() if path.is_file())
    result = PreparedPhotos([], [], {})
    with only_writer(output), tempfile.TemporaryDirectory() as folder:
        result.there.extend(photo.name for photo in photos if _is_whole(output, photo))
        absent = [photo for photo in photos if photo.name not in result.there]
        if packages is None:
            _check_clients(absent)
        steps = _write_all(absent, packages, Path(folder), output)
        for photo, reason in track(steps, output.name, len(absent)) if absent else ():
            if reason:
                result.missing[photo.name] = reason
            else:
                result.written.append(photo.name)
        if len(result.missing) < len(photos):
            _write_credits(output, [photo for photo in photos if photo.name not in result.missing])
    _report(output, result, photos)
    return result


def read_manifest(path: str | Path = MANIFEST) -> list[Photo]:
    """The photographs that a manifest lists."""
    return [Photo(**entry) for entry in json.loads(Path(path).read_text(encoding="utf-8"))]


def _is_whole(output: Path, photo: Photo) -> bool:
    try:
        with Image.open(output / f"{photo.name}.png") as image:
            image.verify()  # the checksums of a PNG
            return image.format == "PNG" and list(image.size) == photo.reduced_to and image.mode == "RGB"
    except Exception:  # Pillow has many ways to say that a file is missing, damaged or another one
        return False


def _report(output: Path, result: PreparedPhotos, photos: list[Photo]) -> None:
    written, there, missing = map(len, result)
    had, total = written + there, written + there + missing
    print(f"Wrote {written} photographs to {output}; {there} were there, {missing} could not be had.")
    for reason in dict.fromkeys(result.missing.values()):
        names = [name for name, why in result.missing.items() if why == reason]
        print(f"  {reason}: {', '.join(names)}")
    if had < ENOUGH * total:
        raise ValueError(
            f"Only {had} of {total} photographs could be had, see above; run this again, or with --source=FOLDER where "
            f"the folder holds {_listed(result.missing, photos)}."
        )


def _write_credits(output: Path, photos: list[Photo]) -> None:
    head = (
        "Each photograph: author; licence, by its SPDX identifier where it has one; package and file.\n"
        "They were decoded, turned upright and, most of them, reduced; nothing else was changed.\n\n"
    )
    lines = (
        f"{photo.name}.png: {photo.author}; {photo.licence}; {photo.package} {photo.version}, {photo.file}\n"
        for photo in photos
    )
    with replacing(output / "CREDITS.txt") as part:
        part.write_text(head + "".join(lines), encoding="utf-8")


# --- packages ---


def _listed(names: Collection[str], photos: list[Photo]) -> str:
    """The packages of some photographs."""
    return ", ".join(sorted({f"{photo.package} {photo.version}" for photo in photos if photo.name in names}))


def _check_clients(photos: list[Photo]) -> None:
    if any(photo.source == "debian" for photo in photos) and shutil.which("apt-get") is None:
        raise FileNotFoundError(
            "There is no apt-get here, so get these packages of Debian (.deb) and PyPI (.whl) by other means and give "
            f"their folder by --source=FOLDER: {_listed([photo.name for photo in photos], photos)}."
        )


def _write_all(
    photos: list[Photo], packages: list[Path] | None, folder: Path, output: Path
) -> Iterator[tuple[Photo, str]]:
    """Write photographs; yields each with the reason why it could not be had, or with ""."""
    for package in dict.fromkeys(photo.package for photo in photos):
        wanted = [photo for photo in photos if photo.package == package]
        try:
            path = _download(wanted[0], folder) if packages is None else _find(wanted[0], packages)
        except LookupError as error:
            yield from ((photo, f"{package} {photo.version}: {error.args[0]}") for photo in wanted)
            continue
        yield from _write_package(wanted, path, output)
        if packages is None:
            path.unlink()  # some are large


def _find(photo: Photo, files: list[Path]) -> Path:
    """The package of a photograph, of the listed version if that is there; LookupError if no version is."""
    found = []
    for path in files:
        name = urllib.parse.unquote(path.name)  # apt writes the colon of a version as %3a
        if photo.source == "debian" and name.endswith(".deb"):
            package, _, rest = name.partition("_")
            is_exact = rest.startswith((f"{photo.version}_", f"{photo.version.partition(':')[2]}_"))
        elif photo.source == "pypi" and name.endswith(".whl"):
            package, _, rest = name.partition("-")
            is_exact = rest.startswith(f"{photo.version}-")
        elif photo.source == "pypi" and name.endswith(".tar.gz"):
            package, _, rest = name.removesuffix(".tar.gz").rpartition("-")
            is_exact = rest == photo.version
        else:
            continue
        if re.sub("[-_.]+", "-", package).lower() == re.sub("[-_.]+", "-", photo.package).lower():
            found.append((not is_exact, path))
    if not found:
        raise LookupError("no such package in the folder")
    is_other, path = min(found)
    if is_other:
        print(f"{path.name} is taken for {photo.package} {photo.version}, which is not there")
    return path


def _download(photo: Photo, folder: Path) -> Path:
    """Have a package downloaded by the client of its registry; LookupError, with what it said, if that fails."""
    if photo.source == "debian":
        exact = f"{photo.package}={photo.version}"
        commands = [["apt-get", "download", name] for name in (exact, photo.package)]
    elif importlib.util.find_spec("pip") is None:
        raise LookupError("there is no pip in this environment")
    else:
        pip = [sys.executable, *"-m pip download --no-deps --only-binary=:all: --disable-pip-version-check".split()]
        tags = [f"--python-version={WHEELS[photo.package]}", *(f"--platform={each}" for each in PLATFORMS)]
        commands = [[*pip, *tags, f"{photo.package}=={photo.version}"]]
    said = ""
    for command in commands:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode == 0 and (files := sorted(path for path in folder.iterdir() if path.is_file())):
            return _find(photo, files)
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "ERROR:"))]
        said = one_line(ValueError(errors[-1] if errors else done.stderr))
    hint = "; is the list of packages there (apt-get update)?" if photo.source == "debian" else ""
    raise LookupError(f"{commands[-1][0] if photo.source == 'debian' else 'pip'} says {said!r}{hint}")


def _write_package(photos: list[Photo], path: Path, output: Path) -> Iterator[tuple[Photo, str]]:
    """Write the photographs of one package; yields as `_write_all` does."""
    wanted: dict[str, list[Photo]] = {}
    for photo in photos:
        wanted.setdefault(photo.file.partition("!")[0], []).append(photo)
    try:
        for name, data in read_members(path, set(wanted)):
            for photo in wanted.pop(name):
                try:
                    image = read_photo(photo, data)
                except ValueError as error:
                    yield photo, f"in {path.name}, {one_line(error)}"
                    continue
                with replacing(output / f"{photo.name}.png") as part:
                    image.save(part, "PNG")
                yield photo, ""
        reason = f"{path.name} has no such file"
    except UnreadablePackage as error:
        reason = one_line(error)
    yield from ((photo, reason) for rest in wanted.values() for photo in rest)


def read_photo(photo: Photo, data: bytes) -> Image.Image:
    """The photograph in a file of its package, upright, RGB and reduced.

    Raises:
        ValueError: if the file is a damaged container, or another picture, or Pillow cannot read it.
    """
    _, _, entry = photo.file.partition("!")
    data = read_entry(data, entry) if entry else data
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        raise ValueError("another picture has its name: the SHA-256 differs")
    try:
        if photo.file.endswith(".dat"):  # scipy's: nothing but bytes
            image = Image.frombytes("RGB", (photo.size[0], photo.size[1]), bz2.decompress(data))
        else:
            image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    except Exception as error:  # Pillow's, in a build without WebP for instance
        raise ValueError(f"a picture that Pillow cannot read ({one_line(error)})") from error
    # In two steps, as the set of the bundled prior was made.
    share = min(LONGER / max(image.size), 1)
    for width, height in ((round(image.width * share), round(image.height * share)), photo.reduced_to):
        if (width, height) != image.size:
            image = image.resize((width, height), Image.Resampling.LANCZOS)
    return image
