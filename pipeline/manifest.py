"""The manifest of a run: what each stage was made from, and what it left."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from storage import DamagedError, file_digest, files_below, inside, is_file, reading, write_json

__all__ = ["Manifest", "Record"]

_SCHEMA = 2
_NAME = "manifest.json"


@dataclass
class Record:
    """What is known of a stage.

    Args:
        settings: On which its result depends, and digests of the data and the encoder.
        inputs: Digest of the result of each stage that it was made from.
        outputs: SHA-256 of each file that it left, by its path in the run's folder; none until it is finished.
        finished: Whether it is.
        seconds: That it took, in all its parts but those that were killed.
        val_scores: What the validations of a fit gave, after the number of the epoch, once its checkpoints are gone.
    """

    settings: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, str] = field(default_factory=dict)
    finished: bool = False
    seconds: float = 0.0
    val_scores: list[tuple[int, float]] = field(default_factory=list)

    def result(self) -> str:
        """Digest of everything that the stage left."""
        return _digest(self.outputs)


class Manifest:
    """``manifest.json`` of a run folder.

    Args:
        folder: The run's folder.
        stages: The record of each stage that was begun.
    """

    def __init__(self, folder: Path, stages: dict[str, Record] | None = None) -> None:
        """Hold what is known."""
        self.folder = folder
        self.stages = stages or {}

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a run, or begin one for a new or empty folder; nothing is written.

        Args:
            folder: The run's folder.

        Returns:
            The manifest.

        Raises:
            FileExistsError: If the folder holds something else.
            ValueError: If the manifest is damaged, or names something outside of the run's folder.
        """
        path = folder / _NAME
        if not is_file(path):
            if folder.exists() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
                raise FileExistsError(
                    f"{folder} exists and is no run of `stark run`, it has no {_NAME}: choose another --name, or "
                    "restore that file"
                )
            return cls(folder)
        with reading(path):
            content = path.read_bytes()
        try:
            values = json.loads(content)
            schema, digest, stages = values["schema"], values["sha256"], values["stages"]
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path, "it cannot be read") from error
        if schema != _SCHEMA:
            raise ValueError(f"{path} has schema {schema}, this version reads {_SCHEMA}: choose another --name")
        if digest != _digest(stages):
            raise _damaged(path, "its content does not have its checksum")
        for name, stage in stages.items():
            for output in stage["outputs"]:
                try:
                    inside(folder, output)
                except ValueError as error:
                    raise ValueError(f"{path}, stage {name}: {error}") from error
        return cls(folder, {name: Record(**stage) for name, stage in stages.items()})

    def start(self, name: str, settings: dict[str, Any], inputs: dict[str, str]) -> None:
        """Record that a stage is at work; an unfinished one that goes on keeps the seconds that it has.

        Args:
            name: Of the stage.
            settings: See `Record`.
            inputs: See `Record`.
        """
        before = self.stages.get(name)
        goes_on = before and (before.settings, before.inputs, before.finished) == (settings, inputs, False)
        self.stages[name] = Record(settings, inputs, seconds=before.seconds if before and goes_on else 0.0)
        self.write()

    def keep(self, name: str, val_scores: list[tuple[int, float]]) -> None:
        """Record what is still asked of a fit whose checkpoints go.

        Args:
            name: Of the stage.
            val_scores: See `Record`.
        """
        self.stages[name].val_scores = val_scores
        self.write()

    def finish(self, name: str, outputs: tuple[str, ...], seconds: float) -> None:
        """Record a finished stage and the checksums of what it left.

        Args:
            name: Of the stage.
            outputs: Files and folders, by their paths in the run's folder.
            seconds: That it took this time.
        """
        record = self.stages[name]
        files = sorted(file for output in outputs for file in _files(self.folder / output))
        record.outputs = {file.relative_to(self.folder).as_posix(): file_digest(file) for file in files}
        record.finished = True
        self.spend(name, seconds)

    def spend(self, name: str, seconds: float) -> None:
        """Record what a stage took until it was interrupted; of one that was killed nobody knows.

        Args:
            name: Of the stage.
            seconds: That it took this time.
        """
        self.stages[name].seconds = round(self.stages[name].seconds + seconds, 2)
        self.write()

    def forget(self, names: set[str]) -> None:
        """Drop the records of stages that are to run again.

        Args:
            names: Of the stages.
        """
        self.stages = {name: record for name, record in self.stages.items() if name not in names}
        self.write()

    def damage(self, name: str) -> str | None:
        """What has happened to the files that a finished stage left.

        Args:
            name: Of the stage.

        Returns:
            Such as ``trial/model/config.json is missing``, or None if all is as it was.

        Raises:
            ReadError: If a file could not be read now, so that it is not known.
        """
        for output, digest in self.stages[name].outputs.items():
            file = inside(self.folder, output)
            if not is_file(file):
                return f"{file} is missing"
            if file_digest(file) != digest:
                return f"{file} is damaged or was changed"
        return None

    def write(self) -> None:
        """Write the file atomically."""
        stages = {name: asdict(record) for name, record in self.stages.items()}
        write_json(self.folder / _NAME, {"schema": _SCHEMA, "sha256": _digest(stages), "stages": stages})


def _damaged(path: Path, reason: str) -> DamagedError:
    return DamagedError(
        f"{path} is damaged ({reason}): restore it, or choose another --name; without it nobody knows which stages are "
        "finished"
    )


def _files(path: Path) -> list[Path]:
    return files_below(path) if path.is_dir() else [path]


def _digest(values: Any) -> str:  # noqa: ANN401 - anything that JSON can hold
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
