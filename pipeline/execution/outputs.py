"""Reading a run's outputs; a file that is truncated, foreign, or not as in the manifest is an error."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from pipeline.execution.manifest import Manifest
from pipeline.parsing.yaml_text import load_yaml, read_yaml_text
from pipeline.run_folder import RunFolder
from stark.errors import StarkError
from stark.storage import DamagedError, read_tensors

__all__ = ["AGAIN", "has_output", "read_config", "read_json", "read_output"]

AGAIN = "give the run's command again to rebuild it"
"""Advice for a damaged file of a run."""


def read_config(root: Path) -> tuple[str, dict[str, Any]]:
    """Read the settings of a run.

    Args:
        root: The run's folder.

    Returns:
        The text of its ``config.yaml``, and its values.

    Raises:
        DamagedError: If the file is not the one that the run's last command wrote.
        StarkError: If the folder is not a run.
    """
    path, manifest = RunFolder(root).config, Manifest.read(root)
    if not path.is_file():
        raise DamagedError(f"{path} is missing: {AGAIN}")
    text = read_yaml_text(path)
    # Runs of earlier versions have no checksum of the file.
    if manifest.config and _digest(text.encode()) != manifest.config:
        raise DamagedError(f"{path} is damaged or was changed since the run's last command: {AGAIN}")
    try:
        values = load_yaml(text)
    except yaml.YAMLError as error:
        raise DamagedError(f"{path} is no YAML ({' '.join(str(error).split())}): {AGAIN}") from error
    if not isinstance(values, dict) or not isinstance(values.get("data"), dict):
        raise DamagedError(f"{path} has no settings of a run: {AGAIN}")
    return text, values


def has_output(manifest: Manifest, name: str) -> bool:
    """Whether a file is an output of a finished stage.

    Args:
        manifest: The run's manifest.
        name: The file, by its path in the run's folder.
    """
    return any(name in record.outputs for record in manifest.stages.values())


def read_json(root: Path, name: str, schema: int, *earlier: int) -> dict[str, Any]:
    """Read a JSON file that is an output of a finished stage.

    Args:
        root: The run's folder.
        name: The file, by its path in that folder.
        schema: The value of ``schema`` that this version writes.
        earlier: Other values that it reads.

    Returns:
        The content of the file.

    Raises:
        DamagedError: If the file is missing or was changed after the stage wrote it.
        StarkError: If it has another schema.
    """
    path = _intact(root, name)
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        raise DamagedError(f"{path} is no JSON: {AGAIN}") from error
    found = values.get("schema") if isinstance(values, dict) else None
    if found not in (schema, *earlier):
        raise StarkError(f"{path} has schema {found}, this version reads {schema}: choose another --name")
    return dict(values)


def read_output(root: Path, name: str) -> dict[str, Tensor]:
    """Read a file of tensors that is an output of a finished stage.

    Args:
        root: The run's folder.
        name: The file, by its path in that folder.

    Returns:
        The tensors.

    Raises:
        DamagedError: If the file is missing or was changed after the stage wrote it.
    """
    return read_tensors(_intact(root, name))[0]


def _intact(root: Path, name: str) -> Path:
    if problem := Manifest.read(root).problem(name):
        raise DamagedError(f"{problem}: {AGAIN}")
    return root / name


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
