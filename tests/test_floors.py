"""The architecture as tests: imports go down only, heavy libraries have one home, files stay small."""

import ast
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pgm_jax"

FLOORS = {
    "types": 0,
    "tracing": 0,
    "files": 0,
    "schedules": 1,
    "proximal": 1,
    "operators": 1,
    "potentials": 1,
    "noise": 1,
    "posteriors": 1,
    "samplers": 2,
    "metrics": 2,
    "networks": 3,
    "training": 4,
    "restoration": 4,
    "evaluation": 4,
    "pretrained": 4,
}
SAME_FLOOR = {
    ("tracing", "types"),
    ("potentials", "operators"),
    ("noise", "operators"),
    ("noise", "potentials"),
    ("potentials", "proximal"),
    ("posteriors", "potentials"),
    ("evaluation", "restoration"),
}
STRANGERS = {("networks", "samplers")}  # They meet through a prox.

CORE = {"jax", "numpy", "jaxtyping"}
LIBRARIES = {
    "metrics": {"dm_pix"},
    "networks": {"flax"},
    "training": {"optax", "orbax", "grain", "tensorflow_datasets", "tensorboardX", "PIL", "rich"},
}

MAX_LINES = 400
VAGUE_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "registry", "registries"}

SOURCES = sorted(PACKAGE.rglob("*.py"))


def unit(path: pathlib.Path) -> str:
    """The top-level module or folder of pgm_jax that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: pathlib.Path) -> Iterator[str]:
    """The dotted names that a file imports, wherever in the file; relative imports are resolved."""
    folder = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def breaches(path: pathlib.Path) -> Iterator[str]:
    """What a file of pgm_jax imports against the floors, in words."""
    here = unit(path)
    for name in imported(path):
        library, _, rest = name.partition(".")
        there = rest.split(".")[0]
        if library in sys.stdlib_module_names:
            continue
        if library != PACKAGE.name:
            if library not in CORE | LIBRARIES.get(here, set()):
                yield f"{name}: {here} may import {sorted(CORE | LIBRARIES.get(here, set()))}"
        elif there not in FLOORS:
            yield f"{name}: {there!r} is on no floor; import the module that defines it"
        elif (here, there) in STRANGERS:
            yield f"{name}: {here} and {there} do not know each other"
        elif here != there and FLOORS[there] >= FLOORS[here] and (here, there) not in SAME_FLOOR:
            yield f"{name}: floor {FLOORS[there]} seen from {here}, floor {FLOORS[here]}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_and_libraries_have_one_home(path):
    if path == PACKAGE / "__init__.py":
        code = "import sys, pgm_jax; print(sorted({'jax', 'numpy', 'flax'} & set(sys.modules)))"
        loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert loaded.stdout.strip() == "[]", "import pgm_jax must be cheap"
    else:
        assert unit(path) in FLOORS, f"{unit(path)} has no floor: give it one in FLOORS and in the architecture"
        found = list(breaches(path))
        assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("schedules.py", "import flax.linen as nn"),
        ("schedules.py", "from pgm_jax import samplers"),
        ("samplers/pgm.py", "from ..networks.unet import UNet"),
        ("networks/unet.py", "from pgm_jax.samplers import run"),
        ("operators/blur.py", "def f():\n    from pgm_jax.potentials import Box"),
        ("operators/blur.py", "import scipy"),
        ("networks/unet.py", "import optax"),
        ("training/step.py", "from flax import linen"),
        ("training/step.py", "from ml_collections import ConfigDict"),
        ("restoration.py", "from absl import logging"),
        ("restoration.py", "from pgm_jax import __version__"),
    ],
)
def test_a_breach_is_seen(place, line, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "pgm_jax")
    path = tmp_path / "pgm_jax" / place
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert len(list(breaches(path))) == 1


def test_the_public_modules_are_those_that_exist():
    import pgm_jax

    assert set(pgm_jax._MODULES) == {unit(path) for path in SOURCES} - {"__init__"}


def names_of(path: pathlib.Path) -> set[str]:
    """The public names of a module: what its front lists, or what it defines, but for constants."""
    front = path / "__init__.py" if path.is_dir() else path
    body = ast.parse(front.read_text()).body
    for node in body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets):
            return set(ast.literal_eval(node.value))
    defined = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    aliases = [t.id for n in body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)]
    return {name for name in [*defined, *aliases] if not name.startswith("_") and not name.isupper()}


def test_the_surface_is_small():
    """What a user may have to know: the names of all public modules."""
    import pgm_jax

    surface = {
        name: names_of(PACKAGE / (name if (PACKAGE / name).is_dir() else f"{name}.py")) for name in pgm_jax._MODULES
    }
    assert sum(map(len, surface.values())) <= 215, {name: sorted(names) for name, names in surface.items()}


def test_the_names_at_the_top_are_those_of_their_modules():
    import pgm_jax

    for name, module in pgm_jax._HOME.items():
        assert getattr(pgm_jax, name) is getattr(getattr(pgm_jax, module), name)
    assert set(pgm_jax.__all__) <= set(dir(pgm_jax))
    with pytest.raises(AttributeError, match="no attribute 'restor'; it has .* restore"):
        _ = pgm_jax.restor


def test_every_folder_of_code_is_a_package():
    assert not [path for path in SOURCES if not (path.parent / "__init__.py").exists()], "the wheel would leave it out"


def test_files_are_short(project_files):
    lengths = {path: len(path.read_text().splitlines()) for path in project_files if path.suffix == ".py"}
    assert not {str(path): lines for path, lines in lengths.items() if lines > MAX_LINES}


def test_pytrees_know_their_class():
    """`register_dataclass` does not tell classes apart, see `pgm_jax.types.pytree`."""
    assert not [str(path) for path in SOURCES if "register_dataclass" in path.read_text().split("def pytree")[0]]


def test_names_say_what_a_file_is(project_files):
    names = [path.relative_to(ROOT).with_suffix("") for path in project_files]
    assert not [str(name) for name in names if VAGUE_NAMES & set(re.split(r"[/_.]", str(name).lower()))]
