"""The display of a run on the terminal."""

import pytest

from pipeline.execution.display import Display
from tests.tasks import Scored, fit, make_trainer


@pytest.mark.usefixtures("unscored")
def test_progress_shows_the_latest_and_the_best_score(tiny_task, tmp_path, capsys):
    with Display().stage("trial", "it was interrupted") as progress:
        trainer = make_trainer(tmp_path, [progress, Scored(0.5, 0.75, 0.25)], max_epochs=3)
        fit(trainer, tiny_task.finetuning(), tiny_task.data())
    assert "val/score 0.2500, best 0.7500" in capsys.readouterr().out


def test_a_failing_stage_is_not_shown_as_done(capsys):
    display = Display()

    def fail() -> None:
        with display.stage("trial", "it was interrupted"):
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert "trial" in capsys.readouterr().out
