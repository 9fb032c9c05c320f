"""Tomography at toy size: the sinogram of the phantom, slices of a scan, the nominal share, and the findings."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_settings import toy_settings

from launch.experiments import tomography
from launch.experiments.tomography import MEAN, MODE, RAMP, attenuations, inside_if_exact, sinogram_of_phantom
from pgm_jax.operators import radon
from pgm_jax.operators.phantom import shepp_logan

KEY = jax.random.key(2)


def settings(**changed):
    config = toy_settings("tomography", **dict(size=32, views=(12, 6), samples=3) | changed)
    config.admm.steps, config.pgm.steps = 20, (4, 4)
    return config


@pytest.fixture
def scan(tmp_path):
    """A file of four slices of a disc of water, each brighter than the one before."""
    rows, columns = np.mgrid[:32, :32] - 15.5
    disc = np.hypot(rows, columns) < 12
    path = tmp_path / "scan.npz"
    np.savez(path, hu=np.stack([np.where(disc, 100 * i, -1024) for i in range(4)]).astype(np.int16))
    return str(path)


@pytest.mark.parametrize("size", [64, 65])
def test_the_phantoms_sinogram_is_that_of_its_ellipses(size):
    operator = radon((size, size, 1), np.arange(20) * 9.0)
    of_pixels, of_ellipses = operator.forward(shepp_logan(size)), sinogram_of_phantom(operator)
    scale = float(jnp.max(of_ellipses))
    # Pixels are apart at edges alone; half a pixel's shift would be four times as much.
    assert float(jnp.sqrt(jnp.mean((of_pixels - of_ellipses) ** 2))) < 0.02 * scale
    np.testing.assert_allclose(jnp.sum(of_pixels, 1), jnp.sum(of_ellipses, 1), rtol=5e-3)


def test_slices_are_attenuations_between_the_ends_of_the_window(scan):
    truths = attenuations(settings(data=scan, slices=(0, 3)))
    assert truths.shape == (2, 32, 32, 1) and truths[0, 0, 0, 0] == 0
    np.testing.assert_allclose(truths[:, 16, 16, 0], [0.4, 0.52], rtol=1e-6)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (dict(data="nowhere.npz"), "nowhere.npz.*`hu`"),
        (dict(slices=(4,)), r"config.slices is .*0 to 3"),
        (dict(slices=(-1,)), r"config.slices is .*0 to 3"),
        (dict(slices=()), r"config.slices is .*0 to 3"),
    ],
)
def test_what_is_no_scan_is_refused(scan, changed, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        attenuations(settings(**{"data": scan, **changed}))


def test_a_volume_has_three_axes(tmp_path):
    np.savez(tmp_path / "flat.npz", hu=np.zeros((4, 4), np.int16))
    with pytest.raises(ValueError, match=r"\(4, 4\).*\(slices, H, W\)"):
        attenuations(settings(data=str(tmp_path / "flat.npz")))


def test_a_deviation_takes_two_samples():
    with pytest.raises(ValueError, match="config.samples is 1.*at least 2"):
        tomography.run(settings(samples=1), KEY)


def test_the_nominal_share_is_that_of_normal_samples():
    draws = np.random.default_rng(0).normal(size=(100_000, 5))
    mean, std = draws[:, :4].mean(1), draws[:, :4].std(1, ddof=1)
    share = np.mean(np.abs(draws[:, 4] - mean) <= tomography.QUANTILE * std)
    assert inside_if_exact(4) == pytest.approx(share, abs=5e-3)


@pytest.mark.parametrize("data", [False, True])
def test_tomography_at_toy_size(scan, data):
    found = tomography.run(settings(data=scan, slices=(1, 2)) if data else settings(), KEY)
    table, spread = found.tables
    rows = {row[0]: row[1:] for row in table.rows}
    assert all(len(row) == len(t.columns) for t in found.tables for row in t.rows)
    assert all(isinstance(cell, tuple) == data for row in rows.values() for cell in row)
    assert ("2 slices of scan.npz" if data else "the phantom") in table.caption

    def number(cell: Any) -> float:
        return cell[0] if isinstance(cell, tuple) else cell

    # Fewer views are worse, and total variation is better than filtered back projection.
    assert number(rows[RAMP][0]) > number(rows[RAMP][2])
    assert number(rows[MODE][3]) > 2 and number(rows[MEAN][3]) > 2
    assert [row[0] for row in spread.rows] == [12, 6]
    assert number(spread.rows[1][1]) > number(spread.rows[0][1]) > 0
    gains = [number(claim.value) for claim in found.claims]
    assert gains == pytest.approx([number(rows[MODE][3]), number(rows[MEAN][3])])
    assert [claim.holds for claim in found.claims] == [gain >= tomography.GAIN for gain in gains]
    assert len(found.figures["tomography"].axes) == 2 * 7 + 2
