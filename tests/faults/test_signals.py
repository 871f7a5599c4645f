"""SIGTERM and SIGINT: the run stops, prints how to continue, and continues."""

from __future__ import annotations

import random
import shutil
from typing import Any

import pytest

from tests.faults.commands import RUN, run_forked, run_victim
from tests.faults.results import bytes_lost, differences, finished_outputs
from tests.faults.test_kills import SEED

pytestmark = pytest.mark.faults

STATUS = {"terminate": 143, "interrupt": 130}
KIND = {"terminate": "SIGTERM", "interrupt": "SIGINT"}
# Fractions of the reference run's time, one in each third of it.
CASES = [
    (do, round((third + random.Random(f"{SEED} {do} {third}").random()) / 3 * 0.95, 3))
    for do in STATUS
    for third in range(3)
]


@pytest.fixture(scope="module")
def stopped(reference, ahead, tmp_path_factory):
    folder = tmp_path_factory.mktemp("signals")

    def work(case: tuple[str, float]) -> tuple[list[str], int]:
        do, share = case
        place = reference.new_place(folder / f"{do}-{share}")
        fault: dict[str, Any] = {"do": do, "seconds": share * reference.seconds}
        outcome = run_victim(place, fault)
        while outcome.status == 0 and (place / RUN / "student").exists():  # it was faster than the reference run
            shutil.rmtree(place / RUN)
            fault["seconds"] *= 0.7
            outcome = run_victim(place, fault)
        complaints = []
        if outcome.status != STATUS[do]:
            complaints.append(f"exit status {outcome.status}, not {STATUS[do]}:\n{outcome.tail}")
        if "Traceback" in outcome.output or not any(line.startswith("stark: ") for line in outcome.output.splitlines()):
            complaints.append(f"no line that says how to go on, or a traceback:\n{outcome.tail}")
        before = finished_outputs(place / RUN)
        outcome = run_forked(place)
        if outcome.status != 0:
            complaints.append(f"exit status {outcome.status} when going on:\n{outcome.tail}")
        complaints += differences(place / RUN, reference.run)
        lost = bytes_lost(before)
        shutil.rmtree(place)
        return complaints, lost

    return ahead(work)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_stops_when_it_is_told_to(case, stopped, fault_table):
    complaints, lost = stopped[case].result()
    fault_table.record(KIND[case[0]], complaints, lost)
    assert not complaints, "\n".join(complaints)
