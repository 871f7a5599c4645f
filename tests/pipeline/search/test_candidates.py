from pipeline.search.candidates import Candidate, candidates
from pipeline.settings import TeacherSettings


def test_every_lam_with_every_sparsity_but_none():
    found = candidates(TeacherSettings(lams=[0.75, 0.25], sparsities=[0.3, 0.0, 0.1]))
    assert found == [Candidate(0.25, 0.1), Candidate(0.75, 0.1), Candidate(0.25, 0.3), Candidate(0.75, 0.3)]
    assert [candidate.name for candidate in found] == ["0.25_0.1", "0.75_0.1", "0.25_0.3", "0.75_0.3"]


def test_the_dense_teacher_is_no_candidate():
    assert candidates(TeacherSettings(sparsities=[0.0])) == []
