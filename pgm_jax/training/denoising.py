"""How well a network that is being trained denoises images that it is not trained on.

    PSNR(phi(x + sigma eps, sigma^2), x),  sigma = 15, 25 and 50 of 255, on images in [-1, 1] twice that

The same noise at every step, so that the numbers of a run can be compared with each other.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from pgm_jax.metrics import psnr
from pgm_jax.training.step import Network
from pgm_jax.types import Images

LEVELS = (15, 25, 50)


def denoising_psnr(network: Network, params: PyTree, images: Images) -> dict[str, float]:
    """The mean PSNR in dB of denoised images, by the name of the level, `psnr_at_25`.

    Args:
        network, params: network whose prior has a prox at every level, and its parameters.
        images: clean images `[N, H, W, C]` in [-1, 1].
    """
    return {f"psnr_at_{level}": float(_mean_psnr(network, params, images, 2 * level / 255)) for level in LEVELS}


@functools.partial(jax.jit, static_argnums=0)
def _mean_psnr(network, params, images, sigma):
    prior, noise = network.prior(params), jax.random.normal(jax.random.key(0), images.shape)
    # One at a time, in the memory of one.
    denoised = jax.lax.map(lambda u: prior.prox(u, sigma**2), images + sigma * noise)
    return jnp.mean(jax.vmap(psnr)(denoised, images))
