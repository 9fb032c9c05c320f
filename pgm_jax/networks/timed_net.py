"""A network as the prox of the noisy density at every time, f(y; t, lam) = prox_{-lam ln p_t}(y).

For `x_t = mu x_0 + sigma eps` of a schedule and `y = x_t + sqrt(lam) eps'`, a module F of two conditions is wrapped as

    f(y, t, lam) = c + skip (y - c) + out F(inner (y - c), log(lam(t)) / 4, log(lam) / 4)

| form           | c    | skip          | out                             | inner             | F learns             |
|----------------|------|---------------|---------------------------------|-------------------|----------------------|
| `eps_form`     | 0    | 1             | `-sqrt(lam)`                    | 1                 | the noise `eps'`     |
| `prox_form`    | 0    | 0             | 1                               | 1                 | the prox itself      |
| `DenoiserForm` | mu m | `v/(v + lam)` | `lam mu s / sqrt(w (v + lam))`  | `1/sqrt(v + lam)` | what is not Gaussian |

with `v = mu^2 s^2 + sigma^2` the variance of x_t for data of N(m, s^2) and `w = sigma^2 + lam` that of all noise in y.
The last is `f = sigma^2/w y + mu lam/w phi(y/mu, w/mu^2)` with a denoiser phi as in `Preconditioned`, told t and lam: F
answers for what the image leaves open, and not for the noise of x_t.

For t the module sees lam(t) = sigma^2 / mu^2, so that what it learned does not depend on how the schedule counts time.

Source: ProxDM (arXiv 2507.08956), whose form is `eps_form`; `DenoiserForm` is ours.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, cast

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from pgm_jax.networks.prox_net import as_batch
from pgm_jax.operators.base import check_image_shape
from pgm_jax.types import Key, Scalar, Scalars, Schedule, Shape, pytree

_LEAST_TIME, _LEAST_STEP = 1e-6, 1e-12  # levels below are one and the same to the module


class Coefficients(NamedTuple):
    """The numbers of a form: `f = centre + skip (y - centre) + out F(inner (y - centre))`."""

    centre: Array
    skip: Array
    out: Array
    inner: Array


# (mu, sigma^2, lam) -> coefficients, all of one shape
Form = Callable[[Array, Array, Array], Coefficients]


def eps_form(mu: Array, variance: Array, lam: Array) -> Coefficients:
    """The module predicts the noise: `f = y - sqrt(lam) F(y)`; at lam = 0 it is y.

    Args:
        mu, variance, lam: signal and noise of x_t, and step of the prox, of one shape.
    """
    del variance
    nothing, one = jnp.zeros_like(mu), jnp.ones_like(mu)
    return Coefficients(nothing, one, -jnp.sqrt(lam), one)


def prox_form(mu: Array, variance: Array, lam: Array) -> Coefficients:
    """The module predicts the prox: `f = F(y)`.

    Args:
        mu, variance, lam: as for `eps_form`.
    """
    del variance, lam
    nothing, one = jnp.zeros_like(mu), jnp.ones_like(mu)
    return Coefficients(nothing, nothing, one, one)


@dataclasses.dataclass(frozen=True)
class DenoiserForm:
    """The module corrects a denoiser of Gaussian data, see the head of this file; at lam = 0 it is y.

    Attributes:
        mean, std: m and s of the data, in the units of the images.
    """

    mean: float = 0.0
    std: float = 0.5

    def __call__(self, mu: Array, variance: Array, lam: Array) -> Coefficients:
        """The coefficients, for signal, noise and step of one shape."""
        v, w = (mu * self.std) ** 2 + variance, variance + lam
        # lam = 0 at t = 0: no noise at all, and y is the answer.
        out = lam * mu * self.std / jnp.sqrt(jnp.where(w > 0, w, 1.0) * (v + lam))
        return Coefficients(mu * self.mean, v / (v + lam), out, 1 / jnp.sqrt(v + lam))


_UNITS: dict[str, Callable[[Coefficients, Array], Array]] = dict(
    own=lambda c, lam: jnp.abs(c.out),
    eps=lambda c, lam: jnp.sqrt(lam),
    prox=lambda c, lam: jnp.ones_like(lam),
)


@dataclasses.dataclass(frozen=True)
class TimedNetwork:
    """A flax module of two conditions with its form: `init` and `apply` are pure functions of a dict of parameters.

    Attributes:
        module: maps (images `[B, H, W, C]`, conditions `[B, 2]`) to images.
        image_shape: (H, W, C).
        schedule: variance-preserving forward process.
        form: what the module predicts: `eps_form`, `prox_form` or a `DenoiserForm`.
        loss: the unit of a residual of training: "eps" (sqrt(lam), a loss on the noise as x_0 and y tell it), "prox"
            (that of the images) or "own" (of what the module may correct: with `eps_form` the first, with `prox_form`
            the second).

    Raises:
        ValueError: if the loss is another, or the shape is not three whole numbers.
        TypeError: if the form is no function.
    """

    module: nn.Module
    image_shape: Shape
    schedule: Schedule
    form: Form = DenoiserForm()
    loss: str = "own"

    def __post_init__(self):
        check_image_shape(self.image_shape)
        if not callable(self.form):
            raise TypeError(f"The form is {self.form!r}; give `eps_form`, `prox_form` or a `DenoiserForm`.")
        if self.loss not in _UNITS:
            raise ValueError(f"The loss is on {self.loss!r}; it is on one of {', '.join(map(repr, _UNITS))}.")

    def init(self, key: Key) -> PyTree:
        """Draw the parameters."""
        return self.module.init(key, jnp.zeros((1, *self.image_shape)), jnp.zeros((1, 2)))["params"]

    def prior(self, params: PyTree) -> "TimedProxNet":
        """The trained network as a prior at every time, with its `params`."""
        return TimedProxNet(params, self)

    def scale(self, t: Scalars, lam: Scalars) -> Array:
        """The unit of a residual of training at times t and steps lam of one shape."""
        return _UNITS[self.loss](self._coefficients(jnp.asarray(t), jnp.asarray(lam)), jnp.asarray(lam))

    def apply(
        self,
        params: PyTree,
        y: Float[Array, "*b h w c"],
        t: Float[Array, "*b"] | float,
        lam: Float[Array, "*b"] | float,
    ) -> Array:
        """Evaluate f(y, t, lam), for a batch or for one image.

        Args:
            params: what `init` returned, or trained from it.
            y: `[B, H, W, C]` with t and lam `[B]`, or `[H, W, C]` with scalars.
            t: time in [0, 1].
            lam: step of the prox, a variance in the squared units of y.

        Raises:
            ValueError: if y is of another shape than `image_shape`.
        """
        batched = as_batch(y, self.image_shape)
        given = (jnp.atleast_1d(jnp.asarray(value, y.dtype)) for value in (t, lam))
        times, steps = jnp.broadcast_arrays(*given)
        c = Coefficients(*(part[:, None, None, None] for part in self._coefficients(times, steps)))
        levels = jnp.maximum(self.schedule.lam(times), _LEAST_TIME), jnp.maximum(steps, _LEAST_STEP)
        conditions = 0.25 * jnp.log(jnp.stack(levels, axis=1))
        centred = batched - c.centre
        learned = cast(Array, self.module.apply({"params": params}, c.inner * centred, conditions))
        # c + skip (y - c), written so that y comes back to the last bit where skip = 1.
        out = batched - (1.0 - c.skip) * centred + c.out * learned
        return out if y.ndim == 4 else out[0]

    def _coefficients(self, t: Array, lam: Array) -> Coefficients:
        mu = self.schedule.mu(t)
        return self.form(mu, mu**2 * self.schedule.lam(t), lam)


@pytree
class TimedProxNet:
    """A trained network as a prior at every time: `at(t).prox(y, lam) = network.apply(params, y, t, lam)`.

    It knows the pairs (t, lam) of its training: `hybrid_rows` or `backward_rows` of its schedule and of the numbers of
    steps that it was trained for. Nothing checks others, and they make worse samples.

    Attributes:
        params: parameters (traced: another set of weights does not recompile).
        network: what evaluates them (static).
    """

    params: PyTree
    network: TimedNetwork = dataclasses.field(metadata=dict(static=True))

    @property
    def image_shape(self) -> Shape:
        """(H, W, C) of the images that the network takes."""
        return self.network.image_shape

    def at(self, t: Scalar) -> "_AtTime":
        """The prior of x_t, by its prox.

        Args:
            t: time in [0, 1].
        """
        return _AtTime(self, t)

    def prox(self, v: Float[Array, "h w c"], lam: Scalar) -> Float[Array, "h w c"]:
        """The learned prox of the clean images, the slice t = 0, known at the lam of last steps alone.

        Args:
            v, lam: one image `[H, W, C]`, and step of the prox.

        Raises:
            ValueError: if v is of another shape than `image_shape`.
        """
        return self.at(0.0).prox(v, lam)


@pytree
class _AtTime:
    """A timed network at one time."""

    net: TimedProxNet
    time: Scalar

    def prox(self, v: Array, lam: Scalar) -> Array:
        """The learned prox, `f(v, t, lam)`."""
        return self.net.network.apply(self.net.params, v, self.time, lam)
