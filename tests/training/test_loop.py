"""Runs that are killed, stopped, poisoned, damaged and lengthened end at the bits of the one that was left alone."""

import functools
import json
import os
import shutil
import signal
import time
from typing import Any

import jax
import numpy as np
import optax
import pytest
import toy_training
from flax import linen as nn
from PIL import Image
from toy_training import (
    OBJECTIVE,
    SHAPE,
    SMALLEST,
    SMALLEST_DESCRIPTION,
    STEPS,
    read_until,
    same_bits,
    scalars,
    start,
    toy_batches,
)

from pgm_jax.networks import Preconditioned
from pgm_jax.schedules import VE
from pgm_jax.training import checkpoint, loop
from pgm_jax.training.checkpoint import CheckpointError
from pgm_jax.training.loop import Cadence, Interrupted, NotFiniteError, _preview
from pgm_jax.training.sharding import device_mesh

pytestmark = pytest.mark.usefixtures("quick_keys")

EVERY_FIVE = Cadence(log=5, save=8, sheet=0)
run = functools.partial(toy_training.run, network=SMALLEST)


class Typed(nn.Module):
    """An affine map of each pixel that is computed in a type of one's own."""

    dtype: Any

    @nn.compact
    def __call__(self, x, c):
        return nn.Dense(1, dtype=self.dtype)(x).astype(x.dtype)


def signalled(dataset, index, number):
    """The same batches; as that of an index is made, this process gets a signal."""
    left = [number]

    def send(i, batch):
        if i == index and left:
            os.kill(os.getpid(), left.pop())
        return batch

    return dataset.map_with_index(send)


def poisoned(dataset, index):
    return dataset.map_with_index(lambda i, batch: np.full_like(batch, np.nan) if i == index else batch)


def logged(folder):
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def saved(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit())


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run that nothing happens to: its folder and its last state."""
    folder = tmp_path_factory.mktemp("alone")
    return folder, run(folder)


@pytest.fixture
def finished(alone, tmp_path):
    return shutil.copytree(alone[0], tmp_path / "finished")


def test_what_is_saved_is_the_last_state(alone):
    folder, state = alone
    assert int(state.step) == STEPS and {20, 24} <= set(saved(folder)) and logged(folder) == list(range(1, 25))
    with checkpoint.open_checkpoints(folder / "checkpoints") as checkpoints:
        target = toy_training.target_on(device_mesh(), network=SMALLEST)
        step, found, _ = checkpoint.load(checkpoints, target, SMALLEST_DESCRIPTION)
    assert step == STEPS and same_bits(found, state)


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    """The last state of the same run of a U-Net, which is what the processes below train."""
    return toy_training.run(tmp_path_factory.mktemp("unet"))


@pytest.mark.parametrize("signals", [(signal.SIGKILL,), (signal.SIGTERM, signal.SIGINT)])
def test_killed_and_resumed_is_bitwise_the_same(unet, tmp_path, signals, capsys):
    """By kill -9 in the middle, and by a second signal while the first is still to be heeded."""
    with start("train", tmp_path, 14) as child:
        read_until(child, "step 14/24")
        time.sleep(0.5)  # a signal that comes just before a thread waits is heard after the wait
        for number in signals:
            child.send_signal(number)
            if number != signals[-1]:
                read_until(child, "finishing the step and saving; send it again to stop immediately")
                child.send_signal(number)  # as `timeout` does; this is not the second one
                time.sleep(1.5)
        child.communicate()
    assert child.returncode == -signals[-1]
    assert saved(tmp_path)[-1] in (8, 12) and logged(tmp_path) == list(range(1, 15))
    assert same_bits(toy_training.run(tmp_path), unet)
    assert "Going on from step" in capsys.readouterr().out and logged(tmp_path) == list(range(1, 25))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_a_signal_and_resumed_is_bitwise_the_same(alone, tmp_path, number, capfd):
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(Interrupted) as stop:
        run(tmp_path, signalled(toy_batches(tmp_path), 13, number), cadence=EVERY_FIVE)
    assert stop.value.number == number
    stopped, said = int(stop.value.state.step), capfd.readouterr()
    name = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}[number]
    assert 0 < stopped < STEPS and saved(tmp_path)[-1] == stopped and f"{name}: finishing the step" in said.err
    assert f"Stopped by {name} at step {stopped} of 24, which is saved; start again to go on." in said.out
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before
    assert same_bits(run(tmp_path, cadence=EVERY_FIVE), alone[1])
    whole = tmp_path / "whole"
    run(whole, cadence=EVERY_FIVE)
    assert scalars(tmp_path) == scalars(whole)


def test_a_damaged_checkpoint_costs_its_steps_and_no_more(alone, finished, caplog):
    (finished / "checkpoints" / "24" / "state" / "manifest.ocdbt").write_bytes(b"")
    assert same_bits(run(finished), alone[1])
    assert "Checkpoint 24 cannot be read" in caplog.text and "checkpoints is 20." in caplog.text
    assert saved(finished)[-1] == 24 and logged(finished) == list(range(1, 25))


def test_a_finished_run_does_nothing_and_says_so(alone, finished, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    assert same_bits(run(finished), alone[1])
    assert f"The run in {finished} has taken 24 steps of 24: nothing is left to do." in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()} == before


def test_a_finished_run_goes_on_when_given_more_steps(alone, tmp_path):
    run(tmp_path, steps=10)
    assert saved(tmp_path)[-1] == 10
    assert same_bits(run(tmp_path), alone[1])


def test_a_poisoned_batch_is_named_and_not_saved(tmp_path):
    dataset = poisoned(toy_batches(tmp_path), 9)
    for _ in range(2):  # the second time from the checkpoint
        with pytest.raises(
            NotFiniteError, match=r"Step 10 is not finite: its loss is nan.*Nothing was saved from it on"
        ):
            run(tmp_path, dataset, cadence=Cadence(log=7, save=4, sheet=0))
        assert saved(tmp_path)[-1] == 8 and logged(tmp_path) == [4, 7, 8]


@pytest.mark.parametrize("loss", ["the folder", "its files", "the record"])
def test_steps_without_a_checkpoint_are_not_taken_again(finished, loss):
    """The scalars and the sheets stay what they are."""
    checkpoints = finished / "checkpoints"
    if loss == "the folder":
        shutil.rmtree(checkpoints)
    for step in checkpoints.glob("*"):
        if loss == "its files":
            shutil.rmtree(step)
        else:
            (step / "record" / "metadata").write_bytes(b"")
            (step / "metrics" / "metrics").write_bytes(b"")
    before = (finished / "metrics.jsonl").read_bytes()
    for _ in range(2):
        with pytest.raises(
            CheckpointError, match="has taken steps, and no sound checkpoint is there.*Put checkpoints back"
        ):
            run(finished)
    assert (finished / "metrics.jsonl").read_bytes() == before


def test_a_second_training_in_a_folder_is_refused(finished):
    with checkpoint.open_checkpoints(finished / "checkpoints"), pytest.raises(ValueError, match="in use by process"):
        run(finished)


def test_the_folder_of_another_network_is_refused(finished):
    with pytest.raises(CheckpointError, match=r"network.std: 0.5 in the checkpoint, 0.25 now"):
        run(finished, network=Preconditioned(SMALLEST.module, SHAPE, std=0.25))


def test_another_kind_of_optimizer_is_refused_and_another_number_is_not(tmp_path):
    """The number makes the parameters explode, which are not saved."""
    run(tmp_path, steps=4)
    with pytest.raises(CheckpointError, match="optimizer: .*ScaleByAdamState.* in the checkpoint, .*TraceState.* now"):
        run(tmp_path, optimizer=optax.sgd(1e-3, momentum=0.9))
    with pytest.raises(NotFiniteError, match="Step 5 is not finite.*that of the parameters after it inf"):
        run(tmp_path, optimizer=optax.adam(1e30), cadence=Cadence(log=1, save=1, sheet=0))
    assert saved(tmp_path) == [0, 4]


def test_a_run_is_resumed_in_another_type(tmp_path):
    """As the words about NaNs advise; the parameters are in float32 either way."""
    half, single = (Preconditioned(Typed(np.dtype(name)), SHAPE) for name in ("bfloat16", "float32"))
    state = run(tmp_path, network=half, steps=4)
    assert same_bits(run(tmp_path, network=single, steps=4), state)


def test_folders_are_of_this_machine_and_keys_are_keys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="is an address .*mount the bucket"):
        run("gs://bucket/run", toy_batches(tmp_path / "images"))
    with pytest.raises(TypeError, match="key"):
        run(tmp_path, key=3)
    assert [path.name for path in tmp_path.iterdir()] == ["images", "images.npz"]


def test_a_run_is_one_program(tmp_path):
    traces = []

    def counted(residual, step, variance):
        traces.append(residual)
        return OBJECTIVE(residual, step, variance)

    run(tmp_path, objective=counted, steps=6)
    assert len(traces) == 2  # when the step is built, where its shapes are checked, and in the program


def test_without_a_terminal_there_is_a_line_at_each_log(tmp_path, capsys):
    run(tmp_path, steps=6, cadence=Cadence(log=2, save=6, sheet=0))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 2/6", "step 4/6", "step 6/6"]
    assert all(word in lines[-1] for word in ("loss ", " images/s", "left 0:00:00"))


def test_on_a_terminal_there_is_a_bar(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with loop._progress(10, 0) as show:
        show(5, 0.25, 80.0, 0.5, dict(psnr_at_25=28.125))
    text = capsys.readouterr().out
    assert (
        "5/10" in text
        and "0.2500" in text
        and "psnr at 25 28.12 dB" in text
        and "80 images/s" in text
        and "\x1b[" in text
    )


def test_sheets_are_drawn_at_their_steps(tmp_path):
    preview = np.linspace(-1.0, 1.0, 2 * 64, dtype=np.float32).reshape(2, 8, 8, 1)
    run(tmp_path, steps=5, cadence=Cadence(log=5, save=5, sheet=2), preview=preview)
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == [f"000000{i}.png" for i in (2, 4, 5)]
    assert Image.open(tmp_path / "sheets" / "0000005.png").size == (2 * (2 * 10 + 2), 2 * (9 * 10 + 2))


def test_a_preview_shows_images_then_noisy_and_restored_ones():
    params = jax.jit(SMALLEST.init)(jax.random.key(0))
    images = np.full((1, 8, 8, 1), 0.2, np.float32)
    rows = _preview(SMALLEST, params, images, VE(1e-4, 2e-4))  # next to no noise: all rows are the image
    assert rows.shape == (9, 1, 8, 8, 1) and np.abs(rows - 0.2).max() < 0.005
    _, noisy, restored, *_ = _preview(SMALLEST, params, images, VE(3.0, 4.0))
    assert noisy.std() > 2 > restored.std()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(steps=0), "steps is 0"),
        (dict(ema_decay=1.5), "ema_decay is 1.5"),
        (dict(mesh=device_mesh(jax.devices()[:3])), "3 devices do not divide a batch of 8 images"),
    ],
)
def test_errors(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        run(tmp_path, **changes)


@pytest.mark.parametrize("numbers", [dict(log=0), dict(save=0), dict(sheet=-1)])
def test_a_cadence_is_of_whole_steps(numbers):
    with pytest.raises(ValueError, match="log and save are at least 1"):
        Cadence(**numbers)


def test_held_out_images_are_denoised_at_every_checkpoint(tmp_path):
    held_out = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 1)).astype(np.float32)
    run(tmp_path, steps=4, cadence=Cadence(log=1, save=2, sheet=0), held_out=held_out)
    scalars = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    names = {"psnr_at_15", "psnr_at_25", "psnr_at_50"}
    assert [names <= each.keys() for each in scalars] == [False, True, False, True]
    assert scalars[3]["psnr_at_15"] > scalars[3]["psnr_at_50"]
