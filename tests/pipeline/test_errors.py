"""Errors of users are one line; defects keep their traceback."""

import pytest
from jsonargparse import ArgumentParser

from callbacks import Pruning
from pipeline.errors import OneLineErrors, fail, own_error


def test_fail_prints_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        fail("first\n   second")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "stark: error: first second\n"


def test_an_error_of_ours_is_found_in_the_parsers_causes():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--callback", type=Pruning | None)
    parsed = parser.parse_args(["--callback", "Pruning", "--callback.sparsity", "70"])
    with pytest.raises(ValueError, match="Union") as raised:
        parser.instantiate(parsed)
    assert "sparsity is 70" in str(own_error(raised.value))


def test_an_error_of_a_library_is_not_ours():
    with pytest.raises(ValueError, match="invalid literal") as raised:
        int("x")
    assert own_error(raised.value) is None


def test_parser_prints_no_usage(capsys):
    with pytest.raises(SystemExit) as stopped:
        OneLineErrors().parse_args(["--nothing"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_long_message_is_cut(capsys):
    with pytest.raises(SystemExit):
        fail("x" * 10_000)
    assert len(capsys.readouterr().err) < 1100


@pytest.mark.parametrize("content", [b"\xff\xfe", b"&a [*a]", b"a: &a {b: *a}", b"\0", b"[[", b"text"])
def test_a_file_that_is_no_settings_is_one_line(content, tmp_path, capsys):
    parser = OneLineErrors()
    parser.add_argument("--config", action="config")
    parser.add_argument("--a", type=dict | None)
    (tmp_path / "file.yaml").write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(["--config", str(tmp_path / "file.yaml")])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
