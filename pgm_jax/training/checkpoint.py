"""Checkpoints: one place that knows orbax, behind `open_checkpoints`, `save` and `load`.

Kept are the newest steps, so that a run can go on, and the best one. A checkpoint is read into the shardings of its
target, whatever the number of devices that wrote it; one that does not read is passed over for the one before and set
aside, so that its step can be written again.
"""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from pgm_jax.files import local_path

_log = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A folder's checkpoints belong to something else, or none of them can be read."""


def open_checkpoints(folder: str | Path, newest: int = 2) -> ocp.CheckpointManager:
    """Open, or make, a folder of checkpoints; use it as a context manager, which waits for saves under way.

    Args:
        folder, newest: where the checkpoints are, and how many of the newest to keep, besides the best.
    """
    folder = local_path(folder).resolve()
    # Orbax reads the losses of all steps as it opens: a damaged one would close the door to the others.
    losses = {int(path.parts[-3]): path for path in folder.glob("*/metrics/metrics") if path.parts[-3].isdigit()}
    _set_aside(folder, {step: "its loss is damaged" for step, path in losses.items() if not _is_json(path)})
    policies, loss_of = ocp.checkpoint_managers, lambda metrics: metrics["loss"]
    best = policies.BestN(get_metric_fn=loss_of, reverse=True, n=1, keep_checkpoints_without_metrics=False)
    options = ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(newest), best]),
        best_fn=loss_of,  # without it the losses are not written, and a resumed run would not know the best
        best_mode="min",
        cleanup_tmp_directories=True,
    )
    return ocp.CheckpointManager(folder, options=options)


def save(
    checkpoints: ocp.CheckpointManager, step: int, state: PyTree, description: dict[str, Any], loss: float
) -> None:
    """Write a checkpoint in the background; the state may be donated as soon as this returns.

    Args:
        checkpoints: what `open_checkpoints` returned.
        step: number of steps taken; a step that is there already is left as it is.
        state: arrays, sharded in any way.
        description: what the state belongs to, as JSON: compared by `load`.
        loss: decides which checkpoint is the best.
    """
    if step in checkpoints.all_steps():
        return
    parts = ocp.args.Composite(state=ocp.args.StandardSave(state), description=ocp.args.JsonSave(description))
    checkpoints.save(step, args=parts, metrics=dict(loss=float(loss)))


def load(checkpoints: ocp.CheckpointManager, target: PyTree, description: dict[str, Any]) -> tuple[int, PyTree] | None:
    """Read the newest checkpoint that can be read; those that cannot are named in a warning and set aside.

    Args:
        checkpoints: what `open_checkpoints` returned.
        target: `jax.ShapeDtypeStruct` leaves with the shardings that the state shall have.
        description: what the state shall belong to.

    Returns:
        (step, state), or None where there is no checkpoint.

    Raises:
        CheckpointError: if the checkpoint belongs to something else (the fields that differ are named), or if there
            are checkpoints and none can be read.
    """
    unreadable: dict[int, str] = {}
    for step in sorted(checkpoints.all_steps(), reverse=True):
        # The description first: a state of another network fails to read with the words of a damaged one.
        found = _restored(checkpoints, step, unreadable, description=ocp.args.JsonRestore())
        if found:
            _check_same(found["description"], description, Path(checkpoints.directory) / str(step))
            found = _restored(checkpoints, step, unreadable, state=ocp.args.StandardRestore(target))
        if not found:
            continue
        if unreadable:
            # Only now, with a good one in hand: where none reads, the fault may lie elsewhere.
            _set_aside(Path(checkpoints.directory), unreadable)
            checkpoints.reload()
            _log.warning("The newest checkpoint of %s that can be read is %d.", checkpoints.directory, step)
        return step, found["state"]
    if unreadable:
        reasons = "; ".join(f"{step}: {reason}" for step, reason in unreadable.items())
        raise CheckpointError(
            f"None of the checkpoints in {checkpoints.directory} can be read ({reasons}). "
            "Move the folder away to start afresh."
        )
    return None


def _restored(
    checkpoints: ocp.CheckpointManager, step: int, unreadable: dict[int, str], **parts: ocp.args.CheckpointArgs
) -> Any:
    """Parts of a checkpoint; None, and the reason in `unreadable`, where they cannot be read."""
    try:
        return checkpoints.restore(step, args=ocp.args.Composite(**parts))
    except Exception as error:  # a truncated file shows as any of half a dozen types
        unreadable[step] = str(error).split("\n")[0][:200] or type(error).__name__
        return None


def _set_aside(folder: Path, unreadable: dict[int, str]) -> None:
    # Moved rather than deleted: what failed may have been the disk or the memory, not the file.
    if jax.process_index() == 0:
        for step, reason in unreadable.items():
            aside = folder / f"{step}.damaged"
            shutil.rmtree(aside, ignore_errors=True)
            (folder / str(step)).rename(aside)
            _log.warning("Checkpoint %d cannot be read (%s) and is now %s.", step, reason, aside)
    # Unconditional: a process that comes late finds nothing left to set aside.
    multihost_utils.sync_global_devices("damaged checkpoints are set aside")


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (ValueError, OSError):
        return False
    return True


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
            "Give the configuration that it was trained with, or another folder."
        )


def _flatten(tree: Any, name: str = "") -> dict[str, Any]:
    """Nested dicts as one dict of dotted names."""
    if not isinstance(tree, dict):
        return {name: tree}
    return {k: v for key, value in tree.items() for k, v in _flatten(value, f"{name}.{key}" if name else key).items()}
