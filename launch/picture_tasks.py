"""What was done to a picture, as an operator and its noise: the tasks of `launch.restore --input`.

denoise            y = x + noise
inpaint            y = M x + noise, M from --mask, white where the picture is missing
deblur             y = k * x + noise, k from --kernel
super_resolution   y = x reduced bicubically by --factor, + noise
colourise          y = the mean of the channels, + noise
demosaic           y = one channel a pixel, in the order of --pattern, + noise
jpeg               y = x + what the compression left out
"""

import io
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, JpegImagePlugin

import pgm_jax.operators as ops
from launch.config import known
from launch.pictures import Picture
from pgm_jax.files import local_path
from pgm_jax.noise import GaussianNoise
from pgm_jax.operators.checks import check_number
from pgm_jax.operators.kernels import gaussian_kernel
from pgm_jax.training.images import image_suffixes, read_image, read_kernel, to_uint8
from pgm_jax.types import Operator

TASKS = ("denoise", "deblur", "super_resolution", "inpaint", "colourise", "demosaic", "jpeg")
NEEDS = dict(inpaint="mask", deblur="kernel", super_resolution="factor")
EXAMPLES = dict(mask="mask.png", kernel="gaussian:1.6", factor="2")
LEAST_SIGMA = 0.005  # below it the levels of the prior end; rounding to 8 bits leaves half of it
_SQUARE = 32
_LONGEST = 8192  # side of a picture whose rows and columns are measured by dense matrices
PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")


class PictureProblem(NamedTuple):
    """A measurement of a picture.

    Attributes:
        y: measurement, of the shape of what the operator measures.
        operator: A, of colour pictures.
        sigma: deviation of the noise of y that the likelihood takes, in [-1, 1].
        seen: what the picture looks like, `[H, W, C]`.
        grey: whether the result is to be grey.
        notes: what was found out and is to be said.
    """

    y: np.ndarray
    operator: Operator
    sigma: float
    seen: np.ndarray
    grey: bool
    notes: list[str]


def picture_problem(picture: Picture, task: str, given: dict[str, Any]) -> PictureProblem:
    """The problem that a task makes of a picture.

    Args:
        picture, task: what was read, and one of `TASKS`.
        given: mask, kernel, factor, pattern and noise, as the flags of their names have them, None where not given.

    Raises:
        ValueError: if a flag is missing, belongs to another task, or does not fit the picture.
        OSError: if a file cannot be read.
    """
    known(task, TASKS, "task of a picture")
    for other, flag in NEEDS.items():
        if (given[flag] is not None) != (other == task):
            if other == task:
                raise ValueError(f"--task={task} needs --{flag}, for example --{flag}={EXAMPLES[flag]}.")
            raise ValueError(f"--{flag} belongs to --task={other}; the task is {task}.")
    pixels, notes = picture.pixels, list(picture.notes)
    single = task in ("colourise", "demosaic")
    colourless = not np.ptp(pixels, axis=2).any()
    # A scan without colours may be a file with three equal channels, whose noise is equal too.
    grey = colourless and not single
    if task == "colourise":
        pixels = pixels.mean(axis=2, keepdims=True)
    if task == "demosaic":
        if not colourless:
            raise ValueError(f"{picture.path} has colours; --task=demosaic takes the single values of a sensor.")
        pixels = pixels[..., :1]
    y = np.broadcast_to(pixels, (*pixels.shape[:2], 1 if single else 3))
    factor = 1 if given["factor"] is None else int(given["factor"])
    shape = (y.shape[0] * factor, y.shape[1] * factor, 3)
    seen = np.ones(y.shape[:2], bool)
    if task == "inpaint":
        seen = ~read_missing(given["mask"], y.shape[:2])
    sigma = _sigma(picture, task, given["noise"], pixels, seen, notes)
    if task == "deblur":
        operator = blur_of(given["kernel"], shape, notes)
    elif task == "super_resolution":
        if factor not in (2, 4):
            raise ValueError(f"--factor is {factor}; give 2 or 4.")
        if max(shape) > _LONGEST:
            raise ValueError(
                f"The picture would have {shape[0]} x {shape[1]} pixels; --task=super_resolution goes up to {_LONGEST} "
                "a side: cut it into parts."
            )
        operator = ops.bicubic_downsampling(shape, factor)
    elif task == "colourise":
        operator = ops.colourisation(shape)
    elif task == "demosaic":
        channels = bayer(given["pattern"], y.shape[:2])
        y, operator = np.where(channels, y, 0.0), ops.mask(shape, channels)
    else:
        operator = ops.mask(shape, np.broadcast_to(seen[..., None], shape))
        y = np.where(seen[..., None], y, 0.0)
    if grey:
        # Noise that is the same in three channels is that of a mean of three.
        sigma *= math.sqrt(3)
    shown = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return PictureProblem(y.astype(np.float32), operator, sigma, shown, grey, notes)


def _sigma(picture: Picture, task: str, noise: str, pixels: np.ndarray, seen: np.ndarray, notes: list[str]) -> float:
    if noise != "auto":
        try:
            sigma = float(noise)
        except ValueError as error:
            raise ValueError(f"--noise is {noise!r}; give a number, for pictures in [-1, 1], or auto.") from error
        return check_number("--noise is the deviation of the noise, for pictures in [-1, 1]", sigma, above=0)
    if task == "jpeg":
        sigma, how = compression_error(picture), "estimated by compressing the picture once more"
    elif task == "demosaic":
        sigma, how = LEAST_SIGMA, "taken for small: the values of a sensor's colours alternate; --noise says else"
    else:
        sigma, how = flattest_noise(np.where(seen[..., None], pixels, np.nan)), "estimated"
    if sigma < LEAST_SIGMA:
        sigma, how = LEAST_SIGMA, f"{how} as {sigma:.2g} and taken for the least, {LEAST_SIGMA}"
    notes.append(f"noise: {sigma:.3g} of [-1, 1], which is {sigma * 127.5:.1f} of 255 ({how})")
    return sigma


def flattest_noise(pixels: np.ndarray) -> float:
    """The deviation of the noise that a tenth of the squares of 32 pixels lie below, 0 where it is not known.

    Texture counts as noise, and nearly every picture has squares without.

    Args:
        pixels: `[H, W, C]`, NaN where nothing was measured.
    """
    found = []
    for top in range(0, pixels.shape[0], _SQUARE):
        for left in range(0, pixels.shape[1], _SQUARE):
            square = pixels[top : top + _SQUARE, left : left + _SQUARE]
            if square.mean() in (-1.0, 1.0):  # clipped
                continue
            try:
                found.append(float(GaussianNoise.estimate(square).sigma))
            except ValueError:  # few pixels, or a median of 0
                found += [0.0] if np.isfinite(square).all() and min(square.shape[:2]) > 8 else []
    return float(np.quantile(found, 0.1)) if found else 0.0


def compression_error(picture: Picture) -> float:
    """Root mean square of what JPEG compression with the tables of the file takes from the picture, in [-1, 1].

    The picture is shifted by half a block first, so that its own blocks do not come out as they are.

    Raises:
        ValueError: if the file is no JPEG.
    """
    with Image.open(picture.path) as file:
        tables, sampling = getattr(file, "quantization", None), JpegImagePlugin.get_sampling(file)
    if not tables:
        raise ValueError(f"{picture.path} is no JPEG, and says nothing of its compression: give --noise.")
    # A table that a picture of these channels does not have is left out.
    shifted = to_uint8(np.roll(picture.pixels, (4, 4), (0, 1)))
    stream = io.BytesIO()
    grey = shifted.shape[2] == 1
    image = Image.fromarray(shifted[..., 0] if grey else shifted)
    chosen = [tables[min(i, len(tables) - 1)] for i in range(1 if grey else 2)]
    image.save(stream, "JPEG", qtables=chosen, subsampling=max(sampling, 0))
    again = np.asarray(Image.open(stream), np.float64).reshape(shifted.shape)
    return float(np.sqrt(np.mean((again - shifted) ** 2)) / 127.5)


def read_missing(path: str, shape: tuple[int, int]) -> np.ndarray:
    """Where a mask says that the picture is missing: white is missing, black is there.

    Raises:
        ValueError: if it has other values than two, another size, or leaves nothing.
    """
    pixels = read_image(path, 1)[..., 0]
    if pixels.shape != shape:
        raise ValueError(
            f"{path} has {pixels.shape[1]} x {pixels.shape[0]} pixels and the picture {shape[1]} x {shape[0]}; resize "
            "the mask."
        )
    values = np.unique(np.rint((pixels + 1) * 127.5))
    if len(values) > 2 or (len(values) == 2 and tuple(values) != (0, 255)):
        raise ValueError(
            f"{path} has {len(values)} values from {values[0]:g} to {values[-1]:g}; a mask has two, black and white. "
            f"With a threshold it has: convert {Path(path).name} -threshold 50% two_{Path(path).stem}.png"
        )
    missing = pixels > 0
    if missing.all():
        raise ValueError(f"{path} is white everywhere: nothing of the picture is left. White is what is missing.")
    return missing


def blur_of(words: str, shape: tuple[int, int, int], notes: list[str]) -> Operator:
    """The blur that --kernel names.

    Raises:
        ValueError: if it names none, or the kernel does not fit.
    """
    name, _, numbers = words.partition(":")
    if local_path(words).suffix.lower() in image_suffixes():
        kernel = read_kernel(words)
        if kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
            kernel = np.pad(kernel, [(0, 1 - side % 2) for side in kernel.shape])
            notes.append("the kernel has an even side: a row or a column of zeros was added to give it a middle")
        return ops.reflecting_blur(shape, kernel)
    try:
        values = [float(number) for number in numbers.split(",")]
        if name == "gaussian" and len(values) == 1:
            width = check_number("its width", values[0], above=0)
            if max(shape) > _LONGEST:
                return ops.reflecting_blur(shape, gaussian_kernel(width, 2 * round(4 * width) + 1))
            return ops.gaussian_blur(shape, width, boundary="reflect")
        if name == "disk" and len(values) == 1:
            return ops.reflecting_blur(shape, disk_kernel(values[0]))
        if name == "motion" and len(values) == 2:
            return ops.reflecting_blur(shape, line_kernel(values[0], values[1]))
    except ValueError as error:
        raise ValueError(f"--kernel={words}: {error}") from error
    raise ValueError(
        f"--kernel is {words!r}; give gaussian:WIDTH, motion:LENGTH,DEGREES, disk:RADIUS, all in pixels, or an image."
    )


def disk_kernel(radius: float) -> np.ndarray:
    """A disk, its radius in pixels, of sum 1."""
    down, across = _points(radius)
    return _shares(down**2 + across**2 <= radius**2)


def line_kernel(length: float, degrees: float) -> np.ndarray:
    """A line, its length in pixels and its direction against the horizontal, of sum 1."""
    down, across = _points(length / 2)
    angle = math.radians(degrees)
    along = across * math.cos(angle) - down * math.sin(angle)
    aside = across * math.sin(angle) + down * math.cos(angle)
    return _shares((np.abs(along) <= max(length / 2, 0.5)) & (np.abs(aside) <= 0.5))


def _points(reach: float) -> list[np.ndarray]:
    """The places of 8 x 8 points in each pixel of a kernel, in pixels from its middle."""
    half = math.ceil(check_number("its size", reach, above=0, most=500))
    places = (np.arange((2 * half + 1) * 8) + 0.5) / 8 - half - 0.5
    return np.meshgrid(places, places, indexing="ij")


def _shares(inside: np.ndarray) -> np.ndarray:
    side = len(inside) // 8
    kernel = inside.reshape(side, 8, side, 8).mean(axis=(1, 3))
    return kernel / kernel.sum()


def bayer(pattern: str, shape: tuple[int, int]) -> np.ndarray:
    """Which channel a pixel of a sensor has, `[H, W, 3]`, for the order of the four of a square, row by row."""
    known(pattern, PATTERNS, "pattern of a sensor")
    seen = np.zeros((*shape, 3), bool)
    for place, colour in enumerate(pattern):
        seen[place // 2 :: 2, place % 2 :: 2, "RGB".index(colour)] = True
    return seen
