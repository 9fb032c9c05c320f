"""The command as people start it."""

import csv
import json
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_it_scores_a_data_set(toy_prior_file, tmp_path):
    np.savez(tmp_path / "set.npz", test=np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8))
    out = tmp_path / "out"
    flags = [f"--prior={toy_prior_file}", f"--dataset={tmp_path / 'set.npz'}", f"--output={out}"]
    flags += ["--limit=3", "--tasks=blur", "--samples=2", "--calls=2", "--batch=2"]
    command = [sys.executable, "-m", "launch.evaluate", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "mean of 2" in done.stdout and "n = 3, σ = 0.05" in done.stdout and "PSNR (dB)" in done.stdout
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == ["0", "1", "2"]
    metrics = json.loads((out / "metrics.json").read_text())
    mean = np.mean([float(row["psnr_mean"]) for row in rows])
    assert np.isclose(metrics["summary"]["blur"]["psnr_mean"]["mean"], mean)
    record = json.loads((out / "config.json").read_text())
    assert record["config"]["inputs"] == dict(dataset=str(tmp_path / "set.npz"), split="test", limit=3)
