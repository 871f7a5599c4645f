"""Runs the commands of `stark` and turns their errors into messages and exit statuses."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import subprocess
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from callbacks import PARENT_VARIABLE, Interrupted
from pipeline.parsing.errors import fail, mistake_of
from pipeline.parsing.plain_text import printable
from pipeline.parsing.yaml_text import CONFIGS
from stark.storage import passing_reason

__all__ = ["FITS", "command_names", "defect_note", "find_configs", "run_command"]

# Errors of the disk, not of the program; they can occur at any write.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

FITS = ("fit", "validate", "test", "predict")
"""The commands of a single fit."""


def run_command(args: list[str]) -> None:
    """Run a command; a mistake of the user is reported in one line, with exit status 2.

    So are a full disk and temporary errors of the system. Any other exception keeps its traceback; unless a plugin
    raised it, it is a defect, and a line below the traceback asks for a report. SIGINT and SIGTERM end the command with
    status 130 and 143, and with a line that shows the command to continue with.

    Args:
        args: The command and its options.
    """
    try:
        with _signals_interrupt():
            _dispatch(*args)
    except Interrupted as stop:
        _leave(stop, args)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # a stage in a separate process, which has already printed its error
    except Exception as error:
        if (mistake := mistake_of(error)) is not None:
            fail(str(mistake))
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            fail(f"{error}: make room and give the same command again")
        if passing_reason(error) is not None:  # a temporary error of the system, such as too many open files
            fail(f"{str(error) or type(error).__name__}: give the same command again when that has passed")
        if not _is_of_a_plugin(error):
            error.add_note(defect_note())
        raise


def _dispatch(name: str, *rest: str) -> None:
    options = find_configs(list(rest))
    if name in FITS:
        _command("fit")([name, *options])
    elif name in command_names():
        _command(name)(options)
    else:
        fail(f"unknown command {name!r}: see stark --help")


def defect_note() -> str:
    """The line below the traceback of a defect.

    Returns:
        The line; it asks for a report and names the versions of the packages.
    """
    versions = ", ".join(f"{name} {version(name)}" for name in ("stark-lightning", "torch", "transformers"))
    return (
        "stark: this is a defect of stark-lightning, not a mistake of yours: please report it, with the command and "
        f"the lines above ({versions})"
    )


def _is_of_a_plugin(error: BaseException) -> bool:
    """Whether a user's own code raised an exception, neither our code nor an installed library."""
    frames = traceback.extract_tb(error.__traceback__)
    place = Path(frames[-1].filename) if frames else Path(__file__)
    homes = (
        Path(__file__).parents[2],
        Path(os.__file__).parent,
        *(Path(path) for path in sysconfig.get_paths().values()),
    )
    installed = "site-packages" in place.parts or any(place.is_relative_to(home) for home in homes)
    return place.is_file() and not installed


def command_names() -> list[str]:
    """The commands that are modules of this package with a function ``command``.

    Returns:
        Their names, as they are typed.

    Examples:
        >>> "predict-file" in command_names()
        True
    """
    modules = {path.stem for path in Path(__file__).parent.glob("*.py")} - {"__init__", "dispatch", "fit"}
    return sorted(module.replace("_", "-") for module in modules)


def _command(name: str) -> Callable[[list[str]], None]:
    # Only this command's module is imported, because the others may need packages that are not installed.
    found: Callable[[list[str]], None] = import_module(f"{__package__}.{name.replace('-', '_')}").command
    return found


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Interrupted`. A fit installs other handlers while it trains."""

    def interrupt(signum: int, _: FrameType | None) -> None:
        raise Interrupted(signum)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {signum: signal.signal(signum, interrupt) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


def _leave(stop: Interrupted, args: list[str]) -> None:
    """Print the command to continue with, and exit with the signal's status."""
    if any(os.environ.get(name, "0") != "0" for name in ("RANK", "LOCAL_RANK")):
        sys.exit(0)  # only the first process prints; Lightning would kill it if another process failed earlier
    if PARENT_VARIABLE in os.environ:
        sys.exit(128 + stop.signum)  # this is the process of a stage; the pipeline that started it prints the command
    again = _without_from(args)
    if args[0] == "fit" and stop.checkpoint is not None and "--ckpt_path" not in args:
        again += ["--ckpt_path", str(stop.checkpoint)]
    print(f"stark: {stop}; go on with: {printable(shlex.join(['stark', *again]))}", file=sys.stderr)
    sys.exit(128 + stop.signum)


def _without_from(args: list[str]) -> list[str]:
    """The command without ``--from STAGE``, which would restart the stages that the interrupted call has begun."""
    again = list(args)
    while "--from" in again:
        start = again.index("--from")
        del again[start : start + 2]
    return [arg for arg in again if not arg.startswith("--from=")]


def find_configs(args: list[str]) -> list[str]:
    """Replace ``configs/...`` by the packaged file if the working directory has no such file.

    Args:
        args: Options.

    Returns:
        The options with absolute paths of packaged files.
    """
    return [_find_config(arg) for arg in args]


def _find_config(arg: str) -> str:
    prefix, name = ("--config=", arg[9:]) if arg.startswith("--config=") else ("", arg)
    packaged = CONFIGS.parent / name
    if name.startswith("configs/") and not Path(name).exists() and packaged.exists():
        return f"{prefix}{packaged}"
    return arg
