"""The commands that restore and evaluate: once as people start them, then in this process."""

import csv
import json
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from launch import evaluate, restore
from launch.config import Terminated
from pgm_jax.files import only_writer

ROOT = pathlib.Path(__file__).resolve().parents[2]
TASKS = ("inpainting", "super_resolution")


def started(*arguments, **options):
    command = [sys.executable, "-m", "launch.restore", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)


@pytest.fixture
def door(toy_prior_file, monkeypatch):
    """A command in this process, by its flags."""
    monkeypatch.setenv("COLUMNS", "120")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(command, *arguments):
        with flagsaver.flagsaver():
            flags.FLAGS(["launch", f"--prior={toy_prior_file}", *map(str, arguments)])
            command.main(["launch"])

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def run(toy_prior_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "run"
    arguments = ["--demo", f"--output={folder}", f"--tasks={','.join(TASKS)}", "--count=2", "--samples=2", "--calls=2"]
    return arguments, folder, started(f"--prior={toy_prior_file}", *arguments)


def test_it_writes_images_numbers_and_figures(run):
    _, folder, done = run
    assert done.returncode == 0, done.stderr
    assert "mean of 2" in done.stdout and str(folder) in done.stdout and "n = 2, σ = 0.05" in done.stdout
    pictures = ("truth", "measurement", "sample_0", "sample_1", "mean", "std", "figure")
    for task in TASKS:
        for index in ("0000", "0001"):
            names = {path.name for path in (folder / task / index).iterdir()}
            assert names == {"arrays.npz", *(f"{name}.png" for name in pictures)}
            assert Image.open(folder / task / index / "mean.png").size == (32, 32)
    arrays = np.load(folder / "inpainting" / "0001" / "arrays.npz")
    assert arrays["samples"].shape == (2, 32, 32, 1)
    np.testing.assert_allclose(arrays["samples"].mean(axis=0), arrays["mean"], atol=1e-6)
    assert np.isfinite(arrays["measurement"]).all() and (~arrays["observed"]).sum() == 716
    np.testing.assert_array_equal(arrays["operator_mask"] > 0, arrays["observed"])
    assert np.load(folder / "super_resolution" / "operator.npz")["rows"].shape == (8, 32)
    assert Image.open(folder / "demo.png").width > 1000


def test_it_writes_what_was_run(run, toy_prior_file):
    _, folder, _ = run
    record = json.loads((folder / "config.json").read_text())
    assert record["config"]["tasks"]["inpainting"] == dict(operator="random_mask", hidden=0.7, sigma=0.05)
    assert record["config"]["sampler"] == dict(samples=2, calls=2, setting="calibrated")
    assert record["config"]["inputs"] == dict(images="bundled", first=0, count=2, resize=False)
    assert record["config"]["prior"]["file"] == str(toy_prior_file)
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["task"], row["index"]) for row in rows] == [(task, i) for task in TASKS for i in "01"]
    assert {"psnr_sample", "psnr_mean", "ssim_sample", "ssim_mean", "misfit_sample", "misfit_mean"} <= rows[0].keys()
    assert json.loads((folder / "metrics.json").read_text())["summary"]["inpainting"]["psnr_mean"]["count"] == 2


def test_it_resumes_its_run_only(run, door):
    arguments, folder, _ = run
    before = (folder / "metrics.json").read_bytes()
    door(restore, *arguments, "--resume")
    assert json.loads((folder / "metrics.json").read_text()) == json.loads(before)
    with pytest.raises(SystemExit, match="config.sampler.calls was 2, is 3; seed was 0, is 1"):
        door(restore, *arguments, "--resume", "--calls=3", "--seed=1")
    with pytest.raises(SystemExit, match="holds a run of launch.restore; give another folder"):
        door(evaluate, f"--output={folder}")


def test_benchmarks_and_operators_of_the_users(door, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_average.py").write_text(
        "from pgm_jax.operators import average_downsampling\n\n"
        "def make_operator(image_shape, factor):\n    return average_downsampling(image_shape, factor)\n"
    )
    arguments = [f"--output={tmp_path / 'out'}", "--count=1", "--samples=1", "--calls=2", "--seed=5"]
    own = ["--task=pgm/inpainting", "--operator=own_average:make_operator", "--sigma=0.05", "--setting=factor=8"]
    door(restore, *arguments, *own)
    said = capsys.readouterr().out
    assert "own_average:make_operator" in said and "pgm/inpainting" in said
    tasks = json.loads((tmp_path / "out" / "config.json").read_text())["config"]["tasks"]
    assert tasks["own_average:make_operator"]["factor"] == 8 and tasks["pgm/inpainting"]["seed"] == 7
    assert np.load(tmp_path / "out" / "own_average" / "make_operator" / "operator.npz")["rows"].shape == (4, 32)
    mask = np.load(tmp_path / "out" / "pgm" / "inpainting" / "operator.npz")["mask"]
    result = tmp_path / "out" / "pgm" / "inpainting" / "0000" / "arrays.npz"
    np.testing.assert_array_equal(mask > 0, np.load(result)["observed"])

    again = [
        f"--output={tmp_path / 'again'}",
        "--samples=1",
        "--calls=2",
        f"--measurement={result}",
        "--tasks=inpainting",
    ]
    door(restore, *again)
    repeated = np.load(tmp_path / "again" / "inpainting" / "0000" / "arrays.npz")
    np.testing.assert_array_equal(repeated["measurement"], np.load(result)["measurement"])
    np.testing.assert_array_equal(repeated["observed"], np.load(result)["observed"])


def test_evaluation_scores_a_data_set(door, tmp_path, capsys):
    np.savez(tmp_path / "set.npz", test=np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8))
    out, data = tmp_path / "out", str(tmp_path / "set.npz")
    arguments = ["--count=3", "--tasks=super_resolution", "--samples=2", "--calls=2", "--batch=2"]
    door(evaluate, f"--dataset={data}", f"--output={out}", *arguments)
    said = capsys.readouterr().out
    assert "mean of 2" in said and "n = 3, σ = 0.05" in said and "PSNR (dB)" in said
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == ["0", "1", "2"]
    mean = json.loads((out / "metrics.json").read_text())["summary"]["super_resolution"]["psnr_mean"]["mean"]
    assert np.isclose(mean, np.mean([float(row["psnr_mean"]) for row in rows]))
    record = json.loads((out / "config.json").read_text())
    assert record["config"]["inputs"] == dict(dataset=data, split="test", first=0, count=3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--measurement=y.npy"], "--measurement belongs to one task"),
        (["--measurement=y.npy", "--tasks=blur"], "There is no file y.npy"),
        (["--operator=denoising"], "--operator needs --sigma"),
        (["--setting=hidden"], "has no value"),
        (["--samples=0"], "from 1 to 100000"),
        (["--images=nowhere"], "nowhere"),
        (["--tasks=blur", "--setting=width=-1.0"], "config.tasks.blur: width .* above 0, and is -1.0"),
    ],
)
def test_a_mistake_ends_it_in_one_line_and_leaves_nothing(arguments, words, door, tmp_path):
    with pytest.raises(SystemExit, match=words):
        door(restore, f"--output={tmp_path / 'out'}", *arguments)
    assert not (tmp_path / "out").exists()


def test_a_run_is_resumed_on_the_same_images_only(door, tmp_path, monkeypatch):
    pixels = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32)
    Image.fromarray(pixels).save(tmp_path / "b.png")
    arguments = [f"--images={tmp_path}", "--tasks=super_resolution", "--samples=1", "--calls=2"]
    door(restore, f"--output={tmp_path / 'out'}", *arguments)
    (tmp_path / "out").rename(tmp_path.parent / "out_of_b")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    again = [f"--output={tmp_path.parent / 'out_of_b'}", *arguments, "--resume"]
    with pytest.raises(SystemExit, match=r"Image 0 was .*b\.png and is now .*a\.png: give another --output"):
        door(restore, *again)
    (tmp_path / "a.png").rename(tmp_path / "a.txt")
    Image.fromarray(pixels.T).save(tmp_path / "b.png")
    with pytest.raises(SystemExit, match=r"Image 0, .*b\.png, is not what it was: give another --output"):
        door(restore, *again)
    (tmp_path / "b.png").rename(tmp_path / "b.txt")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    more = tmp_path.parent / "out_of_a_and_b"
    (tmp_path / "b.txt").rename(tmp_path / "b.png")
    door(restore, f"--output={more}", *arguments)
    (tmp_path / "b.png").unlink()
    with pytest.raises(SystemExit, match=r"Image 1, .*b\.png, is no longer there: give another --output"):
        door(restore, f"--output={more}", *arguments, "--resume")
    Image.fromarray(pixels).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match="Image 0 was"):
        door(restore, *again, "--traceback")


@pytest.mark.parametrize(
    ("error", "finished", "status"), [(KeyboardInterrupt, 1, 130), (Terminated, 1, 143), (KeyboardInterrupt, 0, 130)]
)
def test_an_interruption_has_its_status_and_says_how_to_go_on(
    error, finished, status, door, tmp_path, monkeypatch, capsys
):
    """A run without a finished image leaves nothing behind."""
    write_case = restore.write_case
    left = [write_case] * finished

    def interrupted(*case):
        if not left:
            raise error
        left.pop()(*case)

    monkeypatch.setattr(restore, "write_case", interrupted)
    arguments = ["--tasks=super_resolution", "--samples=1", "--calls=2", "--count=2", "--batch=1"]
    with pytest.raises(SystemExit) as stop:
        door(restore, f"--output={tmp_path / 'out'}", *arguments)
    assert stop.value.code == status
    words = "1 of 2 restorations are finished and written" if finished else "No restoration was finished."
    assert words in capsys.readouterr().out
    assert (tmp_path / "out").exists() == bool(finished)


@pytest.mark.parametrize(("figures", "drawn"), [("sheet", {"sheet.png"}), ("none", set())])
def test_figures_are_drawn_on_demand(figures, drawn, door, tmp_path):
    arguments = ["--tasks=super_resolution", "--samples=1", "--calls=2", "--count=1", f"--figures={figures}"]
    door(restore, f"--output={tmp_path / '[red]'}", *arguments)
    assert {path.name for path in tmp_path.rglob("*.png")} & {"sheet.png", "figure.png"} == drawn


def test_a_folder_has_one_writer(door, tmp_path):
    with only_writer(tmp_path / "out"), pytest.raises(SystemExit, match="out is in use by process"):
        door(restore, f"--output={tmp_path / 'out'}", "--tasks=super_resolution", "--calls=2", "--count=1")
    assert not (tmp_path / "out").exists()


def test_one_kind_of_input_is_given(door):
    with pytest.raises(flags.IllegalFlagValueError, match="At most one of .images, dataset, measurement"):
        door(restore, "--images=bundled", "--measurement=y.npy")


def test_help_shows_how():
    said = restore.__doc__ + flags.FLAGS.module_help(restore)
    for words in ("--measurement=y.npy", "--resume", "--setting=hidden=0.9", "--[no]demo", "--samples"):
        assert words in said
