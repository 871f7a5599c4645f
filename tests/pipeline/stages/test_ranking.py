"""Scores and budgets of a run's student and teachers."""

import pytest
import torch

from cli import main
from pipeline.search.candidates import RankedTeacher
from pipeline.stages.ranking import RANKINGS, score_of
from stark.losses.soft_targets import SoftTargets
from stark.pruning import choose_units
from stark.scores.knowledgeableness import Knowledgeableness
from stark.scores.random import Random
from stark.scores.score import Distilled
from stark.scores.scoring import score_units
from tests.pipeline.runs import options
from tests.tiny import scores_against, tiny_batch, tiny_classifier


@pytest.fixture
def models():
    return tiny_classifier(seed=1).double(), tiny_classifier(seed=2).double()


def test_the_ends_of_lam_are_the_two_parts(models):
    teacher, student = models
    scores = scores_against(teacher, student, [tiny_batch()])
    for ranking, lam in (("expressiveness", 1.0), ("friendliness", 0.0)):
        found = choose_units(teacher, RANKINGS[ranking](), scores, 0.4)
        for kind, wanted in zip(found, choose_units(teacher, Knowledgeableness(lam), scores, 0.4), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(kind, wanted, strict=True))


@pytest.mark.parametrize("ranking", RANKINGS)
def test_every_ranking_removes_the_same_number(models, ranking):
    teacher, student = models
    score = RANKINGS[ranking]()
    scores = score_units(teacher, [tiny_batch()], [score], Distilled(student, SoftTargets()))
    heads, neurons = choose_units(teacher, score, scores, 0.25)
    assert sum(int((~mask).sum()) for mask in heads) == 2
    assert sum(int((~mask).sum()) for mask in neurons) == 32


def test_the_draw_is_by_the_seed_of_the_run(settings):
    score = score_of(settings, RankedTeacher("random", 0.2))
    assert isinstance(score, Random)
    assert score.seed == settings.seed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--student.score=stark.Friendliness"], "student.score is Friendliness, which compares with a trial student"),
        (["--student.budget=stark.Random"], "student.budget"),
        (["--teacher.lams=null", "--teacher.score=stark.NoSuchScore"], "NoSuchScore"),
        (
            ["--teacher.lams=null", "--teacher.score={class_path: stark.Knowledgeableness, init_args: {lam: 2}}"],
            "lam is 2",
        ),
    ],
)
def test_what_cannot_rank_is_told_before_anything_is_written(given, said, tiny_task, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(options(tiny_task, tmp_path, *given))
    assert stopped.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stark: error")]
    assert said in line
    assert not (tmp_path / "tiny").exists()
