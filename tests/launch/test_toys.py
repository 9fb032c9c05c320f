"""The door of the experiments with known answers: what it writes, what it refuses; how findings are written."""

import importlib
import json
import pathlib
import runpy
import subprocess
import sys
import types

import numpy as np
import pytest
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from launch import toys
from launch.experiments.findings import Claim, Findings, Table, comma_separated, markdown, printable, written

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = Table("W1 of A | B", ("name", "W1"), [("long [n]", (0.01274, 0.0021)), ("short", float("nan"))], "Ten samples.")
CONFIG = ConfigDict(dict(experiment="toy", samples=3))


@pytest.fixture
def toy(monkeypatch):
    """An experiment that is done at once; one claim of two holds."""

    def run(config, key):
        if config.samples < 1:
            raise ValueError("config.samples is 0; it must be at least 1.")
        claims = [Claim("W1 is small", float(np.float32(0.5)), "≤ 1", True), Claim("W1 is tiny", 0.5, "≤ 0.1", False)]
        return Findings([TABLE], dict(panels=Figure()), claims)

    monkeypatch.setitem(sys.modules, "launch.experiments.toy", types.SimpleNamespace(run=run))
    monkeypatch.setattr(toys, "EXPERIMENTS", (*toys.EXPERIMENTS, "toy"))


def test_it_prints_and_writes_what_was_found(toy, tmp_path, capsys):
    toys.conduct(CONFIG, tmp_path / "run", 5, False)
    said = capsys.readouterr().out
    for words in (
        "W1 of A | B",
        "long [n]",
        "0.0127 ± 0.0021",
        "✓ W1 is small: 0.5 (≤ 1)",
        "✗ W1 is tiny",
        "1 of 2 claims fail",
    ):
        assert words in said
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {"config.json", "metrics.json", "tables.md", "w1_of_a_b.csv", "panels.png"}
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["config"] == dict(experiment="toy", samples=3) and record["seed"] == 5 and "jax" in record["versions"]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert [claim["holds"] for claim in metrics["claims"]] == [True, False]
    assert metrics["tables"][0]["rows"][0] == ["long [n]", [0.01274, 0.0021]]
    assert metrics["tables"][0]["rows"][1] == ["short", None]


def test_a_run_is_overwritten_only_if_asked_and_nothing_else_is(toy, tmp_path, capsys):
    toys.conduct(CONFIG, tmp_path, 0, False)
    (tmp_path / "panels.png").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit, match="already holds a run: add --overwrite"):
        toys.conduct(CONFIG, tmp_path, 0, False)
    toys.conduct(CONFIG, tmp_path, 1, True)
    assert (tmp_path / "panels.png").read_bytes() != b"old" and (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / "metrics.json").unlink()
    toys.conduct(CONFIG, tmp_path, 2, False)  # what was there was not finished
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 2


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "give --config=configs/toys/NAME.py; known are truncated_normal, "),
        (ConfigDict(dict(samples=3)), "has no `experiment`; known are"),
        (ConfigDict(dict(experiment="gausian")), "Unknown experiment 'gausian'; did you mean 'gaussian'"),
        (ConfigDict(dict(experiment="zzz")), "Unknown experiment 'zzz'; known are truncated_normal"),
        (ConfigDict(dict(experiment="toy", samples=0)), "config.samples is 0; it must be at least 1"),
    ],
)
def test_what_cannot_be_is_one_line(toy, tmp_path, config, words):
    with pytest.raises(SystemExit, match=words):
        toys.conduct(config, tmp_path / "run", 0, False)


def test_a_folder_of_something_else_is_refused(toy, tmp_path):
    (tmp_path / "photo.png").write_text("mine")
    with pytest.raises(SystemExit, match="holds files and no run"):
        toys.conduct(CONFIG, tmp_path, 0, True)
    with pytest.raises(SystemExit, match="is a file"):
        toys.conduct(CONFIG, tmp_path / "photo.png", 0, True)


def test_every_experiment_has_a_configuration_and_a_module():
    configs = sorted((ROOT / "configs" / "toys").glob("*.py"))
    named = [runpy.run_path(str(path))["get_config"]().experiment for path in configs]
    assert set(named) == set(toys.EXPERIMENTS)
    for name in named:
        assert callable(importlib.import_module(f"launch.experiments.{name}").run)


def test_the_command_reads_its_flags(tmp_path):
    command = [sys.executable, "-m", "launch.toys", "--config=configs/toys/theory.py", "--config.experiment=theary"]
    command.append(f"--output={tmp_path / 'run'}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and not (tmp_path / "run").exists() and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("launch.toys: Unknown experiment 'theary'; did you mean 'theory'")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("words", "words"),
        (None, "-"),
        (True, "yes"),
        (10_000, "10000"),
        (0.0127345, "0.01273"),
        (99.7312, "99.73"),
        (3.2e-13, "3.2e-13"),
        (float("nan"), "nan"),
        ((0.012734, 0.0021), "0.0127 ± 0.0021"),
        ((99.7312, 0.052), "99.731 ± 0.052"),
        ((1234.5, 23.0), "1234 ± 23"),
        ((2.0, 0.0), "2 ± 0"),
        ((3.21e-9, 4.3e-11), "3.21e-09 ± 4.3e-11"),
        (np.float32(0.5), "0.5"),
    ],
)
def test_one_rule_writes_all_numbers(cell, text):
    assert written(cell) == text


def test_tables_as_text():
    assert markdown(TABLE).splitlines() == [
        "### W1 of A | B",
        "",
        "| name | W1 |",
        "|---|---|",
        "| long [n] | 0.0127 ± 0.0021 |",
        "| short | nan |",
        "",
        "Ten samples.",
    ]
    assert comma_separated(TABLE) == "name,W1,W1 spread\nlong [n],0.01274,0.0021\nshort,nan,\n"
    assert [column.justify for column in printable(TABLE).columns] == ["left", "right"]
