"""The manifest of a run: which stages are finished, so that the same command goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from storage import write_json, write_text

__all__ = ["Manifest"]

_SCHEMA = 1


class Manifest:
    """``manifest.json`` of a run folder.

    Args:
        folder: The run's folder.
        stages: What is known of each finished stage.
    """

    def __init__(self, folder: Path, stages: dict[str, dict[str, Any]]) -> None:
        """Hold what is known."""
        self.folder = folder
        self.stages = stages

    @classmethod
    def open(cls, folder: Path, config: str) -> Manifest:
        """Begin a run in a new folder, or go on with the run of the same settings.

        Args:
            folder: The run's folder.
            config: The run's settings as YAML; kept as ``config.yaml``.

        Returns:
            The manifest.

        Raises:
            FileExistsError: If the folder holds something else, or a run with other settings.
        """
        path, config_path = folder / "manifest.json", folder / "config.yaml"
        if not folder.exists() or not any(folder.iterdir()):
            write_text(config_path, config)
            manifest = cls(folder, {})
            manifest.write()
            return manifest
        if not (path.is_file() and config_path.is_file()):
            raise FileExistsError(f"{folder} exists and is no run of `stark run`: choose another --name")
        there, here = _flatten(yaml.safe_load(config_path.read_text())), _flatten(yaml.safe_load(config))
        for key in sorted(there.keys() | here.keys()):
            if there.get(key) != here.get(key):
                raise FileExistsError(
                    f"{folder} holds another run: {key} is {there.get(key)!r} there and {here.get(key)!r} here; choose "
                    "another --name, or remove the folder"
                )
        values = json.loads(path.read_text())
        if values.get("schema") != _SCHEMA:
            raise ValueError(f"{path} has schema {values.get('schema')}, this version reads {_SCHEMA}")
        return cls(folder, values["stages"])

    def is_finished(self, stage: str) -> bool:
        """Whether a stage need not run again."""
        return stage in self.stages

    def finish(self, stage: str, **facts: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
        """Record a finished stage.

        Args:
            stage: Its name.
            facts: Such as ``seconds``.
        """
        self.stages[stage] = facts
        self.write()

    def write(self) -> None:
        """Write the file atomically."""
        write_json(self.folder / "manifest.json", {"schema": _SCHEMA, "stages": self.stages})


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
