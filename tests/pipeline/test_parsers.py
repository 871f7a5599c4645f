"""The options of commands."""

import re
from pathlib import Path

import pytest

from pipeline import parsers

COMMANDS = [name for name in parsers.__all__ if name != "Format"]
# The least that each takes.
LEAST = {
    "card": ["m"],
    "compare": ["a", "b"],
    "export": ["m", "--format", "onnx"],
    "predict_file": ["m", "--input", "i.csv"],
    "push": ["m", "me/m"],
    "report": ["runs/r"],
    "sample_data": ["d"],
    "serve": ["m"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_is_called_as_its_command(name):
    assert getattr(parsers, name)().prog == f"stark {name.replace('_', '-')}"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_that_a_command_asks_for_is_there(name):
    """By the text of the module that does the work: another one needs a model or a run."""
    module = "report/command" if name in ("report", "compare") else name.removesuffix("_data")
    source = (Path(parsers.__file__).parent / f"{module}.py").read_text()
    body = source[source.index(f"\ndef {name}(options: Namespace)") :]
    asked = set(re.findall(r"\boptions\.([a-z_]\w*(?:\.[a-z_]\w*)?)\b", re.split(r"\n(?:def|class|@)", body[1:])[0]))
    parsed = getattr(parsers, name)().parse_args(LEAST[name])
    assert asked
    assert {option for option in asked if option not in parsed} == set()


def test_misspelt_options_are_told_in_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        parsers.report().parse_args(["runs/x", "--ouput", "y"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "stark: error: unrecognized arguments: --ouput y: did you mean output?\n"
