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
        ValueError: if some of the variables are set and not all.
    """
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    given = [name for name in names if os.environ.get(name)]
    if given and len(given) < len(names):
        raise ValueError(f"The environment has {', '.join(given)} alone; set all of {', '.join(names)}.")
    address, count, rank = (os.environ.get(name) for name in names)
    if address is None or count is None or rank is None:
        jax.distributed.initialize()
    else:
        jax.distributed.initialize(address, int(count), int(rank))


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Raise on all processes of a pod where one of them raises, so that none waits for one that has ended.

    Raises:
        ValueError: if another process raised; else the error of this one.
    """
    error = None
    try:
        yield
    except (ValueError, TypeError, OSError, AttributeError) as raised:
        error = raised
    failed = multihost_utils.process_allgather(np.array(error is not None)) if jax.process_count() > 1 else False
    if error is not None:
        raise error
    if np.any(failed):
        raise ValueError("another process of the pod cannot train; its output says why.")
