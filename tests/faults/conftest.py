"""Fixtures: the run without faults, with which all others are compared, and the table of faults."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.commands import RUN, run_stark, run_victim
from tests.faults.table import FaultTable

_TABLE = pytest.StashKey[FaultTable]()
PARALLEL = 2


@dataclass(frozen=True)
class Reference:
    """The run without faults.

    Attributes:
        place: Folder in which it was started, with sample_data, cache and runs.
        events: Kind and target of its events, in order.
        seconds: Its duration, without the start of Python.
    """

    place: Path
    events: list[tuple[str, str]]
    seconds: float

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.place / RUN

    def new_place(self, folder: Path, *, own: tuple[str, ...] = ()) -> Path:
        """Make a folder in which the same command can be started.

        Args:
            folder: The folder to make.
            own: Names among sample_data, cache and runs that are copied. Otherwise the first two are links, and runs
                does not exist.
        """
        folder.mkdir(parents=True)
        for name in ("sample_data", "cache"):
            if name not in own:
                (folder / name).symlink_to(self.place / name)
        for name in own:
            shutil.copytree(self.place / name, folder / name)
        return folder


@pytest.fixture(scope="session")
def reference(tmp_path_factory) -> Reference:
    place = tmp_path_factory.mktemp("faults") / "unbroken"
    place.mkdir()
    for outcome in (run_stark(place, ["sample-data", "sample_data"]), run_victim(place, {"log": str(place / "log")})):
        assert outcome.status == 0, outcome.tail
    lines = [line.split("\t") for line in (place / "log").read_text().splitlines()]
    events = [(name, target) for name, target in lines]
    assert events[-1][0] == "seconds"
    return Reference(place, events[:-1], float(events[-1][1]))


@pytest.fixture(scope="session")
def fault_table(pytestconfig) -> FaultTable:
    return pytestconfig.stash.setdefault(_TABLE, FaultTable())


@pytest.fixture(scope="module")
def ahead(request) -> Iterator[Callable[[Callable[[Any], Any]], dict[Hashable, Future[Any]]]]:
    """Start the work of all selected tests of a module that have a parameter ``case``, two at a time."""
    with ThreadPoolExecutor(PARALLEL) as pool:

        def start(work: Callable[[Any], Any]) -> dict[Hashable, Future[Any]]:
            items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
            cases = [item.callspec.params["case"] for item in items if "case" in item.callspec.params]
            return {case: pool.submit(work, case) for case in cases}

        yield start
        pool.shutdown(cancel_futures=True)


def pytest_terminal_summary(terminalreporter, config) -> None:
    table = config.stash.get(_TABLE, None)
    if table is None or not table.rows:
        return
    terminalreporter.section("faults")
    terminalreporter.write(table.markdown())
    if path := os.environ.get("STARK_FAULTS_TABLE"):
        Path(path).write_text(table.markdown())
