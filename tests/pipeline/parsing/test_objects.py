"""Objects from settings."""

import pytest

from pipeline.parsing.objects import build
from stark.scores.magnitude import Magnitude
from stark.scores.score import Score


def test_a_class_path_is_enough():
    assert isinstance(build(Score, "student.score", "stark.Magnitude"), Magnitude)


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ("stark.NoSuchScore", "NoSuchScore"),
        ("stark.SoftTargets", "teacher.score"),
        ({"class_path": "stark.Random", "init_args": {"sede": 1}}, "sede"),
        ({"class_path": "stark.Random", "init_args": {"seed": "x"}}, "seed"),
        ({"init_args": {"seed": 1}}, "teacher.score"),
        ({"class_path": "stark.Knowledgeableness", "init_args": {"lam": 7}}, "lam is 7"),
        ("os.system", "os.system is not imported"),
    ],
)
def test_what_cannot_be_built_is_told_in_one_line(described, said, capsys):
    from cli import main  # noqa: F401 - mistakes of classes pass through the command

    with pytest.raises((SystemExit, ValueError)) as stopped:
        build(Score, "teacher.score", described)
    told = capsys.readouterr().err + str(stopped.value)
    assert said in told
