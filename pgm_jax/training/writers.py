"""What a training run writes for people: scalars as JSON lines and for TensorBoard, and sheets of images."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image
from tensorboardX import SummaryWriter

from pgm_jax.files import local_path, replacing
from pgm_jax.training.images import to_uint8


class ScalarWriter:
    """Scalars of a run, to `metrics.jsonl` and to TensorBoard's event files in the same folder.

    As a context manager it closes its files however the run ends.
    """

    def __init__(self, folder: str | Path, start: int = 0):
        """Open the files of a run and drop the lines that a resumed run will write again.

        Args:
            folder: folder of the run; made where it is missing.
            start: step from which the run resumes; lines of later steps are dropped.
        """
        folder = local_path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "metrics.jsonl"
        if self._path.exists():
            text = self._path.read_text(encoding="utf-8", errors="replace")
            kept = [line for line in text.splitlines() if _step_of(line) <= start]
            with replacing(self._path) as part:  # a run killed here must not lose its history
                part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Append the scalars of one step: the number of steps taken, `step`, and values by name, `scalars`."""
        with self._path.open("a") as file:
            file.write(json.dumps(dict(step=step, **{name: float(value) for name, value in scalars.items()})) + "\n")
        for name, value in scalars.items():
            self._board.add_scalar(name, float(value), step)

    def sheet(self, step: int, rows: Float[np.ndarray, "r n h w c"]) -> None:
        """Show rows of images as one picture, in `sheets/<step>.png` and in TensorBoard.

        Args:
            step, rows: steps taken, and images in [-1, 1], `[R, N, H, W, C]`, C = 1 or 3; values outside are clipped.
        """
        picture = _image_sheet(rows)
        with replacing(self._path.parent / "sheets" / f"{step:07d}.png") as part:
            Image.fromarray(picture).save(part, "png")
        self._board.add_image("sheets", picture, step, dataformats="HWC")

    def flush(self) -> None:
        """Write what TensorBoard still holds back; `metrics.jsonl` is written at once."""
        self._board.flush()

    def close(self) -> None:
        """Flush and close the files."""
        self._board.close()

    def __enter__(self) -> "ScalarWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _step_of(line: str) -> float:
    # The last line of a killed run may be half a line: it is dropped as if it lay in the future.
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")


def _image_sheet(rows: np.ndarray, gap: int = 2, zoom: int = 2) -> np.ndarray:
    """Rows of images as one picture, uint8 `[H', W', 3]`: white gaps, then each pixel `zoom` times."""
    count_rows, count, height, width, channels = rows.shape
    images = to_uint8(np.clip(rows, -1.0, 1.0))
    sheet = np.full((count_rows * (height + gap) + gap, count * (width + gap) + gap, 3), 255, np.uint8)
    for i in range(count_rows):
        for j in range(count):
            top, left = gap + i * (height + gap), gap + j * (width + gap)
            sheet[top : top + height, left : left + width] = images[i, j] if channels == 3 else images[i, j][..., :1]
    return sheet.repeat(zoom, axis=0).repeat(zoom, axis=1)
