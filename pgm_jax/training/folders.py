"""A folder of images as one array on disk, written once and mapped into memory.

    `<data_dir>/pgm_jax_folders/<folder>_<H>x<W>x<C>_<hash>.npy`       uint8 [N, H, W, C]
    the same name with `.unreadable.txt`                               the files that are left out, and why

The hash covers the path of the folder, its files with their sizes and times, the image shape and what is white, so a
stale array is never read. An array that is no longer wanted may be deleted.
"""

import contextlib
import hashlib
import os
import re
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from rich.progress import track

from pgm_jax.files import local_path, replacing
from pgm_jax.training.images import UnreadableImage, find_images, none_readable, read_pixels
from pgm_jax.types import Shape


def folder_images(
    folder: str | Path, image_shape: Shape, data_dir: str | Path | None = None, white: float | None = None
) -> UInt8[np.ndarray, "n h w c"]:
    """The images of a folder and its subfolders in sorted order, cropped about the centre and resized (Lanczos).

    Processes that ask for the same array at once may each write it, whole; the last one stays.

    Args:
        folder: searched for files with an image's suffix; those that cannot be read are left out with a warning.
        image_shape: (H, W, C) in pixels, C = 1 (grey) or 3 (RGB); smaller images are enlarged.
        data_dir: where the array is kept; None is TFDS_DATA_DIR or ~/tensorflow_datasets.
        white: value of a pixel that is white; None: the largest of its type, see `read_pixels`.

    Warns:
        UserWarning: if files are left out, or, when the array is written, if no pixel is brighter than a quarter.

    Raises:
        FileNotFoundError, NotADirectoryError: if `folder` is not there, or is a file.
        ValueError: if it has no readable image, or C is neither 1 nor 3.
    """
    folder = local_path(folder).resolve()
    if image_shape[2] not in (1, 3):
        raise ValueError(f"image_shape is {image_shape}; a folder of images needs (height, width, 1 or 3).")
    files = find_images(folder)
    contents = [(str(file.relative_to(folder)), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files]
    described = (str(folder), contents, tuple(image_shape), *(() if white is None else (float(white),)))
    digest = hashlib.sha256(repr(described).encode(errors="surrogateescape")).hexdigest()[:16]
    stem = re.sub(r"[^a-z0-9]+", "_", folder.name.lower()).strip("_")
    place = local_path(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")) / "pgm_jax_folders"
    path = place / f"{stem}_{'x'.join(map(str, image_shape))}_{digest}.npy"
    unreadable = path.with_suffix(".unreadable.txt")
    if not _is_whole(path):
        missing = [parent for parent in path.parents if not parent.exists()]
        try:
            _write(path, unreadable, folder, files, image_shape, white)
        except BaseException:
            with contextlib.suppress(OSError):  # those that are not empty stay
                for parent in missing:
                    parent.rmdir()
            raise
    if unreadable.exists():
        count = len(unreadable.read_bytes().splitlines())
        warnings.warn(f"{count} of {len(files)} files of {folder} cannot be read: see {unreadable}.", stacklevel=3)
    return np.asarray(np.load(path, mmap_mode="r"))


def _is_whole(path: Path) -> bool:
    try:
        return path.exists() and np.load(path, mmap_mode="r").dtype == np.uint8
    except (ValueError, EOFError):  # a copy that was cut off
        return False


def _write(path: Path, listing: Path, folder: Path, files: list[Path], image_shape: Shape, white: float | None) -> None:
    reasons: list[UnreadableImage] = []
    with replacing(path) as part, part.open("wb") as out:
        _write_header(out, len(files), image_shape)
        for file in track(files, description=path.stem):
            try:
                pixels = read_pixels(file, image_shape[2], (image_shape[0], image_shape[1]), white)
                out.write(pixels.tobytes())
            except UnreadableImage as error:
                reasons.append(error)
        if len(reasons) == len(files):
            raise none_readable(folder, reasons)
        if reasons:
            with replacing(listing) as text:
                lines = (f"{error.path}\t{' '.join(error.reason.split())}\n" for error in reasons)
                text.write_text("".join(lines), encoding="utf-8", errors="surrogateescape")
        # numpy leaves room in a header for a larger first number, so the true one takes as much.
        out.seek(0)
        _write_header(out, len(files) - len(reasons), image_shape)


def _write_header(out, count: int, image_shape: Shape) -> None:
    header = dict(descr="|u1", fortran_order=False, shape=(count, *image_shape))
    np.lib.format.write_array_header_1_0(out, header)
