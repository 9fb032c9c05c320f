import jax
import ml_collections
import numpy as np
import pytest
from rich.console import Console

from launch.figures import measurement
from launch.inputs import image_inputs
from launch.output import read_rows
from launch.sweep import Job, sweep
from pgm_jax.samplers import default_rows

TASKS = dict(
    inpainting=dict(operator="random_mask", hidden=0.5, sigma=0.05),
    super_resolution=dict(operator="average_downsampling", factor=4, sigma=0.05),
)


@pytest.fixture
def job(toy_prior):
    return Job(toy_prior, TASKS, 2, 2, default_rows(2), jax.random.key(0), 2, ml_collections.ConfigDict())


def numbers(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_interrupted_it_goes_on_and_ends_as_if_it_had_not_been(job, tmp_path, capsys):
    inputs, console = image_inputs("bundled", (32, 32, 1), count=3), Console(width=200)
    whole = sweep(job, inputs, tmp_path, [], console)
    assert [(row["task"], row["index"], row["image"]) for row in whole] == [
        (task, i, f"bundled {i}") for task in TASKS for i in range(3)
    ]
    kept = []

    def interrupt(task, case):
        if len(kept) == 4:
            raise KeyboardInterrupt
        kept.append((task, case.index))

    with pytest.raises(SystemExit) as stop:
        sweep(job, inputs, tmp_path, [], console, keep=interrupt)
    assert stop.value.code == 130
    assert "4 of 6 restorations are finished" in (out := capsys.readouterr().out) and "--resume" in out
    finished = read_rows(tmp_path)
    assert [(row["task"], row["index"]) for row in finished] == kept
    rows = sweep(job, inputs, tmp_path, finished, console)
    assert numbers(rows) == numbers(whole) and rows == read_rows(tmp_path)
    assert rows[:4] == finished, "what was finished is not done again"


def test_a_measurement_with_its_hidden_pixels_gives_the_same_samples(job, tmp_path):
    console, cases = Console(quiet=True), []
    job = job._replace(tasks=dict(inpainting=TASKS["inpainting"]))
    sweep(job, image_inputs("bundled", (32, 32, 1), count=2), tmp_path, [], console, keep=lambda _, c: cases.append(c))
    path = tmp_path / "y.npy"
    np.save(path, np.stack([measurement(case) for case in cases]))
    from launch.inputs import measurement_inputs

    measured, inputs = [], measurement_inputs(str(path), (32, 32, 1), np.float32, None)
    rows = sweep(job, inputs, tmp_path, [], console, keep=lambda _, c: measured.append(c), measured=True)
    for case, other in zip(cases, measured, strict=True):
        np.testing.assert_array_equal(case.samples, other.samples)
        np.testing.assert_array_equal(case.y, other.y)
        np.testing.assert_array_equal(case.observed, other.observed)
        assert other.truth is None
    assert "psnr_mean" not in rows[0] and rows[0]["misfit_mean"] == cases[0].metrics["misfit_mean"]
