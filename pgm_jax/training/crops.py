"""Random crops of pictures of any size: what a network of photographs is trained on.

    picture [h, w, C]  ->  a square at a random place, at the resolution of the file or reduced up to fourfold,
                           mirrored or not, and turned by a random number of quarter turns

Reduced pictures are sharper than files, which cameras and compression have smoothed, and show larger things.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pgm_jax.files import local_path
from pgm_jax.training.data import KEPT_BYTES, is_image_folder, part_of
from pgm_jax.training.images import find_images, read_pixels

_MOST_REDUCTION = 4.0


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Random access to pictures of any size: `pictures[i]` is uint8 [h, w, C].

    Attributes:
        name: what to call them in an error.
        length: how many there are.
        read: index to uint8 [h, w, C].
        channels: C.
        kept: decoded pictures by their index, which fills up to 4 GiB.
    """

    name: str
    length: int
    read: Callable[[int], np.ndarray]
    channels: int
    kept: dict[int, np.ndarray] = dataclasses.field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        if not 0 <= index < self.length:
            raise IndexError(f"Picture {index} of {self.name}, which has {self.length}.")
        if index in self.kept:
            return self.kept[index]
        picture = self.read(index)
        if picture.ndim != 3 or picture.shape[2] != self.channels:
            raise ValueError(f"{self.name} has a picture of {picture.shape}; {self.channels} channels are asked for.")
        # Of a copy, since several threads read.
        if sum(each.nbytes for each in self.kept.copy().values()) < KEPT_BYTES:
            self.kept[index] = picture
        return picture


def open_pictures(
    name: str | Path, split: str, channels: int, data_dir: str | Path | None = None, white: float | None = None
) -> Pictures:
    """Pictures of any size by name: a folder of images, or a TFDS set.

    Args:
        name: path of a folder, or of a prepared TFDS set, or the name of one; see `open_source`.
        split: as for `open_source`; a part of a folder, such as "train[:95%]", is one of its files in random order.
        channels: 1 (grey) or 3 (RGB).
        data_dir, white: as for `open_source`.

    Raises:
        FileNotFoundError, ValueError: as `open_source` does.
    """
    if is_image_folder(name):
        path = local_path(name)
        files = find_images(path)
        # The names of files say what they show; a part of them is to show a bit of everything.
        order = np.random.default_rng(0).permutation(len(files))
        begin, end = part_of(split, len(files))
        chosen = [files[i] for i in order[begin:end]]
        read = lambda i: read_pixels(chosen[i], channels, white=white)  # noqa: E731
        pictures = Pictures(f"{path} ({split})", len(chosen), read, channels)
    else:
        from pgm_jax.training.image_sets import open_set  # a second of import that a folder does not need

        records = open_set(str(name), split, None if data_dir is None else local_path(data_dir))
        pictures = Pictures(f"{name} ({split})", len(records), lambda i: records[i]["image"], channels)
    if not pictures.length:
        raise ValueError(f"{pictures.name} holds no pictures; choose another split or source.")
    pictures[0]
    return pictures


def random_crop(picture: np.ndarray, rng: np.random.Generator, size: tuple[int, int]) -> UInt8[np.ndarray, "h w c"]:
    """A crop of a picture at a random place and reduction, mirrored and turned.

    Half of the crops are at full resolution; the logarithm of the reduction of the others is uniform up to fourfold.
    A picture that is smaller than the crop is enlarged.

    Args:
        picture, rng: uint8 [h, w, C], and generator of the random numbers.
        size: (H, W) of the crop.
    """
    most = min(picture.shape[0] / size[0], picture.shape[1] / size[1])
    reduction = 1.0 if rng.random() < 0.5 else math.exp(rng.uniform(0.0, math.log(_MOST_REDUCTION)))
    height, width = (round(side * min(reduction, most)) for side in size)
    top, left = (rng.integers(whole - part + 1) for whole, part in zip(picture.shape, (height, width), strict=False))
    crop = picture[top : top + height, left : left + width]
    if crop.shape[:2] != size:
        crop = _resized(crop, size)
    crop = crop[:, ::-1] if rng.random() < 0.5 else crop
    crop = crop[::-1] if rng.random() < 0.5 else crop
    # With mirrors along both axes, one exchange of the axes makes all quarter turns.
    return crop.swapaxes(0, 1) if size[0] == size[1] and rng.random() < 0.5 else crop


def centre_crop(picture: np.ndarray, size: tuple[int, int]) -> UInt8[np.ndarray, "h w c"]:
    """The middle of a picture at full resolution; one that is smaller is enlarged.

    Args:
        picture, size: uint8 [h, w, C], and (H, W) of the crop.
    """
    scale = max(1.0, size[0] / picture.shape[0], size[1] / picture.shape[1])
    if scale > 1.0:
        picture = _resized(picture, (math.ceil(picture.shape[0] * scale), math.ceil(picture.shape[1] * scale)))
    top, left = ((whole - part) // 2 for whole, part in zip(picture.shape, size, strict=False))
    return picture[top : top + size[0], left : left + size[1]]


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.LANCZOS)).reshape(*size, -1)
