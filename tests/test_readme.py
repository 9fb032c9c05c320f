"""The examples of the README and of the site's pages run, with fewer network calls, and commands name what exists."""

import configparser
import importlib.util
import pathlib
import re
import runpy
import shlex

import pytest

from launch.picture_tasks import TASKS

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
FULL, FEWER = "samples=8, calls=100", "samples=8, calls=40"
PROGRAM = '--8<-- "README.md:program"'  # how a page includes the README's example


def blocks(path, language):
    """The fenced blocks of a page in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def name(path):
    return str(path.relative_to(ROOT))


def run_blocks(path, scope):
    for number, block in enumerate(blocks(path, "python")):
        exec(compile(block.replace(FULL, FEWER), f"{name(path)}, block {number}", "exec"), scope)
    return scope


@pytest.fixture(scope="module")
def program():
    """What the README's example leaves behind."""
    return run_blocks(README, {})


def test_the_readme_is_a_page():
    assert len(README.read_text().splitlines()) <= 120
    (example,) = blocks(README, "python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 10


def test_the_readme_restores(program):
    result, truth = program["result"], program["truth"]
    assert result.samples.shape == (4, 8, 32, 32, 1) and float(result.failed.max()) == 0
    assert float(program["pgm"].metrics.psnr(result.mean, truth).mean()) > 20


WITH_EXAMPLES = [path for path in PAGES[1:] if blocks(path, "python")]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=name)
def test_examples_run(path, program):
    run_blocks(path, dict(program) if PROGRAM in path.read_text() else {})


def commands(path):
    """The commands of a page as lists of words, without settings of the environment before them."""
    for block in blocks(path, "bash"):
        for line in block.replace("\\\n", "").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                del words[0]
            if words:
                yield words


def flags_of(module):
    """The flags that a command takes: those of its file and of the files of launch/ that it imports."""
    source = (ROOT / (module.replace(".", "/") + ".py")).read_text()
    found = set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', source))
    for inside, names in re.findall(r"^from launch(?:\.(\w+))? import ([\w, ]+)", source, re.MULTILINE):
        for file in [inside] if inside else names.split(", "):
            found |= flags_of(f"launch.{file}")
    return found


def config_of(words):
    """The configuration that a command reads."""
    given = [word.partition("=")[2] for word in words if word.startswith("--config=")]
    return runpy.run_path(str(ROOT / (given[0] if given else "configs/fashion_mnist.py")))["get_config"]()


def check_python(words):
    assert words[1] == "-m", words
    module, arguments = words[2], words[3:]
    assert importlib.util.find_spec(module), f"there is no {module}"
    known, config = flags_of(module), config_of(arguments)
    for argument in arguments:
        flag, _, value = argument.removeprefix("--").partition("=")
        if flag.startswith("config."):
            *path, last = flag.split(".")[1:]
            node = config
            for part in path:
                node = node[part]
            assert last in node, f"{flag} is no setting of the configuration"
        elif flag == "task" and any(word.startswith("--input=") for word in arguments):
            assert value in TASKS, f"there is no task {value} of a picture"
        elif flag in ("task", "tasks"):
            for task in value.split(","):
                benchmark, _, single = task.rpartition("/")
                tasks = config_of([f"--config=configs/tasks/{benchmark}.py"] if benchmark else arguments).tasks
                assert single in tasks, f"there is no task {task}"
        else:
            assert flag in known, f"{module} has no flag --{flag}"


def check_make(words):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {word for word in words[1:] if "=" not in word} <= targets, words


def check_pip(words):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for word in words:
        if match := re.fullmatch(r"\.\[(.+)\]", word):
            assert set(match[1].split(",")) <= set(setup["options.extras_require"]), word


CHECKS = dict(python=check_python, make=check_make, pip=check_pip)


@pytest.mark.parametrize("path", [path for path in PAGES if blocks(path, "bash")], ids=name)
def test_commands_exist(path):
    for words in commands(path):
        CHECKS[words[0]](words)


def test_commands_in_running_text_exist():
    for path in PAGES:
        for command in re.findall(r"`(make [a-z]+|python -m [^`]+)`", path.read_text()):
            words = shlex.split(command)
            CHECKS[words[0]](words)


def test_pictures_and_links_of_the_readme_exist():
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", README.read_text())
    assert len(targets) > 20
    assert not [target for target in targets if not (ROOT / target).exists()]


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("python -m launch.nothing", "there is no launch.nothing"),
        ("python -m launch.restore --colour=red", "has no flag --colour"),
        ("python -m launch.restore --tasks=blurr", "there is no task blurr"),
        ("python -m launch.train --config.train.stepz=1", "config.train.stepz is no setting"),
        ("make everything", "everything"),
        ("pip install '.[tests]'", "tests"),
    ],
)
def test_a_wrong_command_is_seen(command, fault):
    words = shlex.split(command)
    with pytest.raises(AssertionError, match=re.escape(fault)):
        CHECKS[words[0]](words)
