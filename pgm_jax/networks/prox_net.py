"""A network as the proximal map of a prior.

For data of mean m and standard deviation s, and u = x_0 + sqrt(lam) eps, the network F is wrapped as

    phi(u, lam) = m + c_skip (u - m) + c_out F(c_in (u - m), log(lam) / 4)
    c_skip = s^2 / (s^2 + lam)    c_out = s sqrt(lam / (s^2 + lam))    c_in = 1 / sqrt(s^2 + lam)

c_skip alone is the prox of a Gaussian prior N(m, s^2), so F learns what is not Gaussian. F sees inputs and targets of
unit variance at every lam; c_out -> 0 as lam -> 0, so that phi(u, 0) = u exactly, as a prox must be, whatever F says.
Source of the scalings: Karras et al., NeurIPS 2022 (arXiv 2206.00364), table 1, with their sigma^2 = lam.
"""

import dataclasses
from typing import cast

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from pgm_jax.operators.checks import SizedShape, fits
from pgm_jax.types import Key, Scalar, Scalars, Shape, pytree


def prox_coefficients(lam: Scalars, std: float) -> tuple[Array, Array, Array]:
    """The weights (c_skip, c_out, c_in) of a network that is preconditioned for data of standard deviation s.

    Args:
        lam, std: step of the prox, the variance of the noise in u, any shape, and s in the units of the images.
    """
    total = std**2 + jnp.asarray(lam)
    return std**2 / total, std * jnp.sqrt(lam / total), 1.0 / jnp.sqrt(total)


def smallest(image_shape: SizedShape, module: nn.Module | None) -> Shape:
    """An image shape that a network takes: its own, with the multiple that its module needs where any side will do.

    Args:
        image_shape, module: (H, W, C), None for sides that may be any, and what states the multiple.
    """
    return tuple(getattr(module, "multiple", 1) if side is None else side for side in image_shape)


def as_batch(u: Array, image_shape: SizedShape) -> Array:
    """The images u, one or a batch, as a batch of images of `image_shape`.

    Raises:
        ValueError: if u is of another shape.
    """
    if u.ndim not in (3, 4) or not fits(u.shape[-3:], image_shape):
        raise ValueError(
            f"The network takes images of shape (H, W, C) = {tuple(image_shape)}, one or a batch, and was given "
            f"{u.shape}: crop, pad or resize the images, or take a prior of their shape."
        )
    return u if u.ndim == 4 else u[None]


@dataclasses.dataclass(frozen=True)
class Preconditioned:
    """A flax module with its preconditioning: `init` and `apply` are pure functions of a plain dict of parameters.

    Attributes:
        module: maps (images `[B, H, W, C]`, condition `[B]`) to images.
        image_shape: (H, W, C).
        mean, std: mean m and standard deviation s of the data, in the units of the images.
    """

    module: nn.Module
    image_shape: Shape
    mean: float = 0.0
    std: float = 0.5

    def init(self, key: Key) -> PyTree:
        """Draw the parameters."""
        return self.module.init(key, jnp.zeros((1, *self.image_shape)), jnp.zeros((1,)))["params"]

    def prior(self, params: PyTree) -> "ProxNet":
        """The trained network as a prior, with its `params`."""
        return ProxNet(params, self)

    def scale(self, lam: Scalars) -> Array:
        """The unit of a residual of training, c_out at the levels lam."""
        return prox_coefficients(lam, self.std)[1]

    def apply(self, params: PyTree, u: Float[Array, "*b h w c"], lam: Float[Array, "*b"] | float) -> Array:
        """Evaluate phi(u, lam), for a batch or for one image.

        Args:
            params: what `init` returned, or trained from it.
            u: `[B, H, W, C]` with lam `[B]`, or `[H, W, C]` with a scalar lam; in [-1, 1] plus noise.
            lam: step of the prox, the variance of the noise in u; 0 returns u.

        Raises:
            ValueError: if u is of another shape than `image_shape`.
        """
        batched = as_batch(u, self.image_shape)
        levels = jnp.atleast_1d(jnp.asarray(lam, u.dtype))
        c_skip, c_out, c_in = (c[:, None, None, None] for c in prox_coefficients(levels, self.std))
        # The floor keeps log(0) out of the network; c_out = 0 removes what it says there.
        condition = 0.25 * jnp.log(jnp.maximum(levels, 1e-12))
        centred = batched - self.mean
        learned = cast(Array, self.module.apply({"params": params}, c_in * centred, condition))
        # m + c_skip (u - m), written so that u comes back to the last bit at lam = 0, where c_skip = 1.
        out = batched - (1.0 - c_skip) * centred + c_out * learned
        return out if u.ndim == 4 else out[0]


@pytree
class ProxNet:
    """A trained network as a prior: `prox(v, lam) = network.apply(params, v, lam)`.

    Attributes:
        params: parameters (traced: another set of weights does not recompile).
        network: what evaluates them (static).
    """

    params: PyTree
    network: Preconditioned = dataclasses.field(metadata=dict(static=True))

    @property
    def image_shape(self) -> Shape:
        """(H, W, C) of the images that the network takes."""
        return self.network.image_shape

    def prox(self, v: Float[Array, "*b h w c"], lam: Scalar) -> Float[Array, "*b h w c"]:
        """The learned proximal map, `phi(v, lam)`.

        Args:
            v, lam: one image `[H, W, C]`, in [-1, 1] plus noise, and step of the prox; 0 returns v.

        Raises:
            ValueError: if v is of another shape than `image_shape`.
        """
        return self.network.apply(self.params, v, lam)


@pytree
class Flattened:
    """A network of images as a prior of points: `prox(v, lam) = net.prox(v as an image, lam) as v`.

    Attributes:
        net: trained network; the numbers of its image_shape are those of a point.
    """

    net: ProxNet

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The learned proximal map of a point of any shape, `()` and `(d,)` too.

        Args:
            v, lam: point with as many numbers as an image, and step of the prox; 0 returns v.
        """
        return self.net.prox(v.reshape(self.net.image_shape), lam).reshape(v.shape)
