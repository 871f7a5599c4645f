"""Every loss of the library in a short fit, with a pruned student and with one that lost layers."""

import logging

import pytest
import torch

import stark
from callbacks import LayerDropping, Pruning, TeacherCache, TeacherRestoring
from stark.errors import StarkError
from stark.telling import warn_once
from tests.stark.losses.test_every_loss import MADE
from tests.tasks import fit, make_trainer

LOGITS = ("SoftTargets", "ReverseKL", "SymmetricKL", "JensenShannon", "LogitMSE", "DecoupledKD", "DIST")
REFUSED = {
    "StandardizedLogits": "needs 3 classes or more, and there are 2",
    "AttentionMaps": "compares attention head by head",
    "MiniLM": "compares attention head by head",
}


def trained(task, folder, name, callback):
    torch.manual_seed(0)
    loss = stark.WeightedSum([stark.SoftTargets(), MADE[name]()], [1.0, (0.5, 2.0)])
    module = task.distillation(loss=loss)
    before = {key: value.clone() for key, value in module.student.state_dict().items()}
    trainer = make_trainer(
        folder, [callback, TeacherCache()], max_steps=2, max_epochs=-1, limit_val_batches=0, monitor=None
    )
    fit(trainer, module, task.data())
    return module, trainer, before


@pytest.mark.parametrize("name", MADE)
def test_a_pruned_student_is_trained_or_the_loss_refuses_it(tiny_task, tmp_path, name):
    if name in REFUSED:
        with pytest.raises(StarkError, match=REFUSED[name]):
            trained(tiny_task, tmp_path, name, Pruning(0.5))
        return
    module, trainer, _ = trained(tiny_task, tmp_path, name, Pruning(0.5))
    assert trainer.global_step == 2
    assert trainer.callback_metrics["train/loss"].isfinite()
    assert all(weight.isfinite().all() for weight in module.state_dict().values())


@pytest.mark.parametrize("name", [name for name in MADE if name not in (*LOGITS, "StandardizedLogits", "PatientKD")])
def test_a_student_that_lost_layers_is_trained(tiny_task, tmp_path, name):
    module, trainer, before = trained(tiny_task, tmp_path, name, LayerDropping(1))
    assert trainer.callback_metrics["train/loss"].isfinite()
    after = module.student.state_dict()
    assert any(not torch.equal(after[key], before[key]) for key in after)


def test_queries_keys_and_values_are_not_stored_and_that_is_told_once(tiny_task, tmp_path, caplog):
    warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        module, *_ = trained(tiny_task, tmp_path, "MiniLMv2", Pruning(0.5))
    assert module.teacher_outputs is None
    assert caplog.text.count("the teacher is asked at every step") == 1


def test_restoring_refuses_a_loss_that_compares_them(tiny_task, tmp_path):
    restoring = TeacherRestoring("scores.safetensors", 0.5, 0.3)
    with pytest.raises(StarkError, match="TeacherRestoring stores the teacher's outputs once per epoch"):
        fit(make_trainer(tmp_path, [restoring]), tiny_task.distillation(loss=stark.MiniLMv2()), tiny_task.data())
