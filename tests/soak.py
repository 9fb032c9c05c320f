"""Runs that are killed, damaged, starved and doubled many times over, and what becomes of them: `make soak`.

    python tests/soak.py                    everything
    python tests/soak.py damages kills=5    these parts, one of them with another number of trials

Each part prints what it tried and what came of it; the status is 1 where anything was lost, or wrong without a word.
"""

import collections
import contextlib
import functools
import logging
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

if __name__ == "__main__":
    import conftest  # noqa: F401 - the settings of the tests
import jax  # noqa: E402
import toy_training  # noqa: E402
from toy_training import SMALLEST, images_file, same_bits, scalars, start  # noqa: E402

from pgm_jax.training import checkpoint  # noqa: E402
from pgm_jax.training.loop import Cadence  # noqa: E402
from pgm_jax.training.sharding import device_mesh  # noqa: E402

STEPS = 60
run = functools.partial(toy_training.run, network=SMALLEST, steps=STEPS, cadence=Cadence(log=5, save=4, sheet=0))
Part = collections.Counter[str]  # how many trials came to what; what begins with "WRONG" fails


def last_state(folder: pathlib.Path) -> tuple[int, object]:
    """The newest state of a run."""
    with checkpoint.open_checkpoints(folder / "checkpoints") as checkpoints:
        target = toy_training.target_on(device_mesh(jax.devices()[:1]), network=SMALLEST)
        found = checkpoint.load(checkpoints, target, toy_training.SMALLEST_DESCRIPTION)
    assert found is not None
    return found.step, found.state


@functools.cache
def alone() -> tuple[pathlib.Path, object]:
    """The run that nothing happens to: its folder and its last state."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="soak_alone_"))
    with quiet():
        return folder, run(folder)


def agrees(folder: pathlib.Path) -> bool:
    """Whether a finished run has the bits and the log of the one that was left alone."""
    step, state = last_state(folder)
    return step == STEPS and same_bits(state, alone()[1]) and scalars(folder) == scalars(alone()[0])


def kills(folder: pathlib.Path, count: int = 50) -> Part:
    """A training is killed at random times, in start-up and in saving too, until it is done; then the next one."""
    chance, found, number = random.Random(0), Part(), 0
    work, since = folder / "run_0", 0
    while True:
        with start("slow", work, STEPS) as child:
            if found["killed"] < count:
                if chance.random() < 0.8:
                    child.stdout.readline()  # it trains, or says from where
                    time.sleep(chance.uniform(0, 1.5))
                else:
                    time.sleep(chance.uniform(0, 4))
                child.kill()
            said = child.communicate()[0]
        if child.returncode == -signal.SIGKILL:
            found["killed"] += 1
            since += 1
            continue
        if child.returncode:
            print(said)
        found["resumed to the same bits and log" if agrees(work) else "WRONG: other bits or log"] += since
        if found["killed"] >= count:
            return found
        number += 1
        work, since = folder / f"run_{number}", 0


def damaged(path: pathlib.Path, how: str, chance: random.Random) -> None:
    """Damage a file in one of the ways."""
    data = path.read_bytes()
    place = chance.randrange(max(len(data), 1))
    if how == "delete":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "truncate":
        path.write_bytes(data[:place])
    elif how == "flip" and data:
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :])
    elif how == "zeroed page":
        begin = place // 4096 * 4096
        path.write_bytes(data[:begin] + bytes(len(data[begin : begin + 4096])) + data[begin + 4096 :])


def damages(folder: pathlib.Path, count: int = 60) -> Part:
    """A file of the newest checkpoint, or of all, is damaged; the run is lengthened or refused, never wrong."""
    chance, found = random.Random(1), Part()
    source = folder / "source"
    with quiet():
        run(source, steps=40)
    files = sorted(path for path in (source / "checkpoints").rglob("*") if path.is_file())
    newest = max(int(path.relative_to(source / "checkpoints").parts[0]) for path in files)
    of_newest = [path for path in files if path.is_relative_to(source / "checkpoints" / str(newest))]
    for trial in range(count):
        how = ("delete", "empty", "truncate", "flip", "zeroed page")[trial % 5]
        work = folder / f"damage_{trial}"
        shutil.copytree(source, work)
        victims = [of_newest[trial // 5 % len(of_newest)]] if trial % 6 else files  # all: none is left to fall back to
        for path in victims:
            damaged(work / path.relative_to(source), how, chance)
        before = (work / "metrics.jsonl").read_bytes()
        try:
            with quiet():
                run(work)
        except ValueError as error:  # a refusal, in words, where nothing sound is left
            right = victims == files and (work / "metrics.jsonl").read_bytes() == before and str(work) in str(error)
            found["clear refusals where all were damaged" if right else f"WRONG: {error}"] += 1
            continue
        found["the same bits and log" if agrees(work) else f"WRONG: {how} {victims[0]}"] += 1
        shutil.rmtree(work)
    return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing on the output, nor warnings of what is expected."""
    logging.disable(logging.WARNING)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
    logging.disable(logging.NOTSET)


def command(name: str, folder: pathlib.Path, *more: str) -> list[str]:
    """One of the commands at toy size; its images and prior lie in `folder`."""
    small = dict(channels=(8,), blocks=(1,), attention=(False,), embedding=16)
    train = dict(steps=24, batch_size=8, warmup_steps=4, log_every=5, save_every=4, sheet_every=24)
    settings = [f"--config.network.unet.{k}={v}" for k, v in small.items()]
    settings += [f"--config.train.{k}={v}" for k, v in train.items()]
    settings += ["--config.data.image_shape=(8,8,1)", f"--config.data.source={images_file(folder)}"]
    flags = ["--tasks=denoising", f"--prior={folder / 'prior.npz'}", "--samples=1", "--calls=4", "--batch=1"]
    flags += [f"--dataset={images_file(folder)}", "--split=train", "--config.tasks.denoising.sigma=0.1"]
    return [sys.executable, "-m", f"launch.{name}", *(settings if name == "train" else flags), *more]


def output(name: str, place: pathlib.Path) -> str:
    """The flag that names the folder of a command."""
    return f"--{'workdir' if name == 'train' else 'output'}={place}"


def begun(line: list[str]) -> subprocess.Popen[str]:
    """A command in a process of its own; its errors come with its output."""
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(line: list[str]) -> tuple[int, str]:
    """The status and the words of a command."""
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def prepare(folder: pathlib.Path) -> None:
    """Images and a prior for the commands."""
    status, said = ended(command("train", folder, output("train", folder / "first")))
    assert status == 0, said
    shutil.copy(folder / "first" / "prior.npz", folder / "prior.npz")


def in_words(status: int, said: str, *words: str) -> bool:
    """Whether a command failed in few lines that hold the words."""
    errors = [line for line in said.splitlines() if line.startswith("launch.")]
    return status == 1 and "Traceback" not in said and len(errors) == 1 and all(word in said for word in words)


class NoDisk(Exception):
    """This process may not mount one."""


@contextlib.contextmanager
def small_disk(place: pathlib.Path) -> Iterator[None]:
    """A disk of 4 MiB at a folder."""
    place.mkdir(parents=True)
    if os.name != "posix" or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]).returncode:
        raise NoDisk
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def starved(folder: pathlib.Path) -> Part:
    """Every command on a disk that is full, on one that is read-only, and again when there is room."""
    found = Part()
    prepare(folder)
    for name in ("train", "restore", "evaluate"):
        place = folder / f"disk_{name}"
        with small_disk(place):
            line = command(name, folder, output(name, place / "run"), *(["--count=4"] if name != "train" else []))
            filler = place / "filler"
            with contextlib.suppress(OSError), filler.open("wb") as file:
                for _ in range(4096):
                    file.write(bytes(1024))
            os.truncate(filler, filler.stat().st_size - (60_000 if name == "train" else 8_000))
            status, said = ended(line)
            told = in_words(status, said, "No space left")
            found["a full disk told in a line" if told else f"WRONG: {name} on a full disk: {said[-2000:]}"] += 1
            filler.unlink()
            status, said = ended(line)
            found["finished once there was room" if status == 0 else f"WRONG: {name} afterwards: {said[-2000:]}"] += 1
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
            status, said = ended([part.replace("/run", "/new") for part in line])
            told = in_words(status, said, "Read-only")
            found["a read-only disk told in a line" if told else f"WRONG: {name} read-only: {said[-2000:]}"] += 1
    return found


def writers(folder: pathlib.Path) -> Part:
    """Two processes of each command in one folder, started together: one works and one is refused."""
    found = Part()
    prepare(folder)
    for name in ("train", "restore", "evaluate"):
        line = command(name, folder, output(name, folder / name))
        both = [begun(line) for _ in range(2)]
        said = [child.communicate()[0] for child in both]
        statuses = sorted(child.returncode for child in both)
        refused = "is in use by process" in said[0] + said[1] or "already holds a run" in said[0] + said[1]
        right = statuses == [0, 1] and refused and "Traceback" not in said[0] + said[1]
        found["one worked, one was refused" if right else f"WRONG: {name}: {statuses} {said}"] += 1
    return found


def signals(folder: pathlib.Path) -> Part:
    """Every command stopped by each signal, and by two in a row."""
    found = Part()
    prepare(folder)
    for name in ("train", "restore", "evaluate"):
        for sent in ((signal.SIGTERM,), (signal.SIGINT,), (signal.SIGTERM, signal.SIGINT)):
            place = folder / f"{name}_{'_'.join(str(int(each)) for each in sent)}"
            long = ["--config.train.steps=100000"] if name == "train" else ["--calls=20000", "--count=60"]
            line = command(name, folder, output(name, place), *long)
            child = begun(line)
            while not (place / "config.json").exists() and child.poll() is None:
                time.sleep(0.1)
            time.sleep(4)
            for each in sent:
                child.send_signal(each)
                time.sleep(0.02 if name != "train" else 1.2)  # training takes two within a second for one
            said = child.communicate()[0]
            wanted = [128 + sent[0]] if len(sent) == 1 else [128 + sent[0], -sent[-1], 128 + sent[-1]]
            right = child.returncode in wanted and "Traceback" not in said
            right = right and not (place / "prior.npz").exists()
            words = f"WRONG: {name} {sent}: {child.returncode} {said[-1500:]}"
            found["ended with the status of its signal" if right else words] += 1
    return found


PARTS: dict[str, Callable[..., Part]] = dict(
    kills=kills, damages=damages, starved=starved, writers=writers, signals=signals
)


def main(arguments: list[str]) -> int:
    """Run the parts and print what came of each."""
    wrong = 0
    for argument in arguments or PARTS:
        name, _, count = argument.partition("=")
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            try:
                found = PARTS[name](pathlib.Path(folder), **(dict(count=int(count)) if count else {}))
            except NoDisk:
                found = Part({"left out, as only root may mount a small disk": 1})
        wrong += sum(number for words, number in found.items() if words.startswith("WRONG"))
        words = "; ".join(f"{number} {what}" for what, number in found.items())
        print(f"{name}: {words} ({time.monotonic() - began:.0f} s)", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
