"""Images as files, as bytes and as the floats that the library uses.

x = u / 127.5 - 1        u in {0, ..., 255}, x in [-1, 1]
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image, ImageOps

from pgm_jax.files import local_path, read_arrays

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


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


def find_images(folder: str | Path) -> list[Path]:
    """The image files of a folder and its subfolders by their suffix, in sorted order.

    Raises:
        FileNotFoundError, NotADirectoryError: if `folder` is not there, or is a file.
        ValueError: if it holds no file with an image's suffix.
    """
    folder = local_path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; a folder of images was expected.")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not paths:
        raise ValueError(f"The folder {folder} holds no images: no file ends with one of {' '.join(_SUFFIXES)}.")
    return paths


def read_pixels(
    path: str | Path, channels: int, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "h w {channels}"]:
    """The bytes of one file, upright by its EXIF orientation.

    16-bit images are scaled to 8 bits; an alpha channel is dropped.

    Args:
        path: of the file.
        channels: 1 (grey) or 3 (RGB).
        size: (H, W) in pixels, to which the image is cropped about its centre and resized (Lanczos); None: its own.

    Raises:
        ValueError: if `channels` is neither 1 nor 3.
        FileNotFoundError, IsADirectoryError: if `path` is not a file.
        UnreadableImage: if it cannot be decoded.
    """
    path = local_path(path)
    mode = {1: "L", 3: "RGB"}.get(channels)
    if mode is None:
        raise ValueError(f"channels must be 1 (grey) or 3 (RGB), got {channels}.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; one image file was expected.")
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):  # PIL would clip 16 bits at 255 instead of scaling them
                image = Image.fromarray((np.clip(np.asarray(image), 0, 65535) // 257).astype(np.uint8))
            if image.mode == "F":
                raise ValueError("floating-point pixels, whose range is not known")
            image = image.convert(mode)
    except Exception as error:  # a damaged file makes the decoders raise nearly anything
        raise UnreadableImage(path, str(error) or type(error).__name__) from error
    if size is not None:
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.LANCZOS)
    return np.asarray(image, np.uint8).reshape(image.height, image.width, channels)


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
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(
            f"{split!r} of {path} is {images.dtype} {list(images.shape)}; images are uint8 [N, H, W] or [N, H, W, C]."
        )
    return images[..., None] if images.ndim == 3 else images, labels


def none_readable(path: Path, unreadable: Sequence[UnreadableImage]) -> ValueError:
    """The error for a file or folder `path` of which no image could be read; it shows the first few `unreadable`."""
    reasons = "\n".join(f"  {error.path}: {error.reason}" for error in unreadable[:5])
    return ValueError(f"None of the {len(unreadable)} image files of {path} could be read:\n{reasons}")
