"""The command of the experiments: what it writes and refuses; how findings are written."""

import importlib
import runpy
import sys
import types

import numpy as np
import pytest
from absl import flags
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from toy_settings import ROOT

from launch import toys
from launch.experiments.findings import Findings, Table, bounded, comma_separated, markdown, printable, written
from launch.runs import read_json

TABLE = Table("W1 of A | B", ("name", "W1"), [("long [n]", (0.01274, 0.0021)), ("short", float("nan"))], "Ten samples.")
CONFIG = ConfigDict(dict(experiment="toy", samples=3))


@pytest.fixture
def toy(monkeypatch):
    """An experiment that takes no time; one claim of two holds."""

    def run(config, key):
        if config.samples < 1:
            raise ValueError("config.samples is 0; it must be at least 1.")
        claims = [bounded("W1 is small", float(np.float32(0.5)), "≤", 1), bounded("W1 is tiny", 0.5, "≤", 0.1)]
        return Findings([TABLE], dict(panels=Figure()), claims)

    monkeypatch.setitem(sys.modules, "launch.experiments.toy", types.SimpleNamespace(run=run))
    monkeypatch.setattr(toys, "EXPERIMENTS", [*toys.EXPERIMENTS, "toy"])


def test_it_prints_and_writes_its_findings(toy, tmp_path, capsys):
    folder = tmp_path / "run"
    toys.conduct(CONFIG, folder, 5, False)
    said = capsys.readouterr().out
    for words in ("W1 of A | B", "0.0127 ± 0.0021", "✓ W1 is small: 0.5 (≤ 1)", "✗ W1 is tiny", "1 of 2 claims fail"):
        assert words in said
    files = {path.name for path in folder.iterdir()}
    assert files == {"config.json", "metrics.json", "tables.md", "w1_of_a_b.csv", "panels.png"}
    record, metrics = read_json(folder / "config.json"), read_json(folder / "metrics.json")
    assert record["kind"] == "toys" and record["config"] == dict(experiment="toy", samples=3) and record["seed"] == 5
    assert [claim["holds"] for claim in metrics["claims"]] == [True, False]
    assert metrics["tables"][0]["rows"] == [["long [n]", [0.01274, 0.0021]], ["short", None]]


def test_a_run_is_replaced_only_if_asked_and_nothing_else_is(toy, tmp_path):
    toys.conduct(CONFIG, tmp_path, 0, False)
    (tmp_path / "panels.png").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="already holds a run.*--overwrite.*--output"):
        toys.conduct(CONFIG, tmp_path, 0, False)
    toys.conduct(CONFIG, tmp_path, 1, True)
    assert (tmp_path / "panels.png").read_bytes() != b"old" and (tmp_path / "notes.txt").read_text() == "mine"
    assert read_json(tmp_path / "config.json")["seed"] == 1


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "truncated_normal, .*--config=configs/toys/NAME.py"),
        (ConfigDict(dict(samples=3)), "experiment None.*truncated_normal"),
        (ConfigDict(dict(experiment="gausian")), "'gausian'.*'gaussian'"),
        (ConfigDict(dict(experiment="toy", samples=0)), "config.samples is 0"),
    ],
)
def test_a_mistake_is_said_in_words(toy, tmp_path, config, words):
    with pytest.raises(ValueError, match=words) as stopped:
        toys.conduct(config, tmp_path / "run", 0, False)
    assert "\n" not in str(stopped.value) and not (tmp_path / "run").exists()


def test_every_experiment_has_a_configuration_and_a_module():
    configs = sorted((ROOT / "configs" / "toys").glob("*.py"))
    assert {runpy.run_path(str(path))["get_config"]().experiment for path in configs} == set(toys.EXPERIMENTS)
    for name in toys.EXPERIMENTS:
        assert callable(importlib.import_module(f"launch.experiments.{name}").run)


def test_the_command_reads_its_flags(monkeypatch):
    settings = [f"--config={ROOT}/configs/toys/theory.py", "--config.samples=7", "--seed=3", "--output=here"]
    monkeypatch.setattr(sys, "argv", ["toys", *settings])
    values = flags.FlagValues()
    toys.define_flags(values)
    assert values(sys.argv) == ["toys"]
    assert values.config.samples == 7 and values.config.experiment == "theory" and values.seed == 3
    assert values.output == "here" and values.overwrite is False


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


def test_a_claim_is_written_with_its_bound():
    assert bounded("a", 1.0, "≤", 1.0)[2:] == ("≤ 1", True) and bounded("a", 1.0, "<", 1.0)[2:] == ("< 1", False)
    assert bounded("a", 3, "≥", 4, "4 of 5")[1:] == (3, "≥ 4 of 5", False)
    assert not any(bounded("a", float("nan"), sign, 0.0).holds for sign in "≤≥<>=")


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
