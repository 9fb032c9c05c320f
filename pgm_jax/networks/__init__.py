"""Networks: the only home of flax. A network meets a sampler only through a prox."""

from pgm_jax.networks.blur_net import BlurNetwork, blur_network, blur_params
from pgm_jax.networks.mlp import MLP
from pgm_jax.networks.prox_net import Flattened, Preconditioned, ProxNet
from pgm_jax.networks.torch_weights import read_state_dict
from pgm_jax.networks.unet import UNet

__all__ = [
    "MLP",
    "BlurNetwork",
    "Flattened",
    "Preconditioned",
    "ProxNet",
    "UNet",
    "blur_network",
    "blur_params",
    "read_state_dict",
]
