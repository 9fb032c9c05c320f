"""A row of an operator that states `forward` and takes all else from its base class."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from operator_rows.row import SHAPE, Row
from pgm_jax.operators import LinearOperator


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Differences(LinearOperator):
    """Weighted differences of neighbours."""

    weight: jax.Array
    image_shape: tuple[int, ...] = dataclasses.field(metadata=dict(static=True))

    def forward(self, x):
        return self.weight * jnp.stack([x - jnp.roll(x, 1, axis) for axis in (0, 1)], axis=-1)


ROWS = {
    "(forward alone)": Row(
        lambda key: Differences(jax.random.uniform(key, (), minval=0.5), SHAPE),
        lambda operator, x: float(operator.weight) * np.stack([x - np.roll(x, 1, a) for a in (0, 1)], -1),
    ),
}
