import copy

import pytest
import torch
from pytorch_lightning import LightningModule

from callbacks import Pruning
from callbacks.pruning import EXPRESSIVENESS, expressiveness_loss, prune
from callbacks.scoring import UnitScores, score_units, scoring_batches
from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers, kept_units
from stark.encoders.masking import unit_masks
from stark.model_folders.model_folder import load_classifier, save_classifier
from tests.tasks import differences, fit, make_trainer
from tests.tiny import GOLDEN_CASES, golden, golden_masks

NO_STEP = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 0}


def pruned_by_hand(task, sparsity, split="selection", reduction="example", round_to=8):
    data, model = task.data(), load_classifier(task.teacher)
    data.setup("fit")
    batches = scoring_batches(data, split, reduction, torch.device("cpu"))
    scores = score_units(model, batches, {EXPRESSIVENESS: expressiveness_loss}, reduction)
    return prune(model, scores, sparsity, round_to)


@pytest.mark.parametrize("level", ["10", "50", "70", "90"])
@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_pruned_models_keep_the_units_that_the_released_code_keeps(name, level):
    case = golden(name)
    masked, masks = copy.deepcopy(case.teacher), golden_masks(case, level, rounded=False)
    scores = score_units(case.teacher, case.batches, {EXPRESSIVENESS: expressiveness_loss}, "batch")
    student = prune(case.teacher, scores, int(level) / 100, round_to=1)
    assert [len(kept) for kept in kept_units(student).heads] == [int(mask.sum()) for mask in masks[0]]
    assert kept_units(student) == kept_units(shrink_(copy.deepcopy(masked), *masks))
    inputs = {name: tensor for name, tensor in case.batches[0].items() if name != "labels"}
    with torch.no_grad(), unit_masks(masked, *masks):
        torch.testing.assert_close(student(**inputs).logits, masked(**inputs).logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {"sparsity": 0.5},
        {"sparsity": 0.7, "split": "train"},
        {"sparsity": 0.7, "split": "validation", "reduction": "batch"},
        {"sparsity": 0.6, "round_to": 1},
        {"sparsity": 0.0},
    ],
    ids=str,
)
def test_a_fit_starts_from_the_pruned_model(tiny_task, tmp_path, settings):
    expected = pruned_by_hand(tiny_task, **settings)
    module = tiny_task.finetuning(model=tiny_task.teacher, learning_rate=0.0)
    fit(make_trainer(tmp_path, [Pruning(**settings)], **NO_STEP), module, tiny_task.data())
    assert kept_units(module.classifier) == kept_units(expected)
    assert differences(module.classifier.state_dict(), expected.state_dict()) == []
    if "round_to" not in settings:
        assert all(layer.num_neurons % 8 == 0 for layer in encoder_layers(module.classifier))


def test_the_pruned_weights_are_those_that_train(tiny_task, tmp_path):
    module = tiny_task.finetuning(model=tiny_task.teacher)
    trainer = make_trainer(tmp_path, [Pruning(0.5)], max_epochs=1)
    weights = fit(trainer, module, tiny_task.data())
    before = pruned_by_hand(tiny_task, 0.5).state_dict()
    changed = [name for name in before if not torch.equal(before[name], weights[f"classifier.{name}"])]
    assert changed == list(before)
    learning = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
    # The embedding is an ordinary one again, of full size.
    others = {id(p) for name, p in module.classifier.named_parameters() if "word_embeddings" not in name}
    assert others < learning
    assert len(learning) == len(before)


def test_another_sparsity_is_cut_from_stored_scores_without_scoring(tiny_task, tmp_path, monkeypatch):
    first = tiny_task.finetuning(model=tiny_task.teacher)
    fit(make_trainer(tmp_path, [Pruning(0.5)], **NO_STEP), first, tiny_task.data())
    monkeypatch.setattr("callbacks.pruning.score_units", None)
    second = tiny_task.finetuning(model=tiny_task.teacher)
    stored = Pruning(0.8, scores=str(tmp_path / "student_scores.safetensors"))
    fit(make_trainer(tmp_path / "second", [stored], **NO_STEP), second, tiny_task.data())
    assert kept_units(second.classifier) == kept_units(pruned_by_hand(tiny_task, 0.8))
    assert UnitScores.load(
        tmp_path / "student_scores.safetensors", load_classifier(tiny_task.teacher), [EXPRESSIVENESS]
    )


def test_scores_of_another_model_are_refused(tiny_task, tmp_path):
    model = pruned_by_hand(tiny_task, 0.5)
    score_units(model, [], {EXPRESSIVENESS: expressiveness_loss}).save(tmp_path / "scores")
    with pytest.raises(ValueError, match="score this model, or cut the one that was scored"):
        fit(
            make_trainer(tmp_path, [Pruning(0.5, scores=str(tmp_path / "scores"))]),
            tiny_task.finetuning(),
            tiny_task.data(),
        )


def test_pruning_a_pruned_model_counts_what_it_still_has(tiny_task, tmp_path):
    once = save_classifier(pruned_by_hand(tiny_task, 0.5), tmp_path / "once", tiny_task.distillation().tokenizer)
    module = tiny_task.finetuning(model=once, learning_rate=0.0)
    fit(make_trainer(tmp_path, [Pruning(0.5)], **NO_STEP), module, tiny_task.data())
    layers = encoder_layers(module.classifier)
    assert sum(layer.num_heads for layer in layers) == 4
    assert sum(layer.num_neurons for layer in layers) == 256


def test_only_a_fit_prunes(tiny_task, tmp_path):
    module = tiny_task.distillation()
    make_trainer(tmp_path, [Pruning(0.5)]).validate(module, tiny_task.data(), verbose=False)
    assert kept_units(module.student) == kept_units(module.teacher)
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_foreign_modules_and_data_are_refused(tiny_task, tmp_path):
    with pytest.raises(TypeError, match="Pruning needs a ClassificationModule, LightningModule is none"):
        Pruning(0.5).setup(make_trainer(tmp_path), LightningModule(), "fit")
    data = tiny_task.data()
    data.setup("fit")
    trainer = make_trainer(tmp_path, [Pruning(0.5)])
    with pytest.raises(TypeError, match=r"has no scoring_dataloader\(split, grouped\), which scoring needs"):
        trainer.fit(tiny_task.finetuning(), data.train_dataloader(), data.val_dataloader())


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 70])
def test_a_sparsity_out_of_range_is_refused_at_once(sparsity):
    with pytest.raises(ValueError, match="give the fraction of units to remove"):
        Pruning(sparsity)
