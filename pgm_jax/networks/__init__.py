"""Networks: the only home of flax. A network meets a sampler only through a prox."""

from pgm_jax.networks.blur_net import blur_network, blur_params
from pgm_jax.networks.icnn import ICNN, ConvICNN, Patched, nonnegative
from pgm_jax.networks.local_net import LocalNetwork
from pgm_jax.networks.local_unet import LocalUNet
from pgm_jax.networks.lpn import LPN, ConvexNetwork, Inversion
from pgm_jax.networks.metric_net import MetricNetwork, MetricProxNet
from pgm_jax.networks.mlp import MLP
from pgm_jax.networks.prox_net import Flattened, Preconditioned, ProxNet
from pgm_jax.networks.timed_net import DenoiserForm, TimedNetwork, TimedProxNet, eps_form, prox_form
from pgm_jax.networks.torch_weights import read_state_dict
from pgm_jax.networks.unet import UNet

__all__ = [
    "ICNN",
    "LPN",
    "MLP",
    "ConvICNN",
    "ConvexNetwork",
    "DenoiserForm",
    "Flattened",
    "Inversion",
    "LocalNetwork",
    "LocalUNet",
    "MetricNetwork",
    "MetricProxNet",
    "Patched",
    "Preconditioned",
    "ProxNet",
    "TimedNetwork",
    "TimedProxNet",
    "UNet",
    "blur_network",
    "blur_params",
    "eps_form",
    "nonnegative",
    "prox_form",
    "read_state_dict",
]
