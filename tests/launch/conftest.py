import jax
import jax.numpy as jnp
import pytest
from training_door import door, images  # noqa: F401

from pgm_jax.networks import Preconditioned, ProxNet, UNet
from pgm_jax.pretrained import save_prior


@pytest.fixture(scope="session")
def toy_prior() -> ProxNet:
    """A network that was never trained; small, so that it compiles fast."""
    shape = dict(channels=(8,), blocks=(1,), attention=(False,), patch=4, head_channels=8, embedding=16)
    unet = UNet(**shape, dtype=jnp.dtype("float32"))
    network = Preconditioned(unet, (32, 32, 1))
    return ProxNet(network.init(jax.random.key(0)), network)


@pytest.fixture(scope="session")
def toy_prior_file(toy_prior, tmp_path_factory):
    path = tmp_path_factory.mktemp("prior") / "prior.npz"
    save_prior(path, toy_prior)
    return path
