"""Checkpoints: one place that knows orbax, behind `open_checkpoints`, `save` and `load`.

Kept are the newest steps, so that a run can go on, and the best one. A checkpoint is read into the shardings of its
target, whatever the number of devices that wrote it; one that is damaged, be it in a bit, is passed over for the one
before and set aside, so that its step can be written again.

    <step>/state       arrays
    <step>/record      what they belong to, the loss, what a resumed run needs beside them, a digest of each array
    <step>/metrics     the loss, where orbax looks for it
"""

import contextlib
import hashlib
import itertools
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from pgm_jax.files import local_path, only_writer, replacing
from pgm_jax.training.hosts import on_any, together
from pgm_jax.training.sharding import whole

_log = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A folder's checkpoints belong to something else, none of them can be read, or one cannot be written."""


@contextlib.contextmanager
def open_checkpoints(folder: str | Path, newest: int = 2) -> Iterator[ocp.CheckpointManager]:
    """Open, or make, a folder of checkpoints for this process alone; the end of the block waits for saves under way.

    Args:
        folder, newest: where the checkpoints are, and how many of the newest to keep, besides the best.

    Raises:
        CheckpointError: if `folder` is a file.
        ValueError: if another process has it open.
    """
    folder = local_path(folder).resolve()
    if folder.is_file():
        raise CheckpointError(f"{folder} is a file, and a folder of checkpoints was expected: move it away.")
    with contextlib.ExitStack() as stack:
        damaged: dict[int, str] = {}
        with together():
            if jax.process_index() == 0:
                stack.enter_context(only_writer(folder))
                # Orbax reads the losses of all steps as it opens: a damaged one would close the door to the others.
                damaged = _mend_losses(folder)
        _set_aside(folder, damaged)
        policies, loss_of = ocp.checkpoint_managers, lambda metrics: metrics["loss"]
        best = policies.BestN(get_metric_fn=loss_of, reverse=True, n=1, keep_checkpoints_without_metrics=False)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(newest), best]),
            best_fn=loss_of,  # without it the losses are not written, and a resumed run would not know the best
            best_mode="min",
            cleanup_tmp_directories=True,
        )
        checkpoints = ocp.CheckpointManager(folder, options=options)
        try:
            yield checkpoints
        finally:
            with _writing(folder):
                checkpoints.close()


def save(
    checkpoints: ocp.CheckpointManager,
    step: int,
    state: PyTree,
    description: dict[str, Any],
    loss: float,
    carried: Any = None,
) -> None:
    """Write a checkpoint in the background; the state may be donated as soon as this returns.

    With several processes it is a collective: all of them call it.

    Args:
        checkpoints: what `open_checkpoints` yields.
        step: number of steps taken; a step that is there already is left as it is.
        state: arrays of real numbers on the devices of one mesh, sharded in any way.
        description: what the state belongs to, as JSON: compared by `load`.
        loss: decides which checkpoint is the best.
        carried: what else a resumed run needs, as JSON.

    Raises:
        CheckpointError: if this checkpoint, or the one before it, cannot be written.
    """
    if step in checkpoints.all_steps():
        return
    record = dict(description=description, loss=float(loss), carried=carried, digests=_digests_of(state))
    record = json.loads(json.dumps(record))
    parts = ocp.args.Composite(
        state=ocp.args.StandardSave(state), record=ocp.args.JsonSave(record | dict(sha256=_sha256(record)))
    )
    with _writing(Path(checkpoints.directory)):  # it also tells of the save before it
        checkpoints.save(step, args=parts, metrics=dict(loss=float(loss)))


def wait(checkpoints: ocp.CheckpointManager) -> None:
    """Wait until the saves under way are written.

    Args:
        checkpoints: what `open_checkpoints` yields.

    Raises:
        CheckpointError: if one of them cannot be.
    """
    with _writing(Path(checkpoints.directory)):
        checkpoints.wait_until_finished()


class Found(NamedTuple):
    """A checkpoint that was read.

    Attributes:
        step: number of steps taken.
        state: arrays, in the shardings of the target.
        carried: what `save` was given to carry.
    """

    step: int
    state: PyTree
    carried: Any


def load(checkpoints: ocp.CheckpointManager, target: PyTree, description: dict[str, Any]) -> Found | None:
    """Read the newest checkpoint that is sound; those that are damaged are named in a warning and set aside.

    Sound is a checkpoint of which every array has the digest that it had when it was saved.

    Args:
        checkpoints: what `open_checkpoints` yields.
        target: `jax.ShapeDtypeStruct` leaves with the shardings that the state shall have.
        description: what the state shall belong to.

    Returns:
        The checkpoint, or None where there is none.

    Raises:
        CheckpointError: if the checkpoint belongs to something else (the fields that differ are named), or if there
            are checkpoints and none is sound.
    """
    damaged: dict[int, str] = {}
    for step in sorted(checkpoints.all_steps(), reverse=True):
        path, state, wrong = Path(checkpoints.directory) / str(step), None, ""
        record: dict[str, Any] = {}
        if (path / "description").is_dir():
            raise CheckpointError(
                f"{path} is of an earlier version, which kept no digests: continue it with that version, or give "
                "another folder."
            )
        try:
            # The record first: a state of another network fails to read with the words of a damaged one.
            record = _record_of(checkpoints.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore())))
            _check_same(record["description"], description, path)
            args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
            state = checkpoints.restore(step, args=args)["state"]
        except CheckpointError:
            raise
        except Exception as error:  # a truncated file shows as any of half a dozen types
            wrong = str(error).split("\n")[0][:200] or type(error).__name__
        # Before the digests, for which every process needs its part.
        if on_any(bool(wrong)):
            damaged[step] = wrong or "another process cannot read its part"
            continue
        if differing := _differing(_digests_of(state), record["digests"]):
            damaged[step] = f"{len(differing)} of its arrays are not what was saved: {', '.join(differing[:3])}"
            continue
        if damaged:
            # Only now, with a good one in hand: where none reads, the fault may lie elsewhere.
            _set_aside(Path(checkpoints.directory), damaged)
            checkpoints.reload()
            _log.warning("The newest sound checkpoint of %s is %d.", checkpoints.directory, step)
        return Found(step, state, record["carried"])
    if damaged:
        reasons = "; ".join(f"{step}: {reason}" for step, reason in damaged.items())
        raise CheckpointError(
            f"None of the checkpoints in {checkpoints.directory} can be read ({reasons}). "
            "Move the folder away (launch.train: --restart) to start from the beginning."
        )
    return None


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        full = "No space left" in str(error)
        reason = "No space left on device" if full else str(error).split("\n")[0][:300]
        raise CheckpointError(
            f"A checkpoint cannot be written in {folder}: {reason}. Those before it are kept; start again to go on."
        ) from error


def _mend_losses(folder: Path) -> dict[int, str]:
    """Write damaged losses again from their records; the steps where both are damaged, with the reason."""
    damaged = {}
    lost = (ValueError, TypeError, KeyError, FileNotFoundError, NotADirectoryError, IsADirectoryError)
    for step in (path for path in folder.glob("*") if path.name.isdigit()):
        metrics = step / "metrics" / "metrics"
        try:
            loss = _record_of(dict(record=json.loads((step / "record" / "metadata").read_bytes())))["loss"]
        except lost:
            loss = None
        try:
            found = json.loads(metrics.read_bytes())
        except lost:
            found = None
        if loss is None:
            damaged |= {int(step.name): "its record and its loss are damaged"} if found is None else {}
        elif found != dict(loss=loss):
            with replacing(metrics) as part:
                part.write_text(json.dumps(dict(loss=loss)), encoding="utf-8")
            _log.warning("The loss of checkpoint %s was damaged and is written again from its record.", step)
    return damaged


def _record_of(found: Any) -> dict[str, Any]:
    record = dict(found["record"])
    if record.pop("sha256") != _sha256(record):
        raise ValueError("its record is damaged")
    return record


def _sha256(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _digests_of(state: PyTree) -> dict[str, list[int]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(whole(_digests(state)))
    return {jax.tree_util.keystr(path): np.asarray(leaf).tolist() for path, leaf in leaves}


def _differing(found: dict[str, list[int]], saved: dict[str, list[int]]) -> list[str]:
    return sorted(name for name in found.keys() | saved.keys() if found.get(name) != saved.get(name))


@jax.jit
def _digests(state: PyTree) -> PyTree:
    """Two sums, over the words of each array, of a mixture of the word and its place, modulo 2^32.

    The order of a sum of integers does not matter, so the sharding does not. The mixture is one to one in the word: a
    single word that changes is always seen. Damage of more words goes unseen with a probability of about 2^-64.
    """

    def mix(x: jax.Array) -> jax.Array:  # one to one: shifts and odd factors can be undone
        x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
        x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
        return x ^ (x >> 16)

    def digest(leaf: jax.Array) -> jax.Array:
        words = leaf.astype(jnp.uint8) if leaf.dtype == bool else leaf
        bits = {1: jnp.uint8, 2: jnp.uint16}.get(words.dtype.itemsize, jnp.uint32)
        words = jax.lax.bitcast_convert_type(words, bits).astype(jnp.uint32)
        place = jnp.zeros(words.shape, jnp.uint32)
        for axis, size in enumerate(words.shape):  # no ravel, which would gather a sharded array
            place = place * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
        seeds = (jnp.uint32(0x9E3779B9), jnp.uint32(0x7F4A7C15))
        return jnp.stack([mix(words ^ mix(place ^ seed)).sum(dtype=jnp.uint32) for seed in seeds])

    return jax.tree.map(digest, state)


def _set_aside(folder: Path, unreadable: dict[int, str]) -> None:
    # Moved rather than deleted: what failed may have been the disk or the memory, not the file.
    if jax.process_index() == 0:
        for step, reason in unreadable.items():
            names = (f"{step}.damaged{number or ''}" for number in itertools.count())
            aside = next(path for name in names if not (path := folder / name).exists())
            (folder / str(step)).rename(aside)
            _log.warning("Checkpoint %d cannot be read (%s) and is now %s.", step, reason, aside)
    # Unconditional: a process that comes late finds nothing left to set aside.
    multihost_utils.sync_global_devices("damaged checkpoints are set aside")


def _check_same(found: dict[str, Any], wanted: dict[str, Any], path: Path) -> None:
    # By way of JSON, as the found one came: a tuple is a list there.
    found, wanted = _flatten(found), _flatten(json.loads(json.dumps(wanted)))
    differing = [
        f"{name}: {found.get(name, 'absent')} in the checkpoint, {wanted.get(name, 'absent')} now"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name, "absent") != wanted.get(name, "absent")
    ]
    if differing:
        raise CheckpointError(
            f"The checkpoint {path} belongs to another network or optimizer. What differs: {'; '.join(differing)}. "
            "Give the configuration that it was trained with, or another folder (launch.train: or --restart)."
        )


def _flatten(tree: Any, name: str = "") -> dict[str, Any]:
    """Nested dicts as one dict of dotted names."""
    if not isinstance(tree, dict):
        return {name: tree}
    return {k: v for key, value in tree.items() for k, v in _flatten(value, f"{name}.{key}" if name else key).items()}
