import pytest
from pytorch_lightning import Callback

from callbacks import Pruning, Rewinding
from callbacks.lifecycle import HasTrial, has_trial, resumes
from tests.tasks import make_trainer


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
