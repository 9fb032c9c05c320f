"""Rows of colourisation."""

import jax
import numpy as np

from operator_rows.row import Row
from pgm_jax.operators.colour import colourisation

ROWS = {
    "colourisation": Row(lambda key: colourisation((5, 7, 4)), lambda _, x: x.mean(2, keepdims=True)),
    "colourisation with weights": Row(
        lambda key: colourisation((5, 7, 4), jax.random.normal(key, (4,))),
        lambda operator, x: (x @ np.asarray(operator.weights))[..., None],
    ),
}
