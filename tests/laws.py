"""The runner of all law tables."""

import jax
import pytest


def law_test(rows, laws, given=None, double=True):
    """The test that every row obeys every law, in float64 if `double`, unless the law sets its own precision.

    A law takes what is `given` for the name of a row, by default the row alone.
    """

    @pytest.mark.parametrize("law", laws, ids=lambda law: law.__name__)
    @pytest.mark.parametrize("name", rows)
    def test_law(name, law):
        with jax.enable_x64(double):
            law(*(given(name) if given else (rows[name],)))

    return test_law
