"""Networks: the only home of flax. A network meets a sampler only through a prox."""

from pgm_jax.networks.blur_net import BlurNet, BlurNetwork, blur_network, blur_network_of_code, blur_params
from pgm_jax.networks.mlp import MLP
from pgm_jax.networks.prox_net import Flattened, Preconditioned, ProxNet, prox_coefficients
from pgm_jax.networks.torch_weights import read_state_dict
from pgm_jax.networks.unet import UNet

__all__ = [
    "MLP",
    "BlurNet",
    "BlurNetwork",
    "Flattened",
    "Preconditioned",
    "ProxNet",
    "UNet",
    "blur_network",
    "blur_network_of_code",
    "blur_params",
    "prox_coefficients",
    "read_state_dict",
]
