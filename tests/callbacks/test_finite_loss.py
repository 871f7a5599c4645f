"""A loss that is NaN or infinite: found once per window, traced to its rows, and never saved."""

import math

import pytest
import torch
from pytorch_lightning import Callback

from callbacks import FiniteLoss
from callbacks.finite_loss import NonFiniteLossError
from lightning_modules import FinetuningModule
from tests.tasks import fit, make_trainer


class Spoil(Callback):
    """Makes the loss of the n-th batch NaN or infinite, and keeps the rows of every batch."""

    def __init__(self, monkeypatch, bad, value=math.nan):
        self.rows = []
        original = FinetuningModule.task_loss

        def loss(module, logits, batch, *args):
            self.rows.append(batch["idx"].tolist())
            return original(module, logits, batch, *args) * (value if len(self.rows) in bad else 1)

        monkeypatch.setattr(FinetuningModule, "task_loss", loss)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_names_step_window_and_rows(tiny_task, tmp_path, monkeypatch, value, precision):
    spoil = Spoil(monkeypatch, {3}, value)
    trainer = make_trainer(tmp_path, [FiniteLoss(window=4)], precision=precision)
    with pytest.raises(NonFiniteLossError) as error:
        fit(trainer, tiny_task.finetuning(), tiny_task.data())
    message = str(error.value)
    assert "at step 3" in message
    assert "window of steps 1 to 4" in message
    assert f"of step 3: {', '.join(map(str, spoil.rows[2]))}." in message
    assert "learning rate" in message
    assert trainer.global_step == 4
    assert "\n" not in message


def test_is_looked_at_before_validation_and_before_checkpoints(tiny_task, tmp_path, monkeypatch):
    Spoil(monkeypatch, {9})
    trainer = make_trainer(tmp_path, [FiniteLoss(window=1000)])
    with pytest.raises(NonFiniteLossError, match=r"at step (9 to 14 \(6 batches\)|9), in the window of steps 8 to 14"):
        fit(trainer, tiny_task.finetuning(), tiny_task.data())
    kept = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert kept["global_step"] == 7
    assert all(torch.isfinite(tensor).all() for tensor in kept["state_dict"].values())
    trainer = make_trainer(tmp_path / "other", [FiniteLoss(window=1000)])
    Spoil(monkeypatch, {2})
    monkeypatch.setattr(FiniteLoss, "on_validation_start", lambda *_: None)
    monkeypatch.setattr(FiniteLoss, "on_train_epoch_end", lambda *_: None)
    with pytest.raises(NonFiniteLossError):
        fit(trainer, tiny_task.finetuning(), tiny_task.data())
    assert not list((tmp_path / "other/checkpoints").glob("*.ckpt"))


def test_the_device_is_waited_for_once_per_window(tiny_task, tmp_path, monkeypatch):
    looked = []
    look = FiniteLoss._look
    monkeypatch.setattr(
        FiniteLoss, "_look", lambda self, trainer: (looked.append(len(self._seen)), look(self, trainer))
    )
    fit(make_trainer(tmp_path, [FiniteLoss(window=5)], max_epochs=1), tiny_task.finetuning(), tiny_task.data())
    assert [length for length in looked if length] == [5, 2]  # seven batches, then validation


def test_a_window_has_at_least_a_batch():
    with pytest.raises(ValueError, match="window is 0"):
        FiniteLoss(0)
