"""What every linear measurement `y = A x` of one image has in common.

A new operator states `forward`; everything else follows from it:

    adjoint   A^T r, by transposing the program of `forward`
    solve     argmin_x 1/2 |A x - y|^2 + rho/2 |x - v|^2, by conjugate gradients
    norm      |A|, by power iteration

Where A = U S V^T is known, `solve` is a closed form, and the same one for every basis:

    x = v + V W U^T (y - A v),   W = S / (S^2 + rho)

A mask is diagonal in pixels, a circular blur in frequencies, a separable map in two small singular bases.
At rho = 0 this is the limit v + A^+ (y - A v): the consistent image that is nearest to v.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from pgm_jax.types import Image, Key, Operator, Scalar, Shape

# The worst case at rho = 2e-4 |A|^2 in float32, by sqrt(|A|^2 / rho) / 2 * ln(2 / tolerance); it bounds the cost below.
MAX_SOLVE_ITERATIONS = 500
POWER_ITERATIONS = 100


class LinearOperator:
    """A linear map from an image of `image_shape` (H, W, C) to a measurement of any shape; see the module's docstring.

    A subclass is a registered frozen dataclass whose arrays are its numbers and whose `image_shape` is static. It is
    written for one image; operators stacked by `vmap` carry a leading axis on their arrays and are used under `vmap`.
    """

    image_shape: Shape

    @property
    def measurement_shape(self) -> Shape:
        """The shape of y = A x."""
        return jax.eval_shape(self.forward, jax.ShapeDtypeStruct(self.image_shape, jnp.result_type(float))).shape

    @property
    def observed(self) -> jax.Array:
        """Which entries of y were measured, 1 or 0, broadcastable to y; by default all of them."""
        return jnp.asarray(1.0)

    def forward(self, x: jax.Array) -> jax.Array:
        """A x."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(x), the measurement of an image")

    def adjoint(self, r: jax.Array) -> jax.Array:
        """A^T r, an image."""
        image = jax.ShapeDtypeStruct(self.image_shape, r.dtype)
        measurement = jax.eval_shape(self.forward, image)
        (x,) = jax.linear_transpose(self.forward, image)(r.astype(measurement.dtype))
        return x

    def solve(self, v: jax.Array, y: jax.Array, rho: Scalar) -> jax.Array:
        """argmin_x 1/2 |A x - y|^2 + rho/2 |x - v|^2, which is (A^T A + rho)^{-1} (A^T y + rho v).

        v: image. y: measurement. rho: at least 0, in the units of |A|^2; sigma^2 / lam for noise of deviation sigma.
        At rho = 0, for measurements without noise, A has to be well conditioned on the entries that it observes.
        """

        def normal(d):
            return self.adjoint(self.forward(d)) + rho * d

        # Solving for the step from v is the warm start at v, with a tolerance that is relative to the step.
        step, _ = jax.scipy.sparse.linalg.cg(
            normal,
            self.adjoint(y - self.forward(v)),
            tol=10 * float(jnp.finfo(v.dtype).eps),
            maxiter=MAX_SOLVE_ITERATIONS,
        )
        return v + step

    def norm(self) -> jax.Array:
        """max |A x| / |x|, approached from below."""

        def iterate(_, x):
            x = self.adjoint(self.forward(x))
            return x / jnp.linalg.norm(x)

        x = jax.random.normal(jax.random.key(0), self.image_shape)
        x = jax.lax.fori_loop(0, POWER_ITERATIONS, iterate, x)
        return jnp.linalg.norm(self.forward(x))


def measure(key: Key, operator: Operator, x: Image, sigma: Scalar) -> Float[Array, "..."]:
    """A noisy measurement y = A x + sigma * observed * n with n ~ N(0, I): hidden entries hold no noise.

    x: one image (H, W, C) in [-1, 1]; batches by `vmap`, one key an image. sigma: noise deviation in those units.
    Raises ValueError where x has not the operator's image_shape.
    """
    if x.shape != operator.image_shape:
        raise ValueError(
            f"x has shape {x.shape} and the operator takes one image of shape {operator.image_shape}: "
            "build the operator for the shape of x, and measure a batch with jax.vmap"
        )
    y = operator.forward(x)
    return y + sigma * operator.observed * jax.random.normal(key, y.shape, y.dtype)


def wiener(gain: Inexact[Array, "*shape"], rho: Scalar) -> Inexact[Array, "*shape"]:
    """The regularised inverse of a diagonal S, conj(S) / (|S|^2 + rho), and 0 where S = 0 even at rho = 0.

    gain: S, of any shape, real or complex. rho: at least 0, in the units of |S|^2.
    """
    return jnp.conj(gain) / jnp.where(gain == 0, 1.0, jnp.abs(gain) ** 2 + rho)


def check_image_shape(image_shape: Shape) -> tuple[int, int, int]:
    """`image_shape` as a tuple (H, W, C); ValueError unless it is three positive numbers."""
    shape = tuple(image_shape)
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(
            f"image_shape must be (height, width, channels), three positive whole numbers, and is {shape}; "
            "a grey image has one channel: (32, 32, 1)"
        )
    return shape
