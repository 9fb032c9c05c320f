"""The learned proximal network of a Laplace distribution: the known minimisers, and the experiment at toy size."""

import jax
import numpy as np
import pytest
from toy_settings import toy_settings

from launch.experiments import lpn_laplace
from launch.experiments.lpn_laplace import minimiser, soft

TOY = toy_settings("lpn_laplace", targets=4, width=4, layers=2, steps=3, batch_size=8)


@pytest.mark.parametrize(
    ("gamma", "expected"),
    [
        (None, (0.2410, 0.5032, 0.8056, 1.1611, 2.0258)),
        (0.5, (0.1402, 0.3106, 0.5716, 1.0022, 2.0000)),
        (0.1, (0.0421, 0.1110, 0.5000, 1.0000, 2.0000)),
    ],
)
def test_minimisers_are_those_of_the_literature(gamma, expected):
    """By quadrature, to the digits of the table; all tend to soft thresholding as gamma falls."""
    found = [minimiser(y, gamma) for y in lpn_laplace.POINTS]
    np.testing.assert_allclose(found, expected, atol=6e-5)
    np.testing.assert_allclose([minimiser(y, 0.02) for y in (1.5, 2.0, 3.0)], soft(np.array([1.5, 2, 3])), atol=1e-4)


def test_it_runs_at_toy_size():
    found = lpn_laplace.run(TOY, jax.random.key(0))
    (table,) = found.tables
    assert len(table.rows) == 6 and all(len(row) == len(table.columns) for row in table.rows)
    assert len(found.claims) == 4 and set(found.figures) == {"lpn_laplace"}
