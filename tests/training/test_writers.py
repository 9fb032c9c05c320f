"""What a run leaves for people: its scalars survive what happens to it, its sheets show what they are given."""

import json

import numpy as np
import pytest
from PIL import Image

from pgm_jax.training.writers import ScalarWriter, _image_sheet


def lines_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def write(folder, start, steps):
    with ScalarWriter(folder, start) as writer:
        for step in steps:
            writer.write(step, dict(loss=1 / step, dead=0.0))


def test_a_line_is_a_step(tmp_path):
    write(tmp_path / "run", 0, [2, 4])
    assert lines_of(tmp_path / "run") == [dict(step=2, loss=0.5, dead=0.0), dict(step=4, loss=0.25, dead=0.0)]
    assert list((tmp_path / "run" / "tensorboard").iterdir())


@pytest.mark.parametrize("rest", ["", '{"step": 8, "lo', "\n\n", "12", '{"loss": 1.0}', "\x00\x00\x00"])
def test_a_resumed_run_repeats_no_step(tmp_path, rest):
    write(tmp_path, 0, [2, 4, 6, 8])
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(rest.encode() or b"\xff\n")
    write(tmp_path, 4, [6, 8, 10])
    assert [line["step"] for line in lines_of(tmp_path)] == [2, 4, 6, 8, 10]


def test_a_run_that_starts_anew_forgets_the_old_one(tmp_path):
    write(tmp_path, 0, [2, 4])
    write(tmp_path, 0, [1])
    assert [line["step"] for line in lines_of(tmp_path)] == [1]


def test_nothing_is_lost_where_the_disk_gives_up(tmp_path, monkeypatch):
    write(tmp_path, 0, [2, 4])
    before = (tmp_path / "metrics.jsonl").read_text()

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("pgm_jax.files.os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        ScalarWriter(tmp_path, 2)
    assert (tmp_path / "metrics.jsonl").read_text() == before


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_shows_its_images(channels):
    rows = np.linspace(-1.0, 1.0, 2 * 3 * 4 * 5 * channels, dtype=np.float32).reshape(2, 3, 4, 5, channels)
    sheet = _image_sheet(rows, gap=2, zoom=1)
    assert sheet.shape == (2 * 6 + 2, 3 * 7 + 2, 3) and sheet.dtype == np.uint8
    for i in range(2):
        for j in range(3):
            cell = sheet[2 + 6 * i : 6 + 6 * i, 2 + 7 * j : 7 + 7 * j]
            np.testing.assert_array_equal(cell, np.broadcast_to(np.round(127.5 * (rows[i, j] + 1)), (4, 5, 3)))
    assert (sheet[:2] == 255).all() and (sheet[6:8] == 255).all() and (sheet[:, 7:9] == 255).all()
    np.testing.assert_array_equal(_image_sheet(rows, gap=2, zoom=3)[1::3, 1::3], sheet)


def test_a_sheet_clips():
    sheet = _image_sheet(np.array([-9.0, 9.0], np.float32).reshape(1, 2, 1, 1, 1), gap=1, zoom=1)
    assert sheet[1, 1, 0] == 0 and sheet[1, 3, 0] == 255


def test_a_sheet_is_written_to_its_folder(tmp_path):
    rows = np.linspace(-1.0, 1.0, 2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5, 1)
    with ScalarWriter(tmp_path) as writer:
        writer.sheet(7, rows)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "sheets" / "0000007.png")), _image_sheet(rows))
