"""The display of a run on a terminal and in a log."""

import io
import re
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from callbacks.epoch_lines import duration_text
from pipeline.execution.display import Display, StageLines
from tests.tasks import Scored, SlowClock, fit, make_trainer


class Terminal(io.StringIO):
    """A text stream that is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A function that gives the test a terminal; pytest replaces sys.stdout between a fixture and its test."""

    def give():
        monkeypatch.setattr("sys.stdout", found := Terminal())
        return found

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return give


def shown_on(terminal):
    """The lines that the terminal has shown, without its control sequences."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue()))


@pytest.mark.usefixtures("unscored")
def test_a_bar_has_the_scores_the_number_and_the_time_left(tiny_task, tmp_path, terminal):
    shown, display = terminal(), Display()
    display.expect(["seed_1/distill/0.5_0.1", "b"], {}, has_more=True)
    with display.stage("seed_1/distill/0.5_0.1", "it was interrupted") as progress:
        trainer = make_trainer(tmp_path, [progress, Scored(0.5, 0.75, 0.25)], max_epochs=3)
        fit(trainer, tiny_task.finetuning(), tiny_task.data())
    lines = shown_on(shown)
    assert "seed_1/distill/0.5_0.1  1/2+ it was interrupted" in lines
    bars = [line.rstrip() for line in lines if "━" in line]
    assert re.fullmatch(r"seed_1/distill/0.5_0.1  1/2\+ ━{8} score 0.2500, best 0.7500 \d:\d\d:\d\d 0:00:00", bars[-1])
    assert max(map(len, lines)) <= 80


@pytest.mark.usefixtures("unscored")
def test_a_log_has_a_line_per_epoch_and_nothing_that_moves(tiny_task, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    clock = SlowClock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    display = Display()
    display.expect(["trial", "distill/0.5_0.1", "evaluate"], {}, has_more=False)
    with display.stage("trial", "it was interrupted") as progress:
        trainer = make_trainer(tmp_path / "trial", [progress, Scored(0.5, 0.75), clock], max_epochs=2)
        fit(trainer, tiny_task.finetuning(), tiny_task.data())
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    epoch = 5 * clock.batches
    assert re.sub(r"loss [\d.]+", "loss", shown).splitlines() == [
        "stage 1 of 3: trial, it was interrupted",
        f"trial, epoch 1 of 2: score 0.5000, best 0.5000, loss, {epoch} s; left: at most {epoch} s for the stage, "
        # A distillation takes as long as the trial; that of the evaluation is unknown.
        f"more than {duration_text(3 * epoch)} for the run",
        f"trial, epoch 2 of 2: score 0.7500, best 0.7500, loss, {epoch} s; left: more than {duration_text(2 * epoch)} "
        "for the run",
        f"trial: finished after {duration_text(2 * epoch)}; left: more than {duration_text(2 * epoch)} for the run",
    ]
    assert "\r" not in shown


def test_stages_are_counted_in_the_order_in_which_they_begin(capsys):
    display = Display(workers=2)
    names = ["finetune", "prune", "trial", "distill/0.5_0.1"]
    display.expect(names, {"finetune": 5.0, "prune": 1.0}, has_more=True)
    display.skipped("finetune")
    display.skipped("prune")
    display.started("distill/0.5_0.1", "it has not run yet")
    display.started("trial", "the loss has changed")
    display.finished("trial", 100.0)
    display.expect([*names, "evaluate"], {"finetune": 5.0, "prune": 1.0, "trial": 100.0}, has_more=False)
    with display.stage("evaluate", "it has not run yet"):
        pass
    display.finished("distill/0.5_0.1", 300.0)
    assert capsys.readouterr().out.splitlines() == [
        "stage 1 of at least 4: finetune, finished earlier",
        "stage 2 of at least 4: prune, finished earlier",
        "stage 3 of at least 4: distill/0.5_0.1, started",
        "stage 4 of at least 4: trial, started, the loss has changed",
        # Half of the trial's time, as two fits run at a time.
        "trial: finished after 2 min; left: more than 50 s for the run",
        "stage 5 of 5: evaluate",
        "evaluate: finished after 0.0 s; left: about 50 s for the run",
        "distill/0.5_0.1: finished after 5 min",
    ]


def test_fits_of_a_search_are_named(capsys):
    lines = StageLines("seed_1/search", Console(width=20), lambda left: f"about {left + 1:g} s")
    for folder in ("/runs/x/seed_1/search", "/runs/x/seed_1/distill/0.5_0.1"):
        lines.write(SimpleNamespace(default_root_dir=folder), "epoch 1 of 2: 5 s", 3.0)
    assert capsys.readouterr().out.splitlines() == [
        "seed_1/search, epoch 1 of 2: 5 s; left: at most 3 s for the stage, about 4 s for the run",
        "seed_1/search, distill/0.5_0.1, epoch 1 of 2: 5 s; left: at most 3 s for the stage, about 4 s for the run",
    ]


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_failing_stage_is_not_shown_as_done(is_terminal, capsys, terminal):
    screen = terminal() if is_terminal else None
    display = Display()
    display.expect(["trial"], {}, has_more=False)

    def fail() -> None:
        with display.stage("trial", "it was interrupted"):
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    shown = screen.getvalue() if screen else capsys.readouterr().out
    assert "trial" in shown
    assert "finished" not in shown
