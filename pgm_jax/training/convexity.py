"""Keeping the inner weights of an input-convex network from being negative."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from pgm_jax.networks.icnn import is_inner


def keep_nonnegative() -> optax.GradientTransformation:
    """The projection `W <- max(W + update, 0)` of inner weights, as the last part of an `optax.chain`.

    The averaged parameters stay non-negative with them. At the start `nonnegative` does the same.

    Returns:
        A transformation without state, whose `update` needs the parameters.

    Raises:
        ValueError: by its `update`, if no parameters are given.
    """

    def update(updates: PyTree, state: optax.EmptyState, params: PyTree = None) -> tuple[PyTree, optax.EmptyState]:
        if params is None:
            raise ValueError("keep_nonnegative() needs the parameters: call optimizer.update(updates, state, params).")

        def kept(path: tuple, change: jax.Array, weight: jax.Array) -> jax.Array:
            return jnp.maximum(weight + change, 0) - weight if is_inner(path) else change

        return jax.tree_util.tree_map_with_path(kept, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)  # pyright: ignore[reportArgumentType]
