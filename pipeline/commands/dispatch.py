"""The commands behind `stark`, and what becomes of their errors."""

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

__all__ = ["FITS", "command_names", "defect_note", "run_command"]

# Of the disk, not of the program, wherever they occur first.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

FITS = ("fit", "validate", "test", "predict")
"""The commands of a single fit."""


def run_command(args: list[str]) -> None:
    """Run a command; a mistake of the user becomes one line and exit status 2.

    Anything else is a defect: it keeps its traceback, below which a line asks for a report. SIGINT and SIGTERM end the
    command with status 130 and 143, and a line that says how to go on.

    Args:
        args: The command and its options.
    """
    try:
        with _signals_interrupt():
            _dispatch(*args)
    except Interrupted as stop:
        _leave(stop, args)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # a stage of several processes, which has said itself what is wrong
    except Exception as error:
        if (mistake := mistake_of(error)) is not None:
            fail(str(mistake))
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            fail(f"{error}: make room and give the same command again")
        if passing_reason(error) is not None:  # of the system, such as too few file descriptors or too little memory
            fail(f"{str(error) or type(error).__name__}: give the same command again when that has passed")
        if not _is_of_a_plugin(error):
            error.add_note(defect_note())
        raise


def _dispatch(name: str, *rest: str) -> None:
    options = _find_configs(list(rest))
    if name in FITS:
        _command("fit")([name, *options])
    elif name in command_names():
        _command(name)(options)
    else:
        fail(f"unknown command {name!r}: see stark --help")


def defect_note() -> str:
    """The line below the traceback of a defect.

    Returns:
        What happened, and what to report.
    """
    versions = ", ".join(f"{name} {version(name)}" for name in ("stark-lightning", "torch", "transformers"))
    return (
        "stark: this is a defect of stark-lightning, not a mistake of yours: please report it, with the command and "
        f"the lines above ({versions})"
    )


def _is_of_a_plugin(error: BaseException) -> bool:
    """Whether an exception was raised by a user's own code: neither ours nor an installed library's."""
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
    """The commands with a module of their own in this package, which has a function ``command``.

    Returns:
        Their names, as they are typed.

    Examples:
        >>> "predict-file" in command_names()
        True
    """
    modules = {path.stem for path in Path(__file__).parent.glob("*.py")} - {"__init__", "dispatch", "fit"}
    return sorted(module.replace("_", "-") for module in modules)


def _command(name: str) -> Callable[[list[str]], None]:
    # Only the module of this command is imported: those of others may need packages that are not installed.
    found: Callable[[list[str]], None] = import_module(f"{__package__}.{name.replace('-', '_')}").command
    return found


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Interrupted`; a fit takes them over for as long as it trains."""

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
    """Say how to go on, and exit with the signal's status."""
    if any(os.environ.get(name, "0") != "0" for name in ("RANK", "LOCAL_RANK")):
        sys.exit(0)  # the first process speaks for all; Lightning kills it when another one fails before it has
    if PARENT_VARIABLE in os.environ:
        sys.exit(128 + stop.signum)  # of a stage, whose pipeline prints how to go on
    again = _without_from(args)
    if args[0] == "fit" and stop.checkpoint is not None and "--ckpt_path" not in args:
        again += ["--ckpt_path", str(stop.checkpoint)]
    print(f"stark: {stop}; go on with: {printable(shlex.join(['stark', *again]))}", file=sys.stderr)
    sys.exit(128 + stop.signum)


def _without_from(args: list[str]) -> list[str]:
    """The command without ``--from STAGE``, which would begin anew with what it has begun."""
    again = list(args)
    while "--from" in again:
        start = again.index("--from")
        del again[start : start + 2]
    return [arg for arg in again if not arg.startswith("--from=")]


def _find_configs(args: list[str]) -> list[str]:
    """Let ``configs/...`` mean the packaged file where the working directory has no such file."""
    return [_find_config(arg) for arg in args]


def _find_config(arg: str) -> str:
    prefix, name = ("--config=", arg[9:]) if arg.startswith("--config=") else ("", arg)
    packaged = CONFIGS.parent / name
    if name.startswith("configs/") and not Path(name).exists() and packaged.exists():
        return f"{prefix}{packaged}"
    return arg
