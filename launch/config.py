"""The flags --config and --data_dir of every command, and user errors as one line."""

import contextlib
import difflib
import functools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from absl import app, flags
from ml_collections import config_flags

DEFAULT = "configs/fashion_mnist.py"
TRACEBACK = "PGM_JAX_TRACEBACK"  # environment variable
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of TFDS sets and of arrays of image folders; default TFDS_DATA_DIR or ~/tensorflow_datasets.",
)


@contextlib.contextmanager
def one_line_errors(*kinds: type[Exception]) -> Iterator[None]:
    """End the process with the message of an error that the user can mend; PGM_JAX_TRACEBACK=1 shows the traceback."""
    try:
        yield
    except kinds as error:
        cause = error.args[0] if isinstance(error, AttributeError) and error.args else error
        if os.environ.get(TRACEBACK):
            raise
        lines = str(error).splitlines() if isinstance(error, OSError) else [str(error)]
        words = lines[-1].strip() if lines else type(error).__name__
        if isinstance(cause, KeyError):  # how ml_collections speaks of a field that is not there
            words = "the configuration has no setting " + str(cause.args[0]).replace("\n", ". ")
        sys.exit(f"launch.{Path(sys.argv[0]).stem}: {words}")


def known(name: Any, names: Iterable[str], what: str, more: str = "") -> None:
    """Refuse a name that is not among `names` and suggest the nearest one; `more` is added to the message.

    Raises:
        ValueError: if it is unknown.
    """
    names = list(names)
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? Known" if near else "known"
        raise ValueError(f"Unknown {what} {name!r}; {hint} are {', '.join(names)}{more and '; ' + more}.")


@functools.cache
def define_config() -> flags.FlagHolder:
    """Define --config, and read the default file with the settings of the command line; `parse_flags` reads another."""
    purpose = "Data, network, training, sampler and tasks; change a setting by --config.train.steps=9."
    with one_line_errors(AttributeError, OSError):
        return config_flags.DEFINE_config_file("config", DEFAULT, purpose)


def parse_flags(argv: list[str]) -> list[str]:
    """Read the flags; every argument must be one."""
    with one_line_errors(AttributeError, OSError, ValueError):
        rest = app.parse_flags_with_usage(argv)
        if len(rest) > 1:
            raise ValueError(f"unexpected {rest[1:]}: every argument is a --flag")
    return rest
