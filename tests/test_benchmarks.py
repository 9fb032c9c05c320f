"""The benchmarks run, and report what they say they do."""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks.operators", *arguments]
    environment = os.environ | {"COLUMNS": "200"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_operators_are_timed(tmp_path):
    file = tmp_path / "operators.json"
    done = run("--side=16", "--batch=2", "--repeats=1", "--alone", "--only=mask,tomography", f"--json={file}")
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    assert (report["side"], report["batch"]) == (16, 2)
    steps = {(row["operator"], row["step"]) for row in report["rows"]}
    assert len(steps) == len(report["rows"]) == 2 * 3
    for row in report["rows"]:
        assert 0 < row["ours_fastest_ms"] <= row["ours_ms"]
        assert row["operator"] in done.stdout


def test_an_unknown_operator_is_refused():
    done = run("--side=16", "--only=nothing")
    assert done.returncode == 1 and "no row begins with one of nothing" in done.stderr + done.stdout
