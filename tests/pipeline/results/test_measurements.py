import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.results.measurements import (
    Costs,
    Machine,
    Session,
    Use,
    keep_session,
    now_text,
    processor,
    read_sessions,
    this_machine,
)
from pipeline.run_folder import RunFolder
from stark.forward.latency import Latency
from stark.storage import WriteError

HERE = Machine("CPU of 8 cores", 2, {"torch": "2.9"})
THERE = replace(HERE, gpu="A100")
COSTS = Costs("abc", 7, 5, 1.5, 0.25, 300.0, {"cpu": {"1x32": Latency(2.0, 1.0, 4.0), "8x128": Latency(9.0, 8.0, 9.5)}})
SHAPES = {"cpu": ["8x128", "1x32"]}


def session(*folders, machine=HERE, time="noon", digest="abc"):
    return Session(machine, time, 128, {folder: replace(COSTS, digest=digest) for folder in folders})


def test_what_is_kept_is_read_again(tmp_path):
    assert read_sessions(tmp_path) == []
    first, second = session("a", "b"), session("a", "b", machine=THERE)
    keep_session(tmp_path, first)
    keep_session(tmp_path, second)
    assert read_sessions(tmp_path) == [first, second]


def test_a_session_replaces_those_that_it_covers(tmp_path):
    for folders in (("a", "b"), ("a", "c"), ("a", "b", "d")):
        keep_session(tmp_path, session(*folders))
    assert [set(known.models) for known in read_sessions(tmp_path)] == [{"a", "c"}, {"a", "b", "d"}]
    keep_session(tmp_path, session("a", "c", digest="other", time="later"))
    assert [known.time for known in read_sessions(tmp_path)] == ["noon", "later"]


@pytest.mark.parametrize(
    ("machine", "digests", "shapes", "has"),
    [
        (HERE, {"a": "abc", "b": "abc"}, SHAPES, True),
        (HERE, {"b": "abc"}, SHAPES, True),
        (THERE, {"a": "abc"}, SHAPES, False),
        (replace(HERE, threads=1), {"a": "abc"}, SHAPES, False),
        (replace(HERE, packages={"torch": "3.0"}), {"a": "abc"}, SHAPES, False),
        (HERE, {"a": "abc", "b": "changed"}, SHAPES, False),
        (HERE, {"a": "abc", "c": "abc"}, SHAPES, False),
        (HERE, {"a": "abc"}, {"cpu": ["1x32"]}, False),
        (HERE, {"a": "abc"}, {**SHAPES, "cuda": ["1x32"]}, False),
    ],
)
def test_what_it_has(machine, digests, shapes, has):
    assert session("a", "b").has(machine, digests, shapes) is has


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("2.0", "0.5"),  # a nicer latency
        lambda text: text[:100],
        lambda text: "[]",
        lambda text: json.dumps({**json.loads(text), "schema": 2}),
        lambda text: "my own measurements",
    ],
)
def test_a_changed_file_is_told_and_left_alone(tmp_path, change, caplog):
    keep_session(tmp_path, session("a"))
    path = RunFolder(tmp_path).measurements
    changed = change(path.read_text())
    path.write_text(changed)
    assert read_sessions(tmp_path) == []
    assert f"{path} is damaged, was changed or is of another version: its models are measured again" in caplog.text
    keep_session(tmp_path, session("b"))
    assert path.read_text() == changed
    assert "is left as it is: remove it to keep new measurements" in caplog.text


def test_a_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch, caplog):
    def full(path, _):
        raise WriteError(path, "No space left on device")

    monkeypatch.setattr("pipeline.results.measurements.write_json", full)
    keep_session(tmp_path, session("a"))
    assert "the measurements are not kept: cannot write" in caplog.text


def test_this_machine_is_described():
    found = this_machine()
    assert found == this_machine()
    assert found.processor == processor() != ""
    assert found.threads >= 1
    assert found.packages["torch"].startswith("2.")
    time, _, load = now_text().partition(" UTC, load ")
    assert abs(datetime.fromisoformat(f"{time}+00:00") - datetime.now(UTC)) < timedelta(minutes=2)
    assert abs(float(load) - os.getloadavg()[0]) < 1


USE = Use("abc", 1.0, 2.0, 3.0, 100.0, 5.0, 6.0, 2)


def test_measurements_of_real_rows_are_kept_beside_the_others(tmp_path):
    first, real = session("a", "b"), Session(HERE, "noon", 0, {}, {"a": USE, "c": USE})
    keep_session(tmp_path, first)
    keep_session(tmp_path, real)
    keep_session(tmp_path, first)
    assert read_sessions(tmp_path) == [real, first]
    more = Session(HERE, "later", 0, {}, {"a": USE, "c": USE, "d": USE})
    keep_session(tmp_path, more)
    assert read_sessions(tmp_path) == [first, more]


@pytest.mark.parametrize(
    ("machine", "digests", "has"),
    [
        (HERE, {"a": "abc"}, True),
        (HERE, {"a": "other"}, False),
        (HERE, {"a": "abc", "b": "abc"}, False),
        (THERE, {"a": "abc"}, False),
    ],
)
def test_measurements_of_real_rows_are_those_of_machine_and_models(machine, digests, has):
    assert Session(HERE, "noon", 0, {}, {"a": USE}).has_uses(machine, digests) is has
    assert not session("a").has_uses(machine, digests)


def test_a_file_of_an_earlier_version_is_read(tmp_path):
    keep_session(tmp_path, session("a"))
    assert "uses" not in RunFolder(tmp_path).measurements.read_text()
    assert read_sessions(tmp_path)[0].uses is None
