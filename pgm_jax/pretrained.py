"""Learned priors as single files, and the prior and images that ship with the library.

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

from pgm_jax.files import local_path, read_arrays, write_arrays
from pgm_jax.networks import Preconditioned, ProxNet, UNet

_ASSETS = importlib.resources.files("pgm_jax") / "assets"
_SHIPPED = ("fashion_mnist",)
_HALF_ERROR = 1e-2


def describe(network: Preconditioned) -> dict[str, Any]:
    """A preconditioned U-Net, `network`, as plain numbers and words; `network_of` inverts it.

    Raises:
        TypeError: if the network is no U-Net.
    """
    if not isinstance(network.module, UNet):
        raise TypeError(
            f"A prior file holds a UNet, got {type(network.module).__name__}; keep its params by other means."
        )
    unet = {name: getattr(network.module, name) for name in UNet.__annotations__ if name not in ("parent", "name")}
    unet["dtype"] = jnp.dtype(unet["dtype"]).name
    return dict(unet=unet, image_shape=network.image_shape, mean=network.mean, std=network.std)


def network_of(description: dict[str, Any]) -> Preconditioned:
    """The network of a `description` by `describe`, possibly by way of JSON: lists become tuples."""
    unet: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in description["unet"].items()}
    unet["dtype"] = jnp.dtype(unet["dtype"])
    return Preconditioned(
        UNet(**unet), tuple(description["image_shape"]), float(description["mean"]), float(description["std"])
    )


def save_prior(path: str | Path, prior: ProxNet) -> None:
    """Write a prior atomically to one `.npz` file, parameters in half precision.

    An array of which half precision would lose more than 1 % of any column (its last axis), be it too large or too
    small for it, is kept in single precision.

    Args:
        path: file to write; `.npz` is appended where it is missing.
        prior: network and parameters.

    Raises:
        ValueError: if a parameter is NaN or infinite, or the path is the name of a prior that ships with the library.
        TypeError: if the network is no U-Net.
    """
    if str(path) in _SHIPPED:
        raise ValueError(f"{path!r} is the name of a prior that comes with the library; give another one.")
    leaves = _named_leaves(jax.device_get(prior.params))
    if broken := [name for name, leaf in leaves.items() if not np.isfinite(leaf).all()]:
        raise ValueError(f"The parameters {broken[:4]} are NaN or infinite: this prior is not worth a file.")
    arrays = dict(network=np.asarray(json.dumps(describe(prior.network))))
    write_arrays(_npz(path), arrays | {name: _halved(leaf) for name, leaf in leaves.items()})


def load_prior(path: str | Path) -> ProxNet:
    """A prior that ships with the library, by name, or one that `save_prior` wrote.

    "fashion_mnist" is learned on the training images of Fashion-MNIST, padded to 32 x 32.

    Args:
        path: name, or file to read; `.npz` is appended where it is missing.

    Raises:
        FileNotFoundError: if there is no such file or name.
        ValueError: if the file is no prior, is damaged, or its parameters are not those of its network.
    """
    if str(path) in _SHIPPED:
        with importlib.resources.as_file(_ASSETS / f"{path}_prior.npz") as file:
            return load_prior(file)
    path = _npz(path)
    what = f"a prior that `save_prior` wrote, or the name of one that comes with the library: {', '.join(_SHIPPED)}"
    arrays = read_arrays(path, what)
    try:
        network = network_of(json.loads(str(arrays.pop("network"))))
        shapes = jax.eval_shape(network.init, jax.random.key(0))
    except Exception as error:  # a description may be wrong in as many ways as there are arguments of a network
        raise ValueError(f"{path} describes no network ({type(error).__name__}: {error}); give {what}.") from error
    expected = _named_leaves(shapes)
    both = expected.keys() & arrays.keys()
    fits = {name for name in both if expected[name].shape == arrays[name].shape and arrays[name].dtype.kind == "f"}
    if wrong := sorted((expected.keys() | arrays.keys()) - fits):
        raise ValueError(f"{path}: the parameters {wrong[:4]} of {len(wrong)} do not fit the network it describes.")
    leaves = [jnp.asarray(arrays[name], jnp.float32) for name in expected]
    return ProxNet(jax.tree.unflatten(jax.tree.structure(shapes), leaves), network)


def example_images() -> Float[Array, "64 32 32 1"]:
    """The first 64 test images of Fashion-MNIST (MIT licence), padded to 32 x 32, in [-1, 1]; never trained on."""
    with importlib.resources.as_file(_ASSETS / "fashion_mnist_test.npz") as path:
        images = read_arrays(path, "the images that come with the library")["images"]
    return jnp.asarray(np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None], jnp.float32) / 127.5 - 1.0


def _npz(path: str | Path) -> Path:
    path = local_path(path)
    return path if path.suffix == ".npz" else path.with_name(f"{path.name}.npz")


def _halved(leaf: np.ndarray) -> np.ndarray:
    """The leaf in half precision where every column of its last axis survives it, else in single precision."""
    leaf = np.asarray(leaf, np.float32)
    with np.errstate(over="ignore"):
        half = leaf.astype(np.float16)
    # In double precision, where no square of a small number is lost.
    columns = (a.astype(np.float64).reshape(-1, *leaf.shape[-1:]) for a in (half - leaf, leaf))
    errors, sizes = (np.linalg.norm(a, axis=0) for a in columns)
    return half if (errors <= _HALF_ERROR * sizes).all() else leaf


def _named_leaves(params: PyTree) -> dict[str, Any]:
    """Leaves by the path that leads to them, in the order of the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
