import csv
import json
import math

import ml_collections
import numpy as np
import pytest
from rich.console import Console

from launch.output import (
    differences,
    open_run,
    print_table,
    read_rows,
    run_record,
    task_folder,
    write_metrics,
)
from pgm_jax.files import write_arrays

CONFIG = ml_collections.ConfigDict(dict(sampler=dict(calls=10), tasks=dict(blur=dict(sigma=0.05, box=(1, 2)))))


def row(task, index, psnr):
    metrics = dict(psnr_sample=psnr - 1, psnr_mean=psnr, ssim_sample=0.5, ssim_mean=0.6)
    return dict(task=task, index=index, image=f"i {index}", **metrics, misfit_sample=1.0, misfit_mean=0.9, seconds=2.0)


@pytest.fixture
def folder(tmp_path):
    assert open_run(tmp_path / "run", run_record(CONFIG, 0), resume=False, overwrite=False) == []
    return tmp_path / "run"


def test_the_record_says_what_was_run(folder):
    record = json.loads((folder / "config.json").read_text())
    assert record["config"]["tasks"]["blur"] == dict(sigma=0.05, box=[1, 2]) and record["seed"] == 0
    assert {"python", "pgm_jax", "jax", "numpy"} <= record["versions"].keys()
    assert record["device"]["platform"] == "cpu" and record["command"]


def test_metrics_are_written_and_read(folder):
    rows = [row("blur", 0, 20.0), row("blur", 1, 24.0), row("blur", 2, math.nan)]
    write_metrics(folder, rows)
    assert str(read_rows(folder)) == str(rows)
    metrics = json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert metrics["rows"][2]["psnr_mean"] is None
    write_metrics(folder, rows[:2])
    mean = json.loads((folder / "metrics.json").read_text())["summary"]["blur"]["psnr_mean"]
    assert mean == dict(mean=22.0, std=pytest.approx(math.sqrt(8)), count=2)
    with (folder / "metrics.csv").open() as file:
        assert [float(line["psnr_mean"]) for line in csv.DictReader(file)] == [20.0, 24.0]
    assert not list(folder.glob("*.part"))


def test_a_folder_with_a_run_is_refused(folder):
    write_metrics(folder, [row("blur", 0, 20.0)])
    with pytest.raises(ValueError, match="already holds a run of 1 finished images: add --resume"):
        open_run(folder, run_record(CONFIG, 0), resume=False, overwrite=False)
    with pytest.raises(ValueError, match="give one of them"):
        open_run(folder, run_record(CONFIG, 0), resume=True, overwrite=True)


def test_a_run_goes_on(folder):
    assert open_run(folder, run_record(CONFIG, 0), resume=True, overwrite=False) == []
    rows = [row("blur", 0, 20.0)]
    write_metrics(folder, rows)
    assert open_run(folder, run_record(CONFIG, 0), resume=True, overwrite=False) == rows


def test_another_run_does_not_go_on(folder):
    other = CONFIG.copy_and_resolve_references()
    other.sampler.calls = 20
    with pytest.raises(ValueError, match="config.sampler.calls was 10, is 20\n  seed was 0, is 1"):
        open_run(folder, run_record(other, 1), resume=True, overwrite=False)


def test_overwriting_removes_the_run_and_nothing_else(folder):
    write_metrics(folder, [row("blur", 0, 20.0)])
    for name in ("blur/0000", "notes"):
        (folder / name).mkdir(parents=True)
    assert open_run(folder, run_record(CONFIG, 1), resume=False, overwrite=True) == []
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "notes"]
    assert json.loads((folder / "config.json").read_text())["seed"] == 1


def test_a_folder_of_something_else_is_let_be(tmp_path):
    (tmp_path / "thesis.tex").touch()
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="holds files and no run"):
            open_run(tmp_path, run_record(CONFIG, 0), resume=False, overwrite=overwrite)
    with pytest.raises(ValueError, match="is a file"):
        open_run(tmp_path / "thesis.tex", run_record(CONFIG, 0), resume=False, overwrite=False)


def test_a_damaged_record_is_named(folder):
    (folder / "metrics.json").write_text('{"rows": [')
    with pytest.raises(ValueError, match="metrics.json is damaged"):
        open_run(folder, run_record(CONFIG, 0), resume=True, overwrite=False)


def test_differences_are_named_by_their_path():
    assert list(differences(dict(a=1, b=dict(c=2, d=3)), dict(a=1, b=dict(c=4), e=5))) == [
        "b.c was 2, is 4",
        "b.d was 3, is 'absent'",
        "e was 'absent', is 5",
    ]


def test_the_table_fits_a_terminal_and_states_its_recipe(capsys):
    rows = [row("super_resolution", i, 20.0 + i) for i in range(3)]
    print_table(Console(width=80), rows, dict(super_resolution=dict(sigma=0.05)), 100, 8)
    text = capsys.readouterr().out
    for words in ("super resolution", "n = 3, σ = 0.05", "21.00 ± 1.00", "0.600 ± 0.000", "mean of 8", "PSNR (dB)"):
        assert words in text
    assert "…" not in text
    measured = [{k: v for k, v in line.items() if "psnr" not in k and "ssim" not in k} for line in rows]
    print_table(Console(width=80), measured, dict(super_resolution=dict(sigma=0.05)), 100, 8)
    assert "PSNR / SSIM" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "place"),
    [
        ("blur", "blur"),
        ("dps/blur", "dps/blur"),
        ("a.b:make", "a.b/make"),
        ("../x", "_/x"),
        ("/etc", "_/etc"),
        ("", "_"),
    ],
)
def test_a_task_has_a_folder_inside_that_of_the_run(task, place, tmp_path):
    assert task_folder(tmp_path, task) == tmp_path / place


def test_overwriting_removes_the_folders_of_recipes(tmp_path):
    record = run_record(dict(tasks={"dps/blur": dict(sigma=0.05)}), 0)
    open_run(tmp_path, record, resume=False, overwrite=False)
    folder = task_folder(tmp_path, "dps/blur")
    folder.mkdir(parents=True)
    write_arrays(folder / "operator.npz", dict(kernel=np.ones(3)))
    assert (np.load(folder / "operator.npz")["kernel"] == 1).all()
    (tmp_path / "mine.txt").touch()
    open_run(tmp_path, record, resume=False, overwrite=True)
    assert not folder.exists() and (tmp_path / "mine.txt").exists()
