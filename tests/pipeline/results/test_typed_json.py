"""The files of dataclasses; test_summary.py has the values that a summary refuses."""

import json
from dataclasses import dataclass

import pytest

from pipeline.results.typed_json import WrongValueError, plain, typed


@dataclass
class Inner:
    value: float
    note: str | None = None


@dataclass
class Outer:
    names: list[str]
    parts: dict[str, Inner]
    deep: dict[str, dict[str, Inner]]


VALUE = Outer(["a"], {"x": Inner(1.5)}, {"cpu": {"1x2": Inner(2, "b")}})


def test_a_file_gives_the_same_again():
    assert typed(Outer, json.loads(json.dumps(plain(VALUE)))) == VALUE
    assert plain(VALUE)["parts"] == {"x": {"value": 1.5}}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"names": ["a"], "parts": {}}, "deep is missing"),
        ({"names": [3], "parts": {}, "deep": {}}, r"names\[0\] is '3'"),
        ({"names": [], "parts": {}, "deep": {"cpu": {"1x2": {"value": "2"}}}}, "deep.cpu.1x2.value is '2'"),
        ({"names": [], "parts": {}, "deep": {}, "more": 1}, "more is unknown"),
        ([], r"it is '\[\]'"),
    ],
)
def test_what_is_refused(values, reason):
    with pytest.raises(WrongValueError, match=f"^{reason}$"):
        typed(Outer, values)
