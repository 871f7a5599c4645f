"""A full disk, or files that may not grow: one line of error, no incomplete files; with free space the run resumes.

The disk is a small tmpfs, which only root can mount. It is either too small, or filled except for some bytes just
before a certain file or folder is created, so that every kind of writer is tested.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.faults.commands import RUN, run_forked, run_victim
from tests.faults.results import bytes_lost, differences, finished_outputs, half_written

pytestmark = pytest.mark.faults

ROOMY = "128m"


@dataclass(frozen=True)
class Shortage:
    """A shortage of space: the size of the disk in KiB, or the bytes that are left at an event (see victim.py)."""

    name: str
    size: int = 0
    event: str = ""
    target: str = ""
    call: int = 1
    leave: int = 0
    limit: int = 0
    message: str = field(default="No space left on device", repr=False)

    @property
    def kind(self) -> str:
        """The name of the table's row."""
        return "limit on the size of files" if self.limit else "full disk"


DISKS = [
    Shortage("tokenised-data", size=64),
    Shortage("checkpoint", size=5 * 1024),
    Shortage("second-checkpoint", size=12 * 1024),
    Shortage("model-folder", event="mkdir", target="prune/.model", leave=300_000),
    Shortage("student-scores", event="mkdir", target="demo/prune", leave=8_192),
    Shortage("teacher-scores", event="mkdir", target="demo/sparsify", leave=12_288),
    Shortage("stage.yaml", event="open", target="trial/.stage.yaml"),
    Shortage("metrics.csv", event="open", target="trial/metrics.csv"),
    Shortage("manifest", event="open", target="manifest.json", call=3),
    Shortage("summary", event="open", target="summary.json"),
    Shortage("best-student", event="mkdir", target="demo/.student", leave=300_000),
]
LIMITS = [
    Shortage("limit-checkpoints", limit=4_000_000, message="File too large"),
    Shortage("limit-weights", limit=900_000, message="File too large"),
    Shortage("limit-scores", limit=16_384, message="File too large"),
]


@pytest.fixture(scope="module")
def can_mount(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mount")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode == 0:
        subprocess.run(["umount", folder], check=True)
    return mounted.returncode == 0


@pytest.fixture(scope="module")
def starved(reference, ahead, tmp_path_factory, can_mount):
    folder = tmp_path_factory.mktemp("disks")

    def work(shortage: Shortage) -> tuple[list[str], int]:
        place = folder / shortage.name
        if shortage.limit:
            return attempt(shortage, reference.new_place(place))
        place.mkdir()
        size = f"{shortage.size}k" if shortage.size else ROOMY
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
        try:
            return attempt(shortage, place)
        finally:
            subprocess.run(["umount", place], check=True)

    def attempt(shortage: Shortage, place: Path) -> tuple[list[str], int]:
        if not (place / "sample_data").exists():
            (place / "sample_data").symlink_to(reference.place / "sample_data")
        fault: dict[str, Any] = {"do": "fill", "ballast": str(place / ".ballast"), "leave": shortage.leave}
        if shortage.event:
            fault |= {"event": shortage.event, "target": shortage.target, "call": shortage.call}
        if shortage.limit:
            fault = {"limit": shortage.limit}
        outcome = run_victim(place, fault)
        complaints = outcome.complaints()
        if not outcome.names(shortage.message):
            complaints.append(f"{shortage.message!r} is not in the output:\n{outcome.tail}")
        complaints += half_written(place)
        before = finished_outputs(place / RUN)
        (place / ".ballast").unlink(missing_ok=True)
        if not shortage.limit:
            subprocess.run(["mount", "-o", f"remount,size={ROOMY}", place], check=True)
        outcome = run_forked(place)
        if outcome.status != 0:
            complaints.append(f"exit status {outcome.status} when there was room again:\n{outcome.tail}")
        complaints += differences(place / RUN, reference.run)
        lost = bytes_lost(before)
        for entry in ("runs", "cache"):
            if not (place / entry).is_symlink():
                shutil.rmtree(place / entry, ignore_errors=True)
        return complaints, lost

    return ahead(work)


@pytest.mark.parametrize("case", DISKS, ids=lambda shortage: shortage.name)
def test_full_disk(case, starved, can_mount, fault_table):
    if not can_mount:
        pytest.skip("only root can mount a small disk")
    complaints, lost = starved[case].result()
    fault_table.record(case.kind, complaints, lost)
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("case", LIMITS, ids=lambda shortage: shortage.name)
def test_limit_on_files(case, starved, fault_table):
    complaints, lost = starved[case].result()
    fault_table.record(case.kind, complaints, lost)
    assert not complaints, "\n".join(complaints)
