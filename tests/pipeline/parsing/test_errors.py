"""Errors of users give one line; defects keep their traceback."""

import pytest
from jsonargparse import ArgumentParser

from callbacks import Pruning
from pipeline.parsing.errors import OneLineErrors, fail, mistake_of


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
    assert "sparsity is 70" in str(mistake_of(raised.value))


def test_an_error_of_a_library_is_no_mistake():
    with pytest.raises(ValueError, match="invalid literal") as raised:
        int("x")
    assert mistake_of(raised.value) is None


def test_parser_prints_no_usage(capsys):
    with pytest.raises(SystemExit) as stopped:
        OneLineErrors().parse_args(["--nothing"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "content", "end"),
    [
        ([], "studnt: {sparsity: 0.5}", "'studnt.sparsity' is not accepted: did you mean student.sparsity?"),
        ([], "student: {sparsty: 0.5}", "does not accept option 'sparsty': did you mean student.sparsity?"),
        (
            ["--student.sparsty", "0.5"],
            "{}",
            "--student.sparsty 0.5: did you mean student.sparsity?",
        ),
        (["--nothing"], "{}", "unrecognized arguments: --nothing; --help lists what there is"),
        (["--student.sparsity", "much"], "{}", "Given value: much"),
    ],
)
def test_a_misspelt_name_is_told_with_the_nearest(arguments, content, end, tmp_path, capsys):
    parser = OneLineErrors()
    parser.add_argument("--config", action="config")
    group = parser.add_argument_group("student", name="student")
    group.add_argument("--student.sparsity", type=float | None)
    (tmp_path / "file.yaml").write_text(content)
    with pytest.raises(SystemExit):
        parser.parse_args(["--config", str(tmp_path / "file.yaml"), *arguments])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.strip().endswith(end)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("seed: 1\nstudent:\n  sparsity: 0.5\n  sparsty: 0.5", 4),
        ("student.sparsty: 0.5", 1),
        ("seed: 1\nstudent:\n  sparsity: much", 3),
        ("seed: [1]", 1),
        # Inside a class, the parser reports the name without its prefix.
        ("rule: {class_path: callbacks.Pruning, init_args: {sparsity: 0.5,\n  sparsty: 1}}\nstudent: {sparsity: 1}", 2),
        ("rule: {class_path: callbacks.Pruning, init_args: {sparsity: 0.5,\n  split: 1}}", 2),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(content, line, tmp_path, capsys):
    parser = OneLineErrors()
    parser.add_argument("--config", action="config")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--rule", type=Pruning | None)
    parser.add_argument_group("student", name="student").add_argument("--student.sparsity", type=float | None)
    files = [tmp_path / f"{name}.yaml" for name in ("before", "wrong", "after")]
    for file, text in zip(files, ("student: {sparsity: 0.1}", content, "seed: 2"), strict=True):
        file.write_text(text)
    for _ in range(2):  # the first call leaves no state
        with pytest.raises(SystemExit):
            parser.parse_args([f"--config={file}" for file in files])
        assert capsys.readouterr().err.startswith(f"stark: error: {files[1]}, line {line}: ")


def test_where_a_name_is_twice_the_file_alone_is_told(tmp_path, capsys):
    parser = OneLineErrors()
    parser.add_argument("--config", action="config")
    parser.add_argument("--rules", type=list[Pruning])
    rule = "- {class_path: callbacks.Pruning, init_args: {sparsty: 0.5}}"
    (tmp_path / "wrong.yaml").write_text(f"rules:\n{rule}\n{rule}")
    with pytest.raises(SystemExit):
        parser.parse_args([f"--config={tmp_path / 'wrong.yaml'}"])
    assert capsys.readouterr().err.startswith(f"stark: error: {tmp_path / 'wrong.yaml'}: ")


@pytest.mark.parametrize("wrong", ["--seed=x", "--sed=1", "--rule.sparsty=0.5", "--student={sparsty: 1}"])
def test_what_is_wrong_on_the_command_line_is_told_without_a_file(wrong, tmp_path, capsys):
    parser = OneLineErrors()
    parser.add_argument("--config", action="config")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--rule", type=Pruning | None)
    parser.add_argument("--other", type=dict | None)
    parser.add_argument_group("student", name="student").add_argument("--student.sparsity", type=float | None)
    # The same name in another place is not the error.
    (tmp_path / "right.yaml").write_text("seed: 2\nother: {sparsty: 1}\nrule: {class_path: callbacks.Pruning}")
    with pytest.raises(SystemExit):
        parser.parse_args([f"--config={tmp_path / 'right.yaml'}", wrong])
    assert "right.yaml" not in capsys.readouterr().err


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
