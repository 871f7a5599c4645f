"""The manifest of a run: what each stage was made from, and what it left."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.run_folder import RunFolder
from stark.errors import StarkError, StarkFileExistsError
from stark.storage import DamagedError, file_digest, files_below, inside, is_file, reading, write_json

__all__ = ["Manifest", "Record"]

_log = logging.getLogger(__name__)

_SCHEMA = 2


@dataclass
class Record:
    """What is known of a stage.

    Args:
        settings: Settings on which its result depends, and digests of the data and the encoder.
        inputs: Digest of the result of each stage that it was made from.
        outputs: SHA-256 of each file that it left, by its path in the run's folder; none until it is finished.
        finished: Whether it is.
        seconds: Seconds of all its parts but those that were killed.
        val_scores: What the validations of a fit gave, after the number of the epoch, once its checkpoints are gone.
        machine: What else decides on the bits, when it was begun; see `machine_of`.
    """

    settings: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, str] = field(default_factory=dict)
    finished: bool = False
    seconds: float = 0.0
    val_scores: list[tuple[int, float]] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)

    def result(self) -> str:
        """Digest of everything that the stage left."""
        return _digest(self.outputs)


class Manifest:
    """``manifest.json`` of a run folder.

    Args:
        folder: The run's folder.
        stages: The record of each stage that was begun.
        config: SHA-256 of the ``config.yaml`` of the last command; empty for runs of earlier versions.

    Attributes:
        machine: What is recorded of stages that begin from now on; see `Record`.
    """

    def __init__(self, folder: Path, stages: dict[str, Record] | None = None, config: str = "") -> None:
        """Hold what is known."""
        self.folder = folder
        self.stages = stages or {}
        self.config = config
        self.machine: dict[str, str] = {}
        self._has_warned = False

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a run, or begin one for a new or empty folder; nothing is written.

        Args:
            folder: The run's folder.

        Returns:
            The manifest.

        Raises:
            StarkFileExistsError: If the folder holds something else.
            StarkError: If the manifest is damaged, or names something outside of the run's folder.
        """
        path = RunFolder(folder).manifest
        if not is_file(path):
            if folder.exists() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
                raise StarkFileExistsError(
                    f"{folder} exists and is no run of `stark run`, it has no {path.name}: choose another --name, or "
                    "restore that file"
                )
            return cls(folder)
        with reading(path):
            content = path.read_bytes()
        try:
            values = json.loads(content)
            schema, digest, stages = values["schema"], values["sha256"], values["stages"]
            config = values.get("config", "")
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path, "it cannot be read") from error
        if schema != _SCHEMA:
            raise StarkError(f"{path} has schema {schema}, this version reads {_SCHEMA}: choose another --name")
        if digest != _content_digest(stages, config):
            raise _damaged(path, "its content does not have its checksum")
        for name, stage in stages.items():
            for output in stage["outputs"]:
                try:
                    inside(folder, output)
                except ValueError as error:
                    raise StarkError(f"{path}, stage {name}: {error}") from error
        return cls(folder, {name: Record(**stage) for name, stage in stages.items()}, config)

    def start(self, name: str, settings: dict[str, Any], inputs: dict[str, str]) -> None:
        """Record that a stage is at work; an unfinished one that goes on keeps the seconds that it has.

        Args:
            name: Name of the stage.
            settings: See `Record`.
            inputs: See `Record`.
        """
        before = self.stages.get(name)
        goes_on = before and (before.settings, before.inputs, before.finished) == (settings, inputs, False)
        self._warn_of_another_machine()
        seconds, machine = (before.seconds, before.machine) if before and goes_on else (0.0, self.machine)
        self.stages[name] = Record(settings, inputs, seconds=seconds, machine=machine)
        self.write()

    def _warn_of_another_machine(self) -> None:
        """Tell once in which way the stages so far were made on another machine."""
        changed = {
            key: (then, now)
            for record in self.stages.values()
            for key, now in self.machine.items()
            if (then := record.machine.get(key, now)) != now
        }
        if changed and not self._has_warned:
            listed = ", ".join(f"{key} {then}, now {now}" for key, (then, now) in changed.items())
            _log.warning(
                "earlier parts of this run had %s: on a CPU its results are not the bits that they would be without "
                "the change",
                listed,
            )
            self._has_warned = True

    def keep(self, name: str, val_scores: list[tuple[int, float]]) -> None:
        """Record what is still asked of a fit whose checkpoints go.

        Args:
            name: Name of the stage.
            val_scores: See `Record`.
        """
        self.stages[name].val_scores = val_scores
        self.write()

    def finish(self, name: str, outputs: tuple[str, ...], seconds: float) -> None:
        """Record a finished stage and the checksums of what it left.

        Args:
            name: Name of the stage.
            outputs: Files and folders, by their paths in the run's folder.
            seconds: Seconds of this attempt.
        """
        record = self.stages[name]
        files = sorted(file for output in outputs for file in _files(self.folder / output))
        record.outputs = {file.relative_to(self.folder).as_posix(): file_digest(file) for file in files}
        record.finished = True
        self.spend(name, seconds)

    def spend(self, name: str, seconds: float) -> None:
        """Record what a stage took until it was interrupted; of one that was killed nobody knows.

        Args:
            name: Name of the stage.
            seconds: Seconds of this attempt.
        """
        self.stages[name].seconds = round(self.stages[name].seconds + seconds, 2)
        self.write()

    def forget(self, names: set[str]) -> None:
        """Drop the records of stages that are to run again; nothing is written.

        Args:
            names: Names of the stages.
        """
        self.stages = {name: record for name, record in self.stages.items() if name not in names}

    def damage(self, name: str) -> str | None:
        """What has happened to the files that a finished stage left.

        Args:
            name: Name of the stage.

        Returns:
            Such as ``trial/model/config.json is missing``, or None if all is as it was.

        Raises:
            ReadError: If a file could not be read now, so that it is not known.
        """
        problems = (self._problem(*output) for output in self.stages[name].outputs.items())
        return next(filter(None, problems), None)

    def problem(self, output: str) -> str | None:
        """What has happened to a file.

        Args:
            output: The file, by its path in the run's folder.

        Returns:
            Such as ``summary.json is missing``, or None if it is what a finished stage left.

        Raises:
            ReadError: If the file could not be read now, so that it is not known.
        """
        for record in self.stages.values():
            if output in record.outputs:
                return self._problem(output, record.outputs[output])
        return f"{self.folder / output} is of no finished stage"

    def _problem(self, output: str, digest: str) -> str | None:
        file = inside(self.folder, output)
        if not is_file(file):
            return f"{file} is missing"
        return None if file_digest(file) == digest else f"{file} is damaged or was changed"

    def write(self) -> None:
        """Write the file atomically."""
        stages = {name: asdict(record) for name, record in self.stages.items()}
        digest = _content_digest(stages, self.config)
        values = {"schema": _SCHEMA, "sha256": digest, "config": self.config, "stages": stages}
        write_json(RunFolder(self.folder).manifest, values)


def _damaged(path: Path, reason: str) -> DamagedError:
    return DamagedError(
        f"{path} is damaged ({reason}): restore it, or choose another --name; without it nobody knows which stages are "
        "finished"
    )


def _files(path: Path) -> list[Path]:
    return files_below(path) if path.is_dir() else [path]


def _content_digest(stages: Any, config: str) -> str:  # noqa: ANN401 - anything that JSON can hold
    """Of the stages alone where nothing else is known, as earlier versions wrote it."""
    return _digest([stages, config] if config else stages)


def _digest(values: Any) -> str:  # noqa: ANN401 - anything that JSON can hold
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
