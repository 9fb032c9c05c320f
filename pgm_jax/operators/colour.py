"""Colourisation: each pixel is measured as one number, a weighted mean of its channels.

y = sum_c w_c x_c, of the shape (H, W, 1). A A^T = |w|^2 I, hence

    solve(v, y, rho) = v + w (y - A v) / (|w|^2 + rho)
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from pgm_jax.operators.base import SVD, ClosedForm, check_image_shape
from pgm_jax.operators.checks import check_array
from pgm_jax.operators.solvers import ACCURATE, Solver
from pgm_jax.tracing import is_traced
from pgm_jax.types import Scalar, Shape, pytree


@pytree
class Colourisation(ClosedForm):
    """y = sum_c weights_c x_c, weights (C,), not all 0; build it with `colourisation`."""

    weights: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def forward(self, x: jax.Array) -> jax.Array:
        return jnp.sum(self.weights[None, None] * x, axis=-1, keepdims=True)

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r, w_c r in channel c."""
        return self.weights[None, None] * r

    def solve(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> jax.Array:
        """v + w (y - A v) / (|w|^2 + rho)."""
        return v + self.adjoint(y - self.forward(v)) / (jnp.sum(self.weights**2) + rho)

    def norm(self) -> jax.Array:
        """|w|."""
        return jnp.linalg.norm(self.weights)

    def svd(self) -> SVD:
        """s = |w| at every pixel, V the direction of w in its channels, U = I."""
        size = self.norm()
        direction = Colourisation(self.weights / size, self.image_shape)
        s = jnp.broadcast_to(size, (*self.image_shape[:2], 1))
        return SVD(s, direction.forward, direction.adjoint, lambda y: y, lambda c: c)


def colourisation(image_shape: Shape, weights: ArrayLike | Sequence[float] | None = None) -> Colourisation:
    """Measure a colour image in grey, y = sum_c weights_c x_c; restoring it means colouring it.

    Args:
        image_shape: (H, W, C).
        weights: (C,), not all 0, used as they are and not normalised; by default 1 / C each, the mean of the
            channels. The luma of ITU-R BT.601 has (0.299, 0.587, 0.114) for red, green and blue.
    """
    image_shape = check_image_shape(image_shape)
    channels = image_shape[-1]
    weights = check_array("weights", np.full(channels, 1 / channels) if weights is None else weights)
    if weights.shape != (channels,) or not (is_traced(weights) or np.any(np.asarray(weights))):
        raise ValueError(
            f"the weights {weights} have shape {weights.shape} and the image {channels} channels: give one weight for "
            f"every channel, an array of shape {(channels,)}, not all of them 0"
        )
    return Colourisation(jnp.asarray(weights, float), image_shape)
