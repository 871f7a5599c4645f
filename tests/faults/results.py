"""Checks a run's folder: differences from the run without faults, lost bytes, and incomplete files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open

WEIGHTS = "model.safetensors"


def differences(folder: Path, reference: Path) -> list[str]:
    """Differences from the run without faults: in summary.json apart from seconds, and in the weights of every model.

    Args:
        folder: The run's folder.
        reference: The folder of the run without faults.
    """
    if not (folder / "summary.json").is_file():
        return ["there is no summary.json"]
    found = []
    if _summary(folder) != _summary(reference):
        found.append("summary.json differs")
    ours, theirs = (_weights(path) for path in (folder, reference))
    found += [f"{name} is missing" for name in sorted(theirs - ours)]
    found += [f"{name} is too many" for name in sorted(ours - theirs)]
    for name in sorted(ours & theirs):
        if (folder / name).read_bytes() != (reference / name).read_bytes():
            found.append(f"{name} differs")
    return found


def finished_outputs(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """The identity of each output file (model folders and scores) of the stages that are finished in the manifest.

    Args:
        folder: A run's folder, in any state.

    Returns:
        Inode, modification time and size of each file, by path.
    """
    try:
        stages = json.loads((folder / "manifest.json").read_text())["stages"]
    except (OSError, ValueError, KeyError):
        return {}
    outputs = [folder / name for record in stages.values() if record["finished"] for name in record["outputs"]]
    return {path: _identity(path) for path in outputs if path.is_file() and path.name != "summary.json"}


def bytes_lost(before: dict[Path, tuple[int, int, int]], damaged: Path | None = None) -> int:
    """Bytes of finished outputs that are missing or were written again.

    A file counts with its whole size if it is missing now, or if its inode or its modification time changed, even if
    its content is the same. The file that the fault damaged does not count.

    Args:
        before: Result of `finished_outputs` before the fault, or right after a kill.
        damaged: The file that the fault damaged.
    """
    return sum(
        identity[2]
        for path, identity in before.items()
        if path != damaged and (not path.is_file() or _identity(path) != identity)
    )


def half_written(place: Path) -> list[str]:
    """Files that have their final names but cannot be read.

    Args:
        place: Folder with all files that a command wrote.
    """
    found = []
    for path in sorted(place.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(place).parts)
        if not path.is_file() or path.is_symlink() or hidden:
            continue
        try:
            _read(path)
        except (OSError, ValueError, RuntimeError, SafetensorError, yaml.YAMLError) as error:
            found.append(f"{path.relative_to(place)} is half-written: {error}")
    return found


def _read(path: Path) -> None:
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".yaml":
        if not isinstance(yaml.safe_load(path.read_text()), dict):
            raise ValueError("no mapping")
    elif path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                file.get_tensor(name)
    elif path.suffix == ".ckpt":
        torch.load(path, weights_only=True)
    elif path.name == "metrics.csv" and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
        raise ValueError("half a line")


def _identity(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _weights(folder: Path) -> set[Path]:
    files = (path.relative_to(folder) for path in folder.rglob(WEIGHTS))
    return {path for path in files if not any(part.startswith(".") for part in path.parts)}


def _summary(folder: Path) -> Any:
    return without_seconds(json.loads((folder / "summary.json").read_text()))


def without_seconds(value: Any) -> Any:
    """A JSON value without the keys for durations."""
    if isinstance(value, dict):
        return {key: without_seconds(item) for key, item in value.items() if "seconds" not in key}
    return [without_seconds(item) for item in value] if isinstance(value, list) else value
