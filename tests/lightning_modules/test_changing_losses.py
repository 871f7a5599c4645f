"""Losses that change over a fit: the progress that they get, in resumed, rewound and recorded fits."""

import pytest
import torch
from pytorch_lightning import Callback

from callbacks import CUDAGraphs, Pruning, Rewinding, TeacherCache
from stark.losses.hidden_states import HiddenStates
from stark.losses.logit_mse import LogitMSE
from stark.losses.loss import PROGRESS
from stark.losses.soft_targets import SoftTargets
from stark.losses.weighted import WeightedSum
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from tests.stark.forward.test_replaying import Remember
from tests.tasks import StopAt, Stopped, differences, fit, make_trainer


class Progress(WeightedSum):
    """Keeps the progress of each step."""

    def forward(self, problem, student, teacher, batch, reduction="mean"):
        if torch.is_grad_enabled():
            self.seen = [*getattr(self, "seen", []), float(batch[PROGRESS])]
        return super().forward(problem, student, teacher, batch, reduction)


def changing(kind=WeightedSum):
    return kind([SoftTargets(), LogitMSE(1.0), HiddenStates([-1])], [1.0, (3.0, 0.0), (0.0, 2.0)], "cosine")


@pytest.mark.parametrize("accumulate", [1, 3])
def test_it_goes_from_0_to_1_by_optimizer_steps_in_each_phase(tiny_task, tmp_path, accumulate):
    module = tiny_task.distillation(loss=changing(Progress))
    trainer = make_trainer(tmp_path, [Rewinding(1)], max_epochs=3, accumulate_grad_batches=accumulate)
    fit(trainer, module, tiny_task.data())
    updates = -(-7 // accumulate)  # 108 rows in batches of 16

    def expected(epochs):
        steps = [epoch * updates + batch // accumulate for epoch in range(epochs) for batch in range(7)]
        return [step / (epochs * updates - 1) for step in steps]

    assert module.loss.seen == pytest.approx([*expected(1), *expected(2)])


@pytest.mark.parametrize("graphs", [False, True])
def test_a_resumed_fit_has_the_same_bits(tiny_task, tmp_path, monkeypatch, graphs):
    monkeypatch.setattr("callbacks.cuda_graphs.Graphs", Remember)
    monkeypatch.setattr("callbacks.cuda_graphs._DEVICE", "cpu")

    def train(name, callbacks=(), ckpt_path=None):
        torch.manual_seed(0)
        more = [CUDAGraphs()] if graphs else []
        trainer = make_trainer(tmp_path / name, [TeacherCache(), *more, *callbacks], max_epochs=3)
        return fit(trainer, tiny_task.distillation(loss=changing()), tiny_task.data(), ckpt_path)

    whole, path = train("whole"), tmp_path / "stopped.ckpt"
    with pytest.raises(Stopped):
        train("stopped", [StopAt(path, ("batch", 9))])
    assert differences(train("resumed", ckpt_path=path), whole) == []


def test_recorded_steps_follow_the_progress(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setattr("callbacks.cuda_graphs.Graphs", Remember)
    monkeypatch.setattr("callbacks.cuda_graphs._DEVICE", "cpu")

    class Losses(Callback):
        def __init__(self):
            self.values, self.recordings = [], 0

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            self.values.append(float(outputs["loss"].detach()))
            self.recordings = module.whole_steps.recordings

    # Nothing is learned and nothing is dropped, so that an epoch's losses are its weights times a constant per batch.
    still = load_classifier(tiny_task.teacher)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        setattr(still.config, name, 0.0)
    with torch.no_grad():
        still.classifier.bias.add_(torch.tensor([1.0, -1.0]))
    student = save_classifier(still, tmp_path / "still", load_tokenizer(tiny_task.teacher))
    loss, losses = WeightedSum([LogitMSE(1.0)], [(0.0, 1.0)]), Losses()
    module = tiny_task.distillation(loss=loss, learning_rate=0.0, student=student)
    fit(make_trainer(tmp_path / "fit", [CUDAGraphs(), losses], max_epochs=3), module, tiny_task.data())
    assert losses.recordings > 0
    # Each logit differs by 1.
    assert losses.values == pytest.approx([step / 20 for step in range(21)], abs=1e-5)


def test_a_pruned_student_is_prepared_again_when_it_resumes(tiny_task, tmp_path):
    def train(name, callbacks=(), ckpt_path=None):
        module = tiny_task.distillation(loss=changing())
        trainer = make_trainer(tmp_path / name, [Pruning(0.5), *callbacks], max_epochs=2)
        return fit(trainer, module, tiny_task.data(), ckpt_path)

    whole, path = train("whole"), tmp_path / "stopped.ckpt"
    with pytest.raises(Stopped):
        train("stopped", [StopAt(path, ("batch", 5))])
    assert differences(train("resumed", ckpt_path=path), whole) == []
