"""A student of every family: layers dropped, pruned, refitted, trained, saved, distilled and cut again."""

import pytest
import torch

from callbacks import GradualPruning, LayerDropping, Pruning, SaveModelFolder
from stark.encoders.layers import encoder_passes, kept_units
from stark.forward.classifying import classify
from stark.losses.hidden_states import HiddenStates
from stark.losses.soft_targets import SoftTargets
from stark.losses.weighted import WeightedSum
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from tests.tasks import fit, make_trainer
from tests.tiny import FAMILIES, MAX_LENGTH, OWN_LAYERS, tiny_batch, tiny_classifier


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_goes_through_finetuning_and_distillation(family, tiny_task, tmp_path):
    tokenizer = load_tokenizer(tiny_task.encoder)
    data = tiny_task.data(max_length=MAX_LENGTH)
    model = tiny_classifier(family, layers=3, tokens=len(tokenizer))
    teacher = save_classifier(model, tmp_path / "teacher", tokenizer)
    one_step = {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 1}

    finetuned = tiny_task.finetuning(model=teacher)
    pruning = [LayerDropping(2), Pruning(0.5, refit=family in OWN_LAYERS), SaveModelFolder()]
    fit(make_trainer(tmp_path / "finetuning", pruning, **one_step), finetuned, data)
    student = load_classifier(tmp_path / "finetuning/model")
    assert student.config.model_type == f"stark-{family}"
    batch = tiny_batch()
    with torch.no_grad():
        torch.testing.assert_close(classify(student, batch), classify(finetuned.classifier.eval(), batch))

    module = tiny_task.distillation(
        teacher=teacher,
        student=tmp_path / "finetuning/model",
        loss=WeightedSum([SoftTargets(), HiddenStates()], [1.0, 1.0]),
    )
    fit(make_trainer(tmp_path / "distillation", [GradualPruning(0.75, cuts=1)], **one_step), module, data)
    sizes = [len(encoder_passes(one)) for one in (module.classifier, module.teacher)]
    assert sizes == [2, 3]
    heads, less = (sum(len(kept) for kept in kept_units(one).heads) for one in (student, module.classifier))
    assert less < heads
    assert all(torch.isfinite(parameter).all() for parameter in module.classifier.parameters())
