"""Learned priors as single files, and the prior and images that come with the library.

A prior file is an `.npz` of the parameters in half precision, one array for each leaf named by its path, beside a JSON
description of the network, so that a file alone is enough to use it.
"""

import importlib.resources
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pgm_jax.networks import Preconditioned, ProxNet, UNet

_ASSETS = importlib.resources.files("pgm_jax") / "assets"


def describe(network: Preconditioned) -> dict[str, Any]:
    """A network as plain numbers and words, which `network_of` turns back.

    Args:
        network: preconditioned U-Net.
    """
    unet = {name: getattr(network.module, name) for name in UNet.__annotations__ if name not in ("parent", "name")}
    unet["dtype"] = jnp.dtype(unet["dtype"]).name
    return dict(unet=unet, image_shape=network.image_shape, mean=network.mean, std=network.std)


def network_of(description: dict[str, Any]) -> Preconditioned:
    """The network of a description; lists become tuples.

    Args:
        description: what `describe` returned, possibly by way of JSON.
    """
    unet: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in description["unet"].items()}
    unet["dtype"] = jnp.dtype(unet["dtype"])
    return Preconditioned(
        UNet(**unet), tuple(description["image_shape"]), float(description["mean"]), float(description["std"])
    )


def save_prior(path: str | Path, prior: ProxNet) -> None:
    """Write a prior to one `.npz` file, parameters in half precision.

    Args:
        path: file to write; ends in `.npz`.
        prior: network and parameters.
    """
    leaves = {name: leaf.astype(np.float16) for name, leaf in _named_leaves(jax.device_get(prior.params)).items()}
    np.savez_compressed(path, network=json.dumps(describe(prior.network)), **leaves)


def load_prior(path: str | Path) -> ProxNet:
    """Read a prior that `save_prior` wrote.

    Args:
        path: file to read.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no prior, is damaged, or its parameters are not those of its network.
    """
    path = Path(str(path))
    if not path.is_file():
        raise FileNotFoundError(f"There is no prior at {path}; give a file that `save_prior` wrote.")
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        network = network_of(json.loads(str(arrays.pop("network"))))
    except Exception as error:  # zipfile, numpy and json each have their own way to say that a file is damaged
        raise ValueError(f"{path} is no readable prior ({error}); give a file that `save_prior` wrote.") from error
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    expected = _named_leaves(shapes)
    wrong = sorted(
        name
        for name in expected.keys() | arrays.keys()
        if name not in expected or name not in arrays or expected[name].shape != arrays[name].shape
    )
    if wrong:
        raise ValueError(f"{path}: the parameters {wrong[:4]} of {len(wrong)} do not fit the network it describes.")
    leaves = [jnp.asarray(arrays[name], jnp.float32) for name in expected]
    return ProxNet(jax.tree.unflatten(jax.tree.structure(shapes), leaves), network)


def _named_leaves(params: PyTree) -> dict[str, Any]:
    """Leaves by the path that leads to them, in the order of the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def fashion_mnist_prior() -> ProxNet:
    """The prior that comes with the library: learned on the training images of Fashion-MNIST, padded to 32 x 32."""
    with importlib.resources.as_file(_ASSETS / "fashion_mnist_prior.npz") as path:
        return load_prior(path)


def fashion_mnist_images() -> Float[Array, "64 32 32 1"]:
    """The first 64 test images of Fashion-MNIST (MIT licence), padded to 32 x 32, in [-1, 1]; never trained on."""
    with importlib.resources.as_file(_ASSETS / "fashion_mnist_test.npz") as path, np.load(path) as file:
        images = np.pad(file["images"], ((0, 0), (2, 2), (2, 2)))[..., None]
    return jnp.asarray(images, jnp.float32) / 127.5 - 1.0
