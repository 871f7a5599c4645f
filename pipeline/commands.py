"""The commands behind `stark`, and what becomes of their errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pipeline.errors import fail, own_error
from pipeline.lightning_cli import CONFIGS, SUBCOMMANDS, StarkCLI
from pipeline.run import run
from pipeline.sample import sample_data
from pipeline.settings import read_settings

__all__ = ["run_command"]


def run_command(args: list[str]) -> None:
    """Run a command; an error that our own code raised becomes one line and exit status 2.

    Args:
        args: The command and its options.
    """
    command, *rest = args
    try:
        if command in SUBCOMMANDS:
            StarkCLI([command, *_find_configs(rest)])
        elif command == "run":
            run(*read_settings(_find_configs(rest)))
        elif command == "sample-data":
            sample_data(rest)
        else:
            fail(f"unknown command {command!r}: see stark --help")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # a stage of several processes, which has said itself what is wrong
    except (ValueError, TypeError, OSError) as error:
        if (own := own_error(error)) is None:
            raise
        fail(str(own))


def _find_configs(args: list[str]) -> list[str]:
    """Let ``configs/...`` mean the packaged file where the working directory has no such file."""
    return [_find_config(arg) for arg in args]


def _find_config(arg: str) -> str:
    prefix, name = ("--config=", arg[9:]) if arg.startswith("--config=") else ("", arg)
    packaged = CONFIGS.parent / name
    if name.startswith("configs/") and not Path(name).exists() and packaged.exists():
        return f"{prefix}{packaged}"
    return arg
