"""Checkpoints that are damaged, belong to something else, or were written on other devices."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_training import DESCRIPTION, NETWORK, OPTIMIZER, everything_sharded, same_bits, start, target_on

from pgm_jax.training import checkpoint
from pgm_jax.training.sharding import device_mesh, replicated
from pgm_jax.training.step import init_state

# Orbax drops its other reads when one fails, and asyncio complains.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

STATE = dict(a=jnp.arange(3000.0), b=dict(c=jnp.ones((4, 5)), n=jnp.int32(7)))
WHAT = dict(network=dict(channels=(8, 16), std=0.5), optimizer="adam")


def state_of(step):
    return jax.tree.map(lambda leaf: leaf + step, STATE)


def target_of(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), tree)


def write(folder, losses):
    with checkpoint.open_checkpoints(folder) as checkpoints:
        for step, loss in losses.items():
            checkpoint.save(checkpoints, step, state_of(step), WHAT, loss, f"of {step}")


def read(folder, description=WHAT):
    with checkpoint.open_checkpoints(folder) as checkpoints:
        return checkpoint.load(checkpoints, target_of(STATE), description)


def steps_in(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    write(folder, {1: 1.0, 2: 2.0, 3: 3.0})
    return folder


@pytest.fixture
def copy(three, tmp_path):
    return shutil.copytree(three, tmp_path / "copy")


def test_the_newest_is_read(three):
    step, state, carried = read(three)
    assert carried == "of 3" and step == 3 and same_bits(state, state_of(3))


def test_an_empty_folder_holds_none(tmp_path):
    assert read(tmp_path / "new") is None


def test_the_newest_and_the_best_are_kept_over_a_restart(tmp_path):
    write(tmp_path, {1: 5.0, 2: 1.0, 3: 4.0, 4: 3.0})
    assert steps_in(tmp_path) == [2, 3, 4]
    write(tmp_path, {5: 2.0, 6: 6.0, 7: 7.0})
    assert steps_in(tmp_path) == [2, 6, 7]


def test_a_step_that_is_there_is_left_as_it_is(copy):
    with checkpoint.open_checkpoints(copy) as checkpoints:
        checkpoint.save(checkpoints, 3, state_of(99), WHAT, 0.0)
    assert same_bits(read(copy).state, state_of(3))


def test_a_state_may_be_donated_once_save_returns(tmp_path):
    add = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf + 1, state), donate_argnums=0)
    state = state_of(0)
    with checkpoint.open_checkpoints(tmp_path, newest=20) as checkpoints:
        for step in range(1, 9):
            state = add(state)
            checkpoint.save(checkpoints, step, state, WHAT, 1.0)
        for _ in range(20):
            state = add(state)
    for step in range(8, 0, -1):
        assert same_bits(read(tmp_path).state, state_of(step))
        shutil.rmtree(tmp_path / str(step))


def damages(folder):
    """Each way to damage a file or folder of a checkpoint."""
    for path in sorted(folder.rglob("*")):
        yield f"no {path.name}", lambda p=path: shutil.rmtree(p) if p.is_dir() else p.unlink()
        if path.is_file():
            yield f"empty {path.name}", lambda p=path: p.write_bytes(b"")
            yield f"half of {path.name}", lambda p=path: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2])
            yield f"a bit of {path.name}", lambda p=path: p.write_bytes(flipped(p.read_bytes()))


def flipped(data):
    """The same bytes but for a bit in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


def test_whatever_is_damaged_the_one_before_is_read(three, tmp_path, caplog):
    """What does not matter may be gone; otherwise the run is told, goes on from the one before and writes it again."""
    folder, passed_over = tmp_path / "copy", []
    needed = {"no state", "no d", "empty metadata", "half of metadata", "a bit of metadata", "no manifest.ocdbt"}
    for i, (name, _) in enumerate(list(damages(three / "3"))):
        if name not in needed and i % 4:  # `make soak` tries them all
            continue
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(three, folder)
        [damage for _, damage in damages(folder / "3")][i]()
        caplog.clear()
        with checkpoint.open_checkpoints(folder) as checkpoints:
            step, state, _ = checkpoint.load(checkpoints, target_of(STATE), WHAT)
            assert step in (2, 3) and same_bits(state, state_of(step)), name
            if step == 2:
                passed_over.append(name)
                assert "Checkpoint 3 cannot be read" in caplog.text and (folder / "3.damaged").is_dir(), name
                checkpoint.save(checkpoints, 3, state_of(3), WHAT, 3.0)
        step, state, _ = read(folder)
        assert step == 3 and same_bits(state, state_of(3)), name
    assert needed <= set(passed_over)


def test_no_flipped_bit_of_an_array_is_read(copy):
    """In every array file of the newest checkpoint, at many places."""
    random, seen = np.random.default_rng(0), []
    files = [path for path in (copy / "3" / "state").rglob("*") if path.parent.name == "d" and path.is_file()]
    for path in files:
        sound = path.read_bytes()
        for place in random.integers(0, len(sound), 12):
            path.write_bytes(sound[:place] + bytes([sound[place] ^ 1 << random.integers(8)]) + sound[place + 1 :])
            with checkpoint.open_checkpoints(copy) as checkpoints:
                step, state, _ = checkpoint.load(checkpoints, target_of(STATE), WHAT)
            assert same_bits(state, state_of(step))
            seen.append(step)
            if step == 2:
                (copy / "3.damaged").rename(copy / "3")
        path.write_bytes(sound)
    assert seen.count(2) > 10  # orbax reads only some of the files


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.int8, jnp.bool_, jnp.uint32])
def test_digests_see_what_a_weighted_sum_would_not(dtype):
    """Signs of all numbers or of two of them, and numbers that change their places."""
    numbers = np.arange(1, 65).astype(dtype)
    size = 8 * numbers.dtype.itemsize
    words = numbers.view(f"u{numbers.dtype.itemsize}")
    one = words.dtype.type(1 if dtype == jnp.bool_ else 1 << (size - 1))
    digest = lambda words: np.asarray(checkpoint._digests(jnp.asarray(words.view(numbers.dtype)))).tolist()  # noqa: E731
    others = [words ^ one, np.where(np.arange(64) < 2, words ^ one, words), np.roll(words, 1)]
    others = [other for other in others if (other != words).any()]
    assert len({tuple(digest(each)) for each in (words, *others)}) == 1 + len(others)


def test_an_earlier_version_is_named(copy):
    (copy / "3" / "record").rename(copy / "3" / "description")
    with pytest.raises(checkpoint.CheckpointError, match="is of an earlier version, which kept no digests"):
        read(copy)


def test_a_damaged_loss_is_written_again_from_its_record(copy, caplog):
    loss = copy / "3" / "metrics" / "metrics"
    sound = loss.read_bytes()
    for damage in (b"", flipped(sound), b'{"loss": 0.1}'):
        loss.write_bytes(damage)
        assert read(copy).step == 3 and loss.read_bytes() == sound
    assert "is written again from its record" in caplog.text


def test_a_folder_is_open_once(copy):
    with checkpoint.open_checkpoints(copy), pytest.raises(ValueError, match=r"copy is in use by process \d+ on "):
        read(copy)
    assert read(copy).step == 3


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(checkpoint.CheckpointError, match="is a file, and a folder of checkpoints was expected"):
        read(tmp_path / "file")


def test_two_damaged_ones_are_passed_over(copy, caplog):
    for step in (2, 3):
        shutil.rmtree(copy / str(step) / "state")
    step, state, _ = read(copy)
    assert step == 1 and same_bits(state, state_of(1)) and "sound checkpoint" in caplog.text and "is 1." in caplog.text


def test_none_that_reads_is_an_error_and_nothing_is_moved(copy):
    for step in (1, 2, 3):
        (copy / str(step) / "state" / "manifest.ocdbt").write_bytes(b"")
    with pytest.raises(
        checkpoint.CheckpointError, match=r"None of the checkpoints in .*can be read \(3: .*Move the fo"
    ):
        read(copy)
    assert steps_in(copy) == [1, 2, 3]


def test_another_network_is_refused_by_the_fields_that_differ(three):
    other = dict(network=dict(channels=(8,), std=0.5, depth=2), optimizer="sgd")
    with pytest.raises(checkpoint.CheckpointError) as refused:
        read(three, other)
    text = str(refused.value)
    assert "network.channels: [8, 16] in the checkpoint, [8] now" in text and "network.std" not in text
    assert "network.depth: absent in the checkpoint, 2 now" in text
    assert "optimizer: adam in the checkpoint, sgd now" in text


def test_a_description_may_say_the_same_in_other_types(three):
    assert read(three, dict(network=dict(std=0.5, channels=[8.0, 16]), optimizer="adam")).step == 3


def test_a_checkpoint_goes_from_eight_devices_to_one_and_back(tmp_path):
    """Replicated and shared out; one process with one device reads both, and what it writes is read in both ways."""
    shapes = jax.eval_shape(lambda key: init_state(key, NETWORK, OPTIMIZER), jax.random.key(0))
    random = np.random.default_rng(0)
    state = jax.tree.map(lambda leaf: random.uniform(0, 99, leaf.shape).astype(leaf.dtype), shapes)
    mesh, folders = device_mesh(), []
    for shardings in (replicated, everything_sharded):
        folders += [tmp_path / shardings.__name__, tmp_path / f"{shardings.__name__}_copy"]
        with checkpoint.open_checkpoints(folders[-2]) as checkpoints:
            checkpoint.save(checkpoints, 5, jax.device_put(state, shardings(mesh, state)), DESCRIPTION, 1.0)
    with start("copy", *folders, XLA_FLAGS="--xla_force_host_platform_device_count=1") as child:
        text, _ = child.communicate()
    assert child.returncode == 0 and "devices 1" in text, text
    for folder in folders:
        for shardings in (replicated, everything_sharded):
            with checkpoint.open_checkpoints(folder) as checkpoints:
                target = target_on(mesh, shardings)
                step, found, _ = checkpoint.load(checkpoints, target, DESCRIPTION)
            assert step == 5 and same_bits(found, state)
            assert jax.tree.map(lambda leaf: leaf.sharding, found) == jax.tree.map(lambda leaf: leaf.sharding, target)
