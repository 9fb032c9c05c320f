"""Data steps without a closed form: conjugate gradients, and Gauss-Newton steps damped by Levenberg and Marquardt.

    argmin_x D(A(x)) + rho/2 |x - v|^2          D(z) = 1/2 |z - y|^2, or another misfit that is convex in z

Linear A and quadratic D: one symmetric system, by preconditioned conjugate gradients. Otherwise A is linearised at the
present image s, A(x) = A(s) + J (x - s), and D is replaced by its second-order model, of slope D' and curvatures W:

    x = c + e,   [J^T W J + rho + m] e = -J^T (D' + W J (c - s)),   c = (rho v + m s) / (rho + m)

m >= 0 falls after a step that lowers the objective, and rises, without a step, after one that would not. Both systems
are for the step from v (or c), not from the first guess: it lies in the range of the adjoint, so that what A does not
see is that of v, however small rho is and wherever the iterations stop; exactly, or with a preconditioner nearly.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pgm_jax.types import Scalar


class Solver(NamedTuple):
    """When an iterative data step stops; changing these numbers does not trigger recompilation.

    Attributes:
        tolerance: of the residual, relative to that at v; 0 for what the floating type can give.
        iterations: most iterations of conjugate gradients, in each linearisation.
        rounds: most linearisations of a nonlinear operator.
    """

    tolerance: Scalar = 0.0
    iterations: int | jax.Array = 500
    rounds: int | jax.Array = 20


# The worst case at rho = 2e-4 |A|^2 in float32 takes 500 iterations, by sqrt(|A|^2 / rho) / 2 * ln(2 / tolerance).
ACCURATE = Solver()
# Inside a sampler the noise of the next step hides what is left.
QUICK = Solver(tolerance=1e-3, iterations=50, rounds=5)


class SolveInfo(NamedTuple):
    """How an iterative data step ended.

    Attributes:
        residual: what is left of the equation that it solves, relative to what there was at v; 0 for an exact
            solution, NaN, as the image itself, where the step failed.
        iterations: iterations of conjugate gradients in all; 0 for a closed form.
    """

    residual: jax.Array
    iterations: jax.Array


class Misfit(NamedTuple):
    """A data term D(z), z = A(x), with its derivatives; all take z and, but for `value`, give its shape.

    Attributes:
        value: z -> D(z).
        slope: z -> D'(z).
        curvature: z -> W, the diagonal of D'' or a bound of it, at least 0.
    """

    value: Callable[[jax.Array], jax.Array]
    slope: Callable[[jax.Array], jax.Array]
    curvature: Callable[[jax.Array], jax.Array]


def conjugate_gradients(
    matrix: Callable[[jax.Array], jax.Array],
    b: jax.Array,
    start: jax.Array | None = None,
    precondition: Callable[[jax.Array], jax.Array] = lambda r: r,
    solver: Solver = ACCURATE,
) -> tuple[jax.Array, SolveInfo]:
    """M^{-1} b for a symmetric positive M, by preconditioned conjugate gradients (Hestenes and Stiefel, 1952).

    It ends where |b - M x| <= tolerance |b|. Gradients pass through it by solving with M once more.

    Args:
        matrix, b: x -> M x, and right side.
        start: first guess, 0 by default.
        precondition: r -> about M^{-1} r, symmetric and positive.
        solver: tolerance and most iterations.
    """
    tolerance = jnp.maximum(solver.tolerance, 10 * jnp.finfo(b.dtype).eps)

    def solve(matrix: Callable, b: jax.Array) -> tuple[jax.Array, SolveInfo]:
        size = squares(b)
        bound = tolerance**2 * size

        def unfinished(state: _Iterate) -> jax.Array:
            return (squares(state.r) > bound) & (state.count < solver.iterations) & state.curved

        def iterate(state: _Iterate) -> _Iterate:
            image = matrix(state.p)
            curvature = jnp.vdot(state.p, image).real
            alpha = state.rz / jnp.where(curvature > 0, curvature, 1)
            # A direction without curvature, or rounded to one below 0, has nothing to offer: it ends there.
            alpha = jnp.where(curvature > 0, alpha, 0)
            x, r = state.x + alpha * state.p, state.r - alpha * image
            z = precondition(r)
            rz = jnp.vdot(r, z).real
            p = z + rz / jnp.where(state.rz > 0, state.rz, 1) * state.p
            return _Iterate(x, r, p, rz, state.count + 1, curvature > 0)

        x = jnp.zeros_like(b) if start is None else start
        r = b if start is None else b - matrix(start)
        z = precondition(r)
        first = _Iterate(x, r, z, jnp.vdot(r, z).real, jnp.zeros((), jnp.int32), jnp.asarray(True))
        last = jax.lax.while_loop(unfinished, iterate, first)
        # The recursion for r drifts away from what it stands for.
        left = squares(b - matrix(last.x)) / jnp.where(size > 0, size, 1)
        x, residual = _failure_seen(last.x, jnp.sqrt(left))
        return x, SolveInfo(residual, last.count)

    return jax.lax.custom_linear_solve(matrix, b, solve, symmetric=True, has_aux=True)


class _Iterate(NamedTuple):
    x: jax.Array
    r: jax.Array
    p: jax.Array
    rz: jax.Array
    count: jax.Array
    curved: jax.Array


def levenberg_marquardt(
    operator: Any, misfit: Misfit, v: jax.Array, rho: Scalar, start: jax.Array, solver: Solver
) -> tuple[jax.Array, SolveInfo]:
    """A stationary point of D(A(x)) + rho/2 |x - v|^2, see the head of this file.

    Args:
        operator, misfit: A, by its `linearize`, and D.
        v, rho, start: image, number at least 0, and first image.
        solver: tolerance of the slope, relative to that at v; most iterations and rounds.
    """
    tolerance = jnp.maximum(solver.tolerance, 10 * jnp.finfo(v.dtype).eps)

    def value(x: jax.Array, z: jax.Array) -> jax.Array:
        return misfit.value(z) + 0.5 * rho * squares(x - v)

    def value_and_slope(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        z, derivative = operator.linearize(x)
        return value(x, z), derivative.adjoint(misfit.slope(z)) + rho * (x - v)

    def slope_at(x: jax.Array) -> jax.Array:
        return value_and_slope(x)[1]

    scale = jnp.sqrt(squares(slope_at(v)))
    # Where A has no derivative at v, what is left counts as it is.
    scale = jnp.where((scale > 0) & (scale < jnp.inf), scale, 1)

    def unfinished(state: _Round) -> jax.Array:
        # The slope says little of what A does not see: one round at least.
        return ((state.residual > tolerance) | (state.round == 0)) & (state.round < solver.rounds)

    def iterate(state: _Round) -> _Round:
        z, derivative = operator.linearize(state.x)
        weights = misfit.curvature(z)
        stiffness = rho + state.damping
        centre = state.x + rho / jnp.where(stiffness > 0, stiffness, 1) * (v - state.x)

        def model(d: jax.Array) -> jax.Array:
            return derivative.adjoint(weights * derivative.forward(d)) + stiffness * d

        pull = misfit.slope(z) + weights * derivative.forward(centre - state.x)
        # Steps far from the end need not be exact: the tolerance follows the slope down.
        inner = jnp.maximum(jnp.minimum(1e-2, 1e-2 * state.residual), tolerance)
        step, info = conjugate_gradients(model, -derivative.adjoint(pull), solver=Solver(inner, solver.iterations))
        x = centre + step
        # Near the end values are equal to all digits: a step that does not raise them is good.
        (new, slope), old = value_and_slope(x), value(state.x, z)
        better = new <= old + 10 * jnp.finfo(v.dtype).eps * jnp.abs(old)
        x = jnp.where(better, x, state.x)
        left = jnp.where(better, jnp.sqrt(squares(slope)) / scale, state.residual)
        raised = jnp.maximum(4 * state.damping, 1e-2 * mean_curvature(derivative, weights, v))
        damping = jnp.where(better, state.damping / 4, raised)
        return _Round(x, damping, left, state.iterations + info.iterations, state.round + 1)

    def solve(_: Callable, start: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        zero = jnp.zeros((), jnp.int32)
        before, slope = value_and_slope(start)
        first = _Round(start, jnp.zeros((), v.dtype), jnp.sqrt(squares(slope)) / scale, zero, zero)
        last = jax.lax.while_loop(unfinished, iterate, first)
        # No step raises the objective, which is finite at the end where it is at the start.
        x, residual = _failure_seen(last.x, last.residual, before)
        # Whole numbers have no tangents, and custom_root asks for some.
        return x, (residual, last.iterations.astype(v.dtype))

    def solve_tangent(hessian: Callable, b: jax.Array) -> jax.Array:
        return conjugate_gradients(hessian, b, solver=Solver(solver.tolerance, solver.iterations))[0]

    # Gradients are those of the stationary point, whatever way led to it, where the Hessian is positive.
    x, (residual, iterations) = jax.lax.custom_root(slope_at, start, solve, solve_tangent, has_aux=True)
    return x, SolveInfo(residual, iterations.astype(jnp.int32))


class _Round(NamedTuple):
    x: jax.Array
    damping: jax.Array
    residual: jax.Array
    iterations: jax.Array
    round: jax.Array


def squared_error(y: jax.Array) -> Misfit:
    """D(z) = 1/2 |z - y|^2, the misfit of Gaussian noise, of a measurement y, real or complex."""
    return Misfit(lambda z: 0.5 * squares(z - y), lambda z: z - y, lambda z: jnp.ones((), z.real.dtype))


def mean_curvature(derivative: Any, weights: jax.Array, like: jax.Array) -> jax.Array:
    """d^T J^T W J d / |d|^2 for one random d `like` an image, J the `derivative`, W `weights`: the damping's scale."""
    direction = jax.random.rademacher(jax.random.key(0), like.shape, like.dtype)
    z = derivative.forward(direction)
    return jnp.sum(weights * jnp.abs(z) ** 2) / direction.size


@jax.jit  # as one program its NaN is not taken for a slip by jax_debug_nans, unless it comes out
def _failure_seen(x: jax.Array, residual: jax.Array, objective: Scalar = 0.0) -> tuple[jax.Array, jax.Array]:
    """x and its residual, or NaN for both where either number is not finite: callers count such steps."""
    finite = jnp.isfinite(residual) & jnp.isfinite(objective)
    return jnp.where(finite, x, jnp.nan), jnp.where(finite, residual, jnp.nan)


def squares(a: jax.Array) -> jax.Array:
    """|a|^2, of a real or complex array."""
    return jnp.sum(jnp.real(a) ** 2 + jnp.imag(a) ** 2) if jnp.iscomplexobj(a) else jnp.sum(a**2)
