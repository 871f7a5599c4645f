"""Writing files and folders so that they are there completely or not at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

__all__ = ["copy_folder", "write_json", "write_text"]


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically.

    Args:
        path: The file; its folder is made, an existing file is replaced.
        text: Its content.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text(Path(folder, "a", "b.txt"), "text")
        ...     Path(folder, "a", "b.txt").read_text()
        'text'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_json(path: Path, values: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
    """Write a JSON file atomically.

    Args:
        path: The file.
        values: Its content.
    """
    write_text(path, json.dumps(values, indent=2) + "\n")


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder atomically, replacing the target.

    Args:
        source: The folder to copy.
        target: Its copy.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    shutil.rmtree(target, ignore_errors=True)
    temporary.replace(target)
