"""Searching: its formulas, and predictions against masks on the dense teacher."""

import pytest
import torch
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score

from callbacks.sparsification import score_teacher, teacher_masks
from lightning_modules import load_classifier, unit_masks
from lightning_modules.classifying import classify
from pipeline.candidates import Candidate
from pipeline.search import agreement, best_of, halving_epochs, predict, predicted_value, survivors
from pipeline.settings import SearchSettings


@pytest.mark.parametrize("eta", [2, 3, 4])
@pytest.mark.parametrize("number", range(1, 26))
def test_halving_leaves_one_where_epochs_are_enough(number, eta):
    rounds = halving_epochs(number, 1000, eta)
    alive = number
    for _ in rounds:
        alive = survivors(alive, eta)
    assert alive == 1
    assert rounds == sorted(set(rounds))
    assert all(0 < epochs < 1000 for epochs in rounds)
    for epochs, later in zip(rounds, [*rounds[1:], 1000][: len(rounds)], strict=True):
        assert later / epochs == pytest.approx(eta, rel=0.3)


def test_halving_with_few_epochs():
    assert halving_epochs(5, 10, 2) == [1, 2, 5]
    assert halving_epochs(5, 3, 2) == [1, 2]
    assert halving_epochs(5, 1, 2) == []  # all are trained to their end
    assert halving_epochs(1, 10, 2) == halving_epochs(0, 10, 2) == []


def test_the_first_of_equals_is_best():
    values = {"a": 0.1, "b": 0.3, "c": 0.3, "d": 0.2}
    assert best_of(values) == ["b"]
    assert best_of(values, 3) == ["b", "c", "d"]
    assert best_of({"a": 1.0, "b": 1.0, "c": 1.0}, 2) == ["a", "b"]


def test_agreement():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 50, 3, generator=generator)
    same = [int(a) == int(b) for a, b in zip(first.argmax(-1), second.argmax(-1), strict=True)]
    assert agreement(first, second) == pytest.approx(sum(same) / 50)
    scores, others = first[:, :1], first[:, :1] + second[:, :1]
    assert agreement(scores, others) == pytest.approx(pearsonr(scores.flatten(), others.flatten())[0])
    assert agreement(scores, torch.ones(50, 1)) == 0


def test_rules():
    for rule, value in (("metric", 0.7), ("agreement", 0.9), ("metric_and_sparsity", 0.7 + 0.5 * 0.3)):
        assert predicted_value(0.7, 0.9, 0.3, rule, 0.5) == pytest.approx(value)


def test_predictions_are_those_of_a_masked_teacher(tiny_task, tmp_path):
    data = tiny_task.data()
    data.prepare_data()
    data.setup("fit")
    dense, trial = load_classifier(tiny_task.teacher), load_classifier(tiny_task.encoder, label_names=data.label_names)
    before = {name: tensor.clone() for name, tensor in dense.state_dict().items()}
    scores = score_teacher(dense, trial, data.scoring_dataloader("selection"))
    scores.save(tmp_path / "scores.safetensors")
    tried = [Candidate(0.25, 0.3), Candidate(1.0, 0.6)]
    found = predict(tried, SearchSettings(rule="agreement"), data, (dense, trial), tmp_path / "scores.safetensors")
    assert list(found) == tried
    batches = list(data.val_dataloader())
    labels = torch.cat([batch["labels"] for batch in batches])
    with torch.no_grad():
        of_trial = torch.cat([classify(trial, batch) for batch in batches]).argmax(-1)
        for candidate, prediction in found.items():
            with unit_masks(dense, *teacher_masks(scores, candidate.lam, candidate.sparsity)):
                said = torch.cat([classify(dense, batch) for batch in batches]).argmax(-1)
            assert prediction.metric == pytest.approx(accuracy_score(labels, said))
            assert prediction.agreement == prediction.value == pytest.approx(float((said == of_trial).double().mean()))
    assert all(torch.equal(before[name], tensor) for name, tensor in dense.state_dict().items())
