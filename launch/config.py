"""What every command shares: its flags --config, --data_dir and --traceback, its signals, and errors as one line."""

import contextlib
import difflib
import functools
import io
import runpy
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from absl import app, flags
from ml_collections import config_flags

DEFAULT = "configs/fashion_mnist.py"
OWN = ("__main__", "launch", "pgm_jax", "ml_collections")  # whose errors are written for users
LONGEST = 1_000  # characters of a line of an error
flags.DEFINE_bool("traceback", False, "Show where an error arose.")
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of TFDS sets and of arrays of image folders; default TFDS_DATA_DIR or ~/tensorflow_datasets.",
)


class Terminated(KeyboardInterrupt):
    """SIGTERM: it stops a command as Ctrl-C does, with a status of its own."""


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with the words of an error and status 1, at Ctrl-C with 130, at SIGTERM with 143.

    An error that this project did not raise itself is printed with its type and line. --traceback shows all of it.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if flags.FLAGS.traceback if flags.FLAGS.is_parsed() else "--traceback" in sys.argv:
            raise
        command = f"launch.{Path(sys.argv[0]).stem}"
        if isinstance(error, KeyboardInterrupt):
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)  # one more signal ends it at once, without a traceback
            print(f"{command}: interrupted", file=sys.stderr)
            sys.exit(143 if isinstance(error, Terminated) else 130)
        sys.exit(f"{command}: {words_of(error)}")


def words_of(error: Exception) -> str:
    """What an error says, in few lines."""
    words = "\n".join(line[:LONGEST] for line in str(error).strip().splitlines()[:3]) or type(error).__name__
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    module = frame.f_globals.get("__name__", "").partition(".")[0]
    cause = error.args[0] if isinstance(error, AttributeError) and error.args else error
    if isinstance(cause, KeyError) and module == "ml_collections":  # how it tells of a missing setting
        return "the configuration has no setting " + str(*cause.args[:1]).replace("\n", ". ")
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, OSError) and module == "ml_collections":
        return f"there is no configuration {str(error).splitlines()[-1].strip()}"
    if isinstance(error, AttributeError) and "get_config" in words:
        return "the file of the configuration has no function get_config()"
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    if module in OWN and isinstance(error, ValueError | TypeError | OSError | ImportError | RuntimeError):
        return words
    return f"{type(error).__name__}: {words} ({Path(frame.f_code.co_filename).name}, line {line}; see --traceback)"


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
    with one_line_errors():
        return config_flags.DEFINE_config_file("config", DEFAULT, purpose)


def known_settings(config: Any, usual: Any, name: str = "config") -> None:
    """Refuse a setting that is not in the `usual` configuration; settings within settings too.

    Raises:
        ValueError: that names it, and the nearest one.
    """
    for setting in config if hasattr(usual, "keys") else ():
        known(setting, usual, f"setting of {name}")
        known_settings(config[setting], usual[setting], f"{name}.{setting}")


def usual_config(file: str = DEFAULT) -> Any:
    """The configuration of a file that comes with the project."""
    return runpy.run_path(str(Path(__file__).parents[1] / file))["get_config"]()


@one_line_errors()
def parse_flags(argv: list[str]) -> list[str]:
    """Read the flags; every argument must be one."""
    try:
        rest = app.parse_flags_with_usage(argv)
    except SystemExit as error:
        if any(argument.startswith(("--help", "-help")) for argument in argv):
            sys.exit(0)
        if error.code in (None, 0):
            raise ValueError(f"the configuration ends Python by sys.exit(): {' '.join(argv[1:])}") from error
        raise
    if len(rest) > 1:
        raise ValueError(f"unexpected {rest[1:]}: every argument is a --flag")
    return rest


def run(main: Callable[[list[str]], None]) -> None:
    """Run a command, whose `main` ends errors in one line."""

    def terminate(*_: object) -> None:
        raise Terminated

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that cannot print σ must not end the work
    warnings.formatwarning = lambda message, *_, **__: f"{message}\n"
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS["traceback"])
    # Threads that orbax leaves behind tell once more, in a hundred lines, of an error that `main` tells in one.
    sys.excepthook = _on_main_thread(sys.excepthook)
    sys.unraisablehook = _on_main_thread(sys.unraisablehook)
    app.run(main, flags_parser=parse_flags)


def _on_main_thread(hook: Callable[..., object]) -> Callable[..., object]:
    return lambda *what: hook(*what) if threading.current_thread() is threading.main_thread() else None
