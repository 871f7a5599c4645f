"""Runs commands in forks of a warm process, for tests that do not test how commands start.

The tests of the start run Python itself: `tests/test_stark_main.py`, `tests/test_cli.py`, `tests/test_packaging.py`,
`tests/pipeline/fits/test_isolation.py` and `tests/pipeline/parsing/test_streams.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def start_warm(folder: Path, owner: int) -> Path:
    """Start a warm process.

    Args:
        folder: Folder for the scripts and the socket.
        owner: Process id of the owner; the warm process ends when the owner ends.

    Returns:
        The folder of `python`, for `sys.executable`, and `stark`, for PATH.
    """
    scripts, place, real = folder / "bin", folder / "socket", sys.executable
    scripts.mkdir()
    start = f'#!/bin/sh\nexec "{real}" -I -S "{HERE / "python.py"}" "{real}" "{place}" "{scripts / "python"}"'
    for name, arguments in (("python", ""), ("stark", f' -P "{Path(real).parent / "stark"}"')):
        (scripts / name).write_text(f'{start}{arguments} "$@"\n')
        (scripts / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # Started by a shell in the background, so that the warm process is no child of this process.
    command = ["sh", "-c", '"$@" &', "sh", real, "-P", str(HERE / "server.py"), str(place), str(owner)]
    said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, start_new_session=True, check=True).stdout
    assert said == b"ready\n"
    return scripts
