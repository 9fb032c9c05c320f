"""Inpainting: some pixels are observed and the others are hidden.

y = m * x with m = 1 where seen and 0 where hidden, so y has the shape of x and is 0 where hidden. A is diagonal, hence

    solve(v, y, rho) = v + m (y - m v) / (m^2 + rho)

The seen pixels are chosen by their number (`random_mask`), one by one (`bernoulli_mask`), or outside a rectangle at a
given or a random place (`box_mask`, `random_box_mask`).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from pgm_jax.operators.base import SVD, ClosedForm, check_image_shape, left_over, wiener
from pgm_jax.operators.checks import check_mask, check_number, check_numbers, check_whole
from pgm_jax.operators.solvers import ACCURATE, Solver
from pgm_jax.types import Key, Scalar, Shape, as_key, pytree


@pytree
class Mask(ClosedForm):
    """y = mask * x; build it with `mask`, `random_mask`, `bernoulli_mask`, `box_mask` or `random_box_mask`.

    Attributes:
        mask: m, (H, W, 1), shared by the channels, or (H, W, C); 1 where seen, 0 where hidden, or weights.
    """

    mask: jax.Array
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    @property
    def entrywise(self) -> bool:
        """A mask is diagonal."""
        return True

    @property
    def observed(self) -> jax.Array:
        """1 where m is not 0."""
        return (self.mask != 0).astype(self.mask.dtype)

    def forward(self, x: jax.Array) -> jax.Array:
        """A x = m * x."""
        return self.mask * x

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r = m * r, since A is symmetric."""
        return self.mask * r

    def solve(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> jax.Array:
        """v + m (y - m v) / (m^2 + rho), which is v where hidden even at rho = 0."""
        return v + wiener(self.mask, rho) * (y - self.mask * v)

    def resolvent(self, r: jax.Array, rho: Scalar, solver: Solver = ACCURATE) -> jax.Array:
        """rho / (m^2 + rho) r, which is r where hidden even at rho = 0."""
        return left_over(self.mask, rho) * r

    def norm(self) -> jax.Array:
        """max |m|."""
        return jnp.max(jnp.abs(self.mask))

    def svd(self) -> SVD:
        """V = I, s = |m|, of the shape (H, W, C), and U the sign of m."""
        sign = jnp.where(self.mask < 0, -1, 1)
        gains = jnp.broadcast_to(jnp.abs(self.mask), self.image_shape)
        return SVD(gains, *2 * (lambda a: a,), *2 * (lambda a: sign * a,))


def mask(image_shape: Shape, seen: ArrayLike) -> Mask:
    """The pixels that are `seen` are measured, y = m * x; to weigh them, multiply the operator by weights.

    Args:
        image_shape: (H, W, C).
        seen: (H, W) or (H, W, 1), shared by the channels, or (H, W, C): bool, 0 and 1, or 0 and 255.
    """
    height, width, channels = check_image_shape(image_shape)
    seen = check_mask(seen, (height, width), (height, width, 1), (height, width, channels))
    return Mask(seen.reshape(height, width, -1), (height, width, channels))


def random_mask(key: Key, image_shape: Shape, hidden: float = 0.7, shared: bool = True) -> Mask:
    """Hide floor(hidden H W) pixels, drawn without replacement.

    Args:
        image_shape: (H, W, C).
        hidden: share of the pixels, in [0, 1), so that at least one is seen.
        shared: whether every channel hides the same pixels; otherwise every one hides as many of its own.
    """
    height, width, channels = check_image_shape(image_shape)
    key, hidden = as_key(key), _check_share(hidden)
    keys = key[None] if shared else jax.random.split(key, channels)
    order = jax.vmap(lambda key: jax.random.permutation(key, height * width), out_axes=1)(keys)
    return mask(image_shape, order.reshape(height, width, -1) >= int(hidden * height * width))


def bernoulli_mask(key: Key, image_shape: Shape, hidden: Scalar = 0.7, shared: bool = True) -> Mask:
    """Hide every pixel independently with the probability `hidden`, so that their number is random.

    Args:
        image_shape: (H, W, C).
        hidden: probability, in [0, 1); it may be traced.
        shared: whether every channel hides the same pixels; otherwise every one draws its own.
    """
    height, width, channels = check_image_shape(image_shape)
    key, hidden = as_key(key), _check_share(hidden)
    seen = jax.random.bernoulli(key, 1 - hidden, (height, width, 1 if shared else channels))
    return mask(image_shape, seen)


def box_mask(image_shape: Shape, box: tuple[int, int, int, int]) -> Mask:
    """Hide one rectangle, the same in every channel.

    Args:
        image_shape: (H, W, C).
        box: (top, left, height, width) of the hidden rectangle, in pixels.
    """
    height, width, _ = check_image_shape(image_shape)
    what = "box is (top, left, height, width) of the hidden rectangle, in pixels"
    top, left, box_height, box_width = check_numbers(what, box, 4)
    inside = 0 <= top < top + box_height <= height and 0 <= left < left + box_width <= width
    if not inside:
        raise ValueError(
            f"the box (top, left, height, width) = {tuple(box)} is empty or reaches outside the image of "
            f"{height} x {width} pixels: top and left are at least 0, top + height at most {height}, "
            f"left + width at most {width}"
        )
    seen = jnp.ones((height, width, 1)).at[top : top + box_height, left : left + box_width].set(0)
    return mask(image_shape, seen)


def random_box_mask(key: Key, image_shape: Shape, size: tuple[int, int], margin: int = 0) -> Mask:
    """Hide one rectangle, the same in every channel, at a place drawn uniformly from all that keep the margin.

    Args:
        image_shape: (H, W, C).
        size: (height, width) of the hidden rectangle, in pixels.
        margin: pixels that are seen, at least, between the rectangle and every border.
    """
    height, width, _ = check_image_shape(image_shape)
    key, margin = as_key(key), check_whole("margin is the number of pixels seen at every border", margin, 0)
    box_height, box_width = check_numbers("size is (height, width) of the hidden rectangle, in pixels", size, 2)
    free_height, free_width = height - 2 * margin - box_height, width - 2 * margin - box_width
    if min(box_height, box_width) < 1 or min(free_height, free_width) < 0:
        raise ValueError(
            f"a box of (height, width) = {tuple(size)} with a margin of {margin} does not fit the image of "
            f"{height} x {width} pixels: both sides are at least 1, and a side with two margins at most the image's"
        )
    for_top, for_left = jax.random.split(key)
    rows = jnp.arange(height) - margin - jax.random.randint(for_top, (), 0, free_height + 1)
    cols = jnp.arange(width) - margin - jax.random.randint(for_left, (), 0, free_width + 1)
    box = jnp.outer((0 <= rows) & (rows < box_height), (0 <= cols) & (cols < box_width))
    return mask(image_shape, ~box[..., None])


def _check_share(hidden: Any) -> Any:
    return check_number(
        "hidden is the share of pixels to hide", hidden, least=0, below=1, hint="seventy per cent are 0.7"
    )
