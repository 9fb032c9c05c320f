"""Of what cannot be, every command says in few lines what and why; it ends with a status and leaves nothing.

`python tests/launch/test_bad_input.py COMMAND FOLDER` runs all rows of a command in one process, since each start
costs seconds.
"""

import contextlib
import functools
import io
import json
import os
import pathlib
import runpy
import shutil
import signal
import subprocess
import sys
import time
import traceback

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "launch"))

from bad_inputs import ROWS  # noqa: E402

SECONDS, LINES = 10, 4  # of an answer, at most


class Late(BaseException):
    """A row took longer than it may."""


def answer(command: str, arguments: list[str], plain: set[str]) -> tuple[object, str]:
    """The exit status of a command, and all that it says; `plain` are the flags that no command defines."""
    from absl import flags

    for name in [name for name in sys.modules if name.split(".")[0] in ("launch", "mine", "fails", "broken", "leaves")]:
        del sys.modules[name]
    for name in set(flags.FLAGS) - plain:
        delattr(flags.FLAGS, name)
    flags.FLAGS.unparse_flags()
    sys.argv, said = [f"launch.{command}", *arguments], io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    signal.alarm(SECONDS)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            runpy.run_module(f"launch.{command}", run_name="__main__", alter_sys=True)
            status = 0
        except SystemExit as error:
            status = error.code
        except BaseException:
            status = traceback.format_exc()
        finally:
            signal.alarm(0)
    said.flush()
    return status, said.buffer.getvalue().decode()


def listing(folder: pathlib.Path) -> dict[str, object]:
    """What is in a folder: of a file its size and time."""
    stats = {path: path.lstat() for path in folder.rglob("*")}
    return {
        str(path.relative_to(folder)): path.is_dir() or (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()
    }


def collect(command: str, folder: pathlib.Path) -> dict[str, tuple[object, str, float, list[str]]]:
    """Status, words, seconds and what was left behind, by the row."""
    from absl import flags

    from pgm_jax import evaluation
    from pgm_jax.training import loop

    def computes(*_, **__):
        raise AssertionError("it computes")

    def late(*_):
        raise Late

    evaluation.restore_problem = loop.train = computes
    signal.signal(signal.SIGALRM, late)
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(folder), str(ROOT)]
    os.chdir(folder)
    plain, answers, before = set(flags.FLAGS), {}, listing(folder)
    for row in ROWS[command]:
        start, places = time.process_time(), {"{f}": str(folder), "{out}": str(folder / "out")}
        arguments = row.arguments
        for name, place in places.items():
            arguments = [argument.replace(name, place) for argument in arguments]
        status, said = answer(command, arguments, plain)
        changed = sorted({name for name, _ in before.items() ^ listing(folder).items()})
        shutil.rmtree(folder / "out", ignore_errors=True)
        before = listing(folder)
        answers[row.name] = (status, said, time.process_time() - start, changed)
    return answers


if __name__ == "__main__":
    found = collect(sys.argv[1], pathlib.Path(sys.argv[2]))
    print("ANSWERS", json.dumps(found))
    sys.exit()


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What a command answers to its rows; each command is run once."""

    @functools.cache
    def of(command):
        from bad_files import write_files

        write_files(folder := tmp_path_factory.mktemp(command))
        done = subprocess.run(
            [sys.executable, __file__, command, str(folder)],
            cwd=ROOT,
            env=os.environ | dict(TFDS_DATA_DIR=str(folder / "sets")),
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.partition("ANSWERS ")[2])

    return of


@pytest.mark.parametrize(
    ("command", "row"), [pytest.param(c, row, id=f"{c}-{row.name}") for c, rows in ROWS.items() for row in rows]
)
def test_it_is_told_in_a_few_lines_and_leaves_nothing(command, row, answers):
    status, said, _, changed = answers(command)[row.name]
    text = said + (status if isinstance(status, str) else "")
    missing = [word for word in row.words if word not in text]
    assert not missing and "Traceback" not in text and status not in (0, None), text
    assert len(text.strip().splitlines()) <= LINES, text
    assert not changed


def test_names_of_rows_are_different():
    for rows in ROWS.values():
        assert len({row.name for row in rows}) == len(rows)
    assert sum(map(len, ROWS.values())) >= 200


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "toys").glob("*.py")), ids=lambda path: path.stem)
def test_what_the_experiments_come_with_is_fine(path):
    from launch.experiments.settings import check_settings

    check_settings(runpy.run_path(str(path))["get_config"]())
