"""The command that prepares sets: its help, its reports, its errors."""

import subprocess
import sys
from pathlib import Path

import pytest

from pgm_jax.training import data

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def prepare(monkeypatch, capsys):
    monkeypatch.syspath_prepend(REPOSITORY)
    from absl.testing import flagsaver

    from launch import prepare

    def run(**values):
        with flagsaver.as_parsed(**values):
            prepare.flags.FLAGS.mark_as_parsed()
            prepare.main([])
        return capsys.readouterr().out

    monkeypatch.setattr(prepare.signal, "signal", lambda *_: None)
    return run


def test_prepare_help_is_quick_and_says_how():
    command = [sys.executable, "-X", "importtime", "-m", "launch.prepare", "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    for words in ("--dataset=fashion_mnist", "--image_size", "--data_dir", "TFDS_DATA_DIR"):
        assert words in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "absl" in imported and not imported & {"tensorflow_datasets", "jax"}


def test_prepare_folder(prepare, photos, tmp_path):
    flags = dict(
        dataset="folder", source=str(photos), name="mine", image_size="8", channels="1", data_dir=str(tmp_path)
    )
    out = prepare(**flags)
    assert f"Wrote {tmp_path}/mine/1.0.0 (train 3)" in out and "mine (train)" in out and "1 images were smaller" in out
    assert "broken.jpg" in out and str(tmp_path / "mine" / "unreadable.txt") in out
    assert len(data.open_source("mine", "train", (8, 8, 1), tmp_path)) == 3
    assert "Already there, nothing done" in prepare(**flags)


def test_prepare_fashion_mnist(prepare, npz, tmp_path):
    out = prepare(dataset="fashion_mnist", source=str(npz), data_dir=str(tmp_path))
    assert "(train 11, test 3)" in out
    assert len(data.open_source("fashion_mnist", "test", (32, 32, 1), tmp_path)) == 3


@pytest.mark.parametrize(
    "flags, words",
    [
        (dict(dataset="folder"), "needs --source=FOLDER and --name=NAME"),
        (dict(dataset="fashion_mnits"), "Did you mean 'fashion_mnist'"),
        (dict(dataset="mnist", source="x"), "--source is for"),
        (dict(dataset="mnist", name="x"), "--name is for"),
        (dict(dataset="fashion_mnist", source="nowhere"), "There is no nowhere"),
        (dict(dataset="fashion_mnist", source="gs://bucket/a.npz"), "is an address"),
    ],
)
def test_prepare_errors(prepare, tmp_path, flags, words):
    with pytest.raises(SystemExit, match=words):
        prepare(**flags, data_dir=str(tmp_path))
