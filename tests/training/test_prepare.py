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

    return run


def test_prepare_help_is_quick_and_says_how():
    command = [sys.executable, "-X", "importtime", "-m", "launch.prepare", "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    for words in ("--dataset=fashion_mnist", "--config.data.source=./photos", "--data_dir", "TFDS_DATA_DIR"):
        assert words in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "absl" in imported and not imported & {"tensorflow_datasets", "jax"}


def test_prepare_fashion_mnist(prepare, npz, tmp_path):
    flags = dict(dataset="fashion_mnist", source=str(npz), data_dir=str(tmp_path))
    assert f"Wrote {tmp_path}/fashion_mnist/3.0.1 (train 11, test 3)" in prepare(**flags)
    assert "Already there, nothing done" in prepare(**flags)
    assert len(data.open_source("fashion_mnist", "test", (32, 32, 1), tmp_path)) == 3


@pytest.mark.parametrize(
    "flags, words",
    [
        (dict(dataset="fashion_mnits"), "Did you mean 'fashion_mnist'"),
        (dict(dataset="mnist", source="x"), "only fashion_mnist has one"),
        (dict(dataset="fashion_mnist", source="nowhere"), "There is no nowhere"),
        (dict(dataset="fashion_mnist", source="gs://bucket/a.npz"), "is an address"),
    ],
)
def test_prepare_errors(prepare, tmp_path, flags, words):
    with pytest.raises(SystemExit, match=words):
        prepare(**flags, data_dir=str(tmp_path))
