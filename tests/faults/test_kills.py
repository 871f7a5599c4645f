"""SIGKILL at 22 moments of a run; the same command must then give the result of the run without faults."""

from __future__ import annotations

import os
import random
import shutil
import signal
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.commands import BATCHES, BETWEEN_VALIDATIONS, RUN, run_forked, run_victim
from tests.faults.results import bytes_lost, differences, finished_outputs

pytestmark = pytest.mark.faults

SEED = int(os.environ.get("STARK_FAULTS_SEED", "776"))
RANDOM_TIMES = 8


@dataclass(frozen=True)
class Kill:
    """The moment of a kill: a fraction of the reference run's time or renames, or an event (see victim.py)."""

    name: str
    kind: str
    share: float = 0.0
    event: str = ""
    target: str = ""
    call: int = 1
    after: bool = False


def _kills() -> list[Kill]:
    drawn = random.Random(SEED)
    times = [
        # One kill in each eighth of the run.
        Kill(f"time-{number}", "SIGKILL at a random time", share=(number + drawn.random()) / RANDOM_TIMES)
        for number in range(RANDOM_TIMES)
    ]
    last = BATCHES
    hooks = [
        ("before-first-checkpoint", "on_train_batch_end", "finetune", drawn.randrange(2, BETWEEN_VALIDATIONS), False),
        ("mid-epoch", "on_train_batch_end", "trial", last + drawn.randrange(2, BETWEEN_VALIDATIONS), False),
        ("last-batch", "on_train_batch_end", "trial", last, False),
        ("validation-start", "on_validation_start", "finetune", 3, False),
        ("validation-end", "on_validation_end", "distill", 2, False),
        ("after-validation-end", "on_validation_end", "trial", 3, True),
        ("epoch-end", "on_train_epoch_end", "distill", 1, True),
        ("fit-end", "on_fit_end", "trial", 1, False),
        ("next-fit-starts", "on_fit_start", "distill", 1, False),
    ]
    writes = [
        ("in-manifest", "fsync", "manifest.json", 3, False),
        ("best-without-last", "save_checkpoint", "trial/checkpoints/best", 2, True),
        ("finished-with-checkpoints", "rename", "trial/.checkpoints", 1, False),
        ("checkpoints-half-removed", "rename", "trial/.checkpoints", 1, True),
    ]
    return [
        *times,
        *(Kill(name, "SIGKILL in a hook", 0, *at) for name, *at in hooks),
        *(Kill(name, "SIGKILL in a write", 0, *at) for name, *at in writes),
        Kill("rename", "SIGKILL in a write", drawn.random(), "rename", after=drawn.random() < 0.5),
    ]


KILLS = _kills()


@pytest.fixture(scope="module")
def survivors(reference, ahead, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")

    def fault(kill: Kill) -> dict[str, Any]:
        at = {"event": kill.event, "target": kill.target, "call": kill.call, "after": kill.after}
        if not kill.event:
            at = {"seconds": kill.share * reference.seconds}
        elif kill.share:
            renames = [target for name, target in reference.events if name == kill.event]
            at["call"] = 1 + int(kill.share * len(renames))
        return {"do": "kill", **at}

    def work(kill: Kill) -> tuple[list[str], int]:
        place = reference.new_place(folder / kill.name)
        description = fault(kill)
        outcome = run_victim(place, description)
        while outcome.status == 0 and "seconds" in description:  # it was faster than the reference run
            shutil.rmtree(place / RUN)
            description["seconds"] *= 0.7
            outcome = run_victim(place, description)
        if outcome.status != -signal.SIGKILL:
            return [f"not killed, exit status {outcome.status}:\n{outcome.tail}"], 0
        before = finished_outputs(place / RUN)
        outcome = run_forked(place)
        if outcome.status != 0:
            return [f"exit status {outcome.status}:\n{outcome.tail}"], bytes_lost(before)
        found, lost = differences(place / RUN, reference.run), bytes_lost(before)
        found += [f"{path} is left" for path in (place / RUN).rglob("*.ckpt")]
        shutil.rmtree(place)
        return found, lost

    return ahead(work)


@pytest.mark.parametrize("case", KILLS, ids=lambda kill: kill.name)
def test_goes_on_after_a_kill(case, survivors, fault_table):
    complaints, lost = survivors[case].result()
    fault_table.record(case.kind, complaints, lost)
    assert not complaints, "\n".join(complaints)


def test_there_are_as_many_as_the_page_says():
    assert len(KILLS) == 22
    assert len({kill.name for kill in KILLS}) == 22
