"""Thresholds that are tuned at validations: those of the saved weights, in every process."""

import json

import pytest
import torch

from callbacks import SaveModelFolder
from datamodules import GLUEDataModule
from lightning_modules import DistillationModule, FinetuningModule
from lightning_modules.validated import Validated
from stark.model_folders.model_folder import load_classifier
from stark.problems.label_metrics import best_threshold
from stark.problems.table import problem_of
from tests.own import write_several
from tests.tasks import StopAt, Stopped, fit, make_trainer


@pytest.fixture(scope="module")
def data(tiny_task, tmp_path_factory):
    path = write_several(tiny_task, tmp_path_factory.mktemp("several"))
    return GLUEDataModule(str(path), None, str(tiny_task.encoder), batch_size=16, seed=1, select_by="micro_f1")


def settings(data):
    return {
        **{"label_names": data.label_names, "metrics": data.metrics, "kind": data.kind},
        **{"score_metrics": data.score_metrics, "learning_rate": 3e-3},
    }


def finetuning(tiny_task, data):
    torch.manual_seed(0)  # for the new head
    return FinetuningModule(str(tiny_task.encoder), **settings(data))


def on_selection(model, data):
    """Logits and labels of the selection part, by the model itself."""
    data.setup("validate")
    batches = list(data.val_dataloader())
    with torch.no_grad():
        names = ("input_ids", "attention_mask", "token_type_ids")
        logits = [model(**{name: batch[name] for name in names if name in batch}).logits for batch in batches]
    return torch.cat(logits), torch.cat([batch["labels"] for batch in batches])


def test_a_new_classifier_starts_at_the_shares_of_the_labels(tiny_task, data, tmp_path):
    module, trainer = finetuning(tiny_task, data), make_trainer(tmp_path, max_epochs=1, limit_train_batches=1)
    fit(trainer, module, data)
    expected = (data.train_labels() > 0).double().mean(0)
    found = module.classifier.classifier.bias.sigmoid()
    assert found.tolist() == pytest.approx(expected.tolist(), abs=0.03)


def test_the_saved_model_has_the_threshold_of_its_own_weights(tiny_task, data, tmp_path):
    module, trainer = finetuning(tiny_task, data), make_trainer(tmp_path, [SaveModelFolder()], max_epochs=5)
    fit(trainer, module, data)
    model = load_classifier(tmp_path / "model")
    logits, labels = on_selection(model, data)
    assert problem_of(model.config).threshold == best_threshold(logits, labels, ["micro_f1"])
    score = problem_of(model.config).score_function(["micro_f1"])(problem_of(model.config).for_metrics(logits), labels)
    # The score by which this epoch was chosen is that with its threshold.
    assert trainer.checkpoint_callback.best_model_score.item() == pytest.approx(score, abs=1e-6)
    assert score > 0.5
    stored = json.loads((tmp_path / "model" / "config.json").read_text())
    assert stored["problem_type"] == "multi_label_classification"
    assert stored.get("stark_threshold", 0.5) == problem_of(model.config).threshold
    # Another module of the folder evaluates with it, and does not change it.
    again = FinetuningModule(str(tmp_path / "model"), **settings(data))
    (found,) = make_trainer(tmp_path / "again").validate(again, data, verbose=False)
    assert found["val/micro_f1"] == pytest.approx(score, abs=1e-6)
    assert again.problem.threshold == problem_of(model.config).threshold


def test_a_fit_that_is_resumed_ends_with_the_same_weights_and_threshold(tiny_task, data, tmp_path):
    whole = finetuning(tiny_task, data)
    expected = fit(make_trainer(tmp_path / "whole", max_epochs=4), whole, data)
    cut, place = finetuning(tiny_task, data), tmp_path / "cut.ckpt"
    with pytest.raises(Stopped):
        fit(make_trainer(tmp_path / "cut", [StopAt(place, ("epoch", 1))], max_epochs=4), cut, data)
    resumed = finetuning(tiny_task, data)
    found = fit(make_trainer(tmp_path / "resumed", max_epochs=4), resumed, data, place)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert resumed.problem.threshold == whole.problem.threshold
    assert resumed.val_scores == whole.val_scores


def test_a_student_is_distilled_and_gets_a_threshold_of_its_own(tiny_task, data, tmp_path):
    trainer = make_trainer(tmp_path / "teacher", [SaveModelFolder()], max_epochs=5)
    fit(trainer, finetuning(tiny_task, data), data)
    teacher = tmp_path / "teacher" / "model"
    module = DistillationModule(str(teacher), str(tiny_task.encoder), **settings(data))
    assert module.problem.threshold == 0.5
    trainer = make_trainer(tmp_path / "student", [SaveModelFolder()], max_epochs=5)
    fit(trainer, module, data)
    model = load_classifier(tmp_path / "student" / "model")
    logits, labels = on_selection(model, data)
    assert problem_of(model.config).threshold == best_threshold(logits, labels, ["micro_f1"])
    teacher_logits, _ = on_selection(load_classifier(teacher), data)
    fresh, _ = on_selection(load_classifier(tiny_task.encoder, label_names=data.label_names, kind=data.kind), data)
    assert (logits - teacher_logits).abs().mean() < (fresh - teacher_logits).abs().mean()


def test_rows_of_batches_are_kept_in_order_and_a_batch_may_be_empty():
    kept = Validated()
    parts = [torch.randn(rows, 3) for rows in (2, 0, 5)]
    for logits in parts:
        kept.update(logits, (logits > 0).to(torch.int8))
    assert torch.equal(kept.compute().logits, torch.cat(parts))
    assert torch.equal(kept.own().labels.bool(), torch.cat(parts) > 0)
    kept.reset()
    kept.update(parts[0], parts[0] > 0)
    assert len(kept.compute().logits) == 2
