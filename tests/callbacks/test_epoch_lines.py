"""Lines after each epoch, with a clock that is set by hand."""

import math
import re
import time

import pytest

from callbacks import AveragedWeights, EpochLines, Pause, Paused
from callbacks.epoch_lines import best_so_far, duration_text
from tests.tasks import Scored, SlowClock, fit, make_trainer

LINE = re.compile(
    r"epoch (\d) of 3: score (0\.\d{4}), best ([01]\.\d{4}), loss \d\.\d{4}, (\d+) s(?:; at most (\d+) s left)?\n"
)


@pytest.fixture
def clock(monkeypatch):
    found = SlowClock()
    monkeypatch.setattr(time, "monotonic", lambda: found.now)
    return found


@pytest.mark.usefixtures("unscored")
def test_each_epoch_has_a_line(tiny_task, tmp_path, clock, capsys):
    trainer = make_trainer(tmp_path, [Scored(0.5, 0.75, 0.25), EpochLines(), clock], max_epochs=3)
    fit(trainer, tiny_task.finetuning(), tiny_task.data())
    found = LINE.findall(capsys.readouterr().out)
    seconds = 5 * clock.batches
    assert [(epoch, score, best, int(took), int(left or 0)) for epoch, score, best, took, left in found] == [
        ("1", "0.5000", "0.5000", seconds, 2 * seconds),
        ("2", "0.7500", "0.7500", seconds, seconds),
        ("3", "0.2500", "0.7500", seconds, 0),
    ]


@pytest.mark.usefixtures("unscored")
def test_a_resumed_fit_counts_its_own_speed(tiny_task, tmp_path, clock, capsys):
    def train(folder, *callbacks, checkpoint=None):
        trainer = make_trainer(folder, [*callbacks, Scored(0.5, 0.75, 0.25), EpochLines(), clock], max_epochs=3)
        fit(trainer, tiny_task.finetuning(), tiny_task.data(), checkpoint)

    with pytest.raises(Paused):
        train(tmp_path / "one", Pause(1))
    capsys.readouterr()
    clock.now += 1000.0  # between the two commands
    train(tmp_path / "two", checkpoint=tmp_path / "one/checkpoints/last.ckpt")
    found = LINE.findall(capsys.readouterr().out)
    # The first epoch, at whose end the checkpoint was written, has its line in the output of the first command.
    assert [line[0] for line in found] == ["2", "3"]
    assert [int(line[-1] or 0) for line in found] == [5 * clock.batches, 0]


def test_a_resumed_fit_knows_its_earlier_best(tiny_task, tmp_path, capsys):
    module = tiny_task.finetuning()
    assert best_so_far(module) == -math.inf
    with pytest.raises(Paused):
        fit(make_trainer(tmp_path / "one", [Pause(1)], max_epochs=2), module, tiny_task.data())
    module.val_scores[0] = (0, 2.0)  # more than any later epoch can have
    capsys.readouterr()
    trainer = make_trainer(tmp_path / "two", [EpochLines()], max_epochs=2)
    trainer.ckpt_path = str(tmp_path / "one/checkpoints/last.ckpt")
    resumed = tiny_task.finetuning()
    original = resumed.on_load_checkpoint

    def load(checkpoint):
        original(checkpoint)
        resumed.val_scores = list(module.val_scores)

    resumed.on_load_checkpoint = load
    trainer.fit(resumed, tiny_task.data(), weights_only=True)
    assert "best 2.0000" in capsys.readouterr().out


def test_a_terminal_has_no_lines(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    EpochLines().write(None, "epoch 1", 2.0)
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    EpochLines().write(None, "epoch 2", 2.0)
    assert capsys.readouterr().out == "epoch 2; at most 2 s left\n"


def test_long_durations():
    assert [duration_text(seconds) for seconds in (89.4, 91, 3599, 3600, 90_000)] == [
        *("89 s", "2 min", "1 h 0 min", "1 h 0 min", "25 h 0 min"),
    ]


@pytest.mark.usefixtures("unscored")
def test_no_best_epoch_is_named_where_weights_are_averaged(tiny_task, tmp_path, capsys):
    trainer = make_trainer(tmp_path, [EpochLines(), AveragedWeights(), Scored(0.75, 0.5)])
    fit(trainer, tiny_task.finetuning(), tiny_task.data())
    scores = re.findall(r": score (.*), loss", capsys.readouterr().out)
    assert scores == ["0.7500", "0.5000, averaged"]
