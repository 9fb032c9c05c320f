"""Picture files as their users have them, read to [-1, 1] and written back as they were.

Kept are the size, the depth (8 or 16 bits), the transparency and the colour profile; the orientation that a camera
noted is applied. PNG, JPEG, TIFF and WebP; files of which Pillow reads 8 of 16 bits are read by pypng and tifffile.
"""

import dataclasses
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import png
import tifffile
from jaxtyping import Float
from PIL import Image, ImageOps

from pgm_jax.files import local_path, replacing
from pgm_jax.operators.checks import check_number
from pgm_jax.training.images import UnreadableImage

_MODES = {"1": "L", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "RGBX": "RGB", "La": "LA", "RGBa": "RGBA"}
_DEPTHS = (10, 12, 14, 16)  # bits that files of 16 bits use
_WHITES = {8: (255.0,), 16: tuple(2.0**bits - 1 for bits in _DEPTHS)}
_ORIENTATION, _BITS = 0x0112, 0x0102  # tags of EXIF and of TIFF
_SIGNATURE = 8 + 25  # bytes of a PNG before its second chunk


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of a file.

    Attributes:
        path: of the file.
        pixels: `[H, W, C]` in [-1, 1], C = 1 (grey) or 3.
        white: value of a white pixel in the file, 255 or more.
        depth: bits of a value, 8 or 16.
        alpha: transparency as the file has it, `[H, W]` of uint8 or uint16, or None.
        profile: ICC colour profile, or None.
        notes: what was found out about the file and is to be said.
    """

    path: Path
    pixels: Float[np.ndarray, "h w c"]
    white: float
    depth: int
    alpha: np.ndarray | None
    profile: bytes | None
    notes: tuple[str, ...] = ()


def read_picture(path: str | Path, white: float | None = None) -> Picture:
    """The picture of a file.

    Args:
        path: of the file.
        white: value of a white pixel; None: 255, or for 16 bits the largest of 10, 12, 14 or 16 bits that the pixels
            need.

    Raises:
        FileNotFoundError, IsADirectoryError: if `path` is not a file.
        UnreadableImage: if it cannot be decoded, is animated or in CMYK, or holds NaN or numbers without a white.
    """
    path = local_path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; one picture was expected.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        values, alpha, profile = _decoded(path)
        return _scaled(path, values, alpha, profile, white)
    except Exception as error:  # a damaged file makes the decoders raise nearly anything
        raise UnreadableImage(path, str(error) or type(error).__name__) from error


def _decoded(path: Path) -> tuple[np.ndarray, np.ndarray | None, bytes | None]:
    """The values [h, w, c] of a file, upright, its transparency and its colour profile."""
    with Image.open(path) as file:
        # Cameras put a preview behind the picture of a JPEG, which is then an MPO.
        if (frames := getattr(file, "n_frames", 1)) > 1 and file.format != "MPO":
            raise ValueError(f"it holds {frames} pictures, an animation or pages: give one")
        if file.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            raise ValueError(f"its colours are {file.mode}: convert it to RGB")
        # Before EXIF data are read, by which Pillow may load the file.
        bits = getattr(file, "tag_v2", {}).get(_BITS, ()) if file.format == "TIFF" else ()
        deep = (";16" in str(file.tile[:1]) or 16 in bits) and not file.mode.startswith(("I", "F"))
        profile, orientation = file.info.get("icc_profile"), file.getexif().get(_ORIENTATION, 1)
        if deep:  # of which Pillow reads 8 bits
            values = _deep(path, file.format)
            values = _upright(values.reshape(*values.shape[:2], -1), orientation)
        else:
            upright = ImageOps.exif_transpose(file)
            if not upright.mode.startswith(("I", "F")):
                mode = _MODES.get(upright.mode, "RGB")
                if "transparency" in upright.info or upright.mode == "PA":
                    mode = "LA" if mode == "L" else "RGBA"
                upright = upright.convert(mode)
            values = np.asarray(upright)
    values = values.reshape(*values.shape[:2], -1)
    channels = values.shape[2]
    if channels not in (1, 2, 3, 4):
        raise ValueError(f"it has {channels} channels; grey or RGB, with or without transparency, was expected")
    alpha = values[..., -1] if channels in (2, 4) else None
    return values[..., : 1 if channels < 3 else 3], alpha, profile


def _deep(path: Path, kind: str | None) -> np.ndarray:
    if kind == "PNG":
        # Not `asDirect`, which takes bits away that the file says are not used.
        width, height, rows, info = png.Reader(filename=str(path)).read()
        return np.stack([np.asarray(row, np.uint16) for row in rows]).reshape(height, width, info["planes"])
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        return np.moveaxis(page.asarray(), 0, -1) if page.axes.startswith("S") else page.asarray()


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror values as Pillow's `exif_transpose` does its images."""
    if orientation not in range(2, 9):
        return values
    # The places of the pixels go through Pillow, which knows what the eight orientations mean.
    places = Image.fromarray(np.arange(values.shape[0] * values.shape[1], dtype=np.int32).reshape(values.shape[:2]))
    places.getexif()[_ORIENTATION] = orientation
    turned = np.asarray(ImageOps.exif_transpose(places))
    return values.reshape(-1, values.shape[2])[turned]


def _scaled(path: Path, values: np.ndarray, alpha: Any, profile: bytes | None, white: float | None) -> Picture:
    notes = []
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"it holds {int(np.sum(~np.isfinite(values)))} pixels that are NaN or infinite")
    largest = float(values.max())
    depth = 8 if values.dtype == np.uint8 else 16
    if white is not None:
        check_number("--white is the value of a pixel that is white", white, above=0)
    elif values.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"its pixels are {values.dtype} up to {largest:g}, which do not say what is white: give --white"
        )
    else:
        white = 255.0
        if depth == 16:
            bits = next(bits for bits in _DEPTHS if largest <= 2**bits - 1)
            white = float(2**bits - 1)
            if bits < 16:
                notes.append(
                    f"no pixel is above {largest:g}: taken for {bits} bits, with white at {white:g}; --white says else"
                )
    pixels = np.clip(values.astype(np.float64) / white, 0, 1) * 2 - 1
    return Picture(path, pixels.astype(np.float32), white, depth, alpha, profile, tuple(notes))


def write_picture(path: Path, pixels: Float[np.ndarray, "h w c"], like: Picture | None = None) -> None:
    """Write pixels in [-1, 1] as PNG, atomically, with the depth, white, transparency and profile of a picture.

    Args:
        path, pixels: file to write, and `[H, W, 1 or 3]`; what is beyond [-1, 1] is clipped.
        like: the picture that it came of, whose transparency is left out where the sizes differ; None: 8 bits.
    """
    depth, white = (8, 255.0) if like is None else (like.depth, like.white)
    # A white that no file of this depth has, that of floats, is written as the largest.
    white = white if white in _WHITES[depth] else 2.0**depth - 1
    values = np.rint((np.clip(pixels.astype(np.float64), -1, 1) + 1) / 2 * white)
    values = values.astype(np.uint8 if depth == 8 else np.uint16)
    alpha = None if like is None or like.alpha is None or like.alpha.shape != values.shape[:2] else like.alpha
    if alpha is not None:
        values = np.concatenate([values, alpha[..., None].astype(values.dtype)], axis=-1)
    channels = values.shape[2]
    writer = png.Writer(
        values.shape[1], values.shape[0], greyscale=channels < 3, alpha=channels in (2, 4), bitdepth=depth
    )
    stream = io.BytesIO()
    writer.write(stream, values.reshape(values.shape[0], -1))
    data = stream.getvalue()
    # A profile of grey says nothing of colours.
    if like is not None and like.profile and like.pixels.shape[2] == pixels.shape[2]:
        body = b"iCCP" + b"profile\0\0" + zlib.compress(like.profile)
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        data = data[:_SIGNATURE] + chunk + data[_SIGNATURE:]
    with replacing(path) as part:
        part.write_bytes(data)
