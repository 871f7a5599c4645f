"""Lines that are told once."""

import pytest

from stark.telling import warn_once


@pytest.fixture(autouse=True)
def untold():
    warn_once.cache_clear()


def test_a_line_is_told_once(caplog):
    for line in ("one", "two", "one"):
        warn_once(line)
    assert [record.getMessage() for record in caplog.records] == ["one", "two"]


@pytest.mark.parametrize(("rank", "told"), [("0", 1), ("1", 0)])
def test_only_the_first_process_tells(monkeypatch, caplog, rank, told):
    monkeypatch.setenv("LOCAL_RANK", rank)
    warn_once("a line")
    assert len(caplog.records) == told
