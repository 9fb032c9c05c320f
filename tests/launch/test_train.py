"""The command that trains: stopped, killed and resumed; what it says of settings that cannot be.

Each start costs seconds, so the errors are collected by one process, `python tests/launch/test_train.py`.
"""

import contextlib
import io
import json
import pathlib
import runpy
import shutil
import signal
import subprocess
import sys
import time
import traceback

import jax
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from training_door import SETTINGS, newest  # noqa: E402

ANSWERS = {
    "--help": "Trains a network on clean images alone",
    "--config.train.stepz=3": 'has no setting \'stepz\'. Did you mean "steps" instead of "stepz"?',
    "--config=configs/fashion_mnist.py --config.train.stepz=3": 'Did you mean "steps"',
    "--config=configs/fashion_mnits.py": "fashion_mnits.py",
    "--config.train.steps=abc": "invalid literal for int() with base 10: 'abc'",
    "--config.train.steps=0": "config.train.steps is 0; it must be at least 1.",
    "--config.train.log_every=0": "config.train.log_every is 0",
    "--config.train.batch_size=12": "config.train.batch_size is 12; it must be a multiple of the 8 devices.",
    "--config.train.learning_rate=-1.": "config.train.learning_rate is -1.0; it must be positive",
    "--config.train.warm_share=2.": "config.train.warm_share is 2.0; it must be from 0 to 1.",
    "--config.train.ema_decay=1.": "config.train.ema_decay is 1.0; it must be from 0 to below 1.",
    "--config.train.sigma_min=20.": "config.train.sigma_min is 20.0; it must be below sigma_max",
    "--config.train.warm_up=l3": "Unknown config.train.warm_up 'l3'; did you mean 'l",
    "--config.train.sharding=fsdq": "Unknown config.train.sharding 'fsdq'; did you mean 'fsdp'",
    "--config.train.seed=-1": "seed must be in 0",
    "--config.data.source=fashion_mnits": "'fashion_mnist'",
    "--config.data.source=./nowhere": "nowhere",
    "--config.network.unet.blocks=(1,)": "config.network makes no network for images of (32, 32, 1)",
    "--config.data.image_shape=(30,30,1)": "config.network makes no network for images of (30, 30, 1)",
    "--config.network.unet.dtype=flaot": "config.network",
    "--workdir=setup.cfg": "setup.cfg is a file",
    "unexpected": "every argument is a --flag",
}


def collect(images: str, workdir: str) -> dict[str, tuple[object, str]]:
    """The exit status and all words of the command for each set of flags."""
    from absl import flags

    from launch import config
    from pgm_jax.training import loop

    def refused(*_, **__):
        raise AssertionError("it trains")

    loop.train = refused
    answers = {}
    for asked in ANSWERS:
        sys.argv = ["launch.train", f"--workdir={workdir}", f"--config.data.source={images}", *asked.split()]
        if "--config=" in asked:
            sys.argv.append(sys.argv.pop(2))
        for name in list(flags.FLAGS):
            if name.split(".")[0] in ("config", "workdir", "multi_host", "restart"):
                delattr(flags.FLAGS, name)
        flags.FLAGS.unparse_flags()
        config.define_config.cache_clear()
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                runpy.run_module("launch.train", run_name="__main__", alter_sys=True)
                status = 0
            except SystemExit as error:
                status = error.code
            except Exception:
                status = traceback.format_exc()
        answers[asked] = (status, said.getvalue())
    return answers


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    answers = collect(*sys.argv[1:])
    print("ANSWERS", json.dumps(answers))
    sys.exit()

from toy_training import images_file, read_until, same_bits, start  # noqa: E402

from pgm_jax.files import only_writer  # noqa: E402


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    command = [sys.executable, __file__, str(images_file(folder)), str(folder / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and not (folder / "run").exists(), done.stderr
    return json.loads(done.stdout.partition("ANSWERS ")[2])


@pytest.mark.parametrize("asked", ANSWERS)
def test_it_answers_in_words(answers, asked):
    status, said = answers[asked]
    text = f"{status} {said}"
    assert ANSWERS[asked] in text and "Traceback" not in text and (status != 0) == (asked != "--help")
    if asked not in ("--help", "unexpected"):
        assert len(text.strip().splitlines()) <= 4


def test_help_shows_commands_flags_and_what_is_written(answers):
    for words in (
        "python -m launch.train",
        "--workdir:",
        "--config:",
        "--data_dir:",
        "prior.npz",
        "Re-run the command to resume",
    ):
        assert words in answers["--help"][1]


def flags_of(folder, images):
    settings = SETTINGS | {"data.source": images}
    return [f"--workdir={folder}", *(f"--config.{name}={value}" for name, value in settings.items())]


def state_of(folder):
    """The newest state of a run, leaf by leaf."""
    import orbax.checkpoint as ocp

    return jax.tree.leaves(ocp.StandardCheckpointer().restore(folder / "checkpoints" / str(newest(folder)) / "state"))


def test_killed_damaged_stopped_and_resumed_is_bitwise_the_same(door, images, tmp_path, capsys):
    broken, alone = tmp_path / "broken", tmp_path / "alone"
    broken.mkdir()
    flags = flags_of(broken, images)
    with start("launch", broken, 14, *flags) as child:
        read_until(child, "step 14/24")
        child.kill()
        child.communicate()
    damaged = newest(broken)
    assert child.returncode == -signal.SIGKILL and damaged in (8, 12)
    (broken / "checkpoints" / str(damaged) / "record" / "metadata").write_bytes(b"")
    with start("launch", broken, 17, *flags) as child:
        text = read_until(child, "step 17/24")
        child.send_signal(signal.SIGINT)
        # A signal that comes just before a thread waits is heard after the wait, so its answer must not end the wait.
        time.sleep(0.5)
        (broken / "release").touch()
        text += child.communicate()[0]
    assert "Ctrl-C: finishing the step" in text
    stopped = newest(broken)
    assert child.returncode == 130 and f"Stopped by Ctrl-C at step {stopped} of 24, which is saved" in text
    assert 17 <= stopped < 24 and f"{stopped} of 24 steps; the averaged weights are in" in text
    assert f"Checkpoint {damaged} cannot be read" in text and f"Going on from step {damaged - 4} of 24" in text
    assert "orbax" not in text and "Traceback" not in text
    assert (broken / "unfinished_prior.npz").exists() and not (broken / "prior.npz").exists()

    door(broken, images)
    said = capsys.readouterr().out
    assert f"Going on from step {stopped} of 24" in said and "differs" not in said
    door(alone, images)
    assert not (broken / "unfinished_prior.npz").exists()
    assert newest(broken) == newest(alone) == 24 and same_bits(state_of(broken), state_of(alone))
    assert (broken / "prior.npz").read_bytes() == (alone / "prior.npz").read_bytes()
    assert (alone / "sheets" / "0000024.png").exists()


@pytest.fixture(scope="module")
def four_steps(tmp_path_factory):
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def finished(door, images, four_steps, tmp_path, capsys):
    """A copy of a finished run."""
    if not (four_steps / "prior.npz").exists():
        door(four_steps, images, **{"train.steps": 4})
    capsys.readouterr()
    return shutil.copytree(four_steps, tmp_path / "run")


def test_a_finished_run_does_nothing_and_says_so(door, images, finished, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    door(finished, images, **{"train.steps": 4})
    assert "has taken 4 steps of 4: nothing is left to do." in capsys.readouterr().out
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_it_leaves_a_prior_that_reads(finished):
    from pgm_jax.pretrained import load_prior

    prior = load_prior(finished / "prior.npz")
    assert prior.network.image_shape == (8, 8, 1) and prior.network.module.channels == (8,)
    u = np.full((8, 8, 1), 0.3, np.float32)
    np.testing.assert_array_equal(jax.jit(prior.network.apply)(prior.params, u, 0.0), u)


def test_what_changed_is_said_and_kept(door, images, finished, capsys):
    door(finished, images, **{"train.steps": 6, "train.learning_rate": 5e-4})
    said = capsys.readouterr().out
    changes = "  train.learning_rate was 0.001, is 0.0005\n  train.steps was 4, is 6"
    assert f"differs from that of the run in {finished}:\n{changes}" in said
    assert "Going on from step 4 of 6" in said and newest(finished) == 6
    record = json.loads((finished / "config.json").read_text())
    assert record["config"]["train"]["steps"] == 6 and len(record["changed"]) == 2
    assert record["changed"][1].endswith("train.steps was 4, is 6")


def test_another_network_is_refused_and_the_record_stays(door, images, finished, capsys):
    before = (finished / "config.json").read_text()
    with pytest.raises(SystemExit, match=r"network.unet.channels: \[8\] in the checkpoint, \[16\] now"):
        door(finished, images, **{"train.steps": 6, "network.unet.channels": (16,)})
    assert "network.unet.channels was [8], is [16]" in capsys.readouterr().out
    assert (finished / "config.json").read_text() == before and newest(finished) == 4


def test_a_folder_of_something_else_is_refused(door, images, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(dict(kind="restore", config=dict(tasks={}, sampler={}), seed=0)))
    with pytest.raises(SystemExit, match="holds a run of launch.restore; give another folder"):
        door(tmp_path, images)


def test_the_record_of_a_finished_run_stays_what_it_was(door, images, finished, capsys):
    before = (finished / "config.json").read_text()
    with pytest.raises(SystemExit, match="is finished, with other settings than these, and nothing was trained"):
        door(finished, images, **{"train.steps": 4, "train.learning_rate": 5e-4})
    assert "nothing is left to do" in capsys.readouterr().out
    assert json.loads((finished / "config.json").read_text()) == json.loads(before)


def test_restart_removes_the_run_that_is_there(door, images, finished, capsys):
    (finished / "notes.txt").write_text("mine")
    record = shutil.copy(finished / "config.json", finished.parent)
    shutil.rmtree(finished / "checkpoints")
    with pytest.raises(SystemExit, match=r"no sound checkpoint is there. metrics.jsonl tells of steps.*--restart"):
        door(finished, images, **{"train.steps": 4})
    assert (finished / "prior.npz").exists()
    (finished / "config.json").write_text("{")
    with pytest.raises(SystemExit, match="config.json is damaged"):  # whose notes are these?
        door(finished, images, restart=True)
    shutil.copy(record, finished / "config.json")
    door(finished, images, restart=True, **{"train.steps": 2})
    assert newest(finished) == 2 and (finished / "notes.txt").read_text() == "mine"
    assert len((finished / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_folder_in_use_is_refused(door, images, tmp_path):
    with only_writer(tmp_path / "run"), pytest.raises(SystemExit, match="run is in use by process"):
        door(tmp_path / "run", images)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_ends_it_in_words(door, images, tmp_path):
    with pytest.raises(SystemExit, match="Step 2 is not finite"):
        door(tmp_path, images, **{"train.learning_rate": 1e30, "train.warmup_steps": 1})
    assert not (tmp_path / "prior.npz").exists()


@pytest.mark.parametrize(
    ("warmup", "share", "rates"),
    [(4, 0.4, [0, 0.25, 0.5, 0.75, 1, 1, 1, 0.75, 0.5, 0.25]), (0, 0.0, [1] * 10), (10, 1.0, None)],
)
def test_the_learning_rate_rises_stays_and_falls(monkeypatch, warmup, share, rates):
    monkeypatch.syspath_prepend(ROOT)
    import ml_collections

    from launch.networks import optimizer_of

    train = runpy.run_path(str(ROOT / "configs" / "fashion_mnist.py"))["get_config"]().train
    train.update(steps=10, warmup_steps=warmup, decay_share=share, weight_decay=0.0, learning_rate=0.5)
    optimizer = optimizer_of(ml_collections.ConfigDict(train))
    params = np.zeros(1, np.float32)
    state, sizes = optimizer.init(params), []
    for _ in range(10):
        update, state = optimizer.update(np.ones(1, np.float32), state, params)  # Adam makes it the learning rate
        sizes.append(-float(update[0]) / 0.5)
    expected = rates or [step / 10 * (1 - step / 10) for step in range(10)]
    np.testing.assert_allclose(sizes, expected, rtol=1e-4, atol=1e-6)
