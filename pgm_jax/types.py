"""Arrays, keys and the protocols by which the floors know each other.

The library has six words; four of them are shapes that anything may take on:

    prox       (v, lam) -> argmin_u g(u) + |u - v|^2 / (2 lam)
    operator   A: an image x of `image_shape` (H, W, C) to a measurement y, linear or not
    potential  value, grad and prox of f or g, where pi(x) ~ exp(-[beta f(x) + g(x)])
    schedule   mu(t), sigma(t) and lam(t) = sigma^2 / mu^2

Whatever holds arrays is a frozen dataclass that is registered as a pytree, so that it can be an argument of
`jit`, `vmap` and a sharding. Mathematics is written for one example (H, W, C); batches come from `vmap`.
"""

from typing import Any, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float, PRNGKeyArray

Key = PRNGKeyArray
Shape = tuple[int, ...]
Scalar = Float[Array, ""] | float
Scalars = Float[Array, "..."] | float
Image = Float[Array, "h w c"]
Images = Float[Array, "b h w c"]


@runtime_checkable
class Prox(Protocol):
    """A proximal map `(v, lam) -> argmin_u g(u) + |u - v|^2 / (2 lam)`, exact or learned."""

    def __call__(self, v: jax.Array, lam: Scalar, /) -> jax.Array: ...


@runtime_checkable
class Prior(Protocol):
    """Anything with a proximal map: a learned prior has nothing else."""

    def prox(self, v: jax.Array, lam: Scalar, /) -> jax.Array: ...


@runtime_checkable
class Potential(Prior, Protocol):
    """A function g with its value, its gradient (where it exists) and its proximal map."""

    def value(self, x: jax.Array, /) -> jax.Array: ...

    def grad(self, x: jax.Array, /) -> jax.Array: ...


@runtime_checkable
class Operator(Protocol):
    """A measurement `y = A(x)` of an image of `image_shape`, with its derivative's adjoint and its data step."""

    @property
    def image_shape(self) -> Shape: ...

    @property
    def observed(self) -> jax.Array: ...

    def forward(self, x: jax.Array, /) -> jax.Array: ...

    def vjp(self, x: jax.Array, r: jax.Array, /) -> jax.Array: ...

    def solve(
        self, v: jax.Array, y: jax.Array, rho: Scalar, /, start: jax.Array | None = None, stop: Any = ...
    ) -> jax.Array: ...

    def solve_with_info(
        self, v: jax.Array, y: jax.Array, rho: Scalar, /, start: jax.Array | None = None, stop: Any = ...
    ) -> tuple[jax.Array, Any]: ...

    def norm(self) -> jax.Array: ...


@runtime_checkable
class Schedule(Protocol):
    """A forward process `x_t = mu(t) x_0 + sigma(t) eps`, t in [0, 1], with `lam = sigma^2 / mu^2`."""

    def mu(self, t: Scalars, /) -> jax.Array: ...

    def sigma(self, t: Scalars, /) -> jax.Array: ...

    def lam(self, t: Scalars, /) -> jax.Array: ...

    def time_of_lam(self, lam: Scalars, /) -> jax.Array: ...
