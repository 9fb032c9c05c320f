"""Images as files, as bytes and as the floats that the library uses.

x = u / 127.5 - 1        u in {0, ..., 255}, x in [-1, 1]
"""

import functools
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float, UInt8
from PIL import Image, ImageOps

from pgm_jax.files import local_path, read_arrays
from pgm_jax.operators.checks import check_number

# What Pillow has a name for and no decoder of its own, or what is no image of pixels.
_UNREADABLE = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_DARK = 64  # of 255; images none of which is brighter use less than a quarter of their range


class UnreadableImage(ValueError):
    """A file that cannot be decoded as an image; `path` and `reason` say which and why."""

    def __init__(self, path: Path, reason: str):
        super().__init__(f"{path} could not be read as an image: {reason}")
        self.path, self.reason = path, reason


def to_float(pixels: np.ndarray) -> Float[np.ndarray, "..."]:
    """Bytes of any shape to float32: `x = u / 127.5 - 1`, so 0 becomes -1 and 255 becomes 1.

    Raises:
        TypeError: if `pixels` are not uint8; a float image would be scaled twice.
    """
    if pixels.dtype != np.uint8:
        raise TypeError(f"to_float expects uint8 pixels 0..255, got {pixels.dtype}.")
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(image: Float[np.ndarray, "*shape"] | Float[Array, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Floats in [-1, 1], of any shape, to bytes: `u = round(127.5 (x + 1))`, clipped to 0..255; undoes `to_float`.

    Raises:
        ValueError: if `image` holds a NaN, which has no byte.
    """
    image = np.asarray(image, np.float32)
    if np.isnan(image).any():
        raise ValueError(f"The image of shape {image.shape} holds NaN: it cannot be turned into bytes.")
    return np.clip(np.rint((image + 1) * 127.5), 0, 255).astype(np.uint8)


@functools.cache
def image_suffixes() -> frozenset[str]:
    """The suffixes of the image files that can be read here, in lower case, such as `.png`."""
    names = Image.registered_extensions()
    return frozenset(suffix for suffix, name in names.items() if name in Image.OPEN and name not in _UNREADABLE)


def find_images(folder: str | Path) -> list[Path]:
    """The image files of a folder and its subfolders by their suffix, in sorted order.

    Linked folders are entered, each folder once; files and folders whose names begin with a dot are left out.

    Raises:
        FileNotFoundError, NotADirectoryError: if `folder` is not there, or is a file.
        OSError: if one of its folders cannot be entered.
        ValueError: if it holds no file with an image's suffix.
    """
    folder = local_path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; a folder of images was expected.")
    found, entered = [], set()
    for place, folders, names in os.walk(folder, onerror=_fail, followlinks=True):
        real = os.path.realpath(place)
        shown = [] if real in entered else sorted(name for name in folders if not name.startswith("."))
        folders[:] = shown
        if real not in entered:
            found += [Path(place, name) for name in names if not name.startswith(".")]
        entered.add(real)
    paths = sorted(path for path in found if path.suffix.lower() in image_suffixes() and path.is_file())
    if not paths:
        raise ValueError(
            f"The folder {folder} holds no images: no file that is not hidden ends with .png, .jpg, .tif or another "
            "suffix of images."
        )
    return paths


def _fail(error: OSError) -> None:
    raise error


def read_pixels(
    path: str | Path, channels: int, size: tuple[int, int] | None = None, white: float | None = None
) -> UInt8[np.ndarray, "h w {channels}"]:
    """The bytes of one file, upright by its EXIF orientation; an alpha channel is dropped.

    Args:
        path: of the file.
        channels: 1 (grey) or 3 (RGB).
        size: (H, W) in pixels, to which the image is cropped about its centre and resized (Lanczos); None: its own.
        white: value of a pixel that is white, in files whose type reaches it; None: the largest of its type, 255 or
            65535. What is brighter is white.

    Raises:
        ValueError: if `channels` is neither 1 nor 3, or `white` is not positive.
        FileNotFoundError, IsADirectoryError: if `path` is not a file.
        UnreadableImage: if it cannot be decoded, or its white is not known.
    """
    return np.rint(_decoded(path, channels, size, white)).astype(np.uint8)


def read_image(
    path: str | Path, channels: int, size: tuple[int, int] | None = None, white: float | None = None
) -> Float[np.ndarray, "h w {channels}"]:
    """The pixels of one file as floats in [-1, 1], of which those of more than 8 bits are not rounded.

    Args:
        path, channels, size, white: see `read_pixels`.

    Raises:
        ValueError, OSError: as `read_pixels` does.
    """
    return _decoded(path, channels, size, white).astype(np.float32) / np.float32(127.5) - np.float32(1)


def _decoded(path: str | Path, channels: int, size: tuple[int, int] | None, white: float | None) -> np.ndarray:
    """The pixels of a file [h, w, channels] from 0 to 255, as bytes or, where it has more than 8 bits, as floats."""
    path = local_path(path)
    mode = {1: "L", 3: "RGB"}.get(channels)
    if mode is None:
        raise ValueError(f"channels must be 1 (grey) or 3 (RGB), got {channels}.")
    if white is not None:
        check_number("white is the value of a pixel that is white", white, above=0)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; one image file was expected.")
    if not path.exists():
        broken = ": it is a link to a file that is not there" if path.is_symlink() else ""
        raise FileNotFoundError(f"There is no file {path}{broken}.")
    try:
        with Image.open(path) as file:
            deep_colours = ";16" in str(file.tile[:1]) and not file.mode.startswith("I")
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith(("I", "F")):
                image = _scaled(image, _white_of(file, image) if white is None else white)
                if white is None and np.max(np.asarray(image)) < _DARK:
                    warnings.warn(
                        f"16-bit images in {path.parent} use less than a quarter of their range. If they hold fewer "
                        "bits, say which value is white, such as --white=4095 for 12 bits.",
                        stacklevel=4,
                    )
            else:
                image = image.convert(mode)
        if deep_colours and white is not None:
            raise ValueError("each colour has 16 bits, of which 8 are read: scale it to 8 bits, without --white")
    except Exception as error:  # a damaged file makes the decoders raise nearly anything
        raise UnreadableImage(path, str(error) or type(error).__name__) from error
    if size is not None:
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    if white is not None and white < 255 and image.mode != "F":
        pixels = pixels.astype(np.float32) * np.float32(255 / white)
    pixels = np.clip(pixels, 0, 255).reshape(image.height, image.width, -1)
    return np.broadcast_to(pixels, (*pixels.shape[:2], channels))


def _white_of(file: Any, image: Image.Image) -> float:
    """The value of white in an image of one channel of more than 8 bits, where its type says so."""
    if image.mode.startswith("I;16") or (image.mode == "I" and file.format != "TIFF"):
        return 65535
    values = np.asarray(image)
    raise ValueError(
        f"its pixels are {values.dtype} from {values.min():g} to {values.max():g}, which do not say what is white: "
        f"give --white={values.max():g} or another value"
    )


def _scaled(image: Image.Image, white: float) -> Image.Image:
    values = np.asarray(image).astype(np.float64) * (255 / white)
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinite pixels")
    return Image.fromarray(np.clip(values, 0, 255).astype(np.float32))


def check_channels_last(what: str, shape: Sequence[int]) -> None:
    """Refuse images [N, C, H, W] of a `shape`, whose channels come first; `what` they are is for the error.

    Raises:
        ValueError: if they do.
    """
    if len(shape) == 4 and shape[1] in (1, 3) and min(shape[2:]) > 4:
        raise ValueError(
            f"{what} has the shape {tuple(shape)}, channels first: give (N, H, W, C), np.moveaxis(images, 1, -1)."
        )


def read_npz(path: str | Path, split: str) -> tuple[UInt8[np.ndarray, "n h w c"], np.ndarray | None]:
    """The images of one split of an `.npz`, its array `split`, and their labels, `<split>_label`, None where absent.

    Args:
        path, split: the file, and the name of the array.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no .npz or damaged, or has no array `split` of uint8 [N, H, W] or [N, H, W, C].
    """
    arrays = read_arrays(path, "an .npz of images, uint8 [N, H, W] or [N, H, W, C] for each split")
    if split not in arrays:
        raise ValueError(f"{path} has no split {split!r}; its arrays are {', '.join(arrays)}.")
    images, labels = arrays[split], arrays.get(f"{split}_label")
    check_channels_last(f"{split!r} of {path}", images.shape)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(
            f"{split!r} of {path} is {images.dtype} {list(images.shape)}; images are uint8 [N, H, W] or [N, H, W, C]."
        )
    return images[..., None] if images.ndim == 3 else images, labels


def none_readable(path: Path, unreadable: Sequence[UnreadableImage]) -> ValueError:
    """The error for a file or folder `path` of which no image could be read; it shows the first few `unreadable`."""
    reasons = "\n".join(f"  {error.path}: {error.reason}" for error in unreadable[:5])
    return ValueError(f"None of the {len(unreadable)} image files of {path} could be read:\n{reasons}")


def read_kernel(path: str | Path) -> Float[np.ndarray, "h w"]:
    """A blur kernel that an image shows, in double precision, scaled to the sum 1.

    Args:
        path: of the image.

    Raises:
        UnreadableImage: if it cannot be decoded.
        ValueError: if it is black.
    """
    kernel = (read_image(path, 1)[..., 0].astype(np.float64) + 1) / 2
    if not kernel.any():
        raise ValueError(f"{path} is an image that is black everywhere; a kernel has a sum above 0.")
    return kernel / kernel.sum()


def read_mask(path: str | Path) -> Bool[np.ndarray, "h w"]:
    """A mask that an image shows: seen where it is not black.

    Args:
        path: of the image.

    Raises:
        UnreadableImage: if it cannot be decoded.
        ValueError: if it has pixels between black and the brightest, as a JPEG has beside edges.
    """
    pixels = read_image(path, 1)[..., 0]
    if between := int(np.sum((pixels > -1) & (pixels < pixels.max()))):
        raise ValueError(
            f"{path} has {between} pixels that are grey; an image of a mask is black where nothing is seen, and of one "
            "brightness elsewhere, as a PNG keeps it."
        )
    return pixels > -1


def read_measured(path: str | Path, expected: Any, white: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The measurements of a file [N, ...], in double precision, and which values are not NaN and said to be observed.

    Args:
        path: of an .npy; of an .npz with `measurement` and, where not everything was, `observed`; of one image.
        expected: shape and type of one measurement.
        white: value of a white pixel, for an image, see `read_pixels`.

    Raises:
        FileNotFoundError, IsADirectoryError: if there is no such file.
        TypeError: if its numbers are of another kind.
        ValueError: if they cannot be read or have another shape, or there are none.
    """
    wanted = f"this task measures {expected.shape}, or a stack of such"
    complex_ones = np.issubdtype(expected.dtype, np.complexfloating)
    if local_path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder; give one file of measurements: an .npy, an .npz or an image.")
    if local_path(path).suffix.lower() in image_suffixes():
        if complex_ones or len(expected.shape) != 3 or expected.shape[2] not in (1, 3):
            raise ValueError(f"{path} is an image; {wanted}: give it as an .npy.")
        arrays = dict(measurement=read_image(path, expected.shape[2], None, white))
    else:
        arrays = read_arrays(path, "an .npy of one measurement or a stack of them, by numpy.save, or an image")
    y, what = arrays.get("measurement", arrays.get("array")), f"The measurement in {path}"
    if y is None:
        raise ValueError(f"{path} has no array `measurement`; it has {', '.join(arrays) or 'none'}.")
    if not np.issubdtype(y.dtype, np.inexact if complex_ones else np.floating):
        kinds = "floats, complex ones," if complex_ones else "floats"
        raise TypeError(f"{what} has the type {y.dtype}; give {kinds} on the scale of [-1, 1].")
    shape, observed = y.shape, ~np.isnan(y)
    if "observed" in arrays:
        said = arrays["observed"]
        if said.dtype.kind not in "biuf" or not _fits(said.shape, shape):
            raise ValueError(f"`observed` in {path} is {said.dtype} {said.shape}; it is 1 or 0 for each of {shape}.")
        observed &= np.broadcast_to(said > 0, shape)
    if shape == expected.shape:
        y, observed = y[None], observed[None]
    if y.shape[1:] != expected.shape:
        height, width, *rest = (*expected.shape, 0, 0)[:3]
        first = shape[-3:] == (*rest, height, width)
        hint = " It has its channels first: give them last, np.moveaxis(y, -3, -1)." if first else ""
        raise ValueError(f"{what} has the shape {shape}; {wanted}.{hint}")
    return y.astype(np.complex128 if complex_ones else np.float64), observed


def _fits(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, whole) == whole
    except ValueError:
        return False
