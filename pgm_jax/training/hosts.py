"""The processes of a pod: how they find one another, and how they end together."""

import contextlib
import os
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils


def join_processes() -> None:
    """Join the processes of a pod, which a cluster or three environment variables describe.

    Raises:
        ValueError: if the number of processes or that of this one is set without the others.
    """
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    address, count, rank = (os.environ.get(name) for name in names)
    if not count and not rank:
        jax.distributed.initialize()  # it reads the address itself, and asks the cluster for the rest
    elif address and count and rank:
        jax.distributed.initialize(address, int(count), int(rank))
    else:
        missing = [name for name in names if not os.environ.get(name)]
        raise ValueError(f"The environment has no {' and no '.join(missing)}; set all of {', '.join(names)}.")


def on_any(true: bool) -> bool:
    """Whether something is true on any process of a pod; all of them ask."""
    if jax.process_count() == 1:
        return true
    return bool(np.any(multihost_utils.process_allgather(np.array(true))))


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Raise on all processes of a pod where one of them raises, so that none waits for one that has ended.

    Raises:
        ValueError: if another process raised; else the error of this one.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt):
        on_any(True)
        raise
    if on_any(False):
        raise ValueError("Another process of the pod cannot go on; its output says why.")
