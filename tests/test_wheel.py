"""The wheel alone, without the repository beside it, restores an image that it brings along."""

import os
import pathlib
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).parent.parent

RESTORE = """
import pathlib, sys, jax
import pgm_jax
assert pathlib.Path(pgm_jax.__file__).is_relative_to(sys.argv[1]), pgm_jax.__file__
from pgm_jax.operators import measure, random_mask
from pgm_jax.pretrained import fashion_mnist_images, fashion_mnist_prior
from pgm_jax.restore import default_rows, restore
mask = random_mask(jax.random.key(0), (32, 32, 1))
y = measure(jax.random.key(1), mask, fashion_mnist_images()[0], 0.05)[None]
result = restore(fashion_mnist_prior(), mask, y, jax.random.key(2), sigma=0.05, samples=2, rows=default_rows(3))
print(result.mean.shape)
"""


def test_wheel_restores_a_bundled_image(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as file:
        names = {pathlib.PurePosixPath(name).parts[0] for name in file.namelist()}
        file.extractall(installed)
    assert all(name.startswith("pgm_jax") for name in names), "only the library is in the wheel"
    environment = os.environ | {"PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", RESTORE, str(installed)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "(1, 32, 32, 1)"
