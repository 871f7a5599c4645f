"""Removed and damaged files: the same command creates them again, or names the damaged file in one line."""

from __future__ import annotations

import pickle
import random
import re
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.faults.commands import BATCHES, RUN, run_forked, run_victim
from tests.faults.results import bytes_lost, differences, finished_outputs
from tests.faults.test_kills import SEED

pytestmark = pytest.mark.faults

MARKER = "payload-was-run"


class Payload:
    """An object whose unpickling creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.marker), "w")


def remove(path: Path, _: int) -> None:
    path.unlink()


def empty(path: Path, _: int) -> None:
    path.write_bytes(b"")


def halve(path: Path, _: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip_bit(path: Path, draw: int) -> None:
    content = bytearray(path.read_bytes())
    drawn = random.Random(f"{SEED} {path.name} {draw}")
    content[drawn.randrange(len(content))] ^= 1 << drawn.randrange(8)
    path.write_bytes(content)


def put_image(path: Path, _: int) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0\x90wS\xde" + zlib.compress(b"\0" * 4))


def put_pickle(path: Path, _: int = 0) -> None:
    payload = Payload(path.parent.resolve() / MARKER)
    if path.suffix == ".ckpt":
        torch.save(payload, path)
    else:
        path.write_bytes(pickle.dumps(payload))


def edit(path: Path, _: int) -> None:
    """Change a value in a file, which stays valid."""
    text = path.read_text()
    changed = re.sub(r'("(?:accuracy|score)": 0\.)', r"\g<1>9", text).replace("temperature: null", "temperature: 4.0")
    assert changed != text
    path.write_text(changed)


def put_other_split(path: Path, _: int) -> None:
    """Copy the intact file of dev to the name of train's file."""
    shutil.copyfile(next(path.parent.glob("sst2-dev-*.safetensors")), path)


EDITS = {
    "file edited": (edit, ("runs/demo/summary.json", "runs/demo/config.yaml")),
    "another split's cache": (put_other_split, ("cache/sst2-train-*.safetensors",)),
}
DAMAGES = {
    "file removed": remove,
    "file emptied": empty,
    "file cut to half": halve,
    "a bit flipped": flip_bit,
    "foreign file": put_image,
    "malicious pickle": put_pickle,
}

# Files of a finished run, by path in the place of the command; of a pattern, the first match.
FINISHED = (
    "runs/demo/finetune/model/model.safetensors",
    "runs/demo/finetune/model/config.json",
    "runs/demo/finetune/model/tokenizer.json",
    "runs/demo/prune/student_scores.safetensors",
    "runs/demo/prune/model/model.safetensors",
    "runs/demo/trial/model/model.safetensors",
    "runs/demo/sparsify/teacher_scores.safetensors",
    "runs/demo/sparsify/0.5_0.2/model.safetensors",
    "runs/demo/distill/0.5_0.2/model/config.json",
    "runs/demo/student/model.safetensors",
    "runs/demo/summary.json",
    "runs/demo/manifest.json",
    "runs/demo/config.yaml",
    "cache/sst2-train-*.safetensors",
    "cache/sst2-dev-*.safetensors",
    "sample_data/SST-2/train.tsv",
    "sample_data/SST-2/dev.tsv",
)
# Files of a run that was killed in the second epoch of the trial.
INTERRUPTED = (
    "runs/demo/trial/checkpoints/last.ckpt",
    "runs/demo/trial/checkpoints/best.ckpt",
    "runs/demo/finetune/model/model.safetensors",
    "runs/demo/manifest.json",
    "runs/demo/teacher_outputs/*.safetensors",
)


@dataclass(frozen=True)
class Case:
    """A file and the kind of its damage."""

    state: str
    file: str
    damage: str
    draw: int = 0

    def __str__(self) -> str:
        """The id of the test."""
        return f"{self.state}-{self.file.replace('*', '')}-{self.damage}-{self.draw}".replace(" ", "-").replace(
            "/", "."
        )


CASES = [
    Case(state, file, damage, draw)
    for state, files in (("finished", FINISHED), ("interrupted", INTERRUPTED))
    for file in files
    for damage in DAMAGES
    # A checkpoint has bits that have no effect, so one flip is not enough.
    for draw in range(3 if file.endswith(".ckpt") and DAMAGES[damage] is flip_bit else 1)
] + [Case("finished", file, damage) for damage, (_, files) in EDITS.items() for file in files]


@pytest.fixture(scope="module")
def interrupted(reference, tmp_path_factory) -> Path:
    """A place with a run that was killed in the second epoch of its second fit."""
    place = reference.new_place(tmp_path_factory.mktemp("interrupted") / "place", own=("cache",))
    at = {"event": "on_train_batch_end", "target": "trial", "call": BATCHES + BATCHES // 2 + 5}
    assert run_victim(place, {"do": "kill", **at}).status < 0
    assert (place / RUN / "trial/checkpoints/last.ckpt").is_file()
    return place


@pytest.fixture(scope="module")
def repaired(reference, interrupted, ahead, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage")

    def work(case: Case) -> tuple[list[str], int]:
        place = reference.new_place(folder / str(case), own=("sample_data",))
        origin = reference.place if case.state == "finished" else interrupted
        (place / "cache").unlink()
        for name in ("cache", "runs"):
            shutil.copytree(origin / name, place / name)
        path = next(iter(sorted(place.glob(case.file))))
        # A run's settings name its place.
        intact = path.read_bytes().replace(str(origin).encode(), str(place).encode())
        (DAMAGES[case.damage] if case.damage in DAMAGES else EDITS[case.damage][0])(path, case.draw)
        damaged = path.read_bytes() if path.is_file() else b""
        before = _outputs(place, origin)
        outcome = run_forked(place)
        complaints, lost = [], bytes_lost(before, damaged=path)
        if list(place.rglob(MARKER)):
            complaints.append("the payload was run")
        if "Traceback" in outcome.output:
            complaints.append(f"a traceback:\n{outcome.tail}")
        elif outcome.status == 2:
            complaints += outcome.complaints()
            complaints += [] if _is_named(path, place, outcome.output) else [f"not named:\n{outcome.tail}"]
        elif outcome.status != 0:
            complaints.append(f"exit status {outcome.status}:\n{outcome.tail}")
        elif path.suffix == ".tsv":
            complaints += _differences_of_other_data(place)
            lost = 0  # outputs of other data cannot be used
        else:
            complaints += differences(place / RUN, reference.run)
            if path.suffix != ".ckpt" and path.name != "manifest.json":
                complaints += _repair(path, intact, damaged, place, _told(case, outcome.output))
        shutil.rmtree(place)
        return complaints, lost

    return ahead(work)


def _told(case: Case, output: str) -> str:
    """The command's output; a removed cache file is no damage, so the command need not name it."""
    is_emptied_cache = DAMAGES.get(case.damage) is remove and Path(case.file).parent.name in (
        "cache",
        "teacher_outputs",
    )
    return f"{output}\n{Path(case.file).parent}" if is_emptied_cache else output


def _outputs(place: Path, origin: Path) -> dict[Path, tuple[int, int, int]]:
    """Finished outputs of a place, as listed in the manifest of the undamaged place."""
    names = [path.relative_to(origin) for path in finished_outputs(origin / RUN)]
    statuses = {place / name: (place / name).stat() for name in names if (place / name).exists()}
    return {path: (status.st_ino, status.st_mtime_ns, status.st_size) for path, status in statuses.items()}


def _is_named(path: Path, place: Path, output: str) -> bool:
    """Whether the output names a file, or the folder that is useless without it."""
    text = "".join(output.split())
    return any(str(name) in text for name in (path.relative_to(place), path.parent.relative_to(place), path.name))


def _repair(path: Path, intact: bytes, damaged: bytes, place: Path, output: str) -> list[str]:
    """Complaints about a file that was damaged and should have been repaired."""
    complaints = []
    if not path.is_file() or path.read_bytes() == damaged:
        complaints.append("the file was not made again")
    # The other files contain seconds or random names; their important parts are compared elsewhere.
    elif path.parts[len(place.parts)] != "cache" and path.name != "summary.json" and path.read_bytes() != intact:
        complaints.append("the file is not as it was")
    if not _is_named(path, place, output):
        complaints.append(f"the damage was not named:\n{output[-2000:]}")
    return complaints


def _differences_of_other_data(place: Path) -> list[str]:
    """Differences from a new run on the damaged TSV: if it is still readable, it is other data."""
    other = place / "new"
    other.mkdir()
    for name in ("sample_data", "cache"):
        (other / name).symlink_to(place / name)
    outcome = run_forked(other)
    if outcome.status != 0:
        return [f"a new run on the same data fails:\n{outcome.tail}"]
    return differences(place / RUN, other / RUN)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_never_a_wrong_result(case, repaired, fault_table):
    complaints, lost = repaired[case].result()
    fault_table.record(case.damage, complaints, lost)
    assert not complaints, "\n".join(complaints)


def test_rows_that_change_during_a_run_and_are_put_back(reference, tmp_path, fault_table):
    """They change between the first two fits. The second fit is refused; the next command gives the usual result."""
    place = reference.new_place(tmp_path / "place", own=("sample_data",))
    file, other = place / "sample_data/SST-2/train.tsv", tmp_path / "other.tsv"
    before = file.read_bytes()
    other.write_bytes(before.replace(b"\t1\n", b"\t0\n", 100))
    at = {"event": "rename", "target": "prune/model", "call": 1, "after": True}
    outcome = run_victim(place, {"do": "swap", "file": str(file), "other": str(other), **at})
    complaints = outcome.complaints()
    if not any("train split" in line and "changed while the run was working" in line for line in outcome.errors):
        complaints.append(f"not named:\n{outcome.tail}")
    file.write_bytes(before)
    outcome = run_forked(place)
    complaints += [] if outcome.status == 0 else [f"exit status {outcome.status}:\n{outcome.tail}"]
    complaints += differences(place / RUN, reference.run)
    fault_table.record("rows changed in a run", complaints)
    assert not complaints, "\n".join(complaints)


def test_the_payload_works(tmp_path):
    """Otherwise the missing file would prove nothing."""
    put_pickle(tmp_path / "x.bin")
    pickle.loads((tmp_path / "x.bin").read_bytes()).close()
    assert (tmp_path / MARKER).is_file()
