"""Learned priors as single files, and the priors and images that ship with the library.

A prior file is an `.npz` of the parameters in half precision, one array for each leaf named by its path, beside a JSON
description of the network, so that a file alone is enough to use it. The description is checked before a network is
made of it, and holds a digest of the parameters.
"""

import hashlib
import importlib.resources
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pgm_jax.files import local_path, one_line, read_arrays, write_arrays
from pgm_jax.networks import LPN, MetricProxNet, ProxNet, TimedProxNet
from pgm_jax.networks.descriptions import MODULES, describe, least_arrays, network_of

_ASSETS = importlib.resources.files("pgm_jax") / "assets"
_SHIPPED = ("fashion_mnist", "fashion_mnist_exact", "photos")
_EXAMPLES = ("fashion_mnist", "photos")
_HALF_ERROR = 1e-2
_DESCRIPTION = 2**16  # characters

Learned = ProxNet | MetricProxNet | TimedProxNet | LPN


def save_prior(path: str | Path, prior: Learned) -> None:
    """Write a prior atomically to one `.npz` file, parameters in half precision.

    An array of which half precision would lose more than 1 % of any column (its last axis), be it too large or too
    small for it, is kept in single precision.

    Args:
        path: file to write; `.npz` is appended where it is missing.
        prior: a `ProxNet`, `MetricProxNet`, `TimedProxNet` or `LPN`.

    Raises:
        ValueError: if a parameter is NaN or infinite, the network is larger than `load_prior` takes, or the path is the
            name of a prior that ships with the library.
        TypeError: if the network has no description, as one of a module of your own.
    """
    if str(path) in _SHIPPED:
        raise ValueError(f"{path!r} is the name of a prior that comes with the library; give another one.")
    leaves = _named_leaves(jax.device_get(prior.params))
    if broken := [name for name, leaf in leaves.items() if not np.isfinite(leaf).all()]:
        raise ValueError(f"The parameters {broken[:4]} are NaN or infinite: this prior is not worth a file.")
    description = describe(prior.network)
    network_of(description)
    halved = {name: _halved(leaf) for name, leaf in leaves.items()}
    text = json.dumps(description | dict(sha256=_digest(halved)))
    write_arrays(_npz(path), dict(network=np.asarray(text)) | halved)


def load_prior(path: str | Path) -> Learned:
    """A prior that ships with the library, by name, or one that `save_prior` wrote.

    "fashion_mnist" is learned on the training images of Fashion-MNIST, padded to 32 x 32. So is "fashion_mnist_exact",
    a `MetricProxNet` for the exact step, which is ahead at few calls and behind at many. "photos" is one of colour
    photographs of any size.

    Args:
        path: name, or file to read; `.npz` is appended where it is missing.

    Raises:
        FileNotFoundError: if there is no such file or name.
        ValueError: if the file is no prior, is damaged, its parameters are not those of its network or not finite, or
            an inner weight of a convex network is negative.
    """
    if str(path) in _SHIPPED:
        with importlib.resources.as_file(_ASSETS / f"{path}_prior.npz") as file:
            return load_prior(file)
    path = _npz(path)
    what = f"a prior that `save_prior` wrote, or the name of one that comes with the library: {', '.join(_SHIPPED)}"
    arrays = read_arrays(path, what)
    try:
        description = _description(arrays.pop("network"))
        stated = description.pop("sha256", None)
        network = network_of(description)
        if least_arrays(network) > len(arrays):
            raise ValueError(f"unet.blocks is {description['unet']['blocks']}, and the file has {len(arrays)} arrays")
        shapes = jax.eval_shape(network.init, jax.random.key(0))
    except Exception as error:  # a description may be wrong in as many ways as there are arguments of a network
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise ValueError(f"{path} describes no network ({reason}); give {what}.") from error
    expected = _named_leaves(shapes)
    both = expected.keys() & arrays.keys()
    fits = {name for name in both if expected[name].shape == arrays[name].shape and arrays[name].dtype.kind == "f"}
    if wrong := sorted((expected.keys() | arrays.keys()) - fits):
        raise ValueError(f"{path}: the parameters {_some(wrong)} of {len(wrong)} do not fit the network it describes.")
    with np.errstate(over="ignore"):
        leaves = {name: np.asarray(arrays[name], np.float32) for name in expected}
    if broken := [name for name, leaf in leaves.items() if not np.isfinite(leaf).all()]:
        raise ValueError(f"{path}: the parameters {_some(broken)} are NaN or infinite: no image can be made of them.")
    # Files of before have none; a checksum of the archive covers each array.
    if stated is not None and stated != _digest(arrays):
        raise ValueError(
            f"{path}: the parameters are not those that were saved, as their SHA-256 differs; copy it anew."
        )
    params = jax.tree.unflatten(jax.tree.structure(shapes), map(jnp.asarray, leaves.values()))
    try:
        return network.prior(params)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def example_images(of: str = "fashion_mnist") -> Float[Array, "n h w c"]:
    """Images in [-1, 1] that come with the library and were held out from training.

    Args:
        of: "fashion_mnist", the first 64 of its test set (MIT licence), padded to 32 x 32, `[64, 32, 32, 1]`; or
            "photos", four free photographs, `[4, 192, 192, 3]`.

    Raises:
        ValueError: if `of` is another name.
    """
    if of not in _EXAMPLES:
        raise ValueError(f"There are no example images of {of!r}; give one of {', '.join(_EXAMPLES)}.")
    with importlib.resources.as_file(_ASSETS / f"{of}_test.npz") as path:
        images = read_arrays(path, "the images that come with the library")["images"]
    if images.ndim == 3:
        images = np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None]
    return jnp.asarray(images, jnp.float32) / 127.5 - 1.0


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


def _description(array: np.ndarray) -> dict[str, Any]:
    if array.dtype.kind != "U" or array.shape or array.nbytes > 4 * _DESCRIPTION:
        raise ValueError(f"its network is {array.dtype.name[:40]} {list(array.shape)[:8]}, and a text was expected")
    found = json.loads(str(array))
    if not isinstance(found, dict) or not any(isinstance(found.get(name), dict) for name in MODULES):
        raise ValueError(f"it has no {', '.join(MODULES)} with its settings")
    return found


def _some(names: list[str]) -> list[str]:
    return [name[:100] for name in names[:4]]


def _digest(leaves: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays with their names, types and shapes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(leaves):
        leaf = np.ascontiguousarray(leaves[name])
        digest.update(f"{name} {leaf.dtype.str} {leaf.shape}\n".encode())
        digest.update(leaf.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
