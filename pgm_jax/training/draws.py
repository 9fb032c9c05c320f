"""What a training step sees: a noisy point, the conditions that the network is told, and the target.

    levels of PGM         u = x_0 + sqrt(lam) eps                          conditions lam       target x_0
    steps of ProxDM       y = x_t + sqrt(lam) eps', x_t = mu x_0 + s eps   conditions t, lam    target E[x_t | x_0, y]
    inverse of an LPN     x = f(y), y = x_0 + sigma eps                    conditions lam       target y

A ProxDM network is asked at the pairs (t, lam) that its sampler will visit: a number of steps N is drawn from a list,
then one of the N steps of the uniform grid; lam is tied to t through N. The paper matches x_t, which is mostly noise at
most pairs. Given x_0 and y it is Gaussian,

    x_t | x_0, y ~ N(mu x_0 + s^2 / (s^2 + lam) (y - mu x_0), s^2 lam / (s^2 + lam) I),

so that the mean is the target here, and the variance widens the kernel of proximal matching. Every y keeps its
minimiser, under squares and under matching, whose factor of (t, lam) is left out; the gradients lose the noise of x_t.

Source: ProxDM (arXiv 2507.08956), section on the sampling of t and lambda; the target is ours.
"""

import dataclasses
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pgm_jax.networks import LPN
from pgm_jax.samplers import rate_integral
from pgm_jax.types import Images, Key, Schedule, pytree

COUNTS = (5, 10, 20, 50, 100, 1000)


class Seen(NamedTuple):
    """What a step sees of a batch.

    Attributes:
        point: noisy images, `[B, H, W, C]`.
        conditions: what the network is told beside them, arrays or pytrees of arrays, `[B, ...]` each.
        target: images of the same shape, or several for each point, `[K, B, H, W, C]`.
        variance: `[B]` or 0, in squared units of the images: what is matched is, given x_0 and the point, a Gaussian of
            this variance around the target, around each where there are several.
    """

    point: Array
    conditions: tuple[Any, ...]
    target: Array
    variance: Array | float = 0.0


@runtime_checkable
class Draws(Protocol):
    """A distribution of what a step sees."""

    def draw(self, key: Key, images: Images, /) -> Seen: ...


def stratified_times(key: Key, count: int) -> Float[Array, " b"]:
    """Times that are uniform on [0, 1] each, and spread evenly together: `(u + i / B) mod 1`.

    Args:
        key, count: random key, and number of times B.
    """
    return (jax.random.uniform(key) + jnp.arange(count) / count) % 1.0


@pytree
class LevelDraws:
    """Images under noise of a random level, `u = x_0 + sqrt(lam(t)) eps`, t uniform.

    Attributes:
        schedule: distribution of the levels; that of `VE` makes log lam uniform.
    """

    schedule: Schedule

    def draw(self, key: Key, images: Images) -> Seen:
        """The points, their levels, and the clean images.

        Args:
            key, images: random key, and clean images `[B, H, W, C]`.
        """
        key_time, key_noise = jax.random.split(key)
        lam = jax.vmap(self.schedule.lam)(stratified_times(key_time, images.shape[0]))
        return self._seen(key_noise, images, lam)

    def previews(self, key: Key, images: Images) -> list[Seen]:
        """The images at four levels, with the same noise.

        Args:
            key, images: random key, and clean images `[B, H, W, C]`.
        """
        levels = [jnp.full(len(images), self.schedule.lam(t)) for t in (0.3, 0.5, 0.7, 0.9)]
        return [self._seen(key, images, lam) for lam in levels]

    def _seen(self, key: Key, images: Images, lam: Array) -> Seen:
        noise = jax.random.normal(key, images.shape)
        return Seen(images + jnp.sqrt(lam)[:, None, None, None] * noise, (lam,), images)


@pytree
class StepDraws:
    """The steps of a ProxDM sampler, seen from their end; build it with `step_draws`.

    Attributes:
        schedule: variance-preserving forward process.
        counts, weights: numbers of steps N, and their probabilities, `[k]`.
        backward: lam of the backward step, `gamma / (1 - gamma / 2)`, or of the hybrid one, gamma.
        continuous: t uniform on [0, 1 - 1 / N], or on the grid i / N.
    """

    schedule: Schedule
    counts: Array
    weights: Array
    backward: bool = dataclasses.field(default=False, metadata=dict(static=True))
    continuous: bool = dataclasses.field(default=False, metadata=dict(static=True))

    def pairs(self, key: Key, count: int) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
        """Random pairs (t, lam), `[B]` each.

        Args:
            key, count: random key, and number of pairs B.
        """
        key_count, key_time = jax.random.split(key)
        steps = self.counts[jax.random.categorical(key_count, jnp.log(self.weights), shape=(count,))]
        uniform = stratified_times(key_time, count)
        if self.continuous:
            t = uniform * (1 - 1 / steps)
        else:
            # Whole numbers, so that no node falls a cell short.
            t = jnp.minimum(jnp.floor(uniform * steps).astype(int), steps - 1) / steps
        return t, self._step(t, steps)

    def draw(self, key: Key, images: Images) -> Seen:
        """The points y, their times and steps, and what is known of x_t.

        Args:
            key, images: random key, and clean images `[B, H, W, C]`.
        """
        key_pairs, key_noise = jax.random.split(key)
        return self._seen(key_noise, images, *self.pairs(key_pairs, images.shape[0]))

    def previews(self, key: Key, images: Images) -> list[Seen]:
        """The last step of four of the samplers, on the clean images, with the same noise.

        Args:
            key, images: random key, and clean images `[B, H, W, C]`.
        """
        t = jnp.zeros(len(images))
        counts = [self.counts[len(self.counts) * part // 4] for part in (3, 2, 1, 0)]
        return [self._seen(key, images, t, self._step(t, jnp.broadcast_to(count, t.shape))) for count in counts]

    def _step(self, t: Array, steps: Array) -> Array:
        ends = jnp.stack([jnp.minimum(t + 1 / steps, 1.0), t], axis=1)
        gamma = jax.vmap(lambda times: rate_integral(self.schedule, times)[0])(ends)
        return gamma / (1 - gamma / 2) if self.backward else gamma

    def _seen(self, key: Key, images: Images, t: Array, lam: Array) -> Seen:
        mu = self.schedule.mu(t)
        variance = mu**2 * self.schedule.lam(t)
        signal = mu[:, None, None, None] * images
        noise = jnp.sqrt(variance + lam)[:, None, None, None] * jax.random.normal(key, images.shape)
        kept = variance / (variance + lam)
        return Seen(signal + noise, (t, lam), signal + kept[:, None, None, None] * noise, kept * lam)


@pytree
class InverseDraws:
    """Points of a learned proximal network and what they come from, `x = f(y)` and y; build it with `inverse_draws`.

    Attributes:
        prior: trained network, whose f is inverted.
    """

    prior: LPN

    def draw(self, key: Key, images: Images) -> Seen:
        """The points x, their level sigma^2, and y.

        Args:
            key, images: random key, and clean images `[B, H, W, C]`.
        """
        y = images + self.prior.network.sigma * jax.random.normal(key, images.shape)
        lam = jnp.full(len(images), self.prior.network.sigma**2)
        return Seen(self.prior.network.apply(self.prior.params, y), (lam,), y)


def inverse_draws(prior: Any) -> InverseDraws:
    """What a second convex network G is trained on, to invert a first one: `grad G(f(y)) = y`, thus G = psi*.

    By squares its gradient is the inverse of f, and the value of the first network's prior takes one pass of each:
    `prior.value_at(x, dual.denoise(x))`, with its certificate. It is trained on the range of f: elsewhere the gap says
    how little it knows. The conjugate as a second network is after the public sequels of LPN; the draws are ours.

    Args:
        prior: trained learned proximal network.

    Raises:
        TypeError: if it is another prior.
    """
    if not isinstance(prior, LPN):
        raise TypeError(f"{type(prior).__name__} has no inverse; give an LPN, that of a trained ConvexNetwork.")
    return InverseDraws(prior)


def as_draws(schedule: Schedule | Draws) -> Draws:
    """What a training step sees: draws as they are, a schedule as the levels of PGM.

    Args:
        schedule: distribution of the levels, or draws.
    """
    return schedule if isinstance(schedule, Draws) else LevelDraws(schedule)


def step_draws(
    schedule: Schedule,
    counts: tuple[int, ...] = COUNTS,
    weights: str | float | tuple[float, ...] = "log",
    *,
    backward: bool = False,
    continuous: bool = False,
) -> StepDraws:
    """The pairs (t, lam) that a ProxDM network is trained on.

    Args:
        schedule: variance-preserving forward process.
        counts: numbers of steps N that the network will be sampled with.
        weights: how often each is drawn: "log" in proportion to log N, "uniform", a number p for N^(1/p), or one
            weight for each.
        backward: for `backward_rows`; by default for `hybrid_rows`.
        continuous: t anywhere between 0 and 1 - 1 / N; by default on the grid i / N of the sampler.

    Raises:
        ValueError: if there is no count, a count below 1 or, backward, one whose gamma reaches 2; if the weights do not
            fit, or would never draw a count; if the schedule does not preserve the variance.
    """
    given = np.asarray(counts)
    if given.ndim != 1 or not given.size or np.any(given < 1) or np.any(given != np.floor(given)):
        raise ValueError(f"The numbers of steps are {counts}; give whole numbers, each at least 1.")
    for count in given:
        longest = float(jnp.max(rate_integral(schedule, 1.0 - jnp.arange(count + 1) / count)))
        if backward and longest >= 2:
            raise ValueError(
                f"With {count} steps the longest has gamma = {longest:.4g}; a backward step needs gamma < 2: leave "
                f"{count} out of {counts}, or train for hybrid steps."
            )
    shares = _weights(given.astype(float), weights)
    return StepDraws(schedule, jnp.asarray(given), jnp.asarray(shares, float), backward, continuous)


def _weights(counts: np.ndarray, rule: str | float | tuple[float, ...]) -> np.ndarray:
    if isinstance(rule, str):
        rules = dict(log=np.log(counts), uniform=np.ones_like(counts))
        if rule not in rules:
            raise ValueError(
                f"The weights are {rule!r}; give 'log', 'uniform', a number p, or one weight for each count."
            )
        weights = rules[rule]
    elif isinstance(rule, int | float):
        weights = counts ** (1 / rule) if rule > 0 else np.zeros_like(counts)
    else:
        weights = np.asarray(rule, float)
    if weights.shape != counts.shape or np.any(weights < 0) or not weights.sum() > 0:
        raise ValueError(
            f"The weights {rule} do not fit the {len(counts)} numbers of steps {counts.astype(int)}; give a positive "
            "p, or one weight for each, from 0 up."
        )
    if rule == "log" and np.any(weights == 0):
        raise ValueError("A single step has the weight log 1 = 0 and would never be drawn; give weights='uniform'.")
    return weights / weights.sum()
