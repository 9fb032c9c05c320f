"""Learned proximal networks: the gradient of a convex network, which is a prox by construction.

    f = grad psi, psi convex          f = prox_R with R(x) = <x, y> - |x|^2 / 2 - psi(y) at f(y) = x

Trained at the noise sigma, f is the prox of the prior's potential g = R / sigma^2 at lam = sigma^2, and g has a value,
a gradient `(y - x) / sigma^2` and a prox at every lam below as well:

    prox_g^lam(v) = f(y),   tau y + (1 - tau) f(y) = v,   tau = lam / sigma^2 <= 1

which is where a convex function of y is least; at tau = 1 it is one evaluation of f. The point y of an x solves another
convex problem, `min_y psi(y) - <x, y>`.

Sources: LPN (Fang, Buchanan and Sulam, ICLR 2024); Gribonval and Nikolova, J. Math. Imaging Vis. 62 (2020);
the prox at other steps than the trained one is ours.
"""

import dataclasses
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from pgm_jax.networks.icnn import WAYS, is_inner, nonnegative, softplus
from pgm_jax.operators.base import check_image_shape
from pgm_jax.operators.checks import check_number
from pgm_jax.operators.solvers import Solver, conjugate_gradients
from pgm_jax.potentials.base import ROUNDING, ByAutodiff, check_largest_step
from pgm_jax.tracing import is_traced
from pgm_jax.types import Key, Scalar, Scalars, Shape, pytree

_FAR = 1e-3  # relative residual above which a point counts as out of the range of f


@dataclasses.dataclass(frozen=True)
class ConvexNetwork:
    """A convex module, `ICNN` or `ConvICNN`, whose gradient is trained: `init` and `apply` are pure functions.

    Attributes:
        module: maps images `[B, H, W, C]` to a number each, psi.
        image_shape: (H, W, C).
        sigma: standard deviation of the noise that it is trained at, in the units of the images.

    Raises:
        ValueError: if the shape is not three whole numbers, sigma is not positive, alpha is negative, the activation of
            the module is not convex and increasing or has no curvature, or its way of keeping weights from being
            negative is unknown.
    """

    module: nn.Module
    image_shape: Shape
    sigma: float

    def __post_init__(self):
        check_image_shape(self.image_shape)
        check_number("sigma is the noise of the training", self.sigma, above=0)
        check_number("alpha is the weight of |y|^2 in psi", getattr(self.module, "alpha", 0.0), least=0)
        way = getattr(self.module, "way", WAYS[0])
        if way not in WAYS:
            raise ValueError(f"Inner weights are kept from 0 up by {way!r}; ways are {', '.join(map(repr, WAYS))}.")
        _check_activation(getattr(self.module, "activation", softplus))

    def init(self, key: Key) -> PyTree:
        """Draw the parameters, of which the inner weights are not negative."""
        return nonnegative(self.module.init(key, jnp.zeros((1, *self.image_shape)))["params"])

    def psi(self, params: PyTree, y: Float[Array, "b h w c"]) -> Float[Array, " b"]:
        """The convex potential psi of each image.

        Args:
            params, y: parameters, and images `[B, H, W, C]`.
        """
        return cast(Array, self.module.apply({"params": params}, y))

    def apply(self, params: PyTree, u: Float[Array, "b h w c"], lam: Scalars | None = None) -> Array:
        """Evaluate f = grad psi, for training: its derivatives go by one forward and one reverse pass through psi.

        Args:
            params, u: parameters, and images `[B, H, W, C]`.
            lam: not used: f knows the one level that it is trained at.
        """
        del lam
        return _gradient(self, params, u)

    def scale(self, lam: Scalars) -> Array:
        """The unit of a residual, 1 whatever `lam`: widths of proximal matching are in the units of the images."""
        return jnp.ones_like(jnp.asarray(lam, float))

    def prior(self, params: PyTree) -> "LPN":
        """The trained network as a potential.

        Args:
            params: parameters, whose inner weights are not negative.

        Raises:
            ValueError: if one is, by its name.
        """
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            if is_inner(path) and not is_traced(leaf) and float(np.min(np.asarray(leaf))) < 0:
                name = "/".join(str(getattr(part, "key", part)) for part in path)
                raise ValueError(
                    f"The inner weights {name} go down to {float(np.min(np.asarray(leaf))):.3g}; psi is convex only "
                    "where they are not negative. Train with `keep_nonnegative()` in the optimizer, or take "
                    "`nonnegative(params)`, which is another network."
                )
        return LPN(params, self)


def _check_activation(activation: Any) -> None:
    slopes = np.asarray(jax.vmap(jax.grad(activation))(jnp.linspace(-4.0, 4.0, 161)))
    bends = np.asarray(jax.vmap(jax.grad(jax.grad(activation)))(jnp.linspace(-4.0, 4.0, 161)))
    name = getattr(activation, "__name__", repr(activation))
    if slopes.min() < -1e-6 or np.diff(slopes).min() < -1e-6:
        raise ValueError(f"The activation {name} is not convex and increasing; take jax.nn.softplus.")
    if bends.max() < 1e-6:
        raise ValueError(f"The activation {name} has no curvature, so that f would have steps; take jax.nn.softplus.")


def _gradient_of_psi(network: ConvexNetwork, params: PyTree, u: Array) -> Array:
    return jax.grad(lambda y: jnp.sum(network.psi(params, y)))(u)


_gradient = jax.custom_vjp(_gradient_of_psi, nondiff_argnums=(0,))


def _forward(network: ConvexNetwork, params: PyTree, u: Array) -> tuple[Array, tuple[PyTree, Array]]:
    return _gradient_of_psi(network, params, u), (params, u)


def _backward(network: ConvexNetwork, kept: tuple[PyTree, Array], cotangent: Array) -> tuple[PyTree, Array]:
    """The gradient of `<v, grad psi>` is that of the derivative of psi along v: reverse over forward."""

    def along(params: PyTree, u: Array) -> Array:
        return jnp.sum(jax.jvp(lambda y: network.psi(params, y), (u,), (cotangent,))[1])

    return jax.grad(along, argnums=(0, 1))(*kept)


_gradient.defvjp(_forward, _backward)


class Inversion(NamedTuple):
    """The point y at which f is x, as far as the budget went, and how well.

    Attributes:
        point: y.
        residual: |f(y) - x|.
        gap: how far the value of R may be below the true one, `residual^2 / (4 alpha)`; infinite where alpha = 0.
    """

    point: Array
    residual: Array
    gap: Array


@pytree
class LPN(ByAutodiff):
    """A learned proximal network as a potential, `g = R / sigma^2`; `ConvexNetwork.prior` makes it.

    Its values have an offset of their own. All but `psi` and `denoise` solve convex problems: call them under
    `jax.jit`, or each call traces its solver again.

    Attributes:
        params: parameters (traced).
        network: what evaluates them (static).
        steps, inner: largest numbers of Newton steps of a convex problem, and of conjugate gradient steps of each.
    """

    params: PyTree
    network: ConvexNetwork = dataclasses.field(metadata=dict(static=True))
    steps: int = dataclasses.field(default=30, metadata=dict(static=True))
    inner: int = dataclasses.field(default=120, metadata=dict(static=True))

    @property
    def image_shape(self) -> Shape:
        """(H, W, C) of the images that the network takes."""
        return self.network.image_shape

    @property
    def largest_step(self) -> float:
        """The largest lam of `prox`, sigma^2."""
        return self.network.sigma**2

    def psi(self, y: Float[Array, "h w c"]) -> Float[Array, ""]:
        """The convex potential, whose gradient is f.

        Args:
            y: one image.
        """
        self._check(y)
        return self.network.psi(self.params, y[None])[0]

    def _check(self, image: Array) -> None:
        """Refuse what the network cannot take; a `ConvICNN` takes other heights and widths."""
        shape, given = tuple(self.image_shape), tuple(image.shape)
        free = hasattr(self.network.module, "strides")
        if given != shape and not (free and len(given) == 3 and given[2] == shape[2]):
            sizes = f", or of another H and W with {shape[2]} channels" if free else ""
            raise ValueError(
                f"The network takes one image of shape (H, W, C) = {shape}{sizes}, and was given {given}; many images "
                "at once come from `jax.vmap`."
            )

    def denoise(self, y: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        """The network itself, `f(y) = grad psi(y)`: the prox at lam = sigma^2.

        Args:
            y: one image.
        """
        return jax.grad(self.psi)(y)

    def invert(self, x: Float[Array, "h w c"]) -> Inversion:
        """The y of f(y) = x, by Newton's method on the convex `psi(y) - <x, y>`.

        Args:
            x: one image; outside of the range of f there is no y, and the residual stays.
        """
        return self._inversion(x, _root(self, x, jnp.zeros((), x.dtype)))

    def value_at(self, x: Float[Array, "h w c"], y: Float[Array, "h w c"]) -> tuple[Float[Array, ""], Inversion]:
        """The value that a guess of the inverse gives, `(<x, y> - |x|^2 / 2 - psi(y)) / sigma^2`, and how good it is.

        It is never above the value itself (Fenchel and Young), and below it by at most `gap / sigma^2`. One pass gives
        it where a second network, trained on `inverse_draws(prior)`, guesses y.

        Args:
            x, y: one image, and a guess of the y of f(y) = x.
        """
        return self._value_at(x, y), self._inversion(x, y)

    def _value_at(self, x: Array, y: Array) -> Array:
        return (jnp.sum(x * y) - jnp.sum(x**2) / 2 - self.psi(y)) / self.network.sigma**2

    def _inversion(self, x: Array, y: Array) -> Inversion:
        # Squares have a derivative where nothing is left, the norm has none.
        residual = jax.lax.stop_gradient(jnp.linalg.norm(self.denoise(y) - x))
        alpha = getattr(self.network.module, "alpha", 0.0)
        return Inversion(y, residual, residual**2 / (4 * alpha) if alpha > 0 else jnp.full_like(residual, jnp.inf))

    def value(self, x: Float[Array, "h w c"]) -> Float[Array, ""]:
        """The value, `(<x, y> - |x|^2 / 2 - psi(y)) / sigma^2` at f(y) = x.

        An inversion that ends early gives less, never more; `invert` says how much where alpha > 0. Without alpha the
        range of f may be bounded: the value is then infinite where the residual stays above 1e-3 (1 + |x|), as x is out
        of the range, or `steps` too few.
        """
        y, residual, gap = self.invert(x)
        value = self._value_at(x, y)
        outside = ~jnp.isfinite(gap) & (residual > _FAR * (1 + jnp.linalg.norm(x)))
        return jnp.where(jax.lax.stop_gradient(outside), jnp.inf, value)

    def grad(self, x: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        """The gradient, `(y - x) / sigma^2` at f(y) = x."""
        return (self.invert(x).point - x) / self.network.sigma**2

    def prox(self, v: Float[Array, "h w c"], lam: Scalar) -> Float[Array, "h w c"]:
        """The prox for lam up to sigma^2, where it is one evaluation of f; below, a convex problem.

        Args:
            v, lam: one image, and step of the prox.

        Raises:
            ValueError: if v is of another shape than `image_shape`, but for a `ConvICNN`, which takes others; if lam is
                negative, or above sigma^2, where the problem is not convex. Where lam is traced, NaN above sigma^2.
        """
        self._check(v)
        lam = check_number("lam is the step of the prox", lam, least=0)
        instead = "take rows of smaller lam (a larger rho in ADMM), or a network that is trained at a larger sigma."
        check_largest_step(self, lam, "The step is", instead)
        tau = jnp.asarray(lam, v.dtype) / self.network.sigma**2
        y = _root(self, v, jnp.minimum(tau, 1.0))
        # Both are the same point; the first is v itself at lam = 0, the second f(v) at sigma^2.
        rest = jnp.maximum(1 - tau, 0.5)
        point = jnp.where(tau < 0.5, (v - tau * y) / rest, self.denoise(y))
        return jnp.where(tau > 1 + ROUNDING, jnp.nan, point)


@jax.custom_jvp
def _root(net: LPN, v: Array, tau: Array) -> Array:
    """The y of `tau y + (1 - tau) f(y) = v`, with the derivatives of the implicit function."""

    def merit(y: Array) -> Array:
        return tau * jnp.sum(y**2) / 2 + (1 - tau) * net.psi(y) - jnp.sum(v * y)

    return _newton(merit, v, net.steps, net.inner)


def _excess(net: LPN, v: Array, tau: Array, y: Array) -> Array:
    return tau * y + (1 - tau) * net.denoise(y) - v


@_root.defjvp
def _implicit(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    net, v, tau = primals
    y = _root(net, v, tau)
    change = jax.jvp(lambda net, v, tau: _excess(net, v, tau, y), primals, tangents)[1]
    _, hessian = jax.linearize(lambda y: _excess(net, v, tau, y), y)
    return y, conjugate_gradients(hessian, -change, solver=Solver(_tolerance(v), 4 * net.inner))[0]


def _tolerance(v: Array) -> float:
    return 10 * float(jnp.finfo(v.dtype).eps)


def _newton(merit: Any, v: Array, steps: int, inner: int) -> Array:
    """The minimum of a convex `merit(y) = h(y) - <v, y>`, from y = v: Newton-CG with halved steps."""
    size = 1 + jnp.linalg.norm(v)
    at = jax.value_and_grad(merit)

    def moving(state: tuple[Array, ...]) -> Array:
        _, _, residual, done, stuck = state
        return (done < steps) & (jnp.linalg.norm(residual) > _tolerance(v) * size) & ~stuck

    def improve(state: tuple[Array, ...]) -> tuple[Array, ...]:
        y, before, residual, done, _ = state
        _, hessian = jax.linearize(jax.grad(merit), y)
        # As exact as the root of the residual: superlinear (order 1.5), and cheaper than order 2.
        forcing: Any = jnp.minimum(0.5, jnp.sqrt(jnp.linalg.norm(residual) / size))
        direction, _ = conjugate_gradients(hessian, -residual, solver=Solver(forcing, inner))
        slope = jnp.sum(residual * direction)
        descends = slope < 0  # not far out, where the Hessian is 0 and so is the direction
        # The merit is a difference of larger numbers, of which `<v, y>` is one.
        slack = 8 * jnp.finfo(y.dtype).eps * (1 + jnp.abs(before) + jnp.sum(jnp.abs(v * y)))

        def tried(length: Array) -> tuple[Array, ...]:
            """A step of this length, whether it is refused, and the merit and its gradient at the end."""
            after, rest = at(y + length * direction)
            change = after - before
            # Below the rounding of the merit, the slope at the end tells what its value cannot.
            equal = (change <= slack) & (jnp.sum(rest * direction) <= -0.2 * slope)
            return length, ~((change <= 1e-4 * length * slope) | equal), after, rest

        length, refused, after, rest = jax.lax.while_loop(
            lambda step: step[1] & (step[0] > 1e-9) & descends,
            lambda step: tried(step[0] / 2),
            tried(jnp.ones_like(size)),
        )
        stuck = refused | ~descends
        keep = lambda new, old: jnp.where(stuck, old, new)  # noqa: E731
        return keep(y + length * direction, y), keep(after, before), keep(rest, residual), done + 1, stuck

    return jax.lax.while_loop(moving, improve, (v, *at(v), jnp.array(0), jnp.array(False)))[0]
