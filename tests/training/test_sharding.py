"""One program on one device, on eight with the state on each of them, and on eight that share the state out."""

import socket

import chex
import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from toy_training import (
    OBJECTIVE,
    OPTIMIZER,
    SMALLEST,
    SMALLEST_DESCRIPTION,
    everything_sharded,
    read_until,
    run,
    same_bits,
    start,
    target_on,
    toy_batches,
)

from pgm_jax.schedules import VE
from pgm_jax.training import checkpoint
from pgm_jax.training.sharding import device_mesh, fully_sharded, replicated, whole
from pgm_jax.training.step import init_state, make_step


def three_steps(start, dataset, devices, shardings_of):
    mesh = device_mesh(devices)
    shardings = shardings_of(mesh, start)
    state = jax.device_put(start, shardings)
    step = make_step(SMALLEST, OPTIMIZER, VE(), OBJECTIVE, 0.999)
    step = jax.jit(step, donate_argnums=0, out_shardings=(shardings, None))
    for i in range(3):
        state, scalars = step(
            state, jax.device_put(dataset[i], NamedSharding(mesh, PartitionSpec("data"))), jax.random.key(1)
        )
    assert jax.tree.map(lambda leaf: leaf.sharding, state) == shardings and step._cache_size() == 1
    return whole(state), {name: float(value) for name, value in scalars.items()}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toy_batches(tmp_path_factory.mktemp("images"))


def test_the_same_steps_on_one_device_on_eight_and_sharded(dataset):
    first = jax.device_get(jax.jit(lambda key: init_state(key, SMALLEST, OPTIMIZER))(jax.random.key(0)))
    one, copies, shares = (
        three_steps(first, dataset, *where)
        for where in ((jax.devices()[:1], replicated), (None, replicated), (None, everything_sharded))
    )
    for other in (copies, shares):
        # Adam divides by the root of a small square, which turns rounding into the size of a step, 1e-3, at places.
        chex.assert_trees_all_close(other[0].params, one[0].params, rtol=1e-3, atol=1e-5)
        chex.assert_trees_all_close(other[0].opt_state, one[0].opt_state, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(list(other[1].values()), list(one[1].values()), rtol=1e-4)
    chex.assert_trees_all_close(shares[0], copies[0], rtol=1e-3, atol=1e-5)


def test_the_largest_axis_that_the_devices_divide_is_shared_out():
    mesh = device_mesh()
    tree = dict(a=np.zeros((3, 64, 128)), b=np.zeros((256, 10, 10)), c=np.zeros((7, 999)), d=np.zeros(64))
    specs = {name: sharding.spec for name, sharding in fully_sharded(mesh, tree).items()}
    assert specs == dict(
        a=PartitionSpec(None, None, "data"), b=PartitionSpec("data"), c=PartitionSpec(), d=PartitionSpec()
    )
    assert fully_sharded(mesh, tree, smallest=64)["d"].spec == PartitionSpec("data")
    assert all(sharding.spec == PartitionSpec() for sharding in replicated(mesh, tree).values())
    placed = jax.device_put(tree["a"], fully_sharded(mesh, tree)["a"])
    assert {shard.data.shape for shard in placed.addressable_shards} == {(3, 64, 16)}


def test_what_is_shared_out_comes_back_whole():
    tree = dict(a=np.arange(64, dtype=np.float32).reshape(8, 8), b=np.full((), 3, np.float32))
    mesh = device_mesh()
    back = whole(jax.device_put(tree, fully_sharded(mesh, tree, smallest=1)))
    assert isinstance(back["a"], np.ndarray) and same_bits(back, tree)


def test_two_processes_train_as_one(tmp_path, capfd):
    """They share the state out, stop together when one of them is told to, and one process can go on from there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "run"
    folder.mkdir()
    flags = dict(XLA_FLAGS="--xla_force_host_platform_device_count=1")
    with (
        start("process", 0, port, folder, 5, **flags) as first,
        start("process", 1, port, folder, 5, **flags) as second,
    ):
        text = read_until(first, "step 4/")
        second.terminate()
        read_until(second, "SIGTERM")
        (folder / "release").touch()
        text += first.communicate()[0]
        rest = second.communicate()[0]
    assert first.returncode == 0 and second.returncode == 0, text + rest
    with checkpoint.open_checkpoints(folder / "checkpoints") as checkpoints:
        step, state, _ = checkpoint.load(
            checkpoints, target_on(device_mesh(), everything_sharded, SMALLEST), SMALLEST_DESCRIPTION
        )
    assert 4 < step < 24 and f"Stopped by another process at step {step} of 24" in text
    assert (folder / "sheets" / "0000004.png").exists()
    with np.load(folder / "ema_0.npz") as zero, np.load(folder / "ema_1.npz") as one:
        for i, leaf in enumerate(jax.tree.leaves(state.ema)):
            assert same_bits([zero[f"arr_{i}"], one[f"arr_{i}"]], [leaf, leaf])
    alone = run(tmp_path / "alone", network=SMALLEST, steps=step)
    chex.assert_trees_all_close(whole(state), whole(alone), rtol=1e-4, atol=1e-6)
