"""Folders of runs: one opener for every command, and files that are written whole or not at all.

config.json    resolved configuration, seed, command, versions, device: written before anything is computed
metrics.json   what was found; a run without it has no result yet
"""

import datetime
import json
import math
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax
import jax
import ml_collections
import numpy as np

import pgm_jax
from pgm_jax.files import replacing

RECORD, METRICS, LOCK = "config.json", "metrics.json", ".lock"


def machine_memory() -> float:
    """Bytes of memory of this machine, without end where it does not say."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf


def run_record(kind: str, config: ml_collections.ConfigDict | Mapping[str, Any], seed: int) -> dict[str, Any]:
    """What is needed to repeat a run of a `kind` of command, ready for JSON."""
    device = jax.devices()[0]
    modules = dict(pgm_jax=pgm_jax, jax=jax, flax=flax, numpy=np)
    return dict(
        kind=kind,
        config=json.loads(json.dumps(config.to_dict() if isinstance(config, ml_collections.ConfigDict) else config)),
        seed=seed,
        command=shlex.join(sys.argv),
        versions=dict(python=platform.python_version()) | {name: m.__version__ for name, m in modules.items()},
        device=dict(platform=device.platform, kind=device.device_kind, count=jax.device_count()),
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def former_run(folder: Path, kind: str) -> dict[str, Any] | None:
    """The record of the run in a folder; None where the folder is empty or missing.

    Raises:
        ValueError: if the folder is a file, holds files that are no run, or a run of another kind of command.
    """
    if folder.is_file():
        raise ValueError(f"{folder} is a file; give the folder of a run.")
    if not (folder / RECORD).is_file():
        if folder.is_dir() and any(path.name != LOCK and path.suffix != ".part" for path in folder.iterdir()):
            raise ValueError(f"{folder} holds files but no run; give an empty or a new folder.")
        return None
    record = read_json(folder / RECORD)
    if not isinstance(record, dict) or not isinstance(record.get("config"), dict):
        raise ValueError(f"{folder / RECORD} is damaged: it is no record of a run; give another folder.")
    if record.get("kind") != kind:
        other = f"a run of launch.{record['kind']}" if "kind" in record else "a run of another version"
        raise ValueError(f"{folder} holds {other}; give another folder to launch.{kind}.")
    return record


def usable(folder: Path, kind: str, *, resume: bool = False, overwrite: bool = False) -> dict[str, Any] | None:
    """The record of the run in a folder that a run of a `kind` may use.

    Raises:
        ValueError: as `former_run`; if the folder is in use and neither flag is given, or both are.
    """
    if resume and overwrite:
        raise ValueError("--resume continues a run and --overwrite replaces it; give one of them.")
    former = former_run(folder, kind)
    if former is not None and (folder / METRICS).is_file() and not (resume or overwrite):
        hint = "--resume to continue it, " if "rows" in read_json(folder / METRICS) else ""
        raise ValueError(
            f"{folder} already holds a run: add {hint}--overwrite to replace it, or give another --output."
        )
    return former


def open_run(
    folder: Path, record: Mapping[str, Any], writes: Sequence[str], *, resume: bool = False, overwrite: bool = False
) -> bool:
    """Make the folder of a run and write its record; whether it resumes a run that is there.

    `writes` are names or patterns of what the run writes there: `overwrite` removes these and nothing else. A run
    without metrics.json is replaced in any case; `resume` needs the same configuration and seed.

    Raises:
        ValueError: as `usable`; if the run in the folder is another one.
    """
    former = usable(folder, record["kind"], resume=resume, overwrite=overwrite)
    if former is not None and resume:
        was, now = ({name: run.get(name) for name in ("config", "seed")} for run in (former, record))
        if changed := list(differences(was, now)):
            raise ValueError(
                f"The run in {folder} has another configuration: {'; '.join(changed)}. "
                "Give the same settings, --overwrite to replace it, or another --output."
            )
        return True
    if former is not None:
        remove(folder, [METRICS, *former.get("writes", [])])
    write_json(folder / RECORD, dict(record) | dict(writes=list(writes)))
    return False


def remove(folder: Path, patterns: Sequence[str]) -> None:
    """Remove what a run wrote into a folder, by names or patterns."""
    # The patterns come from a file that anybody may have changed: they must not lead out of the folder.
    for pattern in patterns:
        if not Path(pattern).is_absolute() and ".." not in Path(pattern).parts and pattern.strip("./"):
            for path in folder.glob(pattern):
                if path.parent.resolve().is_relative_to(folder.resolve()):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """The fields in which two nested records differ, in words."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from differences(
                old.get(key, "absent"), new.get(key, "absent"), f"{name}.{key}" if name else str(key)
            )
    elif old != new:
        yield f"{name} was {old!r}, is {new!r}"


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON; NaN and infinity, for which JSON has no word, become null."""
    write_text(path, json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False))


def write_text(path: Path, text: str) -> None:
    """Write a file in one stroke: whenever the run is stopped, it is there whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="surrogateescape")


def read_json(path: Path) -> Any:
    """What a JSON file holds; a ValueError if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}); give another folder.") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    value = value.item() if hasattr(value, "item") else value  # numbers of numpy and JAX
    return None if isinstance(value, float) and not math.isfinite(value) else value
