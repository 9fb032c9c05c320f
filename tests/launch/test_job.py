"""A pass over tasks and images, in this process: interrupted and resumed, simulated and measured."""

import contextlib

import jax
import numpy as np
import pytest
from rich.console import Console

from launch.job import Job, recorded
from launch.problems import read_images, read_measurements
from launch.results import arrays_of, print_table, read_rows, write_metrics
from launch.tasks import build_task

SETTINGS = dict(
    inpainting=dict(operator="random_mask", hidden=0.5, sigma=0.05),
    super_resolution=dict(operator="average_downsampling", factor=4, sigma=0.05),
)
SHAPE = (32, 32, 1)
SAMPLER = dict(samples=2, calls=2)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def job(toy_prior):
    tasks = {name: build_task(name, settings, SHAPE, KEY) for name, settings in SETTINGS.items()}
    return Job(
        toy_prior,
        tasks,
        read_images("bundled", SHAPE, count=3),
        SAMPLER | dict(setting=None),
        KEY,
        2,
        dict(sampler=SAMPLER),
    )


@pytest.fixture(scope="module")
def whole(job, tmp_path_factory):
    """Cases and rows of a pass that nothing interrupts."""
    rows, folder = [], tmp_path_factory.mktemp("whole")
    cases = [case for _, case in recorded(job, folder, rows, Console(quiet=True))]
    assert read_rows(folder) == rows
    np.testing.assert_array_equal(np.load(folder / "super_resolution" / "operator.npz")["rows"].shape, (8, 32))
    assert not (folder / "inpainting").exists()
    return cases, rows


def numbers(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_every_image_of_every_task_has_a_case_and_a_row(job, whole):
    cases, rows = whole
    expected = [(task, i, f"bundled {i}") for task in SETTINGS for i in range(3)]
    assert [(row["task"], row["index"], row["image"]) for row in rows] == expected
    for case, row in zip(cases, rows, strict=True):
        assert case.index == row["index"] and case.metrics.items() <= row.items()
    assert all(case.operator is job.tasks["super_resolution"].shared for case in cases[3:])
    for case in cases[:3]:
        np.testing.assert_array_equal(arrays_of(case.operator)["mask"] > 0, case.observed)


def test_an_interrupted_pass_is_resumed_and_ends_as_if_it_had_not_been(job, whole, tmp_path):
    rows, console = [], Console(width=200)
    with contextlib.suppress(KeyboardInterrupt):
        for count, _ in enumerate(recorded(job, tmp_path, rows, console)):
            if count == 4:
                raise KeyboardInterrupt
    finished = read_rows(tmp_path)
    assert finished == rows and numbers(finished) == numbers(whole[1][:4])
    again = list(recorded(job, tmp_path, rows, console))
    assert [case.index for _, case in again] == [1, 2] and rows[:4] == finished
    assert numbers(rows) == numbers(whole[1]) and read_rows(tmp_path) == rows


def test_a_measurement_gives_the_same_samples_as_its_simulation(job, whole, tmp_path):
    cases, rows = whole[0][:3], []
    task = job.tasks["inpainting"]
    np.save(tmp_path / "y.npy", np.stack([np.where(case.observed, case.y, np.nan) for case in cases]))
    measured = job._replace(tasks={task.name: task}, inputs=read_measurements(str(tmp_path / "y.npy"), task))
    others = [case for _, case in recorded(measured, tmp_path, rows, Console(quiet=True))]
    for case, other in zip(cases, others, strict=True):
        for name in ("samples", "y", "observed"):
            np.testing.assert_array_equal(getattr(case, name), getattr(other, name))
        assert other.truth is None
    assert "psnr_mean" not in rows[0] and rows[0]["misfit_mean"] == cases[0].metrics["misfit_mean"]


def test_the_table_fits_a_terminal_and_states_its_recipe(job, capsys, tmp_path):
    metrics = dict(ssim_sample=0.5, ssim_mean=0.6, misfit_sample=1.0, misfit_mean=0.9, calls=100, seconds=2.0)
    psnr = [dict(psnr_sample=19.0 + i, psnr_mean=20.0 + i) for i in range(3)]
    rows = [dict(task="super_resolution", index=i, image=f"i {i}") | p | metrics for i, p in enumerate(psnr)]
    write_metrics(tmp_path, rows)
    assert (tmp_path / "metrics.csv").read_text().splitlines()[1].startswith("super_resolution,0,i 0,19.0,20.0")
    print_table(Console(width=80), rows, job.tasks, 8)
    text = capsys.readouterr().out
    for words in ("super resolution", "n = 3, σ = 0.05", "21.00 ± 1.00", "0.600 ± 0.000", "mean of 8", "PSNR (dB)"):
        assert words in text
    assert "…" not in text
    measured = [{k: v for k, v in line.items() if "psnr" not in k and "ssim" not in k} for line in rows]
    print_table(Console(width=80), measured, job.tasks, 8)
    assert "PSNR / SSIM" not in capsys.readouterr().out
