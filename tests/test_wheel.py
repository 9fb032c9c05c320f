"""The wheel alone, without the repository beside it: it restores without the extras, and with them it trains."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent

# What the extras bring and the core does not.
WITHOUT_EXTRAS = """
import sys

class Missing:
    def find_spec(self, name, *_):
        if name.split(".")[0] in "optax orbax grain tensorflow_datasets tensorboardX PIL matplotlib".split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
RESTORE = """
import jax, pgm_jax as pgm
k1, k2, k3 = jax.random.split(jax.random.key(0), 3)
prior, truth = pgm.load_prior("fashion_mnist"), pgm.example_images()[:2]
A = pgm.operators.random_mask(k1, truth.shape[1:], hidden=0.7)
noise = pgm.GaussianNoise(0.05)
y = pgm.measure(k2, A, truth, noise)
result = pgm.restore(k3, prior, A, y, noise, samples=2, calls=4)
assert result.mean.shape == truth.shape
for name in dir(pgm):
    getattr(pgm, name)
for name in "train", "fit":
    try:
        getattr(pgm.training, name)
    except ImportError as error:
        assert "pip install 'pgm_jax[train]'" in str(error), error
    else:
        raise AssertionError(f"{name} without the extra")
"""
TRAIN = """
import importlib, jax, optax, pkgutil, pgm_jax as pgm
for module in pkgutil.walk_packages(pgm.__path__, "pgm_jax."):
    importlib.import_module(module.name)
from pgm_jax.training.losses import l2, matching_objective
network = pgm.networks.Preconditioned(pgm.networks.MLP(width=4, blocks=1, embedding=4), (4, 4, 1))
objective = matching_objective(l2, 2, 2, 1.0, 1.0)
images = pgm.example_images()[:4, 14:18, 14:18]
prior, history = pgm.training.fit(
    jax.random.key(0), network, optax.adam(1e-3), pgm.schedules.VE(), objective, images, steps=2, batch_size=2
)
assert history["loss"].shape == (2,) and prior.prox(images[0], 0.1).shape == (4, 4, 1)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, since modules of an earlier build stay in its folder and would come along.
    source = shutil.copytree(ROOT / "pgm_jax", folder / "source" / "pgm_jax").parent
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = {pathlib.PurePosixPath(name).parts[0] for name in file.namelist()}
        file.extractall(folder / "installed")
    assert all(name.startswith("pgm_jax") for name in names), "only the library is in the wheel"
    return folder / "installed"


@pytest.mark.parametrize("program", [WITHOUT_EXTRAS + RESTORE, TRAIN], ids=["restores without extras", "trains"])
def test_the_wheel(installed, program):
    program += "import sys, pathlib; assert pathlib.Path(pgm.__file__).is_relative_to(sys.argv[1]), pgm.__file__"
    command = [sys.executable, "-c", program, str(installed)]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    result = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
