"""The command as people start it; each start costs seconds, so there are few."""

import csv
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
TASKS = ("inpainting", "super_resolution")


def launch(door, *flags):
    command = [sys.executable, "-m", f"launch.{door}", *map(str, flags)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def run(toy_prior_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "run"
    flags = ["--demo", f"--prior={toy_prior_file}", f"--output={folder}", f"--tasks={','.join(TASKS)}"]
    flags += ["--count=2", "--samples=2", "--calls=2", "--config.tasks.inpainting.hidden=0.5"]
    return flags, folder, launch("restore", *flags)


def test_it_writes_images_numbers_and_figures(run):
    _, folder, done = run
    assert done.returncode == 0, done.stderr
    assert "mean of 2" in done.stdout and str(folder) in done.stdout and "n = 2, σ = 0.05" in done.stdout
    for task in TASKS:
        for index in ("0000", "0001"):
            names = {path.name for path in (folder / task / index).iterdir()}
            pictures = ("truth", "measurement", "sample_0", "sample_1", "mean", "std", "figure")
            names -= {"operator.npz"}
            assert names == {"arrays.npz", *(f"{name}.png" for name in pictures)}
            assert Image.open(folder / task / index / "mean.png").size == (32, 32)
    arrays = np.load(folder / "inpainting" / "0001" / "arrays.npz")
    assert arrays["samples"].shape == (2, 32, 32, 1)
    np.testing.assert_allclose(arrays["samples"].mean(axis=0), arrays["mean"], atol=1e-6)
    assert np.isnan(arrays["measurement"]).sum() == 512
    np.testing.assert_array_equal(arrays["operator_mask"], ~np.isnan(arrays["measurement"]))
    assert np.load(folder / "super_resolution" / "operator.npz")["rows"].shape == (8, 32)
    assert Image.open(folder / "demo.png").width > 1000


def test_it_writes_what_was_run(run, toy_prior_file):
    _, folder, _ = run
    record = json.loads((folder / "config.json").read_text())
    assert record["config"]["tasks"]["inpainting"] == dict(operator="random_mask", hidden=0.5, sigma=0.05)
    assert record["config"]["sampler"] == dict(samples=2, calls=2, setting="calibrated")
    assert record["config"]["inputs"] == dict(images="bundled", first=0, count=2, resize=False)
    assert record["config"]["prior"]["file"] == str(toy_prior_file)
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["task"], row["index"]) for row in rows] == [(task, i) for task in TASKS for i in "01"]
    assert {"psnr_sample", "psnr_mean", "ssim_sample", "ssim_mean", "misfit_sample", "misfit_mean"} <= rows[0].keys()
    assert json.loads((folder / "metrics.json").read_text())["summary"]["inpainting"]["psnr_mean"]["count"] == 2


def test_it_goes_on_with_its_run_only(run):
    flags, folder, _ = run
    before = (folder / "metrics.json").read_bytes()
    done = launch("restore", *flags, "--resume")
    assert done.returncode == 0 and (folder / "metrics.json").read_bytes() == before
    done = launch("restore", *flags, "--resume", "--calls=3", "--seed=1")
    assert done.returncode == 1 and "config.sampler.calls was 2, is 3" in done.stderr and "seed was 0" in done.stderr


def test_recipes_and_operators_of_the_users(toy_prior_file, tmp_path):
    (tmp_path / "my_module.py").write_text(
        "from pgm_jax.operators import average_downsampling\n\n"
        "def make_operator(image_shape, factor):\n    return average_downsampling(image_shape, factor)\n"
    )
    output = tmp_path / "out"
    flags = [f"--prior={toy_prior_file}", f"--output={output}", "--count=1", "--samples=1", "--calls=2", "--seed=5"]
    flags += ["--task=pgm/inpainting", "--operator=my_module:make_operator", "--sigma=0.05", "--setting=factor=8"]
    environment = dict(os.environ, PYTHONPATH=f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", COLUMNS="120")
    command = [sys.executable, "-m", "launch.restore", f"--config={ROOT / 'configs' / 'fashion_mnist.py'}", *flags]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "my_module:make_operator" in done.stdout and "pgm/inpainting" in done.stdout
    tasks = json.loads((output / "config.json").read_text())["config"]["tasks"]
    assert tasks["my_module:make_operator"]["factor"] == 8 and tasks["pgm/inpainting"]["seed"] == 7
    assert np.load(output / "my_module" / "make_operator" / "operator.npz")["rows"].shape == (4, 32)
    mask = np.load(output / "pgm" / "inpainting" / "operator.npz")["mask"]
    measurement = np.load(output / "pgm" / "inpainting" / "0000" / "arrays.npz")["measurement"]
    np.testing.assert_array_equal(mask == 0, np.isnan(measurement))


def test_a_mistake_is_one_line_and_leaves_nothing(toy_prior_file, tmp_path):
    output = tmp_path / "out"
    done = launch("restore", f"--prior={toy_prior_file}", f"--output={output}", "--measurement=y.npy")
    assert done.returncode == 1 and "--measurement is of one task" in done.stderr
    assert "Traceback" not in done.stderr and not output.exists()


def test_help_shows_how():
    done = launch("restore", "--help")
    for words in ("--measurement=y.npy", "--resume", "--config.tasks.inpainting.hidden=0.9", "--[no]demo", "--samples"):
        assert words in done.stdout
