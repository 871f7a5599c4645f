"""``measurements.json``: latency, memory and size of a run's models, and where and when they were measured."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pipeline.results.typed_json import WrongValueError, plain, typed
from pipeline.run_folder import RunFolder
from stark.forward.latency import Latency
from stark.storage import WriteError, is_file, reading, write_json

__all__ = [
    "Costs",
    "Machine",
    "Session",
    "Use",
    "keep_session",
    "now_text",
    "processor",
    "read_sessions",
    "this_machine",
]

_log = logging.getLogger(__name__)

_SCHEMA = 1
# Packages whose version decides how a model is computed.
_PACKAGES = ("stark-lightning", "torch", "transformers")


@dataclass(frozen=True)
class Machine:
    """What measurements depend on besides the models.

    Args:
        processor: Name of the CPU.
        threads: Number of torch threads.
        packages: Version by name of the package.
        gpu: Name of the GPU; None without one.
    """

    processor: str
    threads: int
    packages: dict[str, str]
    gpu: str | None = None


@dataclass(frozen=True)
class Costs:
    """The measurements of a model.

    Args:
        digest: Digest of its configuration, weights and tokenizer.
        parameters: Number of all parameters.
        encoder_parameters: Number of parameters without embeddings, pooler and classifier.
        megabytes: Size of its weights' file in MB.
        gflops: GFLOPs of one row of the session's tokens.
        memory: Peak memory of a process that classifies 32 rows, in MB.
        latency: Latency by device and ``ROWSxTOKENS``.
    """

    digest: str
    parameters: int
    encoder_parameters: int
    megabytes: float
    gflops: float
    memory: float
    latency: dict[str, dict[str, Latency]]


@dataclass(frozen=True)
class Use:
    """How a model answers real rows, from texts to labels.

    Args:
        digest: Digest of its files.
        p50: Median of the milliseconds for a single row.
        p95: What 95 % of the rows do not exceed.
        p99: What 99 % of the rows do not exceed.
        rows_per_second: In batches of 32 rows of similar length.
        cold_start: Seconds from the start of a process, Python's included, to its first answer.
        megabytes: Size of its files in MB.
        cores: Number of cores that it was measured with.
    """

    digest: str
    p50: float
    p95: float
    p99: float
    rows_per_second: float
    cold_start: float
    megabytes: float
    cores: int


@dataclass(frozen=True)
class Session:
    """Models that were measured in turns, so that their latencies may be compared with each other.

    Args:
        machine: Where they were measured.
        time: When they were measured, in UTC, and under which load of the machine.
        tokens: Length of the longest rows.
        models: The measurements by folder of the model in the run.
        uses: How models answer real rows, by folder in the run; None where that was not measured, as in earlier
            versions.
    """

    machine: Machine
    time: str
    tokens: int
    models: dict[str, Costs]
    uses: dict[str, Use] | None = None

    def has_uses(self, machine: Machine, digests: Mapping[str, str]) -> bool:
        """Whether it has measurements of real rows of all these models.

        Args:
            machine: This machine.
            digests: Digest of each model, by its folder in the run.
        """
        known = {folder: use.digest for folder, use in (self.uses or {}).items()}
        return self.machine == machine and all(known.get(folder) == digest for folder, digest in digests.items())

    def has(self, machine: Machine, digests: Mapping[str, str], shapes: Mapping[str, Collection[str]]) -> bool:
        """Whether it has all measurements that are wanted.

        Args:
            machine: This machine.
            digests: Digest of each model, by its folder in the run.
            shapes: The wanted ``ROWSxTOKENS`` by device.
        """
        return self.machine == machine and all(
            (costs := self.models.get(folder)) is not None
            and costs.digest == digest
            and {device: set(found) for device, found in costs.latency.items()}
            == {device: set(wanted) for device, wanted in shapes.items()}
            for folder, digest in digests.items()
        )


def this_machine() -> Machine:
    """Describe this machine and process."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return Machine(processor(), torch.get_num_threads(), {name: version(name) for name in _PACKAGES}, gpu)


def processor() -> str:
    """The name of the CPU, such as ``AMD EPYC 7B13``; its architecture where the system does not tell the name."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(errors="replace").splitlines() if listed.is_file() else []
    names = [value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() == "model name"]
    return next(filter(None, names), platform.processor() or platform.machine())


def now_text() -> str:
    """The time in UTC and the machine's load (processes that want to run, mean of the last minute)."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y-%m-%d %H:%M} UTC, load {os.getloadavg()[0]:.1f}"


def read_sessions(root: Path) -> list[Session]:
    """Read what was measured earlier.

    Args:
        root: The run's folder.

    Returns:
        The sessions, the latest one last. Empty if there is no file, and with a warning if it is not as it was written.
    """
    path = RunFolder(root).measurements
    if not is_file(path):
        return []
    found = _read(path)
    if found is None:
        _log.warning("%s is damaged, was changed or is of another version: its models are measured again", path)
    return found or []


def keep_session(root: Path, session: Session) -> None:
    """Keep measurements with their run. Earlier ones of the same models and machine are replaced.

    A file that is damaged or was changed is left as it is. If the file cannot be written, a warning says so.

    Args:
        root: The run's folder.
        session: The measurements.
    """
    path = RunFolder(root).measurements
    before = _read(path) if is_file(path) else []
    if before is None:
        _log.warning("%s is left as it is: remove it to keep new measurements", path)
        return
    others = [known for known in before if not _replaces(session, known)]
    stored = plain([*others, session])
    try:
        write_json(path, {"schema": _SCHEMA, "sha256": _digest(stored), "sessions": stored})
    except WriteError as error:
        _log.warning("the measurements are not kept: %s", error)


def _replaces(new: Session, old: Session) -> bool:
    """Whether a session has all models of an earlier one on the same machine, unchanged or not."""
    has_all = old.models.keys() <= new.models.keys() and (old.uses or {}).keys() <= (new.uses or {}).keys()
    return new.machine == old.machine and has_all


def _read(path: Path) -> list[Session] | None:
    """The content of a file; None if it is not as it was written."""
    with reading(path):
        content = path.read_bytes()
    try:
        values = json.loads(content)
        if (values["schema"], values["sha256"]) != (_SCHEMA, _digest(values["sessions"])):
            return None
        return typed(list[Session], values["sessions"])
    except (WrongValueError, ValueError, KeyError, TypeError):
        return None


def _digest(sessions: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(sessions, sort_keys=True).encode()).hexdigest()
