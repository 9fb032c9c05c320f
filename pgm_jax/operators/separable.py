"""Maps that act on rows and columns apart: y_c = R x_c C^T for every channel c.

Down-sampling and every blur whose kernel is an outer product are of this form at any boundary. With the two small
singular value decompositions R = U_R s V_R^T and C = U_C t V_C^T, and the gains S_ij = s_i t_j,

    solve(v, y, rho) = v + V_R [ S / (S^2 + rho) * U_R^T (y - A v) U_C ] V_C^T
"""

import dataclasses
import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from pgm_jax.operators.base import SVD, ClosedForm, check_image_shape, wiener
from pgm_jax.operators.checks import check_array
from pgm_jax.operators.solvers import ACCURATE, Solver
from pgm_jax.types import Scalar, Shape, pytree


class Factors(NamedTuple):
    """A thin singular value decomposition, matrix = u diag(s) v^T."""

    u: jax.Array
    s: jax.Array
    v: jax.Array


@pytree
class Separable(ClosedForm):
    """y_c = rows x_c cols^T for every channel c; build it with `separable_map`.

    Attributes:
        rows, cols: (m, H) and (n, W); y is (m, n, C).
        row_factors, col_factors: their thin decompositions.
    """

    rows: jax.Array
    cols: jax.Array
    row_factors: Factors
    col_factors: Factors
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    @property
    def gains(self) -> jax.Array:
        """The singular values S_ij = s_i t_j, the same for every channel."""
        return jnp.outer(self.row_factors.s, self.col_factors.s)

    def forward(self, x: jax.Array) -> jax.Array:
        """A x, x_c -> R x_c C^T."""
        return sandwich(self.rows, x, self.cols)

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r, r_c -> R^T r_c C."""
        return sandwich(self.rows.T, r, self.cols.T)

    def solve(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> jax.Array:
        """v + V_R [ S / (S^2 + rho) * U_R^T (y - A v) U_C ] V_C^T."""
        coefficients = sandwich(self.row_factors.u.T, y - self.forward(v), self.col_factors.u.T)
        weights = wiener(self.gains, rho)[..., None]
        return v + sandwich(self.row_factors.v, weights * coefficients, self.col_factors.v)

    def norm(self) -> jax.Array:
        """max S."""
        return jnp.max(self.gains)

    def svd(self) -> SVD:
        """The decomposition in the two small bases; s is S for every channel, (min(m, H), min(n, W), C)."""
        rows, cols = self.row_factors, self.col_factors
        gains = self.gains[..., None]
        return SVD(
            jnp.broadcast_to(gains, (*gains.shape[:2], self.image_shape[2])),
            v_t=lambda x: sandwich(rows.v.T, x, cols.v.T),
            v=lambda c: sandwich(rows.v, c, cols.v),
            u_t=lambda y: sandwich(rows.u.T, y, cols.u.T),
            u=lambda c: sandwich(rows.u, c, cols.u),
        )


def separable_map(image_shape: Shape, rows: ArrayLike, cols: ArrayLike) -> Separable:
    """The map y_c = rows x_c cols^T, with the decompositions that its `solve` needs.

    Args:
        image_shape: (H, W, C).
        rows, cols: (m, H) and (n, W).
    """
    height, width, channels = check_image_shape(image_shape)
    rows, cols = (jnp.asarray(check_array(*pair), float) for pair in (("rows", rows), ("cols", cols)))
    if rows.ndim != 2 or cols.ndim != 2 or (rows.shape[1], cols.shape[1]) != (height, width):
        raise ValueError(
            f"rows has shape {rows.shape} and cols {cols.shape}; an image of {height} x {width} pixels takes "
            f"rows of shape (m, {height}) and cols of shape (n, {width})"
        )
    return Separable(rows, cols, _factors(rows), _factors(cols), (height, width, channels))


@functools.partial(jax.jit, static_argnames=("size", "before", "boundary", "stride"))
def filter_matrix(
    taps: Float[Array, " k"], size: int, before: int, boundary: Literal["reflect", "symmetric", "zero"], stride: int = 1
) -> Float[Array, "m n"]:
    """The matrix of a 1-D filter, y_i = sum_k taps_k x[stride i + k - before], for i < size // stride.

    Args:
        taps: (k,).
        size: pixels of x.
        boundary: outside, x is mirrored without ("reflect") or with ("symmetric") its edge pixel, or is 0 ("zero").
        before: pixels that the first output reaches outside.
        stride: pixels of x per output.
    """
    count, length = size // stride, taps.shape[0]
    after = max(0, stride * (count - 1) + length - before - size)
    # Of zeros: pixel `size`, which there is not, is dropped.
    how: Any = dict(constant_values=size) if boundary == "zero" else dict(mode=boundary)
    source = np.pad(np.arange(size), (before, after), **how)
    out = np.arange(count)[:, None]
    matrix = jnp.zeros((count, size), taps.dtype)
    return matrix.at[out, source[stride * out + np.arange(length)]].add(taps, mode="drop")


def sandwich(left: Float[Array, "m h"], x: Float[Array, "h w c"], right: Float[Array, "n w"]) -> Float[Array, "m n c"]:
    """left x_c right^T for every channel c of x (h, w, c)."""
    # By default accelerators round the factors to fewer bits, and A^T would not be the adjoint of A.
    highest = jax.lax.Precision.HIGHEST
    planes = jnp.matmul(left, jnp.moveaxis(x, -1, 0), precision=highest)
    return jnp.moveaxis(jnp.matmul(planes, right.T, precision=highest), 0, -1)


def _factors(matrix: jax.Array) -> Factors:
    u, s, vh = jnp.linalg.svd(matrix, full_matrices=False)
    return Factors(u, s, vh.T)
