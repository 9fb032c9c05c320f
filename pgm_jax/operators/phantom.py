"""The head phantom of Shepp and Logan, with the contrasts of Toft, the test image of tomography.

A sum of ten ellipses: x = sum_i v_i [ (u / a_i)^2 + (w / b_i)^2 <= 1 ], (u, w) the position from the i-th centre in
axes turned by phi_i, in a square of side 2 around 0.

L. A. Shepp, B. F. Logan, The Fourier reconstruction of a head section, IEEE Trans. Nucl. Sci. 21 (1974);
P. Toft, The Radon transform: theory and implementation, PhD thesis, DTU (1996), table B.3.
"""

import jax
import jax.numpy as jnp

from pgm_jax.operators.checks import check_whole

SAMPLES = 4  # a pixel's side

# value, half-axes a and b, centre to the right and upward, angle of the axis a from the right, in degrees
ELLIPSES = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)


def shepp_logan(size: int) -> jax.Array:
    """The head phantom (size, size, 1) in [0, 1], every pixel the mean of 4 x 4 samples."""
    size = check_whole("size is the number of pixels of a side", size, 1)
    at = (jnp.arange(SAMPLES * size) + 0.5) * (2 / (SAMPLES * size)) - 1
    right, up = at[None, :], -at[:, None]
    values, halves, others, rights, ups, turns = jnp.asarray(ELLIPSES, float).T

    def inside(half, other, centre_right, centre_up, turn):
        cos, sin = jnp.cos(jnp.deg2rad(turn)), jnp.sin(jnp.deg2rad(turn))
        u = (right - centre_right) * cos + (up - centre_up) * sin
        w = (up - centre_up) * cos - (right - centre_right) * sin
        return (u / half) ** 2 + (w / other) ** 2 <= 1

    fine = jnp.tensordot(values, jax.vmap(inside)(halves, others, rights, ups, turns).astype(values.dtype), 1)
    fine = fine.reshape(size, SAMPLES, size, SAMPLES)
    return jnp.clip(jnp.mean(fine, axis=(1, 3)), 0, 1)[..., None]
