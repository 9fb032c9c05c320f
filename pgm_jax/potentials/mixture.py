"""Mixtures of Gaussians with one covariance, and the prox of such a mixture, which has many local minima.

A descent majorises the potential by a quadratic at the present responsibilities r and minimises that:

    u(r) = v + lam (S + lam)^{-1} (sum_j r_j m_j - v),      r <- softmax(h + G r)

With S diagonal all that a descent needs is the Gram matrix `G = M S^{-1} lam (S + lam)^{-1} M^T` of the means M, which
all points share, and J numbers h for each point; the objective is `r^T G r / 2 - logsumexp(h + G r)` and a constant.
Descents are accelerated by squared extrapolation (Varadhan and Roland, Scandinavian Journal of Statistics 35, 2008,
scheme S3), which is taken only where it goes lower than the plain step.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pgm_jax.operators.metric import Metric
from pgm_jax.potentials.base import ByAutodiff
from pgm_jax.tracing import is_traced
from pgm_jax.types import Scalar, pytree

# A point to the next one, and the objective at the given point.
_Step = Callable[[Array], tuple[Array, Array]]

_ROUNDS_FROM_EVERY_COMPONENT, _ROUNDS_FROM_THE_BEST = 4, 100
_SETTLED = 1e-2  # responsibilities that move by less no longer change basin


@pytree
class Mixture(ByAutodiff):
    """A mixture of J spherical Gaussians: `g(x) = -log sum_j w_j N(x; m_j, s^2)`, not convex.

    Attributes:
        weights: w_j, `[J]`, positive.
        means: m_j, `[J, ...]`.
        std: s, one for all components; 0 for a distribution on points, which has a prox but no value and no gradient.
    """

    weights: Float[Array, " j"]
    means: Float[Array, "j ..."]
    std: Scalar

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """The value, `-log sum_j w_j exp(-|x - m_j|^2 / (2 s^2))`."""
        axes = tuple(range(1, self.means.ndim))
        square = jnp.sum((x[None] - self.means) ** 2, axis=axes)
        return -jax.nn.logsumexp(jnp.log(self.weights) - square / (2 * self.std**2))

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox, `mixture_prox` with the variance s^2 in all directions.

        Of points, s = 0, it is the limit: the point of the least `|m_j - v|^2 / (2 lam) - log w_j`.
        """
        means = self.means.reshape(len(self.means), -1)
        variance = jnp.asarray(self.std, v.dtype) ** 2
        # A variance that is there keeps the branch that is not taken free of NaN.
        variances = jnp.full(v.size, jnp.where(variance > 0, variance, 1.0), v.dtype)
        smooth = mixture_prox(jnp.log(self.weights), means, variances, v.ravel(), lam)
        costs = jnp.sum((means - v.ravel()[None]) ** 2, axis=1) - 2 * lam * jnp.log(self.weights)
        return jnp.where(variance > 0, smooth, means[jnp.argmin(costs)]).reshape(v.shape)

    def prox_metric(self, mu: Float[Array, "..."], metric: Metric) -> Float[Array, "..."]:
        """The prox in the metric of Sigma, `mixture_prox` in its eigenvectors.

        Where Sigma is not diagonal it takes d^3 operations for d numbers, and has no derivative in lam.

        Args:
            mu, metric: point, and Sigma.

        Raises:
            ValueError: if std is 0.
        """
        self._check_width()
        log_weights, means = jnp.log(self.weights), self.means.reshape(len(self.means), -1)
        variances = jnp.full(mu.size, jnp.square(self.std), mu.dtype)
        if metric.entrywise:
            lams = metric.variances(mu).ravel()
            return mixture_prox(log_weights, means, variances, mu.ravel(), lams).reshape(mu.shape)
        lams, vectors = jnp.linalg.eigh(metric.dense(mu))
        turned = mixture_prox(log_weights, means @ vectors, variances, mu.ravel() @ vectors, jnp.maximum(lams, 0))
        return (vectors @ turned).reshape(mu.shape)

    def denoise_metric(self, mu: Float[Array, "..."], metric: Metric) -> Float[Array, "..."]:
        """The mean of x given `x + N(0, Sigma) = mu`, in closed form for every Sigma.

        Formula: `sum_j r_j [m_j + s^2 (Sigma + s^2)^{-1} (mu - m_j)]`, `r_j ~ w_j N(mu; m_j, Sigma + s^2)`.

        Args:
            mu, metric: point, and Sigma.

        Raises:
            ValueError: if std is 0.
        """
        self._check_width()
        apart = mu[None] - self.means
        believed = jax.vmap(lambda r: metric.gain(r, self.std))(apart)
        axes = tuple(range(1, apart.ndim))
        squares = jnp.sum(apart * believed, axis=axes) / jnp.square(self.std)
        shares = jax.nn.softmax(jnp.log(self.weights) - squares / 2)
        return jnp.tensordot(shares, self.means + believed, axes=1)

    def _check_width(self) -> None:
        if not is_traced(self.std) and not np.all(np.asarray(self.std) > 0):
            raise ValueError("A distribution on points, std = 0, has no prox in another metric; give a small std.")

    def diffused(self, variance: Scalar) -> "Mixture":
        """The potential of `x + sqrt(s) eps`: the variance of every component is `std^2 + s`.

        Args:
            variance: s of the noise, 0 or more.
        """
        return Mixture(self.weights, self.means, jnp.sqrt(jnp.square(self.std) + variance))


def mixture_prox(
    log_weights: Float[Array, " j"],
    means: Float[Array, "j d"],
    variances: Float[Array, " d"],
    v: Float[Array, " d"],
    lam: Scalar | Float[Array, " d"],
) -> Float[Array, " d"]:
    """The prox of `g(u) = -log sum_j exp(l_j - sum_i (u_i - m_ji)^2 / (2 s_i))`, the lowest of J descents.

    A covariance S that is not diagonal is made so by its eigenvectors Q: `Q mixture_prox(l, m Q, s, Q^T v, lam)`.

    One descent is enough where the objective is `strongly_convex`. Elsewhere one starts at the prox of each component
    that can dominate the minimum, `r_j(p) >= 1/J`. All take a few rounds, and the lowest continues until a step moves
    it by less than 16 units of rounding of the largest of |v_i| and |m_ji|; minima whose objectives differ by no more
    than the rounding of lam |m_j|^2 / s are taken one for the other. Derivatives are those of the stationary point, by
    the implicit function theorem.

    Args:
        log_weights: l_j, finite; they need not be normalised.
        means: m_j, in the units of v.
        variances: s_i, positive, common to all components, in squared units of v.
        v: point.
        lam: step of the prox, in squared units of v: one, or one for each entry.
    """
    return _minimiser(log_weights, means, variances, v, jnp.broadcast_to(jnp.asarray(lam, v.dtype), v.shape))


@jax.custom_jvp
def _minimiser(log_weights: Array, means: Array, variances: Array, v: Array, lam: Array) -> Array:
    weights = _responsibilities(log_weights, means, variances, v, lam)

    def step(u: Array) -> tuple[Array, Array]:
        scores = _scores(log_weights, means, variances, u)
        # An entry whose lam is 0 does not move.
        moved = jnp.where(lam > 0, (u - v) ** 2 / jnp.where(lam > 0, lam, 1), 0)
        objective = jnp.sum(moved) / 2 - jax.nn.logsumexp(scores)
        return _single(jax.nn.softmax(scores), means, variances, v, lam), objective

    # The Gram matrix has lost digits where the means are far apart; the points themselves have not.
    scale = jnp.maximum(jnp.max(jnp.abs(v)), jnp.max(jnp.abs(means)))
    tolerance = 16 * jnp.finfo(v.dtype).eps * scale
    return _descend(step, _single(weights, means, variances, v, lam), tolerance, _ROUNDS_FROM_THE_BEST)[0]


@_minimiser.defjvp
def _implicit(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    def step(u: Array, log_weights: Array, means: Array, variances: Array, v: Array, lam: Array) -> Array:
        return _single(jax.nn.softmax(_scores(log_weights, means, variances, u)), means, variances, v, lam)

    p = _minimiser(*primals)
    direct = jax.jvp(lambda *given: step(p, *given), primals, tangents)[1]
    return p, jnp.linalg.solve(jnp.eye(p.size, dtype=p.dtype) - jax.jacfwd(step)(p, *primals), direct)


def _scores(log_weights: Array, means: Array, variances: Array, u: Array) -> Array:
    """The logarithms of the components at u."""
    return log_weights - jnp.sum((u[None] - means) ** 2 / variances[None], axis=1) / 2


def _single(weights: Array, means: Array, variances: Array, v: Array, lam: Array) -> Array:
    """The prox of the quadratic that responsibilities make of the mixture."""
    return v + lam / (variances + lam) * (weights @ means - v)


def _responsibilities(log_weights: Array, means: Array, variances: Array, v: Array, lam: Array) -> Array:
    """The responsibilities at the lowest minimum, as well as the Gram matrix gives them."""
    # Near the origin the squares lose fewer digits.
    origin = jnp.mean(means, axis=0)
    means, v = means - origin[None], v - origin
    gain = lam / (variances + lam)
    gram = (means * (gain / variances)[None]) @ means.T
    field = log_weights + means @ ((1 - gain) / variances * v) - jnp.sum(means**2 / variances[None], axis=1) / 2

    def evaluate(weights: Array, pull: Array) -> tuple[Array, Array]:
        scores = field[None] + pull
        objective = jnp.sum(weights * pull, axis=-1) / 2 - jax.nn.logsumexp(scores, axis=-1)
        return jax.nn.softmax(scores), objective

    def step(weights: Array) -> tuple[Array, Array]:
        return evaluate(weights, weights @ gram)

    tolerance = 4 * jnp.finfo(v.dtype).eps * (1 + jnp.max(jnp.diag(gram)))

    def from_every_component() -> Array:
        weights, objective = evaluate(jnp.eye(len(field), dtype=v.dtype), gram)
        # With a_j the minimum of component j alone, r_j = exp(objective - that of j) <= exp(objective - a_j) at the
        # minimum: a component that has 1 / J there has a_j <= objective + log J. The 1 is for rounding.
        alone, lowest = -(field + jnp.diag(gram) / 2), jnp.argmin(objective)
        dominant = alone <= objective[lowest] + jnp.log(len(field)) + 1
        weights = jnp.where(dominant[:, None], weights, weights[lowest][None])
        weights, objective = _descend(step, weights, _SETTLED, _ROUNDS_FROM_EVERY_COMPONENT)
        return weights[jnp.argmin(objective)]

    start = jax.lax.cond(strongly_convex(means, variances, lam), lambda: jax.nn.softmax(field), from_every_component)
    return _descend(step, start[None], tolerance, _ROUNDS_FROM_THE_BEST)[0][0]


def strongly_convex(
    means: Float[Array, "j d"], variances: Float[Array, " d"], lam: Scalar | Float[Array, " d"]
) -> Bool[Array, ""]:
    """Whether the objective of the prox is certain to have one minimum: `lam_i (r^2 - 1) < s_i` for all i.

    r is the radius of the means about their centre in units of `sqrt(s_i)`: the covariance of the responsibilities is
    at most r^2 in any direction, so that the Hessian of g is at least `(1 - r^2) / s`.

    Args:
        means, variances, lam: as for `mixture_prox`.
    """
    radius_squared = jnp.max(jnp.sum((means - jnp.mean(means, axis=0)[None]) ** 2 / variances[None], axis=1))
    return jnp.all(lam * (radius_squared - 1) < variances)


def _descend(step: _Step, start: Array, tolerance: Scalar, rounds: int) -> tuple[Array, Array]:
    """The end of a descent, or of several side by side, and the objective there.

    Args:
        step: the plain step, which never goes up.
        start: `[..., n]`.
        tolerance: the descent ends where a plain step moves no entry by more.
        rounds: it ends after as many rounds, of two steps each.
    """

    def moving(state: tuple[Array, ...]) -> Array:
        x, following, _, done = state
        return (done < rounds) & jnp.any(jnp.abs(following - x) > tolerance)

    def extrapolate(state: tuple[Array, ...]) -> tuple[Array, ...]:
        x, one, _, done = state
        two, plain = step(one)
        first, bend = one - x, two - 2 * one + x
        length, bent = (jnp.sum(part**2, axis=-1, keepdims=True) for part in (first, bend))
        stretch = jnp.sqrt(length / jnp.maximum(bent, 1e-6 * length + jnp.finfo(x.dtype).tiny))
        stretch = jnp.maximum(stretch, 1.0)
        far = x + 2 * stretch * first + stretch**2 * bend
        beyond, value = step(far)
        lower = (value <= plain)[..., None]
        return (
            jnp.where(lower, far, one),
            jnp.where(lower, beyond, two),
            jnp.where(lower[..., 0], value, plain),
            done + 1,
        )

    following, value = step(start)
    _, following, value, _ = jax.lax.while_loop(moving, extrapolate, (start, following, value, jnp.array(0)))
    return following, value
