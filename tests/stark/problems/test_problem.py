"""Functions of every kind of label."""

import pytest
import torch

from stark.problems.score_names import ERRORS
from stark.problems.table import PROBLEMS
from tests.tiny import problem


@pytest.mark.parametrize("num_labels", [1, 2, 3])
def test_the_loss_of_a_row_without_a_label_is_zero_and_so_is_its_gradient(num_labels):
    kind, logits = problem(num_labels), torch.randn(4, num_labels, requires_grad=True)
    labels = torch.tensor([1, 0, 1, 0]).to(kind.label_dtype)
    labels[2] = kind.unlabelled
    losses = kind.task_loss(logits, labels, "none")
    assert losses[2] == 0
    assert kind.is_labelled(labels).tolist() == [True, True, False, True]
    mean = kind.task_loss(logits, labels)
    torch.testing.assert_close(mean, losses.sum() / 4)
    mean.backward()
    assert logits.grad[2].abs().max() == 0
    assert logits.grad[0].abs().max() > 0


@pytest.mark.parametrize("num_labels", [1, 2, 3])
def test_metrics_of_right_predictions_are_one(num_labels):
    kind = problem(num_labels)
    labels = torch.tensor([0, 1, 1, 0]).to(kind.label_dtype)
    metrics = kind.build_metrics(kind.metrics)
    metrics.update(labels, labels)
    expected = {name: float(name not in ERRORS) for name in kind.metrics}
    assert {name: round(float(value), 6) for name, value in metrics.compute().items()} == expected
    assert kind.score_function(kind.metrics)(labels, labels) == pytest.approx(1)
    assert set(kind.default_metrics) <= set(kind.metrics)


@pytest.mark.parametrize("num_labels", [2, 3])
def test_distributions_sum_to_one_and_are_those_of_their_logarithms(num_labels):
    kind, logits = problem(num_labels), torch.randn(4, num_labels)
    torch.testing.assert_close(kind.distributions(logits).sum(-1), torch.ones(4))
    torch.testing.assert_close(kind.log_probabilities(logits).exp(), kind.distributions(logits))


def test_every_kind_has_its_own_names():
    assert all(kind.kind == name for name, kind in PROBLEMS.items())
    # A model from elsewhere is known by its type of problem, unless it has several labels of one kind.
    assert {kind.problem_type for name, kind in PROBLEMS.items() if name != "ranking"} == {
        "single_label_classification",
        "regression",
        "multi_label_classification",
    }
