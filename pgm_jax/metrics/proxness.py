"""Is a map a prox? What every prox obeys, measured on any prior.

A map f is the prox of some function exactly where it is the gradient of a convex one (Moreau 1965; Gribonval and
Nikolova 2020). Then

    its Jacobian is symmetric          <w, J u> = <u, J w>
    and has no eigenvalue below 0      <w, J w> >= 0
    it is monotone                     <f(a) - f(b), a - b> >= 0
    and cyclically monotone            sum_i <f(y_i), y_i - y_{i+1}> >= 0 over every cycle
    of a convex function               |f(a) - f(b)|^2 <= <f(a) - f(b), a - b>, firmly non-expansive

An unconstrained network is guaranteed none of them; a learned proximal network all but the last.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.types import Key, Prox, Scalar


class Proxness(NamedTuple):
    """How far a map is from being a prox, at some points.

    Attributes:
        asymmetry: `|J w - J^T w| / max(|J w|, |J^T w|)`, the mean over points, each with a random w; 0 of a prox.
        smallest_eigenvalue: least eigenvalue of the symmetric part of J that Lanczos iterations find, over the points;
            0 or more of a prox.
        monotonicity: least `<f(a) - f(b), a - b> / |a - b|^2` over pairs of points; 0 or more of a prox.
        cyclic_monotonicity: least `sum_i <f(y_i), y_i - y_{i+1}> / sum_i |y_i - y_{i+1}|^2` over random cycles; 0 or
            more of a prox.
        expansion: largest `|f(a) - f(b)|^2 / <f(a) - f(b), a - b>` over pairs; 1 or less of the prox of a convex
            function, infinite where the product is not positive.
    """

    asymmetry: Array
    smallest_eigenvalue: Array
    monotonicity: Array
    cyclic_monotonicity: Array
    expansion: Array


def proxness(
    key: Key, prox: Prox, points: Float[Array, "n ..."], lam: Scalar, cycles: int = 32, iterations: int = 30
) -> Proxness:
    """Measure what a prox obeys, of any map `(v, lam) -> point` that has derivatives.

    Args:
        key: key of the directions and the cycles.
        prox: map that is measured, such as `prior.prox`.
        points: where, `[n, ...]`, at least two; noisy images of the level lam, as it sees them in use.
        lam: step of the prox.
        cycles: number of random cycles, each through half of the points.
        iterations: Lanczos iterations for the eigenvalue; it comes down to the true one as they grow.

    Returns:
        The five measures, all NaN where the map is not finite at one of the points.

    Raises:
        ValueError: if there are fewer than two points.
    """
    count = points.shape[0]
    if count < 2:
        raise ValueError(f"{count} points were given; pairs need at least 2.")
    key_probe, key_cycle = jax.random.split(key)
    shape, size = points.shape[1:], points[0].size
    flat = points.reshape(count, size)

    def evaluate(v: Array) -> Array:
        return prox(v.reshape(shape), lam).reshape(size)

    def at_point(v: Array, key: Key) -> tuple[Array, Array, Array]:
        value, pull = jax.vjp(evaluate, v)
        # The derivative along w by the transpose of its own transpose: some networks know reverse mode alone.
        push = lambda w: transposed(w)[0]  # noqa: E731
        transposed = jax.linear_transpose(lambda w: pull(w)[0], value)
        w = jax.random.normal(key, (size,), v.dtype)
        forward, back = push(w), pull(w)[0]
        # A prox may be flat somewhere: what is 0 is symmetric.
        length = jnp.maximum(jnp.linalg.norm(forward), jnp.linalg.norm(back))
        asymmetry = jnp.linalg.norm(forward - back) / jnp.where(length == 0, 1, length)
        return value, asymmetry, _least_eigenvalue(lambda w: (push(w) + pull(w)[0]) / 2, w, iterations)

    values, asymmetry, least = jax.lax.map(lambda pair: at_point(*pair), (flat, jax.random.split(key_probe, count)))
    first, second = (jnp.asarray(side) for side in jnp.triu_indices(count, 1))
    moved, apart = values[first] - values[second], flat[first] - flat[second]
    product, squares = jnp.sum(moved * apart, axis=1), jnp.sum(apart**2, axis=1)
    gain = jnp.sum(moved**2, axis=1)
    expansion = jnp.where(product > 0, gain / jnp.where(product > 0, product, 1), jnp.where(gain == 0, 0, jnp.inf))
    squares = jnp.where(squares == 0, 1, squares)

    def around(key: Key) -> Array:
        cycle = jax.random.permutation(key, count)[: max(count // 2, 2)]
        step = flat[cycle] - flat[jnp.roll(cycle, -1)]
        return jnp.sum(values[cycle] * step) / jnp.sum(step**2)

    cyclic = jax.vmap(around)(jax.random.split(key_cycle, cycles))
    found = Proxness(
        jnp.mean(asymmetry), jnp.min(least), jnp.min(product / squares), jnp.min(cyclic), jnp.max(expansion)
    )
    # A map that is not a number somewhere would pass as flat there.
    finite = jnp.all(jnp.isfinite(values))
    return Proxness(*(jnp.where(finite, each, jnp.nan) for each in found))


def _least_eigenvalue(matrix: Callable[[Array], Array], start: Array, iterations: int) -> Array:
    """The least eigenvalue of the tridiagonal matrix of a Lanczos iteration, with full reorthogonalisation."""
    iterations = min(iterations, start.size)

    def step(state: tuple[Array, Array], index: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        basis, vector = state
        basis = basis.at[index].set(vector)
        image = matrix(vector)
        diagonal = jnp.vdot(vector, image)
        for _ in range(2):
            image = image - basis.T @ (basis @ image)
        beside = jnp.linalg.norm(image)
        # A space that is exhausted goes on with nothing, and adds eigenvalues of what it has.
        following = jnp.where(beside > 1e-6 * jnp.abs(diagonal), image / jnp.maximum(beside, 1e-30), 0)
        return (basis, following), (diagonal, beside)

    basis = jnp.zeros((iterations, start.size), start.dtype)
    _, (diagonal, beside) = jax.lax.scan(step, (basis, start / jnp.linalg.norm(start)), jnp.arange(iterations))
    # Where the space was exhausted the rest of the matrix is left out.
    going = jnp.cumprod(jnp.concatenate([jnp.ones(1), (beside[:-1] > 1e-6 * jnp.abs(diagonal[:-1]))])) > 0
    diagonal = jnp.where(going, diagonal, diagonal[0])
    beside = jnp.where(going[1:], beside[:-1], 0)
    return jnp.linalg.eigvalsh(jnp.diag(diagonal) + jnp.diag(beside, 1) + jnp.diag(beside, -1))[0]
