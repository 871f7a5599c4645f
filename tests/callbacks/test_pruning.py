import copy

import pytest
import torch
from pytorch_lightning import LightningModule

from callbacks import Pruning
from callbacks.refitting import TOKENS
from stark.budgets.budget import Budget
from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers, kept_units
from stark.encoders.units import UnitMasks
from stark.forward.classifying import classify
from stark.model_folders.model_folder import load_classifier, save_classifier
from stark.pruning import choose_units
from stark.refitting import refit_
from stark.scores.expressiveness import Expressiveness
from stark.scores.friendliness import Friendliness
from stark.scores.random import Random
from stark.scores.scoring import score_units
from stark.scores.unit_scores import UnitScores
from tests.stark.test_pruning import pruned_by_hand
from tests.tasks import differences, fit, make_trainer

NO_STEP = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 0}


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


def test_another_score_and_another_budget_choose_the_units(tiny_task, tmp_path):
    module, expected = tiny_task.finetuning(model=tiny_task.teacher), load_classifier(tiny_task.teacher)
    masks = choose_units(expected, Random(3), None, 0.5, Halves(), round_to=8)
    pruning = Pruning(0.5, score=Random(3), budget=Halves())
    fit(make_trainer(tmp_path, [pruning], **NO_STEP), module, tiny_task.data())
    assert kept_units(module.classifier) == kept_units(shrink_(expected, masks))
    assert {len(heads) for heads in kept_units(module.classifier).heads} == {2}


class Halves(Budget):
    """Keeps the first half of the units of each layer."""

    def masks(self, values, model, sparsity):
        return UnitMasks(*([torch.arange(len(layer)) < len(layer) / 2 for layer in kind] for kind in values))


def test_a_score_that_compares_with_a_student_is_refused():
    with pytest.raises(ValueError, match=r"Pruning\.score is Friendliness, which compares with a trial student"):
        Pruning(0.5, score=Friendliness())


def test_the_pruned_weights_are_those_that_train(tiny_task, tmp_path):
    module = tiny_task.finetuning(model=tiny_task.teacher)
    trainer = make_trainer(tmp_path, [Pruning(0.5)], max_epochs=1)
    weights = fit(trainer, module, tiny_task.data())
    before = pruned_by_hand(tiny_task, 0.5).state_dict()
    changed = [name for name in before if not torch.equal(before[name], weights[f"classifier.{name}"])]
    assert changed == list(before)
    learning = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
    # The embedding is an ordinary one of full size again.
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
        tmp_path / "student_scores.safetensors", load_classifier(tiny_task.teacher), ["expressiveness"]
    )


def test_scores_of_another_model_are_refused(tiny_task, tmp_path):
    model = pruned_by_hand(tiny_task, 0.5)
    score_units(model, [], [Expressiveness()]).save(tmp_path / "scores")
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


def test_refitting_makes_up_for_the_cut_on_rows_of_train(tiny_task, tmp_path, caplog):
    """The same units are removed; the classifier is that of `refit_`, and closer to the teacher on other rows."""
    module = tiny_task.finetuning(model=tiny_task.teacher)
    with caplog.at_level("INFO", "pytorch_lightning.utilities.rank_zero"):  # `stark run` makes it silent
        fit(make_trainer(tmp_path, [Pruning(0.5, refit=True)], max_epochs=0), module, tiny_task.data())
    assert "Refitting: output projections are solved on 108 rows of train with" in caplog.text
    dense, cut, data = load_classifier(tiny_task.teacher), pruned_by_hand(tiny_task, 0.5), tiny_task.data()
    data.setup("fit")
    before = copy.deepcopy(cut)
    expected = refit_(cut, dense, data.refitting_dataloader(TOKENS))
    assert differences(module.classifier.state_dict(), expected.state_dict()) == []

    def error(model):
        with torch.no_grad():
            return sum(float(((classify(model, b) - classify(dense, b)) ** 2).sum()) for b in data.val_dataloader())

    assert error(expected) < 0.5 * error(before)


def test_only_a_fit_prunes(tiny_task, tmp_path):
    module = tiny_task.distillation()
    make_trainer(tmp_path, [Pruning(0.5)]).validate(module, tiny_task.data(), verbose=False)
    assert kept_units(module.student) == kept_units(module.teacher)
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_foreign_modules_and_data_are_refused(tiny_task, tmp_path):
    with pytest.raises(TypeError, match="Pruning needs a ClassificationModule, got LightningModule"):
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
