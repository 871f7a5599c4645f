"""The formulas of the search, and predictions, compared with masks on the dense teacher."""

import copy

import pytest
import torch
from sklearn.metrics import accuracy_score

from pipeline.search.candidates import Candidate
from pipeline.search.prediction import FOLDS, HeldOut, cross_fit, folds, predict, predicted_value
from pipeline.settings import SearchSettings
from stark.encoders.cutting import shrink_
from stark.forward.classifying import classify
from stark.losses.soft_targets import SoftTargets
from stark.model_folders.model_folder import load_classifier
from tests.tiny import lowest_masks, problem, scores_against


def test_rules():
    for rule, value in (("metric", 0.7), ("agreement", 0.9), ("metric_and_sparsity", 0.7 + 0.5 * 0.3)):
        assert predicted_value(0.7, 0.9, 0.3, rule, 0.5) == pytest.approx(value)


@pytest.fixture
def models(tiny_task):
    """The selection split, a dense teacher, and a student."""
    data = tiny_task.data()
    data.prepare_data()
    data.setup("fit")
    dense, trial = load_classifier(tiny_task.teacher), load_classifier(tiny_task.encoder, label_names=data.label_names)
    return list(data.scoring_dataloader("selection")), dense, trial


def said_by(model, batches):
    with torch.no_grad():
        return torch.cat([classify(model, batch) for batch in batches]).argmax(-1)


def labels_of(batches):
    return torch.cat([batch["labels"] for batch in batches])


TRIED = [Candidate(0.25, 0.3), Candidate(1.0, 0.6)]


def predicted(held_out, dense, trial):
    def choose(candidate, scores):
        return lowest_masks(scores, candidate.lam, candidate.sparsity)

    return predict(TRIED, SearchSettings(rule="agreement"), held_out, dense, trial, problem(), ["accuracy"], choose)


def test_predictions_are_those_of_a_cut_teacher(models):
    batches, dense, trial = models
    before = {name: tensor.clone() for name, tensor in dense.state_dict().items()}
    scores = scores_against(dense, trial, batches, SoftTargets())
    found = predicted([HeldOut(scores, batches)], dense, trial)
    assert list(found) == TRIED
    for candidate, prediction in found.items():
        cut = shrink_(copy.deepcopy(dense), lowest_masks(scores, candidate.lam, candidate.sparsity))
        said = said_by(cut, batches)
        assert prediction.metric == pytest.approx(accuracy_score(labels_of(batches), said))
        agreed = float((said == said_by(trial, batches)).double().mean())
        assert prediction.agreement == prediction.value == pytest.approx(agreed)
    assert all(torch.equal(before[name], tensor) for name, tensor in dense.state_dict().items())


def test_no_teacher_is_judged_by_rows_that_shaped_it(models):
    batches, dense, trial = models
    parts = folds(batches)
    scored = []

    def score(fold):
        scored.append(len(labels_of(fold)))
        return scores_against(dense, trial, fold, SoftTargets())

    held_out = cross_fit(parts, score)
    assert scored == [len(labels_of(part)) for part in parts]  # each part once
    found = predicted(held_out, dense, trial)
    for candidate, prediction in found.items():
        right = agreed = 0
        for number, own in enumerate(parts):
            others = [batch for part in parts[:number] + parts[number + 1 :] for batch in part]
            masks = lowest_masks(scores_against(dense, trial, others, SoftTargets()), candidate.lam, candidate.sparsity)
            said = said_by(shrink_(copy.deepcopy(dense), masks), own)
            right += int((said == labels_of(own)).sum())
            agreed += int((said == said_by(trial, own)).sum())
        rows = len(labels_of(batches))
        assert prediction.metric == pytest.approx(right / rows)
        assert prediction.agreement == pytest.approx(agreed / rows)


@pytest.mark.parametrize("sizes", [[3, 3, 2], [16] * 7, [2], [1, 1]])
def test_folds_have_every_row_once(sizes):
    rows = torch.arange(sum(sizes))
    batches = [{"labels": part} for part in rows.split(sizes)]
    parts = folds(batches)
    assert 2 <= len(parts) <= FOLDS
    assert all(parts)
    assert torch.equal(torch.cat([labels_of(part) for part in parts]).sort().values, rows)
    if len(sizes) >= FOLDS:
        assert {len(batch["labels"]) for part in parts for batch in part} == {16}  # batches keep their size


def test_one_row_cannot_be_folded():
    with pytest.raises(ValueError, match=r"part of one row .* data.selection_fraction"):
        folds([{"labels": torch.zeros(1)}])
