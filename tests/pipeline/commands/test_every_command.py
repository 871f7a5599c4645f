"""The module of each command."""

import inspect
import re
from importlib import import_module

import pytest

from pipeline.commands.dispatch import command_names
from pipeline.parsing.errors import OneLineErrors

# For each command: the module of its work, if it is another one, and the shortest valid arguments.
LEAST = {
    "card": ("pipeline.report.card", ["m"]),
    "compare": (None, ["a", "b"]),
    "export": ("pipeline.deploy.export.export", ["m", "--format", "onnx"]),
    "predict-file": ("pipeline.deploy.predict_file.predict_file", ["m", "--input", "i.csv"]),
    "push": ("pipeline.deploy.push", ["m", "me/m"]),
    "report": (None, ["runs/r"]),
    "sample-data": (None, ["d"]),
    "serve": ("pipeline.deploy.serve", ["m"]),
    "shrink": (None, ["m", "--data", "d.csv"]),
    "sweep": (None, ["s.yaml"]),
    "trim": ("pipeline.deploy.trim", ["m"]),
}


def module(name):
    return import_module(f"pipeline.commands.{name.replace('-', '_')}")


def test_there_are_these():
    assert set(command_names()) == {*LEAST, "run"}


@pytest.mark.parametrize("name", command_names())
def test_its_parser_has_its_name(name):
    assert module(name).parser().prog == f"stark {name}"


@pytest.mark.parametrize("name", LEAST)
def test_each_option_that_it_asks_for_is_there(name):
    """The source of the function is searched, because a call would need a model or a run."""
    work, least = LEAST[name]
    function = getattr(import_module(work), name.replace("-", "_")) if work else module(name).command
    asked = set(re.findall(r"\boptions\.([a-z_]\w*(?:\.[a-z_]\w*)?)\b", inspect.getsource(function)))
    parsed = module(name).parser().parse_args(least)
    assert asked
    assert {option for option in asked if option not in parsed} == set()


@pytest.mark.parametrize("name", ["card", "export", "predict-file", "push", "serve", "trim"])
def test_the_work_is_given_its_options(name, monkeypatch):
    work, least = LEAST[name]
    seen = []
    monkeypatch.setattr(f"{work}.{name.replace('-', '_')}", seen.append)
    module(name).command(least)
    (options,) = seen
    assert options == module(name).parser().parse_args(least)


def test_misspelt_options_are_told_in_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        module("report").command(["runs/x", "--ouput", "y"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "stark: error: unrecognized arguments: --ouput y: did you mean output?\n"


def test_a_single_fit_is_lightningclis(monkeypatch):
    seen = []
    monkeypatch.setattr("pipeline.fits.lightning_cli.StarkCLI", seen.append)
    module("fit").command(["validate", "--config", "x.yaml"])
    assert seen == [["validate", "--config", "x.yaml"]]


def test_parsers_are_of_one_kind():
    assert all(isinstance(module(name).parser(), OneLineErrors) for name in command_names())
