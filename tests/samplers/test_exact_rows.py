"""The rows of the exact step: what they add to bridges, and the distribution that they leave."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.samplers import bridge, exact_rows
from pgm_jax.schedules import Levels, geometric_levels, karras_levels

pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.fixture
def double_precision():
    with jax.enable_x64(True):
        yield


def in_numpy(tree):
    return jax.tree.map(np.asarray, tree)


def test_the_rows_of_the_exact_step_leave_a_share():
    narrow, wide = (in_numpy(exact_rows(4, 4.0, 0.1, share=share, std=2.0)) for share in (0.0, 0.5))
    lam = wide.lam
    np.testing.assert_allclose(
        wide.noise[:-1] ** 2, (narrow.noise**2 + wide.pull**2 * 2 * lam / (4 + lam))[:-1], rtol=1e-12
    )
    np.testing.assert_allclose(lam[[0, -1]], [4.0, 0.1], rtol=1e-12)
    assert wide.noise[-1] == 0 and np.all(wide.pull == narrow.pull)


@pytest.mark.parametrize(("calls", "off"), [(2, 7.5), (5, 1.9), (20, 1.1), (200, 1.0)])
def test_the_exact_step_is_right_where_nothing_is_measured_and_in_time_where_something_is(calls, off):
    """Deviations of the samples over those of the posterior: of a hidden pixel 1, of a seen one at most `off`."""
    std, sigma = 0.5, 0.05
    rows = in_numpy(exact_rows(calls, share=1.0))
    for precision, bound in ((1 / std**2, 1.01), (1 / std**2 + 1 / sigma**2, off)):
        variance = rows.lam[0]
        for lam, keep, pull, noise in zip(rows.lam, rows.keep, rows.pull, rows.noise, strict=True):
            slope = 1 / (lam * precision + 1)  # of P in u
            variance = (keep + pull * slope) ** 2 * variance + noise**2
        # The last row returns P, which is narrower at the lowest level.
        assert 0.85 < np.sqrt(variance * precision) < bound


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (dict(share=1.5), "share.*at most 1"),
        (dict(std=0.0), "std.*above 0"),
        (dict(lam_min=0.0), "from lam_max = 25.0 to lam_min = 0.0; they are to fall"),
        (dict(lam_max=np.nan), "from lam_max = nan"),
        (dict(lam_max=np.inf), "from a finite one down"),
        (dict(lam_max=2.0, lam_min=2.0), "from lam_max = 2.0 to lam_min = 2.0"),
    ],
)
def test_rows_of_the_exact_step_that_cannot_be_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        exact_rows(5, **wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (dict(eta=1.5), "share of fresh noise.*at most 1, and is 1.5"),
        (dict(variance=-0.1), "goes down to -0.1"),
        (dict(variance=np.nan), "NaN or infinite"),
        (dict(variance=jnp.ones(4)), r"shape \(4,\); give one number, or one for each of the 3 rows"),
    ],
)
def test_bridges_that_cannot_be_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        bridge(geometric_levels(4.0, 0.1, 3), **wrong)


def test_a_bridge_goes_down():
    rising = Levels(jnp.ones(3), jnp.array([0.1, 1.0, 0.0]))
    with pytest.raises(ValueError, match="The levels are to fall, and are"):
        bridge(rising, 0.0)


def test_a_variance_may_be_known_where_a_program_is_traced():
    variance = jnp.array([0.2, 0.1, 0.0])
    levels = geometric_levels(4.0, 0.1, 3)
    traced = jax.jit(lambda eta: bridge(levels, eta, variance))(1.0)
    np.testing.assert_allclose(traced.noise, bridge(levels, 1.0, variance).noise)


@pytest.mark.parametrize("levels", [geometric_levels, karras_levels])
def test_levels_that_rise_are_refused(levels):
    with pytest.raises(ValueError, match="from lam_max = 0.1 to lam_min = 4.0; they are to fall"):
        levels(0.1, 4.0, 3)
