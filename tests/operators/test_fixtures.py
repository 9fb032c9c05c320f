"""Blur and bicubic down-sampling agree with the field's public implementations, on recorded inputs and outputs."""

import os
import pathlib

import jax
import numpy as np
import pytest

from pgm_jax import operators

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = pathlib.Path(os.environ.get("PGM_FIXTURES", ROOT.parent / "shared" / "fixtures"))


def recorded(name):
    path = FIXTURES / name
    if not path.exists():
        pytest.skip(f"no recorded outputs at {path}: set PGM_FIXTURES to the folder that holds {name}")
    return np.load(path)


def image(nchw):
    return nchw[0].transpose(1, 2, 0)


def assert_agrees(y, expected):
    y, expected = np.asarray(y), np.asarray(expected)
    assert np.abs(y - expected).max() <= 1e-5
    assert np.linalg.norm(y - expected) <= 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize(("size", "factor"), [(64, 4), (48, 2), (64, 8)])
def test_bicubic(size, factor):
    fixture = recorded("bicubic_antialias.npz")
    x = image(fixture[f"x_{size}_{factor}"])
    y = jax.jit(lambda x: operators.bicubic_downsampling(x.shape, factor).forward(x))(x)
    assert_agrees(y, image(fixture[f"y_{size}_{factor}"]))


def test_gaussian_blur_at_a_reflecting_boundary():
    fixture = recorded("gaussian_blur_reflect.npz")
    x = image(fixture["x_nchw"])
    y = jax.jit(lambda x: operators.gaussian_blur(x.shape, 3.0, boundary="reflect").forward(x))(x)
    assert_agrees(y, image(fixture["y_nchw"]))


def test_gaussian_kernel():
    kernel = recorded("gaussian_blur_reflect.npz")["kernel"]
    operator = jax.jit(lambda: operators.gaussian_blur((64, 64, 3), 3.0))()
    np.testing.assert_allclose(np.pad(operator.kernel, 18), kernel, atol=1e-8)
