"""Rows of the masks."""

import jax
import numpy as np

from operator_rows.row import SHAPE, Row
from pgm_jax import operators
from pgm_jax.operators import masks

BOX = (1, 3, 4, 2)


def boxed(_, x):
    top, left, height, width = BOX
    x = x.copy()
    x[top : top + height, left : left + width] = 0
    return x


ROWS = {
    "mask": Row(
        lambda key: operators.mask(SHAPE, jax.random.bernoulli(key, 0.4, SHAPE)),
        lambda operator, x: np.asarray(operator.mask) * x,
    ),
    "random_mask": Row(
        lambda key: operators.random_mask(key, SHAPE),
        lambda operator, x: np.where(operator.mask == 1, x, 0),
    ),
    "random_mask of every channel": Row(
        lambda key: operators.random_mask(key, SHAPE, 0.5, shared=False),
        lambda operator, x: np.where(operator.mask == 1, x, 0),
    ),
    "bernoulli_mask": Row(
        lambda key: masks.bernoulli_mask(key, SHAPE, 0.5),
        lambda operator, x: np.where(operator.mask == 1, x, 0),
    ),
    "random_box_mask": Row(
        lambda key: masks.random_box_mask(key, SHAPE, (2, 3), margin=1),
        lambda operator, x: np.where(operator.mask == 1, x, 0),
    ),
    "box_mask": Row(lambda key: operators.box_mask(SHAPE, BOX), boxed),
}
