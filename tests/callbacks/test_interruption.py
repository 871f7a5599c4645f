"""A signal at any moment of a fit: the fit stops at the end of a batch and resumes to the same bits."""

import os
import signal

import pytest
import torch
from pytorch_lightning import Callback, seed_everything

from callbacks import PARENT_VARIABLE, Interrupted, StopOnSignal
from tests.tasks import differences, fit, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")

SETTINGS = {"max_epochs": 2, "val_check_interval": 5}
DATA = {"batch_size": 8}  # 14 batches of train, 2 of the selection split


def new_module(task):
    seed_everything(3, verbose=False)  # the head is new
    return task.finetuning()


class SendAt(Callback):
    """Sends this process a signal at the n-th call of a hook."""

    def __init__(self, hook, call, signum=signal.SIGTERM, times=1):
        def send(*_, **__):
            self.calls += 1
            if self.calls == call:
                for _ in range(times):
                    os.kill(os.getpid(), signum)

        self.calls = 0
        setattr(self, hook, send)


@pytest.fixture(autouse=True)
def handlers():
    """Signal handlers as `stark` sets them: a signal outside of the batches interrupts at once."""

    def interrupt(signum, _):
        raise Interrupted(signum)

    before = {signum: signal.signal(signum, interrupt) for signum in (signal.SIGTERM, signal.SIGINT)}
    yield interrupt
    assert {signal.getsignal(signum) for signum in before} == {interrupt}  # every fit restores them
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture(scope="module")
def whole(tiny_task, tmp_path_factory):
    trainer = make_trainer(tmp_path_factory.mktemp("whole"), **SETTINGS)
    return trainer, fit(trainer, new_module(tiny_task), tiny_task.data(**DATA))


@pytest.mark.parametrize(
    ("hook", "call"),
    [
        ("on_train_batch_start", 3),
        ("on_train_batch_start", 5),  # validation follows
        ("on_train_batch_start", 14),  # the last of the epoch
        ("on_train_batch_start", 28),
        ("on_validation_batch_start", 1),
        ("on_validation_batch_start", 4),
        ("on_validation_start", 2),
        ("on_validation_end", 2),
        ("on_train_epoch_end", 1),
    ],
)
def test_a_stopped_fit_goes_on_to_the_same_bits(hook, call, whole, tiny_task, tmp_path):
    callbacks = [StopOnSignal(), SendAt(hook, call)]
    with pytest.raises(Interrupted) as stopped:
        fit(make_trainer(tmp_path, callbacks, **SETTINGS), new_module(tiny_task), tiny_task.data(**DATA))
    assert stopped.value.signum == signal.SIGTERM
    assert stopped.value.checkpoint == tmp_path / "checkpoints/last.ckpt"
    trainer = make_trainer(tmp_path, [StopOnSignal()], **SETTINGS)
    weights = fit(trainer, new_module(tiny_task), tiny_task.data(**DATA), stopped.value.checkpoint)
    expected_trainer, expected = whole
    assert differences(weights, expected) == []
    assert trainer.checkpoint_callback.best_model_score == expected_trainer.checkpoint_callback.best_model_score
    assert trainer.global_step == expected_trainer.global_step


def test_a_second_signal_ends_it_at_once(tiny_task, tmp_path):
    callbacks = [StopOnSignal(), SendAt("on_train_batch_start", 3, signal.SIGINT, times=2)]
    with pytest.raises(Interrupted, match="SIGINT") as stopped:
        fit(make_trainer(tmp_path, callbacks, **SETTINGS), new_module(tiny_task), tiny_task.data(**DATA))
    assert stopped.value.checkpoint is None
    assert not (tmp_path / "checkpoints/last.ckpt").exists()


@pytest.mark.parametrize("hook", ["on_train_end", "on_fit_end"])
def test_a_signal_after_the_last_batch_is_obeyed_when_the_fit_is_over(hook, tiny_task, tmp_path):
    trainer = make_trainer(tmp_path, [StopOnSignal(), SendAt(hook, 1)], max_epochs=1)
    with pytest.raises(Interrupted):
        fit(trainer, new_module(tiny_task), tiny_task.data(**DATA))
    assert trainer.global_step == 14
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 14


def test_a_fit_whose_pipeline_has_died_stops(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setenv(PARENT_VARIABLE, str(os.getppid()))
    fit(make_trainer(tmp_path / "alive", [StopOnSignal()], max_epochs=1), new_module(tiny_task), tiny_task.data(**DATA))
    monkeypatch.setenv(PARENT_VARIABLE, str(os.getpid()))
    trainer = make_trainer(tmp_path / "dead", [StopOnSignal()], max_epochs=1)
    with pytest.raises(Interrupted, match="SIGTERM"):
        fit(trainer, new_module(tiny_task), tiny_task.data(**DATA))
    assert trainer.global_step == 1
