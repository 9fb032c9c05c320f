"""Checkpoints: one place that knows orbax, behind `open_checkpoints`, `save` and `load`.

Kept are the newest steps, so that a run can go on, and the best one. A checkpoint is read into the shardings of its
target, whatever the number of devices that wrote it; one that does not read is passed over for the one before.
"""

import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jaxtyping import PyTree

Description = dict[str, Any]
_log = logging.getLogger(__name__)


def open_checkpoints(folder: str | Path, newest: int = 2) -> ocp.CheckpointManager:
    """Open, or make, a folder of checkpoints; use it as a context manager, which waits for saves under way.

    Args:
        folder: where the checkpoints are.
        newest: how many of the newest to keep, besides the best.
    """
    policies = ocp.checkpoint_managers
    best = policies.BestN(get_metric_fn=lambda metrics: metrics["loss"], reverse=True, n=1)
    options = ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(newest), best]),
        cleanup_tmp_directories=True,
    )
    return ocp.CheckpointManager(Path(folder).resolve(), options=options)


def save(checkpoints: ocp.CheckpointManager, step: int, state: PyTree, description: Description, loss: float) -> None:
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


def load(checkpoints: ocp.CheckpointManager, target: PyTree, description: Description) -> tuple[int, PyTree] | None:
    """Read the newest checkpoint that can be read; those that cannot are named in a warning and deleted.

    Args:
        checkpoints: what `open_checkpoints` returned.
        target: `jax.ShapeDtypeStruct` leaves with the shardings that the state shall have.
        description: what the state shall belong to.

    Returns:
        (step, state), or None where there is no checkpoint.

    Raises:
        ValueError: if the checkpoint belongs to something else (the fields that differ are named), or if there are
            checkpoints and none can be read.
    """
    steps = sorted(checkpoints.all_steps(), reverse=True)
    unreadable = []
    for step in steps:
        try:
            found = checkpoints.restore(step, args=ocp.args.Composite(description=ocp.args.JsonRestore()))["description"]
        except Exception as error:  # a truncated file shows as any of half a dozen types
            unreadable.append(_say_unreadable(checkpoints, step, error))
            continue
        _check_same(found, description, checkpoints.directory / str(step))
        try:
            args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
            state = checkpoints.restore(step, args=args)["state"]
        except Exception as error:
            unreadable.append(_say_unreadable(checkpoints, step, error))
            continue
        # Only now: with a good one in hand, a damaged one would block the step that shall be written again.
        for damaged in unreadable:
            checkpoints.delete(damaged)
        return step, state
    if steps:
        raise ValueError(
            f"None of the checkpoints {steps} in {checkpoints.directory} can be read. Move the folder away to start anew."
        )
    return None


def _say_unreadable(checkpoints: ocp.CheckpointManager, step: int, error: Exception) -> int:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    _log.warning("Checkpoint %d in %s cannot be read (%s); trying the one before.", step, checkpoints.directory, reason)
    return step


def _check_same(found: Description, wanted: Description, path: Path) -> None:
    found, wanted = _flatten(found), _flatten(wanted)
    differing = [
        f"{name}: {found.get(name, 'absent')} in the checkpoint, {wanted.get(name, 'absent')} now"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]
    if differing:
        raise ValueError(
            f"The checkpoint {path} belongs to another network or optimizer. What differs: " + "; ".join(differing) + ". "
            "Give the configuration that it was trained with, or another folder."
        )


def _flatten(tree: Any, name: str = "") -> dict[str, Any]:
    """Nested dicts and sequences as one dict of dotted names, in which tuples and lists are the same."""
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, (list, tuple)):
        return {name: [jax.tree.leaves(item) if isinstance(item, dict) else item for item in tree]}
    else:
        return {name: tree}
    return {k: v for key, value in items for k, v in _flatten(value, f"{name}.{key}" if name else str(key)).items()}
