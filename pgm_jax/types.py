"""Array types, keys, and the protocols between the layers of the library.

The library has six words; four of them are shapes that anything may take on:

    prox       (v, lam) -> argmin_u g(u) + |u - v|^2 / (2 lam)
    operator   A: an image x of `image_shape` (H, W, C) to a measurement y, linear or not
    potential  value, grad and prox of f or g, where pi(x) ~ exp(-[f(x) + g(x)])
    schedule   mu(t), sigma(t) and lam(t) = sigma^2 / mu^2

Whatever holds arrays is a frozen dataclass that is a pytree, see `pytree`, so that it can be an argument of `jit`,
`vmap` and a sharding. Mathematics is written for one example (H, W, C); batches come from `vmap`.
"""

import dataclasses
from typing import Any, Protocol, TypeVar, dataclass_transform, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Key = PRNGKeyArray
Shape = tuple[int, ...]
Scalar = Float[Array, ""] | float
Scalars = Float[Array, "..."] | float
Image = Float[Array, "h w c"]
Images = Float[Array, "b h w c"]


_Class = TypeVar("_Class", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def pytree(cls: _Class) -> _Class:
    """Make a frozen dataclass of the class `cls`, and register it as a pytree whose structure knows the class.

    Its annotated fields are arrays, or static by `dataclasses.field(metadata=dict(static=True))`.

    `jax.tree_util.register_dataclass` makes equal structures of two classes with as many arrays and equal static fields
    (seen in jax 0.10), so that a compiled function now and then runs the program of the one for the other.
    """
    cls = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(cls)
    static = tuple(field.name for field in fields if field.metadata.get("static"))
    arrays = tuple(field.name for field in fields if field.name not in static)

    def flatten(x: Any) -> tuple[tuple, tuple]:
        return tuple(getattr(x, name) for name in arrays), tuple(getattr(x, name) for name in static)

    def flatten_with_keys(x: Any) -> tuple[tuple, tuple]:
        children, kept = flatten(x)
        return tuple((jax.tree_util.GetAttrKey(n), child) for n, child in zip(arrays, children, strict=True)), kept

    def unflatten(kept: tuple, children: Any) -> Any:
        # Past __init__, since jax puts other things than arrays in their places.
        made = object.__new__(cls)
        for name, value in zip((*arrays, *static), (*children, *kept), strict=True):
            object.__setattr__(made, name, value)
        return made

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


def as_key(key: Any) -> Key:
    """The one key, typed or not, as a typed threefry key, whose numbers do not depend on what is vectorised beside it.

    Keys of `jax.random.PRNGKey` are wrapped. From a key of another generator, such as "rbg", a threefry key is derived.

    Raises:
        TypeError: if it is no key, or more than one.
    """
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    if dtype == jnp.uint32 and shape in ((2,), (4,)):
        key, shape = jax.random.wrap_key_data(key, impl="threefry2x32" if shape == (2,) else "rbg"), ()
    elif dtype is None or not jnp.issubdtype(dtype, jax.dtypes.prng_key) or shape != ():
        given = f"{key!r}, which is no key" if dtype is None else f"an array of shape {shape} and type {dtype}"
        raise TypeError(f"The key is {given}; give one key: jax.random.key(0), or one of jax.random.split(key).")
    if str(jax.random.key_impl(key)) != "threefry2x32":
        key = jax.random.wrap_key_data(jax.random.bits(key, (2,), jnp.uint32), impl="threefry2x32")
    return key


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
class Diffusible(Prior, Protocol):
    """A prior g = -log p that knows the one of `x_0 + sqrt(s) eps`, x_0 from p, for every variance s >= 0."""

    def diffused(self, variance: Scalar, /) -> Potential: ...


@runtime_checkable
class DiffusedPrior(Protocol):
    """A prior at every time of a process: `at(t)` has the prox `f(y; t, lam)` of `-log p_t`, exact or learned."""

    def at(self, t: Scalar, /) -> Prior: ...


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
        self, v: jax.Array, y: jax.Array, rho: Scalar, /, solver: Any = ..., start: jax.Array | None = None
    ) -> jax.Array: ...

    def norm(self) -> jax.Array: ...


@runtime_checkable
class Noise(Protocol):
    """Measurement noise: it draws measurements and defines the likelihood."""

    def clean(self, operator: Operator, x: jax.Array, /) -> jax.Array: ...

    def std(self, clean: jax.Array, /) -> jax.Array: ...

    def sample(self, key: Key, clean: jax.Array, /) -> jax.Array: ...

    def likelihood(self, operator: Operator, y: jax.Array, /) -> Potential: ...


@runtime_checkable
class Schedule(Protocol):
    """A forward process `x_t = mu(t) x_0 + sigma(t) eps`, t in [0, 1], with `lam = sigma^2 / mu^2`."""

    def mu(self, t: Scalars, /) -> jax.Array: ...

    def sigma(self, t: Scalars, /) -> jax.Array: ...

    def lam(self, t: Scalars, /) -> jax.Array: ...

    def time_of_lam(self, lam: Scalars, /) -> jax.Array: ...
