"""A quadratic restricted to a ball, `pi(x) ~ exp(-beta (x^T A x / 2 + b^T x))` for |x| <= r: exact samples and prox."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.posteriors.gaussian import full_precision
from pgm_jax.types import Key, Scalar, pytree


@pytree
class BallQuadratic:
    """The distribution `pi(x) ~ exp(-beta f(x))` on `|x| <= r`, `f(x) = x^T A x / 2 + b^T x`.

    There is no `denoise`: the mean of pi times a Gaussian kernel has no closed form.

    Attributes:
        matrix, linear: A, symmetric and positive semi-definite, `[d, d]`, and b, `[d]`.
        beta: inverse temperature, not negative.
        radius: r, in the units of x, positive.
    """

    matrix: Float[Array, "d d"]
    linear: Float[Array, " d"]
    beta: Scalar
    radius: Scalar

    @full_precision
    def minimum(self) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """The minimiser x* of f on the ball, `[d]`, and f(x*), without beta."""
        x = _minimise(*_eigen(self.matrix), -self.linear, self.radius)
        return x, x @ (self.matrix @ x) / 2 + self.linear @ x

    @full_precision
    def prox(self, v: Float[Array, " d"], lam: Scalar) -> Float[Array, " d"]:
        """The prox of beta f and the constraint, `(1 + lam beta A + nu)^{-1} (v - lam beta b)`.

        The multiplier nu is 0, or such that the result lies on the sphere.
        """
        values, vectors = _eigen(self.matrix)
        step = lam * self.beta
        return _minimise(1 + step * values, vectors, v - step * self.linear, self.radius)

    @full_precision
    def sample(self, key: Key, count: int) -> Float[Array, "n d"]:
        """Independent samples by rejection, `[count, d]`; sample i does not depend on `count`.

        Below f lies its tangent plane at x*: with slope `q = b + A x*`, `exp(-beta q^T x)` on the ball is an envelope,
        and a proposal is kept with probability `exp(-beta (x - x*)^T A (x - x*) / 2)`. Each sample is proposed afresh
        until it is kept, about `exp(beta tr(A S) / 2)` times, S the second moment of x - x*.
        """
        centre, _ = self.minimum()
        tilt = _tilt(-self.beta * self.radius * (self.linear + self.matrix @ centre))

        def attempt(key: Key) -> tuple[Array, Array]:
            for_point, for_test = jax.random.split(key)
            point, log_tilted = _propose(for_point, tilt)
            x = self.radius * point
            log_quadratic = -self.beta * (x - centre) @ (self.matrix @ (x - centre)) / 2
            return x, -jax.random.exponential(for_test, dtype=x.dtype) <= log_tilted + log_quadratic

        def draw(index: Array) -> Array:
            own = jax.random.fold_in(key, index)
            start = (jnp.zeros((), int), jnp.zeros_like(centre), jnp.zeros((), bool))
            return jax.lax.while_loop(
                lambda state: ~state[2],
                lambda state: (state[0] + 1, *attempt(jax.random.fold_in(own, state[0]))),
                start,
            )[1]

        return jax.vmap(draw)(jnp.arange(count))


@full_precision
def random_ball_quadratic(key: Key, dimension: int = 8, beta: Scalar = 10.0) -> BallQuadratic:
    """A random instance in the unit ball: `A ~ M^T M + 0.1 I` with |A|_F = 1; M_ij and b_i are N(0, 1/4).

    Source: PGM (arXiv 2605.13278), the constrained quadratic of its experiments.

    Args:
        key: key of A and b.
        dimension, beta: d, at least 1, and the inverse temperature.

    Raises:
        ValueError: if `dimension` is below 1.
    """
    if dimension < 1:
        raise ValueError(f"A quadratic of dimension {dimension} was asked for; it needs at least 1.")
    for_matrix, for_linear = jax.random.split(key)
    m = jax.random.normal(for_matrix, (dimension, dimension)) / 2
    matrix = m.T @ m + 0.1 * jnp.eye(dimension)
    linear = jax.random.normal(for_linear, (dimension,)) / 2
    return BallQuadratic(matrix / jnp.linalg.norm(matrix), linear, beta, 1.0)


def _eigen(matrix: Float[Array, "d d"]) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    values, vectors = jnp.linalg.eigh(matrix)
    return jnp.maximum(values, 0.0), vectors


def _minimise(
    values: Float[Array, " d"], vectors: Float[Array, "d d"], target: Float[Array, " d"], radius: Scalar
) -> Float[Array, " d"]:
    """The minimiser of `x^T H x / 2 - target^T x` on |x| <= radius, H = vectors diag(values) vectors^T, values >= 0.

    It is `(H + nu)^{-1} target`; nu solves the secular equation `1 / |x(nu)| = 1 / radius`, or is 0 inside the ball.
    The left side is concave and increasing: from a nu below the root, Newton's steps rise to it and do not pass it.
    """
    target = vectors.T @ target
    square = jnp.sum(target**2)

    def point(nu: Array) -> Array:
        # A direction without curvature and without force stays at 0.
        return target / jnp.where(target == 0, 1.0, values + nu)

    # No entry, and not the whole, may exceed the radius: each gives a bound from below, the entries also keep the
    # divisor away from 0.
    bound = jnp.maximum(jnp.max(jnp.abs(target) / radius - values), jnp.sqrt(square) / radius - jnp.max(values))
    bound = jnp.maximum(bound, 0.0)

    def newton(_: Array, nu: Array) -> Array:
        x = point(nu)
        norm = jnp.linalg.norm(x)
        slope = jnp.sum(x**2 / jnp.where(target == 0, 1.0, values + nu))
        return jnp.maximum(nu + (norm / radius - 1) * norm**2 / jnp.where(slope > 0, slope, 1.0), bound)

    x = point(jax.lax.fori_loop(0, 30, newton, bound))
    return vectors @ (x * jnp.minimum(1.0, radius / jnp.maximum(jnp.linalg.norm(x), radius)))


class _Tilt(NamedTuple):
    """A distribution `~ exp(kappa e^T w)` on the unit ball: its unit vector e `[d]` and its concentration kappa."""

    direction: Array
    kappa: Array


def _tilt(force: Float[Array, " d"]) -> _Tilt:
    kappa = jnp.linalg.norm(force)
    first = jnp.zeros_like(force).at[0].set(1.0)
    return _Tilt(jnp.where(kappa > 0, force / jnp.where(kappa > 0, kappa, 1.0), first), kappa)


def _propose(key: Key, tilt: _Tilt) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """A point w of the unit ball, and the logarithm of the probability with which it is to be kept.

    The first d coordinates of a uniform point of the sphere in d + 2 dimensions are uniform in the ball (Archimedes),
    so that the tilted distribution is the shadow of one of von Mises-Fisher. Its coordinate along e is by Wood (1994,
    Communications in Statistics - Simulation 23, 157), from a transformed beta variable z; gap is 1 - e^T w.
    """
    direction, kappa = tilt
    size = direction.shape[0]
    for_beta, for_rest = jax.random.split(key)
    # A coordinate of a uniform unit vector in d + 2 dimensions is a symmetric beta variable on [-1, 1].
    normals = jax.random.normal(for_beta, (size + 2,), direction.dtype)
    z = (1 + normals[0] / jnp.linalg.norm(normals)) / 2
    b = (size + 1) / (2 * kappa + jnp.sqrt(4 * kappa**2 + (size + 1) ** 2))
    gap, gap_at_best = 2 * b * z / (1 - (1 - b) * z), 2 * b / (1 + b)
    log_keep = kappa * (gap_at_best - gap) + (size + 1) * jnp.log(
        (gap_at_best + (1 - gap_at_best) * gap) / (gap_at_best * (2 - gap_at_best))
    )

    rest = jax.random.normal(for_rest, (size + 2,), direction.dtype)
    across = rest[:size] - direction * (direction @ rest[:size])
    length = jnp.sqrt(gap * jnp.maximum(2 - gap, 0.0) / (jnp.sum(across**2) + jnp.sum(rest[size:] ** 2)))
    return (1 - gap) * direction + length * across, log_keep
