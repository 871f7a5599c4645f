import pytest
import torch

from callbacks import Pause, Paused
from tests.tasks import fit, make_trainer


def weights(module):
    return {name: tensor.clone() for name, tensor in module.classifier.state_dict().items()}


def test_a_paused_fit_goes_on_as_if_it_never_had(tiny_task, tmp_path):
    whole = tiny_task.distillation()
    fit(make_trainer(tmp_path / "whole", max_epochs=3), whole, tiny_task.data())
    paused = tiny_task.distillation()
    trainer = make_trainer(tmp_path / "parts", [Pause(2)], max_epochs=3)
    with pytest.raises(Paused):
        fit(trainer, paused, tiny_task.data())
    assert [epoch for epoch, _ in paused.val_scores] == [0, 1]
    assert not all(torch.equal(a, b) for a, b in zip(weights(paused).values(), weights(whole).values(), strict=True))
    checkpoint = tmp_path / "parts/checkpoints/last.ckpt"
    resumed = tiny_task.distillation()
    fit(make_trainer(tmp_path / "resumed", max_epochs=3), resumed, tiny_task.data(), checkpoint)
    assert resumed.val_scores == whole.val_scores
    assert [epoch for epoch, _ in whole.val_scores] == [0, 1, 2]
    for name, tensor in weights(whole).items():
        assert torch.equal(weights(resumed)[name], tensor), name


def test_a_shorter_fit_ends_as_ever(tiny_task, tmp_path):
    trainer = make_trainer(tmp_path, [Pause(1)], max_epochs=1)
    fit(trainer, tiny_task.distillation(), tiny_task.data())
    assert trainer.current_epoch == 1


def test_it_pauses_after_at_least_one_epoch():
    with pytest.raises(ValueError, match="epochs is 0: pause after at least 1"):
        Pause(0)
