import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint

from callbacks import Pruning, Rewinding
from callbacks.lifecycle import HasTrial, best_checkpoints, has_trial, load_best, resumes
from tests.tasks import differences, fit, make_trainer


class OtherTrial(Callback):
    trial_epochs = 3


@pytest.mark.parametrize(
    ("callbacks", "expected"), [([], False), ([Pruning(0.5)], False), ([Rewinding(1)], True), ([OtherTrial()], True)]
)
def test_a_trial_is_known_by_a_callback_with_trial_epochs(tmp_path, callbacks, expected):
    assert has_trial(make_trainer(tmp_path, callbacks)) is expected


def test_rewinding_is_what_the_protocol_means():
    assert isinstance(Rewinding(1), HasTrial)


def test_a_fit_resumes_when_its_trainer_has_a_checkpoint(tmp_path):
    trainer = make_trainer(tmp_path)
    assert not resumes(trainer)
    trainer.ckpt_path = "some.ckpt"
    assert resumes(trainer)


def test_best_weights_come_from_the_checkpoint_with_a_monitor(tiny_task, tmp_path):
    latest = ModelCheckpoint(tmp_path / "latest", "last", enable_version_counter=False)
    trainer = make_trainer(tmp_path, [latest], max_epochs=1)
    module = tiny_task.finetuning()
    assert not load_best(trainer, module)  # there is no best checkpoint yet
    trained = fit(trainer, module, tiny_task.data())
    torch.nn.init.zeros_(module.classifier.classifier.weight)
    (best,) = best_checkpoints(trainer)
    assert best is not latest
    assert load_best(trainer, module)
    assert differences(trained, module.state_dict()) == []
