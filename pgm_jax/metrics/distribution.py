"""Distances between sets of samples.

| distance           | formula                                                       | in units of |
|--------------------|---------------------------------------------------------------|-------------|
| wasserstein_1d     | (int_0^1 abs(Q_a - Q_b)^p du)^(1/p), Q the quantile functions | the points  |
| sliced_wasserstein | (mean_k W_p^p along t_k)^(1/p) over random directions t_k     | the points  |
| gelbrich           | W_2 of the Gaussians of the same means and covariances        | the points  |
| energy_distance    | (2 E abs(a - b) - E abs(a - a') - E abs(b - b'))^(1/2)        | their root  |
| mmd                | (E k(a, a') + E k(b, b') - 2 E k(a, b))^(1/2), k a Gaussian   | 1           |

All are zero between a set and itself and symmetric, and obey the triangle inequality. A set is `[n, ...]`, n points of
one shape; points that are not numbers count as the vector of their entries. Two independent sets of n points of one
distribution are still of the order of n^(-1/2) apart, so a distance means nothing without this floor: the same distance
of two exact sets, of as many points. A sample that is NaN makes every distance NaN.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pgm_jax.types import Key, Scalar

_BLOCK = 2**20  # numbers that are worked on at a time, so that large sets fit into memory and small ones are fast


def wasserstein_1d(a: Float[Array, "n ..."], b: Float[Array, "m ..."], order: Scalar = 1.0) -> Float[Array, ""]:
    """The Wasserstein distance of two sets of numbers, `W_p = (int_0^1 |Q_a(u) - Q_b(u)|^p du)^(1/p)`.

    Q_a and Q_b are the quantile functions of the sets, which are steps: the integral is a sum, and exact.

    Args:
        a, b: numbers, `[n]` and `[m]`.
        order: p, 1 or more.

    Raises:
        ValueError: if a or b is not of shape `[n]` with n above 0.
    """
    if a.ndim != 1 or b.ndim != 1 or not a.size or not b.size:
        raise ValueError(
            f"wasserstein_1d takes sets of numbers, of shape [n] with n above 0, and was given {a.shape} and "
            f"{b.shape}. Take one coordinate (or vmap over them), or sliced_wasserstein."
        )
    return _transport_cost(a, b, order) ** (1 / order)


def sliced_wasserstein(
    key: Key, a: Float[Array, "n ..."], b: Float[Array, "m ..."], directions: int = 1000, order: Scalar = 1.0
) -> Float[Array, ""]:
    """The sliced Wasserstein distance, `SW_p = (mean_k W_p(<t_k, a>, <t_k, b>)^p)^(1/p)` over random unit vectors t_k.

    A shift by s gives about `|s| sqrt(2 / (pi d))` for p = 1 and d large. Bonneel, Rabin, Peyre and Pfister (Journal of
    Mathematical Imaging and Vision 51, 2015).

    Args:
        key: key of the directions; one key for all that is to be compared.
        a, b: points, `[n, ...]` and `[m, ...]`.
        directions: number of unit vectors.
        order: p, 1 or more.

    Raises:
        ValueError: if a set is empty or the points of a and b have other shapes.
    """
    a, b = _vectors(a, b)
    # The same directions in either precision.
    normal = jax.random.normal(key, (directions, a.shape[1]), jnp.float32).astype(a.dtype)
    units = normal / jnp.linalg.norm(normal, axis=1, keepdims=True)

    def along(unit: Array) -> Array:
        # The unit vector stands to the left, so that a block of them gives [block, n], to be sorted along its rows.
        shadow_a, shadow_b = (jnp.matmul(unit, points.T, precision="highest") for points in (a, b))
        return _transport_cost(shadow_a, shadow_b, order)

    costs = jax.lax.map(along, units, batch_size=_block(max(a.shape[0], b.shape[0]), directions))
    return jnp.mean(costs) ** (1 / order)


def gelbrich(
    mean_a: Float[Array, " d"], cov_a: Float[Array, "_ _"], mean_b: Float[Array, " _"], cov_b: Float[Array, "_ _"]
) -> Float[Array, ""]:
    """The 2-Wasserstein distance of two Gaussians, a lower bound for any distributions of these means and covariances.

        W_2^2 = |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^(1/2) C_b C_a^(1/2))^(1/2))

    The trace is taken as `min_U |F_a - F_b U|^2` over orthogonal U, with C = F F^T: the same number, but without the
    difference of large ones, so that it is accurate where the Gaussians are close. Gelbrich (Mathematische Nachrichten
    147, 1990).

    Args:
        mean_a, mean_b: m, `[d]`.
        cov_a, cov_b: C, `[d, d]`, symmetric and positive semi-definite; they may be singular.

    Raises:
        ValueError: if the shapes are not these.
    """
    d = mean_a.shape[0]
    if (mean_b.shape, cov_a.shape, cov_b.shape) != ((d,), (d, d), (d, d)):
        raise ValueError(
            f"The means have shapes {mean_a.shape} and {mean_b.shape} and the covariances {cov_a.shape} and "
            f"{cov_b.shape}; give [d] and [d, d], with one d. Flatten points that are images."
        )

    def factor(cov: Array) -> Array:
        values, vectors = jnp.linalg.eigh(cov)
        return vectors * jnp.sqrt(jnp.maximum(values, 0))[None]  # rounding may leave zeros below 0

    with jax.default_matmul_precision("highest"):
        factor_a, factor_b = factor(cov_a), factor(cov_b)
        left, _, right = jnp.linalg.svd(factor_b.T @ factor_a)
        gap = factor_a - factor_b @ (left @ right)
    return jnp.sqrt(jnp.sum((mean_a - mean_b) ** 2) + jnp.sum(gap**2))


def gelbrich_of_sets(a: Float[Array, "n ..."], b: Float[Array, "m ..."]) -> Float[Array, ""]:
    """The `gelbrich` distance of the means and covariances of two sets: W_2 where both are Gaussian, else a bound.

    The covariances are those of the points, with divisors n and m, so that it is never above W_2 of the two sets.

    Args:
        a, b: points, `[n, ...]` and `[m, ...]`.

    Raises:
        ValueError: if a set is empty or the points of a and b have other shapes.
    """

    def moments(points: Array) -> tuple[Array, Array]:
        mean = jnp.mean(points, axis=0)
        centred = points - mean[None]
        return mean, jnp.matmul(centred.T, centred, precision="highest") / points.shape[0]

    a, b = _vectors(a, b)
    return gelbrich(*moments(a), *moments(b))


def energy_distance(a: Float[Array, "n ..."], b: Float[Array, "m ..."]) -> Float[Array, ""]:
    """The energy distance, `(2 E|a - b| - E|a - a'| - E|b - b'|)^(1/2)`.

    The means are over all pairs of points, each with itself too (the V-statistic): the root is real, and the square has
    a mean of `2 E|a - a'| / n` for exact samples, which the floor shows. Szekely and Rizzo (Journal of Statistical
    Planning and Inference 143, 2013). In float32, values below about 1e-3 E|a - b|^(1/2) are rounding.

    Args:
        a, b: points, `[n, ...]` and `[m, ...]`.

    Raises:
        ValueError: if a set is empty or the points of a and b have other shapes.
    """
    return _discrepancy(lambda square: -jnp.sqrt(square), a, b)


def mmd(a: Float[Array, "n ..."], b: Float[Array, "m ..."], bandwidth: Scalar) -> Float[Array, ""]:
    """The maximum mean discrepancy, `(E k(a, a') + E k(b, b') - 2 E k(a, b))^(1/2)`, `k = exp(-|x - y|^2 / (2 h^2))`.

    The means are over all pairs of points, each with itself too (the biased estimate): the root is real, and the square
    has a mean of `2 (1 - E k(a, a')) / n` for exact samples, which the floor shows. Gretton et al. (Journal of Machine
    Learning Research 13, 2012). In float32, values below about 1e-3 are rounding.

    Args:
        a, b: points, `[n, ...]` and `[m, ...]`.
        bandwidth: h, positive, in the units of the points; their median distance is a usual choice.

    Raises:
        ValueError: if a set is empty or the points of a and b have other shapes.
    """
    return _discrepancy(lambda square: jnp.exp(-square / (2 * bandwidth**2)), a, b)


def _vectors(a: Array, b: Array) -> tuple[Array, Array]:
    """The sets as [n, d] and [m, d], in one dtype."""
    if not a.size or not b.size or a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"The sets have shapes {a.shape} and {b.shape}; give [n, ...] and [m, ...] with points of one shape and at "
            "least one point each."
        )
    dtype = jnp.result_type(a, b)
    return a.reshape(a.shape[0], -1).astype(dtype), b.reshape(b.shape[0], -1).astype(dtype)


@jax.custom_jvp
def _ascending(x: Array) -> Array:
    # XLA's CPU sort is several times faster on integers. Floats are ordered as their bits are, once those of negative
    # numbers but for the sign are flipped; flipping twice is no change.
    integer = {"float32": jnp.int32, "float64": jnp.int64}.get(x.dtype.name)
    if integer is None:
        return jnp.sort(x)
    size = jnp.iinfo(integer)

    def flip(bits: Array) -> Array:
        return bits ^ ((bits >> (size.bits - 1)) & size.max)

    bits = flip(jax.lax.bitcast_convert_type(x, integer))
    return jax.lax.bitcast_convert_type(flip(jax.lax.sort(bits, is_stable=False)), x.dtype)


@_ascending.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return jax.jvp(jnp.sort, primals, tangents)


def _transport_cost(a: Array, b: Array, order: Scalar) -> Array:
    """W_p^p of two sets of numbers, [n] and [m]."""
    n, m = a.shape[0], b.shape[0]
    # The steps of both quantile functions end at multiples of 1 / (n m); between two ends both are constant.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    widths = jnp.asarray(np.diff(ends, prepend=0) / (n * m), jnp.result_type(a, b))
    gaps = jnp.abs(_ascending(a)[(ends - 1) // m] - _ascending(b)[(ends - 1) // n])
    return jnp.sum(widths * gaps**order)


def _discrepancy(kernel: Callable[[Array], Array], a: Array, b: Array) -> Array:
    """The root of E k(a, a') + E k(b, b') - 2 E k(a, b), for a kernel of squared distances."""
    a, b = _vectors(a, b)
    centre = jnp.mean(b, axis=0, keepdims=True)  # moved to 0, where squared distances lose least to rounding
    a, b = a - centre, b - centre

    def mean(x: Array, y: Array) -> Array:
        squares = jnp.sum(y**2, axis=1)

        def of_point(point: Array) -> Array:
            square = jnp.sum(point**2) + squares - 2 * jnp.matmul(point, y.T, precision="highest")
            return jnp.mean(kernel(jnp.maximum(square, 0)))

        return jnp.mean(jax.lax.map(of_point, x, batch_size=_block(y.shape[0], x.shape[0])))

    return jnp.sqrt(jnp.maximum(mean(a, a) + mean(b, b) - 2 * mean(a, b), 0))


def _block(size: int, count: int) -> int:
    """How many rows of this size to take at a time, of so many."""
    return min(max(_BLOCK // size, 1), count)
