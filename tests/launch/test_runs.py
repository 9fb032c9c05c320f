import json
import math

import ml_collections
import numpy as np
import pytest

from launch.results import read_rows, task_folder, write_metrics
from launch.runs import differences, former_run, open_run, read_json, run_record, write_json

FAST = True

CONFIG = ml_collections.ConfigDict(dict(sampler=dict(calls=10), tasks=dict(blur=dict(sigma=0.05, box=(1, 2)))))
WRITES = ["dps/blur", "blur", "*.csv", "sheet.png"]
ROW = dict(task="blur", index=0, image="i 0", psnr_mean=20.0, seconds=2.0)


def opened(folder, seed=0, config=CONFIG, **flags):
    return open_run(folder, run_record("restore", config, seed), WRITES, **flags)


@pytest.fixture
def folder(tmp_path):
    assert opened(tmp_path / "run") is False
    return tmp_path / "run"


def test_the_record_says_what_was_run(folder):
    record = read_json(folder / "config.json")
    assert record["config"]["tasks"]["blur"] == dict(sigma=0.05, box=[1, 2]) and record["seed"] == 0
    assert {"python", "pgm_jax", "jax", "numpy"} <= record["versions"].keys()
    assert record["device"]["platform"] == "cpu" and record["command"] and record["kind"] == "restore"


def test_a_folder_with_a_run_is_refused(folder):
    write_metrics(folder, [ROW])
    with pytest.raises(ValueError, match="already holds a run.*--resume.*--overwrite.*--output"):
        opened(folder)
    with pytest.raises(ValueError, match="give one of them"):
        opened(folder, resume=True, overwrite=True)


def test_a_run_without_a_result_is_replaced(folder):
    assert opened(folder, seed=1) is False and read_json(folder / "config.json")["seed"] == 1


def test_a_run_is_resumed_and_another_one_is_not(folder):
    write_metrics(folder, [ROW])
    assert opened(folder, resume=True) is True and read_rows(folder) == [ROW]
    other = CONFIG.copy_and_resolve_references()
    other.sampler.calls = 20
    with pytest.raises(ValueError, match="config.sampler.calls was 10, is 20; seed was 0, is 1"):
        opened(folder, seed=1, config=other, resume=True)


def test_overwriting_removes_what_the_run_wrote_and_nothing_else(folder):
    write_metrics(folder, [ROW])
    for name in ("blur/0000", "dps/blur/0000", "notes"):
        (folder / name).mkdir(parents=True)
    for name in ("sheet.png", "mine.png", "../outside.csv"):
        (folder / name).touch()
    assert opened(folder, seed=1, overwrite=True) is False
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "dps", "mine.png", "notes"]
    assert read_json(folder / "config.json")["seed"] == 1


def test_a_record_that_was_changed_does_not_lead_out_of_the_folder(folder):
    outside = folder.parent / "outside.csv"
    outside.touch()
    record = read_json(folder / "config.json")
    (folder / "link").symlink_to(folder.parent)
    write_json(folder / "config.json", record | dict(writes=["../outside.csv", str(outside), ".", "./", "", "link/*"]))
    opened(folder, overwrite=True)
    assert outside.exists() and (folder / "config.json").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path, folder):
    with pytest.raises(ValueError, match="holds a run of launch.restore; give another folder"):
        former_run(folder, "train")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").touch()
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="holds files but no run"):
            opened(tmp_path / "thesis", overwrite=overwrite)
    with pytest.raises(ValueError, match="is a file"):
        opened(tmp_path / "thesis" / "thesis.tex")


def test_a_damaged_record_is_named(folder):
    (folder / "metrics.json").write_text('{"rows": [')
    with pytest.raises(ValueError, match="metrics.json is damaged"):
        opened(folder)


def test_json_has_null_for_what_is_not_finite(tmp_path):
    write_json(tmp_path / "a.json", dict(a=math.nan, b=[np.float32(0.5), np.inf], c=(np.int64(1), "σ")))
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == dict(a=None, b=[0.5, None], c=[1, "σ"])
    assert not list(tmp_path.glob("*.part"))


def test_differences_are_named_by_their_path():
    assert list(differences(dict(a=1, b=dict(c=2, d=3)), dict(a=1, b=dict(c=4), e=5))) == [
        "b.c was 2, is 4",
        "b.d was 3, is 'absent'",
        "e was 'absent', is 5",
    ]


@pytest.mark.parametrize(
    ("task", "place"),
    [("dps/blur", "dps/blur"), ("a.b:make", "a.b/make"), ("../x", "_/x"), ("/etc", "_/etc"), ("", "_")],
)
def test_a_task_has_a_folder_inside_that_of_the_run(task, place, tmp_path):
    assert task_folder(tmp_path, task) == tmp_path / place
