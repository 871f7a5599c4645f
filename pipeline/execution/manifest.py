"""The manifest of a run: the inputs and outputs of each stage."""

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
    """The record of a stage.

    Args:
        settings: Settings that affect its result, and digests of the data and the encoder.
        inputs: Digest of the result of each stage that it needs.
        outputs: SHA-256 of each output file, by its path in the run's folder; empty until the stage is finished.
        finished: Whether the stage is finished.
        seconds: Duration in seconds of all its attempts, without attempts that were killed.
        val_scores: Epoch number and score of each validation of a fit, stored before its checkpoints are removed.
        machine: Properties of the machine on which it was started, which affect the last bits; see `machine_of`.
    """

    settings: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, str] = field(default_factory=dict)
    finished: bool = False
    seconds: float = 0.0
    val_scores: list[tuple[int, float]] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)

    def result(self) -> str:
        """Return a digest of all outputs."""
        return _digest(self.outputs)


class Manifest:
    """``manifest.json`` of a run folder.

    Args:
        folder: The run's folder.
        stages: Record of each stage that was started.
        config: SHA-256 of the ``config.yaml`` of the last command; empty for runs of earlier versions.

    Attributes:
        machine: Properties of this machine, recorded for stages that start from now on; see `Record`.
    """

    def __init__(self, folder: Path, stages: dict[str, Record] | None = None, config: str = "") -> None:
        """Store the records."""
        self.folder = folder
        self.stages = stages or {}
        self.config = config
        self.machine: dict[str, str] = {}
        self._has_warned = False

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a run, or make one for a new or empty folder; nothing is written.

        Args:
            folder: The run's folder.

        Returns:
            The manifest.

        Raises:
            StarkFileExistsError: If the folder contains something else.
            StarkError: If the manifest is damaged, or names a file outside of the run's folder.
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
        """Record that a stage is running; a resumed stage keeps the seconds of its earlier attempts.

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
        """Warn once if earlier stages ran on a machine with other properties, and name the differences."""
        changed = {
            key: (then, now)
            for record in self.stages.values()
            for key, now in self.machine.items()
            if (then := record.machine.get(key, now)) != now
        }
        if changed and not self._has_warned:
            listed = ", ".join(f"{key} {then}, now {now}" for key, (then, now) in changed.items())
            _log.warning(
                "earlier parts of this run had %s: on a CPU its results are not bit for bit those of a run without "
                "the change",
                listed,
            )
            self._has_warned = True

    def keep(self, name: str, val_scores: list[tuple[int, float]]) -> None:
        """Record the validation scores of a fit before its checkpoints are removed.

        Args:
            name: Name of the stage.
            val_scores: See `Record`.
        """
        self.stages[name].val_scores = val_scores
        self.write()

    def finish(self, name: str, outputs: tuple[str, ...], seconds: float) -> None:
        """Record a finished stage and the checksums of its outputs.

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
        """Add the seconds of a finished or interrupted attempt; those of a killed attempt are unknown.

        Args:
            name: Name of the stage.
            seconds: Seconds of this attempt.
        """
        self.stages[name].seconds = round(self.stages[name].seconds + seconds, 2)
        self.write()

    def forget(self, names: set[str]) -> None:
        """Remove the records of stages that are to run again; the file is not written.

        Args:
            names: Names of the stages.
        """
        self.stages = {name: record for name, record in self.stages.items() if name not in names}

    def damage(self, name: str) -> str | None:
        """Check the output files of a finished stage.

        Args:
            name: Name of the stage.

        Returns:
            The first problem, such as ``trial/model/config.json is missing``; None if all files are unchanged.

        Raises:
            ReadError: If a file cannot be read at the moment, so that its state is unknown.
        """
        problems = (self._problem(*output) for output in self.stages[name].outputs.items())
        return next(filter(None, problems), None)

    def problem(self, output: str) -> str | None:
        """Check an output file.

        Args:
            output: The file, by its path in the run's folder.

        Returns:
            The problem, such as ``summary.json is missing``; None if it is the unchanged output of a finished stage.

        Raises:
            ReadError: If the file cannot be read at the moment, so that its state is unknown.
        """
        for record in self.stages.values():
            if output in record.outputs:
                return self._problem(output, record.outputs[output])
        return f"{self.folder / output} is not an output of a finished stage"

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
        f"{path} is damaged ({reason}): restore it, or choose another --name; it is the only record of which stages "
        "are finished"
    )


def _files(path: Path) -> list[Path]:
    return files_below(path) if path.is_dir() else [path]


def _content_digest(stages: Any, config: str) -> str:  # noqa: ANN401 - anything that JSON can hold
    """Digest of stages and config; of the stages alone if there is no config, as in earlier versions."""
    return _digest([stages, config] if config else stages)


def _digest(values: Any) -> str:  # noqa: ANN401 - anything that JSON can hold
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
