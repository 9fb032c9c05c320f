"""Networks: the only home of flax. A network meets a sampler only through a prox."""

from pgm_jax.networks.mlp import MLP
from pgm_jax.networks.prox_net import Flattened, Preconditioned, ProxNet, prox_coefficients
from pgm_jax.networks.unet import UNet

__all__ = ["MLP", "Flattened", "Preconditioned", "ProxNet", "UNet", "prox_coefficients"]
