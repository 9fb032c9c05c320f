"""Sets on disk are data: no class that their files name is imported, however the set is asked for."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds
from absl import flags
from absl.testing import flagsaver
from security.measured import ROOT

from launch import evaluate
from pgm_jax.training.data import open_source
from pgm_jax.training.image_sets import prepare_set

SHAPE = (32, 32, 1)
FOREIGN = "downloaded.payload.Feature"
OWN = "tensorflow_datasets.core.features."
PAYLOAD = "import pathlib\npathlib.Path(__file__).with_name('it_ran').touch()\nclass Feature: pass\n"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The folder of a true set."""
    folder, random = tmp_path_factory.mktemp("prepared"), np.random.default_rng(0)
    images = {name: random.integers(0, 256, (4, 28, 28), np.uint8) for name in ("train", "test")}
    np.savez(folder / "fashion.npz", **images)
    return prepare_set("fashion_mnist", folder, folder / "fashion.npz").path


@pytest.fixture
def place(prepared, tmp_path, monkeypatch):
    """A current folder with a downloaded set, whose script can be imported from here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield laid(prepared, tmp_path / "downloaded")
    for name in [name for name in sys.modules if name.partition(".")[0] == "downloaded"]:
        del sys.modules[name]


def laid(prepared, folder):
    """A copy of the set with a script beside it, and scripts of the names of the folder and of the set."""
    shutil.copytree(prepared, folder)
    for name in ("payload", "__init__", folder.name, "fashion_mnist", "builder"):
        (folder / f"{name}.py").write_text(PAYLOAD)
    return folder


def changed(folder, change, file="features.json"):
    told = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(change(told) or told))


def whole(told):
    told["pythonClassName"] = FOREIGN


def nothing_ran(folder):
    return not list(folder.rglob("it_ran")) and "downloaded.payload" not in sys.modules


def sequence(name, length=3):
    feature = dict(pythonClassName=name, image={})
    for _ in range(length):
        feature = dict(pythonClassName=f"{OWN}sequence_feature.Sequence", sequence=dict(feature=feature))
    return feature


def within(feature):
    return lambda told: told["featuresDict"]["features"].update(extra=feature)


def legacy(name):
    return dict(type=f"{OWN}features_dict.FeaturesDict", content=dict(image=dict(type=name, content={})))


def told_in_text(contents):
    return dict(pythonClassName=f"{OWN}features_dict.FeaturesDict", jsonFeature=dict(json=json.dumps(contents)))


# Where a description names a class.
CLASSES = {
    "of all features": whole,
    "of one feature": lambda told: told["featuresDict"]["features"]["image"].update(pythonClassName=FOREIGN),
    "of a feature of a feature": within(sequence(FOREIGN)),
    "in the other spelling": within(dict(python_class_name=FOREIGN, image={})),
    "as TFDS once wrote it": lambda told: legacy(FOREIGN),
    "in a text within": within(told_in_text(legacy(FOREIGN)["content"])),
    "in a text within a text": within(told_in_text(dict(a=" " + json.dumps(legacy(FOREIGN))))),
    "of Python": within(dict(pythonClassName="antigravity.Feature", image={})),
    "of TFDS, but no feature": within(dict(pythonClassName="tensorflow_datasets.scripts.cli.main.Feature", image={})),
    "of the features, upwards": within(dict(pythonClassName=f"{OWN}..downloaded.payload.Feature", image={})),
    "of the features, with a line": within(dict(pythonClassName=f"{OWN}image_feature.Image\n", image={})),
    "of the features, in name only": within(dict(pythonClassName="tensorflow_datasets.core.features_x.Y", image={})),
    "of no module": within(dict(pythonClassName="payload", image={})),
    "of nothing": within(dict(pythonClassName="", image={})),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_not_imported(name, place):
    changed(place, CLASSES[name])
    with pytest.raises(
        ValueError, match="write the set with those, or give its images as a folder or an .npz"
    ) as refusal:
        open_source("./downloaded", "train", SHAPE)
    words = str(refusal.value)
    assert "downloaded/features.json names the class" in words and len(words.splitlines()) == 1
    assert nothing_ran(place)


def test_without_the_check_it_would_be(place):
    changed(place, whole)
    with pytest.raises(ValueError, match="Unrecognized FeatureConnector"):
        tfds.builder_from_directory(place)
    assert not nothing_ran(place)


def test_nor_is_a_class_that_is_named_twice_or_beside_the_features(place):
    text = (place / "features.json").read_text()
    (place / "features.json").write_text(text.replace("{", f'{{"pythonClassName": "{FOREIGN}", ', 1))
    with pytest.raises(ValueError, match=r"features\.json names the class 'downloaded\.payload\.Feature'"):
        open_source("./downloaded", "train", SHAPE)
    (place / "features.json").unlink()
    changed(
        place, lambda told: told.update(features=json.loads(text) | dict(pythonClassName=FOREIGN)), "dataset_info.json"
    )
    with pytest.raises(ValueError, match=r"dataset_info\.json names the class 'downloaded\.payload\.Feature'"):
        open_source("./downloaded", "train", SHAPE)
    assert nothing_ran(place)


def test_a_script_beside_the_data_is_not_imported(place):
    """Not even where the description says that the set was made by it."""
    changed(
        place, lambda told: told.update(moduleName="downloaded.payload", description="{words}"), "dataset_info.json"
    )
    assert len(open_source("./downloaded", "train", SHAPE)) == 4
    assert nothing_ran(place)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is damaged or another file"),
        (b"\xff\xfe{\0}\0", "is damaged or another file"),
        (b"[" * 100_000, "is damaged or another file"),
        (b"{}" + b" " * 2**22, "takes more than 4194304 bytes"),
        (b"{}", "cannot open"),
        (b"[]", "cannot open"),
        (b'{"featuresDict": 3}', "cannot open"),
        (json.dumps(dict(pythonClassName=f"{OWN}nowhere.Feature", image={})).encode(), "cannot open"),
        (
            json.dumps(dict(pythonClassName=f"{OWN}text_feature.Text", text={})).encode(),
            "no feature 'image'|cannot open",
        ),
    ],
)
def test_a_damaged_description_is_told_in_words(text, words, place):
    (place / "features.json").write_bytes(text)
    with pytest.raises(ValueError, match=words) as refusal:
        open_source("./downloaded", "train", SHAPE)
    assert "downloaded" in str(refusal.value) and len(str(refusal.value).splitlines()) <= 4
    assert nothing_ran(place)


def of_splits(**entries):
    return lambda told: [split.update(entries) for split in told["splits"]] and None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (of_splits(shardLengths=[str(10**15)]), "says that it has 1000000000000000 images"),
        (of_splits(shardLengths=["1"] * 200_000), "names 400000 files of records, and there are fewer"),
        (of_splits(shardLengths=["1", "1"]), "cannot be read"),
        (of_splits(shardLengths=["-1"]), "cannot be read"),
        (of_splits(filepathTemplate="../{DATASET}"), "cannot be read"),
        (lambda told: told.update(fileFormat="parquet"), "cannot be read"),
        (lambda told: told.update(fileFormat="../payload"), "cannot open"),
        (lambda told: told.update(name="../../downloaded"), "cannot be read"),
        (lambda told: told.update(version="payload"), "cannot open"),
    ],
)
def test_files_that_are_not_there_are_told_in_words(change, words, place):
    changed(place, change, "dataset_info.json")
    begin = time.process_time()
    with pytest.raises(ValueError, match=words) as refusal:
        open_source("./downloaded", "train", SHAPE)
    assert "downloaded" in str(refusal.value) and len(str(refusal.value).splitlines()) == 1
    assert nothing_ran(place) and time.process_time() - begin < 5


@pytest.mark.parametrize("kind", ["text_feature.Text", "tensor_feature.Tensor"])
def test_a_feature_that_is_no_image_is_told_in_words(kind, place):
    settings = dict(text={}, tensor=dict(shape=dict(dimensions=["28", "28", "1"]), dtype="uint8", encoding="zlib"))
    content = kind.partition("_")[0]
    feature = {"pythonClassName": OWN + kind, content: settings[content]}
    changed(place, lambda told: told["featuresDict"]["features"].update(image=feature))
    with pytest.raises(ValueError, match="downloaded cannot be read"):
        open_source("./downloaded", "train", SHAPE)


def evaluated(*arguments):
    """What `python -m launch.evaluate` says to its flags."""
    with flagsaver.flagsaver(), pytest.raises((ValueError, SystemExit)) as refusal:
        flags.FLAGS(["launch", "--count=1", "--calls=1", "--samples=1", "--tasks=inpainting", *arguments])
        evaluate.main(["launch"])
    return str(refusal.value)


def test_evaluation_of_a_folder_does_not_import(place):
    changed(place, whole)
    words = evaluated("--dataset=./downloaded", "--split=train", f"--output={place.parent / 'out'}")
    assert "downloaded/features.json names the class 'downloaded.payload.Feature'" in words
    assert nothing_ran(place) and not (place.parent / "out").exists()


@pytest.mark.parametrize("parts", ["named/3.0.1", "named/small/3.0.1", "fashion_mnist/3.0.1"])
def test_evaluation_of_a_named_set_does_not_import(parts, place, prepared):
    folder = place.parent / "sets" / parts
    laid(prepared, folder)
    changed(folder, whole)
    name = parts.partition("/")[0]
    for asked in (name, f"{name}:3.0.1"):
        words = evaluated(f"--dataset={asked}", "--data_dir=sets", f"--output={place.parent / 'out'}")
        assert f"{parts}/features.json names the class 'downloaded.payload.Feature'" in words
    assert nothing_ran(place.parent)


def test_preparing_a_set_does_not_import(place, prepared):
    for name, version in (("fashion_mnist", "3.0.1"), ("mnist", "3.0.1")):
        folder = laid(prepared, place.parent / "sets" / name / version)
        changed(folder, whole)
        with pytest.raises(ValueError, match=f"{name}/{version}/features.json names the class"):
            prepare_set(name, place.parent / "sets")
    assert nothing_ran(place.parent)


@pytest.mark.parametrize("name", ["downloaded:payload", "huggingface:payload", "Downloaded", "downloaded/.."])
def test_names_that_lead_to_code_or_elsewhere_are_unknown(name, place, prepared):
    for folder in ("downloaded", "huggingface", "Downloaded"):
        laid(prepared, place.parent / "sets" / folder / "3.0.1")
    with pytest.raises(ValueError, match="TFDS knows no set"):
        open_source(name, "train", SHAPE, "sets")
    assert nothing_ran(place.parent)


def test_training_does_not_import(place):
    changed(place, whole)
    run = place.parent / "run"
    command = [sys.executable, "-m", "launch.train", f"--config.data.source={place}", f"--workdir={run}"]
    environment = os.environ | dict(PYTHONPATH=str(place.parent))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 1 and "names the class 'downloaded.payload.Feature'" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 4
    assert nothing_ran(place) and not run.exists()
