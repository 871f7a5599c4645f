"""Functions that all scores share."""

import pytest

from stark.errors import StarkError
from stark.scores.expressiveness import Expressiveness
from stark.scores.fisher import Fisher
from stark.scores.friendliness import Friendliness, KLFriendliness, SignedFriendliness
from stark.scores.knowledgeableness import Knowledgeableness
from stark.scores.magnitude import Magnitude
from stark.scores.random import Random
from stark.scores.score import check_score
from stark.scores.taylor import SignedExpressiveness, Taylor
from stark.scores.unit_scores import UnitScores
from stark.scores.wanda import Wanda
from tests.tiny import scores_against, tiny_batch, tiny_classifier

ALL = [
    *(Expressiveness(), Friendliness(), SignedFriendliness(), KLFriendliness(), Magnitude(), Random(1)),
    *(Fisher(), SignedExpressiveness(), Taylor(), Wanda()),
]


def test_names_are_those_of_files_and_baselines():
    names = [part.name for score in ALL for part in score.parts]
    assert names[:4] == ["expressiveness", "friendliness", "signed_friendliness", "kl_friendliness"]
    assert names[4:] == ["fisher", "signed_expressiveness", "taylor", "wanda"]
    assert [part.name for part in Knowledgeableness().parts] == names[:2]


def test_they_tell_their_settings():
    assert repr(Knowledgeableness(0.25)) == "Knowledgeableness(lam=0.25)"
    assert repr(Expressiveness()) == "Expressiveness()"


@pytest.mark.parametrize("score", [Friendliness(), SignedFriendliness(), KLFriendliness(), Knowledgeableness()])
def test_a_student_cannot_be_cut_by_what_compares_with_it(score):
    with pytest.raises(StarkError, match=rf"student.score is {type(score).__name__}, which compares with a trial"):
        check_score(score, "student.score")


def test_others_can_cut_it():
    for score in (Expressiveness(), Magnitude(), Random()):
        assert check_score(score, "student.score") is score


def test_a_score_reads_its_parts_from_a_file(tmp_path):
    teacher = tiny_classifier()
    saved = scores_against(teacher, tiny_classifier(seed=1), [tiny_batch()])
    saved.save(tmp_path / "scores")
    assert list(Expressiveness().read(tmp_path / "scores", teacher).heads) == ["expressiveness"]
    assert Magnitude().read(tmp_path / "scores", teacher) == UnitScores({}, {}, saved.model)
    with pytest.raises(StarkError, match="scores signed_friendliness are for"):
        SignedFriendliness().read(tmp_path / "scores", teacher)
