"""Distances between sets of samples, and the floor that each is to be read against.

| distance               | formula                                                       | in units of |
|------------------------|---------------------------------------------------------------|-------------|
| wasserstein_1d         | (int_0^1 abs(Q_a - Q_b)^p du)^(1/p), Q the quantile functions | the points  |
| quantile_distance      | max_k abs(Q_a(u_k) - Q_b(u_k)) at equally spaced levels u_k   | the points  |
| sliced_wasserstein     | (mean_k W_p^p along t_k)^(1/p) over random directions t_k     | the points  |
| max_sliced_wasserstein | max_k W_p along t_k                                           | the points  |
| gelbrich               | W_2 of the Gaussians of the same means and covariances        | the points  |
| energy_distance        | (2 E abs(a - b) - E abs(a - a') - E abs(b - b'))^(1/2)        | their root  |
| mmd                    | (E k(a, a') + E k(b, b') - 2 E k(a, b))^(1/2), k a Gaussian   | 1           |

All are zero between a set and itself and symmetric, and obey the triangle inequality. A set is `[n, ...]`, n points of
one shape; points that are not numbers count as the vector of their entries. Two independent sets of n points of one law
are still of the order of n^(-1/2) apart, so a distance means nothing without this floor: see `with_floor`. A sample
that is NaN makes every distance NaN.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pgm_jax.types import Key, Scalar

_BLOCK = 2**20  # numbers that are worked on at a time, so that large sets fit into memory and small ones are fast


class WithFloor(NamedTuple):
    """A distance, and the one that exact samples would have.

    Attributes:
        value: distance of a set of samples to exact ones.
        floor: the same distance of exact samples, independent of those, as many as in the set.
    """

    value: Float[Array, ""]
    floor: Float[Array, ""]

    @property
    def ratio(self) -> Float[Array, ""]:
        """The value in floors, `value / floor`: about 1 where the samples cannot be told from exact ones."""
        return self.value / self.floor


def with_floor(
    metric: Callable[[Array, Array], Array],
    sample: Float[Array, "n ..."],
    exact_one: Float[Array, "m ..."],
    exact_two: Float[Array, "n2 ..."],
) -> WithFloor:
    """A distance beside its floor, `metric(sample, exact_one)` and `metric(exact_two, exact_one)`.

    Both are seen from the same exact set and, for sliced distances, along the same directions. For a distance to a law,
    `WithFloor(distance(sample), distance(exact))` says the same.

    Args:
        metric: (set, set) -> distance, such as `functools.partial(sliced_wasserstein, key)`.
        sample: samples to be judged, `[n, ...]`.
        exact_one: exact samples, `[m, ...]`.
        exact_two: further exact samples, independent of the first, `[n, ...]`.

    Raises:
        ValueError: if `sample` and `exact_two` have other shapes: the floor depends on the number of points.
    """
    if sample.shape != exact_two.shape:
        raise ValueError(
            f"The floor is that of sets of one size: the sample has shape {sample.shape} and the second exact set "
            f"{exact_two.shape}. Draw as many exact points as there are samples."
        )
    return WithFloor(metric(sample, exact_one), metric(exact_two, exact_one))


def wasserstein_1d(a: Float[Array, "n ..."], b: Float[Array, "m ..."], order: Scalar = 1.0) -> Float[Array, ""]:
    """The Wasserstein distance of two sets of numbers, `W_p = (int_0^1 |Q_a(u) - Q_b(u)|^p du)^(1/p)`.

    Q_a and Q_b are the quantile functions of the sets, which are steps: the integral is a sum, and exact.

    Args:
        a: numbers, `[n]`.
        b: numbers, `[m]`; m may differ from n.
        order: p, 1 or more.

    Raises:
        ValueError: if a or b is not of shape `[n]` with n above 0.
    """
    _check_numbers("wasserstein_1d", a, b)
    return _transport_cost(a, b, order) ** (1 / order)


def wasserstein_to_law(
    a: Float[Array, "n ..."], quantile: Callable[[Array], Array], order: Scalar = 1.0, nodes: int = 8
) -> Float[Array, ""]:
    """The Wasserstein distance of a set of numbers to a law, `(int_0^1 |Q_a(u) - Q(u)|^p du)^(1/p)`.

    The integral over each of the n steps of Q_a is by Gauss-Legendre quadrature. Against a set in place of the law the
    floor is larger by about sqrt(2).

    Args:
        a: numbers, `[n]`.
        quantile: Q, (levels in (0, 1), an array of any shape) -> numbers of this shape, in the units of a.
        order: p, 1 or more.
        nodes: evaluations of Q for each number.

    Raises:
        ValueError: if a is not of shape `[n]` with n above 0.
    """
    _check_numbers("wasserstein_to_law", a)
    places, weights = (jnp.asarray(array, a.dtype)[None] for array in np.polynomial.legendre.leggauss(nodes))
    levels = (jnp.arange(a.shape[0], dtype=a.dtype)[:, None] + (1 + places) / 2) / a.shape[0]
    costs = jnp.abs(_ascending(a)[:, None] - quantile(levels)) ** order
    return jnp.mean(jnp.sum(costs * weights / 2, axis=1)) ** (1 / order)


def quantile_distance(a: Float[Array, "n ..."], b: Float[Array, "m ..."], count: int = 99) -> Float[Array, ""]:
    """The largest gap between the quantiles of two sets of numbers, `max_k |Q_a(u_k) - Q_b(u_k)|`.

    The levels are equally spaced, `u_k = k / (count + 1)`, by default the percentiles. Where `wasserstein_1d` is a mean
    over all levels, this is a maximum that leaves out the outermost tails.

    Args:
        a: numbers, `[n]`.
        b: numbers, `[m]`; m may differ from n.
        count: number of levels.

    Raises:
        ValueError: if a or b is not of shape `[n]` with n above 0.
    """
    _check_numbers("quantile_distance", a, b)

    def quantiles(numbers: Array) -> Array:
        ranks = -(-np.arange(1, count + 1) * numbers.shape[0] // (count + 1))  # rounded up
        # NaN is the first or the last number, which the levels may leave out.
        return jnp.where(jnp.any(jnp.isnan(numbers)), jnp.nan, _ascending(numbers)[ranks - 1])

    return jnp.max(jnp.abs(quantiles(a) - quantiles(b)))


def sliced_wasserstein(
    key: Key, a: Float[Array, "n ..."], b: Float[Array, "m ..."], directions: int = 1000, order: Scalar = 1.0
) -> Float[Array, ""]:
    """The sliced Wasserstein distance, `SW_p = (mean_k W_p(<t_k, a>, <t_k, b>)^p)^(1/p)` over random unit vectors t_k.

    A shift by s gives about `|s| sqrt(2 / (pi d))` for p = 1 and d large. Bonneel, Rabin, Peyre and Pfister (Journal of
    Mathematical Imaging and Vision 51, 2015).

    Args:
        key: key of the directions; one key for all that is to be compared.
        a: points, `[n, ...]`.
        b: points, `[m, ...]`; m may differ from n.
        directions: number of unit vectors.
        order: p, 1 or more.

    Raises:
        ValueError: if a set is empty or the points of a and b have other shapes.
    """
    return jnp.mean(_sliced_costs(key, a, b, directions, order)) ** (1 / order)


def max_sliced_wasserstein(
    key: Key, a: Float[Array, "n ..."], b: Float[Array, "m ..."], directions: int = 1000, order: Scalar = 1.0
) -> Float[Array, ""]:
    """The largest Wasserstein distance along a random direction, `max_k W_p(<t_k, a>, <t_k, b>)`.

    It is a lower bound of the supremum over all directions, and a loose one where d is large.

    Args:
        key: key of the directions; one key for all that is to be compared.
        a: points, `[n, ...]`.
        b: points, `[m, ...]`; m may differ from n.
        directions: number of unit vectors.
        order: p, 1 or more.

    Raises:
        ValueError: if a set is empty or the points of a and b have other shapes.
    """
    return jnp.max(_sliced_costs(key, a, b, directions, order)) ** (1 / order)


def gelbrich(
    mean_a: Float[Array, " d"], cov_a: Float[Array, "_ _"], mean_b: Float[Array, " _"], cov_b: Float[Array, "_ _"]
) -> Float[Array, ""]:
    """The 2-Wasserstein distance of two Gaussians, a lower bound for any laws of these means and covariances.

        W_2^2 = |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^(1/2) C_b C_a^(1/2))^(1/2))

    The trace is taken as `min_U |F_a - F_b U|^2` over orthogonal U, with C = F F^T: the same number, but without the
    difference of large ones, so that it is accurate where the Gaussians are close. Gelbrich (Mathematische Nachrichten
    147, 1990).

    Args:
        mean_a: m_a, `[d]`.
        cov_a: C_a, `[d, d]`, symmetric and positive semi-definite; it may be singular.
        mean_b: m_b, `[d]`.
        cov_b: C_b, `[d, d]`, likewise.

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
        a: points, `[n, ...]`.
        b: points, `[m, ...]`; m may differ from n.

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
        a: points, `[n, ...]`.
        b: points, `[m, ...]`; m may differ from n.

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
        a: points, `[n, ...]`.
        b: points, `[m, ...]`; m may differ from n.
        bandwidth: h, positive, in the units of the points; their median distance is a usual choice.

    Raises:
        ValueError: if a set is empty or the points of a and b have other shapes.
    """
    return _discrepancy(lambda square: jnp.exp(-square / (2 * bandwidth**2)), a, b)


def _check_numbers(name: str, *sets: Array) -> None:
    if any(numbers.ndim != 1 or not numbers.size for numbers in sets):
        raise ValueError(
            f"{name} takes sets of numbers, of shape [n] with n above 0, and was given "
            f"{' and '.join(str(numbers.shape) for numbers in sets)}. Take one coordinate (or vmap over them), or "
            "sliced_wasserstein."
        )


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


def _sliced_costs(key: Key, a: Array, b: Array, directions: int, order: Scalar) -> Array:
    """W_p^p along random directions, [directions]."""
    a, b = _vectors(a, b)
    # The same directions in either precision.
    normal = jax.random.normal(key, (directions, a.shape[1]), jnp.float32).astype(a.dtype)
    units = normal / jnp.linalg.norm(normal, axis=1, keepdims=True)

    def along(unit: Array) -> Array:
        # The unit vector stands to the left, so that a block of them gives [block, n], to be sorted along its rows.
        shadow_a, shadow_b = (jnp.matmul(unit, points.T, precision="highest") for points in (a, b))
        return _transport_cost(shadow_a, shadow_b, order)

    return jax.lax.map(along, units, batch_size=_block(max(a.shape[0], b.shape[0]), directions))


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
