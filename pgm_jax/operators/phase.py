"""Phase retrieval: the magnitudes of a Fourier transform, without its phases.

    y = |F P (scale x + shift)|

P pads an image (H, W) with zeros on each side, and F is the centred unitary Fourier transform of `fourier`. The
magnitude has the derivative Re conj(z) dz / |z|, taken as 0 at z = 0. F P is an isometry, and so |J| = |scale| wherever
some frequency is not 0.

Many images have the same magnitudes: turned by 180 degrees always, times -1 where shift = 0, and moved where the pixels
that leave at an edge and those that enter at the other are 0. `solve` finds the one near its start.

The padding is that of H. Chung et al., Diffusion Posterior Sampling for General Noisy Inverse Problems, ICLR 2023.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from pgm_jax.operators.base import NonlinearOperator, check_image_shape
from pgm_jax.operators.checks import check_number, check_numbers
from pgm_jax.operators.fourier import centred_fft
from pgm_jax.tracing import is_traced
from pgm_jax.types import Scalar, Shape, pytree


@pytree
class PhaseRetrieval(NonlinearOperator):
    """y_c = |F P (scale x_c + shift)| for every channel c; build it with `phase_retrieval`.

    Attributes:
        scale, shift: factor of x in what is transformed, and what is added to it.
        padding: (p, q), pixels of 0 above and below, left and right; y is (H + 2 p, W + 2 q, C), real.
    """

    scale: jax.Array
    shift: jax.Array
    padding: tuple[int, int] = dataclasses.field(metadata=dict(static=True))
    image_shape: Shape = dataclasses.field(metadata=dict(static=True))

    def forward(self, x: jax.Array) -> jax.Array:
        """|F P (scale x + shift)|."""
        vertical, horizontal = self.padding
        padded = jnp.pad(self.scale * x + self.shift, ((vertical, vertical), (horizontal, horizontal), (0, 0)))
        return jnp.abs(centred_fft(padded))

    def norm(self) -> jax.Array:
        """|scale|, the steepness at every image with some frequency that is not 0."""
        return jnp.abs(self.scale)


def phase_retrieval(
    image_shape: Shape, oversampling: float = 2.0, image_range: tuple[Scalar, Scalar] = (-1.0, 1.0)
) -> PhaseRetrieval:
    """Measure the magnitudes of the Fourier transform of the zero-padded image.

    Args:
        image_shape: (H, W, C).
        oversampling: floor(oversampling H / 8) pixels are added above and as many below, and floor(oversampling W /
            8) left and right, so that 2 makes 384 of 256, and 4 makes 512; at least 8 / min(H, W).
        image_range: (low, high), the values of black and white in what is transformed: (-1, 1) for x itself, (0, 1)
            for (x + 1) / 2, which is not negative; without units.
    """
    height, width, channels = check_image_shape(image_shape)
    what = f"oversampling, of which an eighth is added to a side of an image of {height} x {width}"
    oversampling = check_number(what, oversampling, least=8 / min(height, width), hint="2 is usual")
    low, high = check_numbers("image_range is (value of black, value of white)", image_range, 2, whole=False)
    if not is_traced((low, high)) and not low < high:
        raise ValueError(
            f"image_range is (value of black, value of white), the first below the second, and is {(low, high)}; "
            "(-1, 1) transforms x itself and (0, 1) the image (x + 1) / 2"
        )
    padding = (math.floor(oversampling * height / 8), math.floor(oversampling * width / 8))
    low, high = jnp.asarray(low, float), jnp.asarray(high, float)
    return PhaseRetrieval((high - low) / 2, (high + low) / 2, padding, (height, width, channels))
