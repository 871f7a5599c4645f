import pytest

from pipeline.execution.time_left import TimeLeft, time_left

FINISHED = {"finetune": 30.0, "trial": 50.0, "seed_2/distill/0.5_0.1": 70.0, "sparsify": 9.0, "sparsify/0.5_0.1": 1.0}


@pytest.mark.parametrize(
    ("stages", "spent", "workers", "seconds", "is_whole"),
    [
        ([], {}, 1, 0.0, True),
        (["distill/0.5_0.2"], {}, 1, 60.0, True),  # the mean of the trial and the other distillation
        (["seed_3/trial", "distill/0.5_0.2"], {}, 1, 120.0, True),
        (["distill/0.5_0.2", "distill/0.5_0.3"], {"distill/0.5_0.2": 20.0}, 1, 100.0, True),
        (["distill/0.5_0.2", "distill/0.5_0.3"], {}, 2, 60.0, True),
        (["sparsify/0.5_0.3"], {}, 1, 1.0, True),  # cutting a teacher is not scoring it
        (["seed_2/sparsify"], {}, 1, 9.0, True),
        (["finetune"], {"finetune": 45.0}, 1, 0.0, True),
        (["distill/0.5_0.2", "evaluate"], {}, 1, 60.0, False),
    ],
)
def test_each_stage_takes_as_long_as_others_of_its_kind(stages, spent, workers, seconds, is_whole):
    assert time_left(stages, FINISHED, spent, workers=workers) == TimeLeft(pytest.approx(seconds), is_whole)


def test_without_a_finished_stage_nothing_is_known():
    assert time_left(["finetune"], {}, {}) == TimeLeft(0.0, is_whole=False)


def test_no_time_is_no_text():
    assert [str(TimeLeft(seconds, is_whole=False)) for seconds in (0.0, 0.4, 1.0)] == ["", "", "more than 1 s"]
