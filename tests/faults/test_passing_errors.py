"""Temporary errors when a file is read: one line, no file is removed, and the same command continues afterwards.

The file is intact. Therefore an interrupted run must not restart a fit, create a cache again or train a stage again.
"""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.faults.commands import BATCHES, RUN, run_forked, run_victim
from tests.faults.results import differences

pytestmark = pytest.mark.faults

ERRORS = [
    ("runs/demo/trial/checkpoints/last.ckpt", errno.EMFILE),
    ("runs/demo/trial/checkpoints/best.ckpt", errno.EIO),
    ("runs/demo/trial/checkpoints", errno.EACCES),
    ("runs/demo/finetune/model/model.safetensors", errno.ESTALE),
    ("runs/demo/prune/model/config.json", errno.EACCES),
    ("runs/demo/manifest.json", errno.EIO),
    ("runs/demo/teacher_outputs/*.safetensors", errno.ENOMEM),
    ("cache/sst2-train-*.safetensors", errno.ENOMEM),
    ("sample_data/SST-2/train.tsv", errno.ESTALE),
    ("sample_data/encoder/model.safetensors", errno.EMFILE),
]


@pytest.fixture(scope="module")
def interrupted(reference, tmp_path_factory) -> Path:
    """A place with a run that was killed in the second epoch of its second fit. No error may change its files."""
    place = reference.new_place(tmp_path_factory.mktemp("passing") / "place", own=("cache",))
    at = {"event": "on_train_batch_end", "target": "trial", "call": BATCHES + BATCHES // 2 + 5}
    assert run_victim(place, {"do": "kill", **at}).status < 0
    return place


def content(place: Path) -> dict[Path, bytes]:
    """The contents of a run's files that must not change; metrics are left out, because each command renames them."""
    kinds = (".ckpt", ".safetensors", ".json", ".yaml")
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file() and path.suffix in kinds}


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: f"{case[0].replace('*', '')}-{errno.errorcode[case[1]]}")
def test_nothing_is_lost(case, interrupted, fault_table):
    name, code = case
    before = content(interrupted)
    outcome = run_victim(interrupted, {"do": "", "unreadable": name, "code": code})
    complaints = outcome.complaints()
    if not outcome.names(Path(name).name.split("*")[0]):
        complaints.append(f"the file is not named:\n{outcome.tail}")
    after = content(interrupted)
    complaints += [f"{path} is gone or was changed" for path in before if after.get(path) != before[path]]
    fault_table.record("passing error", complaints, 0)
    assert not complaints, "\n".join(complaints)


def test_the_same_command_goes_on(interrupted, reference):
    outcome = run_forked(interrupted)
    assert outcome.status == 0, outcome.tail
    assert "goes on" in outcome.output or "interrupted" in outcome.output
    assert differences(interrupted / RUN, reference.run) == []
