"""What holds for every test: eight CPU devices, a compilation cache, and shapes that are checked at run time.

The settings are environment variables, so that they are there before jax is imported and reach the processes that
tests start. Compilation takes most of the time of a run, so programs are compiled without optimisation, and a second
run reads them from the cache. To test what users run: XLA_FLAGS="--xla_backend_optimization_level=3 --xla_cpu_max_isa=
--xla_cpu_use_fusion_emitters=true" make test.
"""

import gc
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

os.environ["JAX_PLATFORMS"] = "cpu"
QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_max_isa=AVX"
os.environ["XLA_FLAGS"] = f"{QUICK} --xla_force_host_platform_device_count=8 {os.environ.get('XLA_FLAGS', '')}".strip()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")  # a program does not say from which lines it came
os.environ.setdefault("MPLBACKEND", "agg")

import jax  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

install_import_hook("pgm_jax", "shape_checks.checked")
# Tracing makes many small objects that live: looking through all of them after every 700 takes a tenth of a run.
gc.freeze()
gc.set_threshold(100_000, 50, 50)


MAPPED = 20_000  # regions of memory; Linux lets a process map some 65,000, and every compiled program takes a few


def pytest_addoption(parser):
    """Add `--fast`, which runs the modules with a FAST: all of their tests where it is True, else those of its rows."""
    parser.addoption("--fast", action="store_true", help="run a row of every family of tests")


def pytest_collection_modifyitems(config, items):
    """Keep what `--fast` asks for."""
    if config.getoption("fast"):
        items[:] = [item for item in items if is_fast(getattr(item.module, "FAST", ()), item)]


def is_fast(rows: bool | set[str], item: pytest.Item) -> bool:
    """Whether a test is one of the named rows of its module."""
    name = getattr(getattr(item, "callspec", None), "id", "")
    return rows is True or (rows is not False and any(f"{name}-".startswith(f"{row}-") for row in rows))


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Let go of compiled programs after a file where they are many, since a process may map only so many."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if not maps.is_file() or maps.read_bytes().count(b"\n") > MAPPED:
        jax.clear_caches()


@pytest.fixture(scope="session")
def project_files() -> list[pathlib.Path]:
    """The files of the project as git sees them, new ones too; without git, all but hidden and built ones."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode == 0:
        files = [ROOT / name for name in listing.stdout.split("\0") if name]
    else:
        files = [
            path
            for path in ROOT.rglob("*")
            if not any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)
            and path.relative_to(ROOT).parts[0] not in ("build", "dist")
        ]
    return sorted(path for path in files if path.is_file())
