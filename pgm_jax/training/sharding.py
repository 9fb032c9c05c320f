"""Where arrays live: a mesh of all devices along one axis, and the shardings of states on it.

Data parallel and fully sharded (FSDP) training are one program with two shardings of its state.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree


def device_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh with the one axis `data` over the `devices`, by default over all devices of all processes."""
    # Auto axes: the default, Explicit, asks for a sharding in every gather inside the network.
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh, tree: PyTree) -> PyTree:
    """A sharding for each leaf that puts a whole copy on every device (data parallel).

    Args:
        mesh, tree: mesh with the axis `data`, and arrays or their shapes, from `jax.eval_shape`.
    """
    return jax.tree.map(lambda _: NamedSharding(mesh, PartitionSpec()), tree)


def fully_sharded(mesh: Mesh, tree: PyTree, smallest: int = 2**12) -> PyTree:
    """A sharding for each leaf that splits its largest axis that the devices divide (FSDP).

    Args:
        mesh, tree: mesh with the axis `data`, and arrays or their shapes, from `jax.eval_shape`.
        smallest: leaves with fewer elements stay whole, since sending them costs more than holding them.
    """
    count = mesh.shape["data"]

    def of(leaf: jax.Array | np.ndarray | jax.ShapeDtypeStruct) -> NamedSharding:
        axes = [axis for axis in range(len(leaf.shape)) if leaf.shape[axis] % count == 0]
        if not axes or np.prod(leaf.shape) < smallest:
            return NamedSharding(mesh, PartitionSpec())
        axis = max(axes, key=lambda a: leaf.shape[a])
        return NamedSharding(mesh, PartitionSpec(*(None,) * axis, "data"))

    return jax.tree.map(of, tree)


def whole(tree: PyTree) -> PyTree:
    """The arrays of a `tree`, on a mesh over all processes, as numpy arrays, whole on every process.

    With several processes it is a collective: all of them call it.
    """
    return multihost_utils.process_allgather(tree, tiled=True)
