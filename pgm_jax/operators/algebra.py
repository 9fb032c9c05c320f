"""Operators of operators.

    compose(B, A)     B @ A    x -> B(A(x))              A measures an image: its y has three axes
    stack(A, B, ...)           x -> (A(x), B(x), ...)    one after another, as a vector
    scale(c, A)       c * A    x -> c A(x)               solve(v, y, rho) of A at (v, y / c, rho / c^2)
    scale(w, A)       w * A    x -> w A(x)               a weight for every entry of y: a `Mask` behind A
    A.T                        r -> A^T r                from measurements to images

The result is linear where all parts are.
"""

import dataclasses
import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from pgm_jax.operators.base import LinearOperator, NonlinearOperator
from pgm_jax.operators.checks import check_array, check_number
from pgm_jax.operators.masks import Mask
from pgm_jax.operators.solvers import ACCURATE, SolveInfo, Solver
from pgm_jax.tracing import is_traced
from pgm_jax.types import Scalar, Shape, pytree


class _Composition:
    """B, the `outer` operator, after A, the `inner` one."""

    outer: Any
    inner: Any

    def forward(self, x: jax.Array) -> jax.Array:
        return self.outer.forward(self.inner.forward(x))

    @property
    def observed(self) -> jax.Array:
        """What B observes of A(x)."""
        return self.outer.observed


@pytree
class Composition(_Composition, LinearOperator):
    """y = B A x for linear A and B; build it with `compose`."""

    outer: LinearOperator
    inner: LinearOperator
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    @property
    def entrywise(self) -> bool:
        """Whether both are diagonal."""
        return self.outer.entrywise and self.inner.entrywise

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T B^T r."""
        return self.inner.adjoint(self.outer.adjoint(r))


@pytree
class NonlinearComposition(_Composition, NonlinearOperator):
    """y = B(A(x)); build it with `compose`."""

    outer: LinearOperator | NonlinearOperator
    inner: LinearOperator | NonlinearOperator
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def norm(self) -> jax.Array:
        """|B| |A|, a bound: at the image 0 the two together may be flat."""
        return self.outer.norm() * self.inner.norm()


def compose(
    outer: LinearOperator | NonlinearOperator, inner: LinearOperator | NonlinearOperator
) -> Composition | NonlinearComposition:
    """First A, then B: y = B(A(x)), linear where both are.

    Args:
        outer: B, of images of A's measurement_shape.
        inner: A, of real measurements, unless B is the adjoint of what measures complex ones.

    Raises:
        ValueError: if they do not fit.
    """
    if inner.measurement_shape != tuple(outer.image_shape):
        raise ValueError(
            f"the inner operator measures {inner.measurement_shape} and the outer one takes images of shape "
            f"{tuple(outer.image_shape)}: build the outer one for images of the inner one's measurement_shape"
        )
    if _measures_complex(inner) and not _takes_complex(outer):
        raise ValueError(
            "the inner operator measures complex numbers, and operators take real images: put the complex one outside, "
            "or write both as one function for from_function"
        )
    kind: Any = Composition if _linear(outer, inner) else NonlinearComposition
    return kind(outer, inner, inner.image_shape)


class _Stack:
    """The measurements of several operators, its `parts`, as one vector."""

    parts: tuple[Any, ...]

    def forward(self, x: jax.Array) -> jax.Array:
        """The measurements of all parts, each flattened, one after another."""
        return jnp.concatenate([part.forward(x).reshape(-1) for part in self.parts])

    @property
    def observed(self) -> jax.Array:
        """What each part observes."""
        return jnp.concatenate(
            [jnp.broadcast_to(part.observed, part.measurement_shape).reshape(-1) for part in self.parts]
        )

    def split(self, y: jax.Array) -> list[jax.Array]:
        """The measurement of each part, in its own shape, of the stacked measurement y."""
        image = jax.ShapeDtypeStruct(self.parts[0].image_shape, y.real.dtype)
        wanted = [jax.eval_shape(part.forward, image) for part in self.parts]
        ends = list(itertools.accumulate(math.prod(piece.shape) for piece in wanted))
        pieces = jnp.split(y, ends[:-1])
        return [
            (piece if jnp.iscomplexobj(like) else piece.real).reshape(like.shape)
            for piece, like in zip(pieces, wanted, strict=True)
        ]


@pytree
class Stack(_Stack, LinearOperator):
    """y = (A_1 x, A_2 x, ...) as one vector, for linear parts; build it with `stack`."""

    parts: tuple[LinearOperator, ...]
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def adjoint(self, r: jax.Array) -> jax.Array:
        """The sum of A_i^T r_i."""
        images = [part.adjoint(piece) for part, piece in zip(self.parts, self.split(r), strict=True)]
        return functools.reduce(jnp.add, images)


@pytree
class NonlinearStack(_Stack, NonlinearOperator):
    """y = (A_1(x), A_2(x), ...) as one vector; build it with `stack`."""

    parts: tuple[LinearOperator | NonlinearOperator, ...]
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))


def stack(*parts: LinearOperator | NonlinearOperator) -> Stack | NonlinearStack:
    """Several measurements of one image as one vector y; linear where all parts are.

    The noise of all parts has one deviation: bring them to it by `scale`. `split(y)` gives each part's measurement.

    Args:
        parts: the operators, at least one.

    Raises:
        ValueError: if there is none or they take images of other shapes.
    """
    shapes = {tuple(part.image_shape) for part in parts}
    if len(shapes) != 1:
        raise ValueError(
            f"the stacked operators take images of {sorted(shapes)}: give at least one, and all of one shape"
        )
    kind: Any = Stack if _linear(*parts) else NonlinearStack
    return kind(parts, shapes.pop())


class _Scaled:
    """A measurement, by an `operator` A, times a number, the `factor` c."""

    factor: jax.Array
    operator: Any

    def forward(self, x: jax.Array) -> jax.Array:
        return self.factor * self.operator.forward(x)

    @property
    def observed(self) -> jax.Array:
        """What A observes."""
        return self.operator.observed

    def solve_with_info(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> tuple[jax.Array, SolveInfo]:
        """That of A at (v, y / c, rho / c^2)."""
        return self.operator.solve_with_info(v, y / self.factor, rho / self.factor**2, solver, start)

    def norm(self) -> jax.Array:
        """|c| |A|."""
        return jnp.abs(self.factor) * self.operator.norm()


@pytree
class Scaled(_Scaled, LinearOperator):
    """y = c A x for a linear A; build it with `scale`."""

    factor: jax.Array
    operator: LinearOperator
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    @property
    def entrywise(self) -> bool:
        """Whether A is diagonal."""
        return self.operator.entrywise

    def adjoint(self, r: jax.Array) -> jax.Array:
        """c A^T r."""
        return self.factor * self.operator.adjoint(r)


@pytree
class NonlinearScaled(_Scaled, NonlinearOperator):
    """y = c A(x); build it with `scale`."""

    factor: jax.Array
    operator: NonlinearOperator
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))


def scale(
    factor: Scalar | ArrayLike, operator: LinearOperator | NonlinearOperator
) -> Scaled | NonlinearScaled | Mask | Composition | NonlinearComposition:
    """A measurement times a number, y = c A(x), or times a weight for every entry of it, y = w A(x).

    A weighted `Mask` is a `Mask`. Entries of weight 0 are not observed.

    Args:
        factor: c, whose square is not 0, or w, real and finite, an array that broadcasts to the measurement.
        operator: A.

    Raises:
        ValueError: if the square of c is 0, a number is not finite, or w does not broadcast to the measurement.
    """
    image_shape, linear = tuple(operator.image_shape), _linear(operator)
    if np.ndim(factor) == 0:
        factor = check_number("the factor", factor)
        # The data step divides by the square.
        if not is_traced(factor) and np.square(np.asarray(factor, jnp.result_type(float))) == 0:
            raise ValueError(
                f"the factor is {factor}, whose square is 0 in {jnp.result_type(float)}: give a larger one"
            )
        scaled: Any = Scaled if linear else NonlinearScaled
        return scaled(jnp.asarray(factor, float), operator, image_shape)
    weights = check_array("the array of weights", factor)
    shape = operator.measurement_shape
    fits = (a in (1, b) for a, b in zip(weights.shape[::-1], shape[::-1], strict=False))
    if weights.ndim > len(shape) or not all(fits):
        raise ValueError(f"the weights have shape {weights.shape} and should broadcast to the measurement, {shape}")
    weights = _of_rank(jnp.asarray(weights, float), len(shape))
    if isinstance(operator, Mask):
        return Mask(weights * operator.mask, image_shape)
    kind: Any = Composition if linear else NonlinearComposition
    return kind(Mask(weights * _of_rank(operator.observed, len(shape)), shape), operator, image_shape)


@pytree
class Adjoint(LinearOperator):
    """The map r -> A^T r from measurements to images, Re A^H r for complex ones; it is `A.T`.

    Attributes:
        operator: A.
        image_shape: shape of r.
    """

    operator: LinearOperator
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    @property
    def T(self) -> LinearOperator:
        """A itself."""
        return self.operator

    def forward(self, x: jax.Array) -> jax.Array:
        """A^T x."""
        return self.operator.adjoint(x)

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A r."""
        return self.operator.forward(r)

    def norm(self) -> jax.Array:
        """|A|."""
        return self.operator.norm()


def _linear(*operators: LinearOperator | NonlinearOperator) -> bool:
    return all(isinstance(operator, LinearOperator) for operator in operators)


def _measures_complex(operator: LinearOperator | NonlinearOperator) -> bool:
    return jnp.issubdtype(operator._measurement(jnp.result_type(float)).dtype, jnp.complexfloating)


def _takes_complex(operator: LinearOperator | NonlinearOperator) -> bool:
    while isinstance(operator, _Composition | _Scaled):
        operator = operator.inner if isinstance(operator, _Composition) else operator.operator
    return isinstance(operator, Adjoint) and _measures_complex(operator.operator)


def _of_rank(a: jax.Array, rank: int) -> jax.Array:
    return a.reshape((1,) * (rank - a.ndim) + a.shape)
