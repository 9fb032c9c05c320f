"""The noise of a measurement, as an object that draws it and defines the likelihood.

    noise.clean(A, x)          the measurement of x without noise
    noise.sample(key, clean)   a measurement
    noise.std(clean)           the standard deviation of every entry
    noise.likelihood(A, y)     f(x) = -log p(y | x), up to a constant

The numbers of a noise are scalars, one number `[B]` for each measurement of a batch, or a map of the shape of a
measurement, with or without the axis of the batch.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Inexact, Int

from pgm_jax.operators import QUICK
from pgm_jax.operators.algebra import scale
from pgm_jax.potentials import GaussianLikelihood, PoissonLikelihood
from pgm_jax.tracing import compiled, is_traced
from pgm_jax.types import Image, Key, Noise, Operator, Scalars, Shape, as_key, pytree

_MEDIAN_OF_NORMAL = 0.6744897501960817  # of |n|, n ~ N(0, 1)
_FEWEST_BLOCKS = 16


@pytree
class GaussianNoise:
    """White Gaussian noise, `y = A(x) + sigma n`, `n ~ N(0, I)`.

    Of a complex measurement the real and the imaginary part have the deviation sigma each.

    Attributes:
        sigma: standard deviation in the units of y, positive; images lie in [-1, 1].
    """

    sigma: Scalars

    def clean(self, operator: Operator, x: Image) -> Inexact[Array, "..."]:
        """The measurement of one image x without noise, A(x), A the `operator`."""
        return operator.forward(x)

    def std(self, clean: Inexact[Array, "..."]) -> Float[Array, "..."]:
        """The standard deviation of every entry, sigma, `clean` being a measurement without noise."""
        return jnp.broadcast_to(jnp.asarray(self.sigma, clean.real.dtype), clean.shape)

    def sample(self, key: Key, clean: Inexact[Array, "..."]) -> Inexact[Array, "..."]:
        """A measurement, `clean + sigma n`, `clean` being one without noise."""
        # A complex normal of jax has the variance 1 in all, half of it in each part.
        factor = jnp.sqrt(2.0) if jnp.iscomplexobj(clean) else 1.0
        return clean + factor * self.std(clean) * jax.random.normal(key, clean.shape, clean.dtype)

    def likelihood(self, operator: Any, y: Inexact[Array, "..."]) -> GaussianLikelihood:
        """The potential `f(x) = |(y - A(x)) / sigma|^2 / 2` of a measurement y, A the `operator`.

        With a map of sigma the entries of A and y are divided by it; iterative data steps end as in `QUICK`.
        """
        if jnp.ndim(self.sigma) == 0:
            return GaussianLikelihood(operator, y, self.sigma, QUICK)
        weights = jnp.broadcast_to(1.0 / jnp.asarray(self.sigma), y.shape)
        return GaussianLikelihood(scale(weights, operator), weights * y, 1.0, QUICK)

    @classmethod
    def estimate(cls, y: ArrayLike, observed: ArrayLike | None = None) -> "GaussianNoise":
        """The noise of measured images, by the median absolute deviation of their finest diagonal details.

        Formula: `sigma = median |y_00 - y_01 - y_10 + y_11| / (2 * 0.6745)` over blocks of 2 x 2 pixels. Smooth parts
        cancel, and edges are too few to move a median; texture counts as noise, by a tenth to a third in images of 32
        pixels. Source: Donoho and Johnstone, Biometrika 81 (1994), section 4.

        Args:
            y: measured images `[..., H, W, C]`, one or many; blocks with a NaN are left out.
            observed: which pixels were measured, such as `operator.observed`; all of them if None.

        Raises:
            ValueError: if y is no image, has too few whole blocks for a median, or the estimate is 0.
        """
        values = np.asarray(y)
        if np.iscomplexobj(values) or values.ndim < 3 or min(values.shape[-3:-1]) < 2:
            raise ValueError(
                f"A measurement of shape {values.shape} and type {values.dtype} is no image [..., H, W, C] with "
                "neighbouring pixels: its noise cannot be told from it; give GaussianNoise(sigma)."
            )
        if observed is not None:
            values = np.where(np.asarray(observed) > 0, values, np.nan)
        rows, cols = values.shape[-3] // 2 * 2, values.shape[-2] // 2 * 2
        a, b, c, d = (values[..., i:rows:2, j:cols:2, :] for i in (0, 1) for j in (0, 1))
        details = np.abs(a - b - c + d) / 2
        details = details[np.isfinite(details)]
        if details.size < _FEWEST_BLOCKS:
            raise ValueError(
                f"Only {details.size} blocks of 2 x 2 pixels were observed whole, and an estimate of the noise needs "
                f"{_FEWEST_BLOCKS}: give GaussianNoise(sigma)."
            )
        sigma = float(np.median(details)) / _MEDIAN_OF_NORMAL
        if not sigma > 0:
            raise ValueError("The estimate of the noise is 0, as for clipped or rounded values: give its sigma.")
        return cls(sigma)


@pytree
class PoissonNoise:
    """Counts of light, `y ~ Poisson(I)`, `I = gain A((x + 1) / 2) + background`.

    Attributes:
        gain: expected counts of an intensity of 1, positive.
        background: expected counts of the dark, positive.
    """

    gain: Scalars
    background: Scalars = 1.0

    def clean(self, operator: Operator, x: Image) -> Float[Array, "..."]:
        """The expected counts I of one image x in [-1, 1], A the `operator`."""
        return self.gain * operator.forward(0.5 * (x + 1)) + self.background

    def std(self, clean: Float[Array, "..."]) -> Float[Array, "..."]:
        """The standard deviation of every entry, sqrt(I), of the expected counts `clean`."""
        return jnp.sqrt(jnp.maximum(clean, self.background))

    def sample(self, key: Key, clean: Float[Array, "..."]) -> Float[Array, "..."]:
        """Counts, as floats, of which `clean` are expected."""
        return jax.random.poisson(key, jnp.maximum(clean, 0.0), clean.shape).astype(clean.dtype)

    def likelihood(self, operator: Operator, y: Float[Array, "..."]) -> PoissonLikelihood:
        """The potential `f(x) = sum I - y log I` of counts y, A the `operator`."""
        return PoissonLikelihood(operator, y, self.gain, self.background, QUICK)


def measure(
    key: Key,
    operator: Operator,
    images: Float[Array, "*b h w c"],
    noise: Noise,
    *,
    operator_axis: int | None = None,
    indices: Int[Array, " b"] | None = None,
) -> Inexact[Array, "..."]:
    """Measure an image, or each of a batch; entries that the operator does not observe are 0.

    Args:
        key: root key; image i draws from `fold_in(key, indices[i])`.
        operator: A. One for all images, or, with `operator_axis=0`, a stack whose arrays have a leading axis B.
        images: `[H, W, C]`, a batch of one without its axis, or `[B, H, W, C]`, in [-1, 1].
        noise: `GaussianNoise` or `PoissonNoise`.
        operator_axis: as `in_axes` of `vmap` for the operator: None (one for all) or 0 (one for each image).
        indices: number of each image in its data set, `[B]`; 0 ... B - 1 if None.

    Raises:
        TypeError: if the images are not floats, or the key is not one.
        ValueError: if the images are not as the operator takes them, the indices are not one for each image, or the
            noise has a number that it cannot have.
    """
    key, images = as_key(key), jnp.asarray(images)
    shape = tuple(operator.image_shape)
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"The images have the type {images.dtype}; give floats in [-1, 1], of bytes x / 127.5 - 1.")
    if images.ndim not in (3, 4) or images.shape[-3:] != shape:
        raise ValueError(
            f"The images have the shape {images.shape} and the operator takes {shape}, or a batch of such: build the "
            "operator for `images.shape[-3:]`."
        )
    batch = images if images.ndim == 4 else images[None]
    indices = checked_indices(indices, len(batch))
    spread = per_measurement(noise, measurement_like(operator, operator_axis, len(batch), batch.dtype).shape)
    y = _measure(key, operator, batch, spread, indices, operator_axis)
    return y if images.ndim == 4 else y[0]


@compiled
def _measure(key, operator, images, noise, indices, operator_axis):
    def of_one(operator: Operator, x: Array, noise: Noise, index: Array) -> Array:
        y = noise.sample(jax.random.fold_in(key, index), noise.clean(operator, x))
        return jnp.where(operator.observed > 0, y, jnp.zeros_like(y))

    return jax.vmap(of_one, (operator_axis, 0, 0, 0))(operator, images, noise, indices)


def checked_indices(indices: Any, count: int) -> Int[Array, " b"]:
    """The numbers of a batch of `count` images or measurements in their data set, 0 ... count - 1 if `indices` is None.

    Raises:
        ValueError: if they are not whole numbers, one for each.
    """
    numbers = jnp.arange(count) if indices is None else jnp.asarray(indices)
    if numbers.shape != (count,) or not jnp.issubdtype(numbers.dtype, jnp.integer):
        raise ValueError(
            f"The indices have the shape {numbers.shape} and the type {numbers.dtype}; give a whole number for each of "
            f"the {count} in the batch, as an array of shape ({count},)."
        )
    return numbers


def measurement_like(operator: Operator, operator_axis: int | None, count: int, dtype: Any) -> jax.ShapeDtypeStruct:
    """Shape and type of `count` measurements by an operator, or by a stack of as many.

    Args:
        operator, operator_axis: A, and None or 0, see `measure`.
        count: number of measurements B.
        dtype: type of the images.

    Raises:
        ValueError: if the axis is another, or the operator's arrays do not have it.
    """
    if operator_axis not in (None, 0):
        raise ValueError(f"operator_axis is {operator_axis}; it is None (one operator for all) or 0 (one for each).")
    x = jax.ShapeDtypeStruct(tuple(operator.image_shape), dtype)
    forward = jax.vmap(lambda a, x: a.forward(x), (operator_axis, None), axis_size=count)
    try:
        return jax.eval_shape(lambda x: forward(operator, x), x)
    except ValueError as error:
        if operator_axis is None:
            raise
        raise ValueError(
            f"The operator's arrays do not have a leading axis of {count}, one for each measurement, as "
            "operator_axis=0 says; stack one operator for each, or leave operator_axis out to share one."
        ) from error


def per_measurement(noise: Noise, shape: Shape) -> Noise:
    """The noise with its parameters broadcast over a batch: each gets the leading axis B.

    Args:
        noise: its numbers are scalars, `[B]`, or maps that broadcast to a measurement, with or without an axis B.
        shape: of the measurements, `[B, ...]`.

    Raises:
        ValueError: if a number fits in no way or in two, or is not positive and finite.
    """
    count, measurement = shape[0], shape[1:]

    def fits(a: Shape, whole: Shape) -> bool:
        return len(a) == len(whole) and all(side in (1, full) for side, full in zip(a, whole, strict=True))

    def spread(number: Any) -> Array:
        a = jnp.asarray(number, None if jnp.issubdtype(jnp.result_type(number), jnp.inexact) else float)
        if not is_traced(a) and not bool(jnp.all((a > 0) & jnp.isfinite(a))):
            raise ValueError(f"{type(noise).__name__} holds {number}; its numbers must be positive and finite.")
        if a.size == 1:
            return jnp.broadcast_to(a.reshape(()), (count,))
        each, one = a.shape == (count,), fits(a.shape, measurement)
        if fits(a.shape, shape):
            return jnp.broadcast_to(a, (count, *a.shape[1:]))
        if each == one:
            fault = f"could be one for each of {count} measurements or a map of one" if each else "is neither"
            raise ValueError(
                f"{type(noise).__name__} holds an array of shape {a.shape}, which {fault}: give a number, "
                f"{(count, *[1] * len(measurement))} for one each, {(1, *measurement)} for a map, or {shape}."
            )
        return a if each else jnp.broadcast_to(a, (count, *a.shape))

    return jax.tree.map(spread, noise)
