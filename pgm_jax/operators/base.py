"""What all measurement operators of one image share, linear or not.

A new operator states `forward`; everything else follows from it:

    y = A x       derive from `LinearOperator`       adjoint by transposing the program of `forward`, solve by
                                                     conjugate gradients, norm by power iteration
    y = A(x)      derive from `NonlinearOperator`    linearize and vjp by differentiating it, solve by the method of
                                                     Levenberg and Marquardt
    y = A x, with a regularised inverse in closed form: derive from `ClosedForm` and state that as `solve`

The data step of every one is solve(v, y, rho) = argmin_x 1/2 |A(x) - y|^2 + rho/2 |x - v|^2. Where A = U S V^T is
known it is a closed form, and the same one for every basis:

    x = v + V W U^T (y - A v),   W = S / (S^2 + rho)

A mask is diagonal in pixels, a circular blur in frequencies, a separable map in two small singular bases. At rho = 0
this is the limit v + A^+ (y - A v): the consistent image that is nearest to v.

Images are real. A measurement may be complex, and then <a, b> = Re sum conj(a) b: the adjoint is Re A^H r.

    A(x)      measures an image or a batch       A @ B     B first, then A       A.T    the adjoint as an operator
    2 * A, w * A      a number, or one for every entry of y, times the measurement
"""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from pgm_jax.operators.solvers import (
    ACCURATE,
    SolveInfo,
    Solver,
    conjugate_gradients,
    levenberg_marquardt,
    squared_error,
    squares,
)
from pgm_jax.types import Scalar, Shape

POWER_ITERATIONS = 100


class SVD(NamedTuple):
    """A thin singular value decomposition A = U S V^T by its four maps; c are coefficients of the shape of s.

    Attributes:
        s: singular values, at least 0.
        v_t: x -> V^T x.
        v: c -> V c.
        u_t: y -> U^T y.
        u: c -> U c.
    """

    s: jax.Array
    v_t: Callable[[jax.Array], jax.Array]
    v: Callable[[jax.Array], jax.Array]
    u_t: Callable[[jax.Array], jax.Array]
    u: Callable[[jax.Array], jax.Array]


class _Measurement:
    """A map from an image of `image_shape` (H, W, C) to a measurement of any shape, real or complex.

    A subclass is a registered frozen dataclass whose arrays are its numbers and whose `image_shape` is static. It is
    written for one image; operators stacked by `vmap` carry a leading axis on their arrays and are used under `vmap`.
    """

    image_shape: Shape

    # numpy's scalars and arrays leave the product with an operator to the operator.
    __array_ufunc__ = None

    @property
    def measurement_shape(self) -> Shape:
        """The shape of y = A(x)."""
        return self._measurement(jnp.result_type(float)).shape

    @property
    def observed(self) -> jax.Array:
        """Which entries of y were measured, 1 or 0, broadcastable to y; by default all of them."""
        return jnp.asarray(1.0)

    def forward(self, x: jax.Array) -> jax.Array:
        """A(x) of one image."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(x), the measurement of an image")

    def __call__(self, x: Any) -> jax.Array:
        """A(x) of one image or, by `vmap`, of a batch with any leading axes."""
        x, shape = jnp.asarray(x), tuple(self.image_shape)
        leading = x.ndim - len(shape)
        if leading < 0 or x.shape[leading:] != shape:
            raise ValueError(
                f"x has shape {x.shape} and the operator takes {shape}, after any number of batch axes: build the "
                "operator for the shape of one image" + (", or add the axis of the channels" if leading < 0 else "")
            )
        forward = self.forward
        for _ in range(leading):
            forward = jax.vmap(forward)
        return forward(x)

    def __matmul__(self, inner: Any) -> Any:
        """The composition x -> A(B(x)), see `compose`."""
        from pgm_jax.operators import algebra  # which derives its classes from the ones here

        if not isinstance(inner, _Measurement):
            raise TypeError(f"@ composes two operators, and got a {type(inner).__name__}: measure an image by A(x)")
        return algebra.compose(cast(Any, self), cast(Any, inner))

    def __mul__(self, factor: Any) -> Any:
        """The measurement times a number or weights, see `scale`."""
        from pgm_jax.operators import algebra

        if isinstance(factor, _Measurement):
            raise TypeError("* takes a number or weights and an operator: A @ B composes two operators")
        return algebra.scale(factor, cast(Any, self))

    __rmul__ = __mul__

    def _measurement(self, dtype) -> jax.ShapeDtypeStruct:
        return jax.eval_shape(self.forward, jax.ShapeDtypeStruct(self.image_shape, dtype))


class LinearOperator(_Measurement):
    """A linear map y = A x of an image; see the module's docstring."""

    @property
    def entrywise(self) -> bool:
        """Whether A is known to be diagonal in pixels, as a mask is."""
        return False

    @property
    def T(self) -> "LinearOperator":
        """The adjoint as an operator, from measurements to images."""
        from pgm_jax.operators import algebra

        return algebra.Adjoint(self, self.measurement_shape)

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r, an image; Re A^H r for a complex measurement."""
        image = jax.ShapeDtypeStruct(self.image_shape, r.real.dtype)
        return transpose(self.forward, image)(r.astype(self._measurement(image.dtype).dtype))

    def vjp(self, x: jax.Array, r: jax.Array) -> jax.Array:
        """A^T r, the derivative's adjoint, which is the same at every image x."""
        return self.adjoint(r)

    def linearize(self, x: jax.Array) -> tuple[jax.Array, "LinearOperator"]:
        """A x, and the derivative there: the operator itself."""
        return self.forward(x), self

    def precondition(self, r: jax.Array, rho: Scalar) -> jax.Array:
        """About (A^T A + rho)^{-1} r for rho > 0, symmetric and positive, to speed `solve` up; by default r."""
        return r

    def solve(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> jax.Array:
        """argmin_x 1/2 |A x - y|^2 + rho/2 |x - v|^2, which is (A^T A + rho)^{-1} (A^T y + rho v).

        At rho = 0, for measurements without noise, A has to be well conditioned on the entries that it observes.
        Where the iterations fail, on numbers that are not finite, all of the image is NaN.

        Args:
            v: image.
            y: measurement.
            rho: at least 0, in the units of |A|^2; sigma^2 / lam for noise of deviation sigma.
            solver: when the iterations end; a closed form ignores it, and `start`.
            start: first guess, v by default; conjugate gradients keep of it what A does not see, so give one that is
                v there, as v is.
        """
        return self.solve_with_info(v, y, rho, solver, start)[0]

    def solve_with_info(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> tuple[jax.Array, SolveInfo]:
        """`solve`, with the residual of its normal equation |A^T (y - A x) + rho (v - x)| / |A^T (y - A v)|.

        v, y, rho, solver and start are those of `solve`.
        """

        def regularised(d):
            return self.normal(d) + rho * d

        def precondition(r):
            # At rho = 0 only plain iterations end at the nearest consistent image.
            return jnp.where(rho > 0, self.precondition(r, rho), r)

        # Solving for the step from v makes the tolerance relative to the step.
        b, first = self.adjoint(y - self.forward(v)), None if start is None else start - v
        step, info = conjugate_gradients(regularised, b, first, precondition, solver)
        return v + step, info

    def normal(self, r: jax.Array) -> jax.Array:
        """`A^T A r`, r an image."""
        return self.adjoint(self.forward(r))

    def resolvent(self, r: jax.Array, rho: Scalar, solver: Solver = ACCURATE) -> jax.Array:
        """`rho (A^T A + rho)^{-1} r`, the data step at y = 0; at rho = 0 the part of r that A does not see.

        r is an image, rho and solver are those of `solve`.
        """
        like = self._measurement(r.dtype)
        return self.solve(r, jnp.zeros(like.shape, like.dtype), rho, solver)

    def seen(self, r: jax.Array, rho: Scalar, solver: Solver = ACCURATE) -> jax.Array:
        """`(A^T A + rho)^{-1} A^T A r`, what the measurement keeps of r: r less the resolvent, to its own digits.

        r is an image, rho and solver are those of `solve`.
        """
        return self.solve(jnp.zeros_like(r), self.forward(r), rho, solver)

    def norm(self) -> jax.Array:
        """max |A x| / |x|, approached from below."""
        return power_iteration(self.forward, self.adjoint, self.image_shape)


class ClosedForm(LinearOperator):
    """A linear operator that knows its regularised inverse: it defines `solve`, with the limit v + A^+ (y - A v)."""

    def solve(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> jax.Array:
        """As for every linear operator, without iterations."""
        raise NotImplementedError(f"{type(self).__name__} must define solve(v, y, rho, solver, start), see ClosedForm")

    def solve_with_info(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> tuple[jax.Array, SolveInfo]:
        """As for every linear operator, by `solve`."""
        x = self.solve(v, y, rho)
        slope, first = (self.adjoint(y - self.forward(u)) + rho * (v - u) for u in (x, v))
        size = jnp.sqrt(squares(first))
        residual = jnp.sqrt(squares(slope)) / jnp.where(size > 0, size, 1)
        return x, SolveInfo(residual, jnp.zeros((), jnp.int32))


class NonlinearOperator(_Measurement):
    """A map y = A(x) of an image, with derivatives almost everywhere; see the module's docstring."""

    @property
    def T(self) -> LinearOperator:
        """What only a linear operator has."""
        raise AttributeError(
            f"a {type(self).__name__} is not linear and has no adjoint: its derivative at an image x has one, "
            "A.linearize(x)[1].T, and A.vjp(x, r) applies it"
        )

    def vjp(self, x: jax.Array, r: jax.Array) -> jax.Array:
        """J(x)^T r, an image, J the derivative of A; Re J^H r for a complex measurement."""
        return self.linearize(x)[1].adjoint(r)

    def linearize(self, x: jax.Array) -> tuple[jax.Array, LinearOperator]:
        """A(x), and the derivative there as a linear operator, to be used in the program that made it."""
        y, derivative = jax.linearize(self.forward, x)
        return y, _Derivative(derivative, self.image_shape)

    def solve(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> jax.Array:
        """A stationary point of 1/2 |A(x) - y|^2 + rho/2 |x - v|^2, by linearising A again and again.

        All of it is NaN where the objective at the start, or what is left at the end, is not finite.

        Args:
            v: image.
            y: measurement.
            rho: at least 0; sigma^2 / lam for noise of deviation sigma.
            solver: when the iterations end.
            start: image at which A is linearised first, v by default.
        """
        return self.solve_with_info(v, y, rho, solver, start)[0]

    def solve_with_info(
        self, v: jax.Array, y: jax.Array, rho: Scalar, solver: Solver = ACCURATE, start: jax.Array | None = None
    ) -> tuple[jax.Array, SolveInfo]:
        """`solve`, with the slope |J^T (y - A(x)) + rho (v - x)| that is left, over that at v.

        v, y, rho, solver and start are those of `solve`.
        """
        return levenberg_marquardt(self, squared_error(y), v, rho, v if start is None else start, solver)

    def norm(self) -> jax.Array:
        """max |J(0) d| / |d|, the steepness at the mid-grey image x = 0; elsewhere A may be steeper."""
        _, derivative = self.linearize(jnp.zeros(self.image_shape))
        return derivative.norm()


class _Derivative(LinearOperator):
    """The derivative of a nonlinear operator at one image."""

    def __init__(self, derivative: Callable[[jax.Array], jax.Array], image_shape: Shape):
        self.derivative = derivative
        self.image_shape = image_shape

    def forward(self, x: jax.Array) -> jax.Array:
        """J x."""
        return self.derivative(x)


def transpose(
    forward: Callable[[jax.Array], jax.Array], image: jax.ShapeDtypeStruct
) -> Callable[[jax.Array], jax.Array]:
    """r -> Re A^H r for the linear program `forward` x -> A x, of a real `image` x."""
    transposed = jax.linear_transpose(forward, image)
    # jax transposes without conjugation, and keeps the real part where the image is real.
    return lambda r: transposed(jnp.conj(r))[0]


def power_iteration(
    forward: Callable[[jax.Array], jax.Array], adjoint: Callable[[jax.Array], jax.Array], image_shape: Shape
) -> jax.Array:
    """max |A x| / |x| by x <- A^T A x / |A^T A x|, from below: `forward` A, `adjoint` A^T, x of `image_shape`."""

    def iterate(_, x):
        x = adjoint(forward(x))
        size = jnp.sqrt(squares(x))
        return x / jnp.where(size > 0, size, 1)

    # Any start that is not orthogonal to the answer gives the same number: this one is no choice of the user's.
    x = jax.random.normal(jax.random.key(0), image_shape)
    x = jax.lax.fori_loop(0, POWER_ITERATIONS, iterate, x)
    return jnp.sqrt(squares(forward(x)))


def wiener(gain: Inexact[Array, "*shape"], rho: Scalar) -> Inexact[Array, "*shape"]:
    """The regularised inverse of a diagonal `gain` S, conj(S) / (|S|^2 + rho), and 0 where S = 0 even at rho = 0."""
    return jnp.conj(gain) / jnp.where(gain == 0, 1.0, jnp.abs(gain) ** 2 + rho)


def left_over(gain: Inexact[Array, "*shape"], rho: Scalar) -> Float[Array, "*shape"]:
    """The resolvent of a diagonal `gain` S, rho / (|S|^2 + rho), and 1 where S = 0 even at rho = 0."""
    return jnp.where(gain == 0, 1.0, rho / jnp.where(gain == 0, 1.0, jnp.abs(gain) ** 2 + rho))


def check_image_shape(image_shape: Shape) -> tuple[int, int, int]:
    """`image_shape` as a tuple (H, W, C); ValueError unless it is three positive whole numbers."""
    try:
        height, width, channels = map(operator.index, image_shape)
    except (TypeError, ValueError):
        height = width = channels = 0
    if min(height, width, channels) < 1:
        raise ValueError(
            f"image_shape must be (height, width, channels), three positive whole numbers, and is {image_shape}; "
            "a grey image has one channel: (32, 32, 1)"
        )
    return height, width, channels
