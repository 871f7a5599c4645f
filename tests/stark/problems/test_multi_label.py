"""Several labels a row."""

import copy

import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error
from transformers import BertConfig, BertForSequenceClassification

from stark.problems.multi_label import MultiLabel
from stark.problems.table import problem_of, set_labels_

NAMES = ["toxic", "insult", "threat"]


def rows(number=40, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(number, 3, generator=generator, dtype=torch.float64)
    return logits, (torch.rand(number, 3, generator=generator) < 0.4).to(torch.int8)


def test_task_loss_is_that_of_transformers():
    config = BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, num_labels=3
    )
    set_labels_(config, NAMES, "multi_label")
    assert config.problem_type == "multi_label_classification"
    torch.manual_seed(0)
    model, labels = BertForSequenceClassification(config).eval(), rows(4)[1]
    found = model(torch.arange(8).view(4, 2), labels=labels.float())
    torch.testing.assert_close(problem_of(config).task_loss(found.logits, labels), found.loss)
    each = problem_of(config).task_loss(found.logits, labels, "none")
    assert each.shape == (4,)
    torch.testing.assert_close(each.mean(), found.loss)


def test_a_row_without_labels_has_no_loss_and_no_gradient_but_a_row_with_none_of_them_has():
    logits, labels = rows(3)
    problem = MultiLabel(NAMES)
    labels[0] = problem.unlabelled_rows(1)[0]
    labels[1] = 0
    logits.requires_grad_()
    losses = problem.task_loss(logits, labels, "none")
    losses.sum().backward()
    assert losses[0] == 0
    assert (logits.grad[0] == 0).all()
    assert losses[1] > 0
    assert problem.is_labelled(labels).tolist() == [False, True, True]
    torch.testing.assert_close(problem.task_loss(logits, labels), losses.sum() / 3)


def test_distributions_are_those_of_bernoulli():
    logits, _ = rows()
    other = torch.distributions.Bernoulli(logits=logits)
    found = MultiLabel(NAMES).log_probabilities(logits)
    for outcome in (0, 1):
        torch.testing.assert_close(found[..., outcome], other.log_prob(torch.full_like(logits, outcome)))
    torch.testing.assert_close(found.exp().sum(-1), torch.ones_like(logits))


def test_logits_of_probabilities_give_these_probabilities():
    problem, probabilities = MultiLabel(NAMES), torch.tensor([[0.2, 0.9, 0.5]])
    torch.testing.assert_close(problem.probabilities(problem.logits_of(probabilities)), probabilities)
    assert problem.logits_of(torch.tensor([[0.0, 1.0, 0.5]])).isfinite().all()


def test_predictions_are_above_the_threshold_of_the_model():
    logits, labels = rows()
    problem = MultiLabel(NAMES).tuned(logits, labels, ["micro_f1"])
    assert problem.threshold != 0.5
    assert torch.equal(problem.predictions(logits).bool(), logits.sigmoid() > problem.threshold)
    assert torch.equal(problem.memberships(problem.for_metrics(logits)), logits.sigmoid() > problem.threshold)
    config = BertConfig()
    set_labels_(config, NAMES, "multi_label")
    problem.write_(config)
    read = problem_of(BertConfig.from_dict(config.to_dict()))
    assert (read.threshold, read.label_names) == (problem.threshold, tuple(NAMES))
    assert f"{problem.threshold:g}" in read.rule
    other = MultiLabel(NAMES)
    other.write_(config)
    assert problem_of(config).threshold == 0.5


def test_a_half_is_not_written_and_a_wrong_threshold_is_refused():
    config = BertConfig()
    set_labels_(config, NAMES, "multi_label")
    before = copy.deepcopy(config.to_dict())
    MultiLabel(NAMES).write_(config)
    assert config.to_dict() == before
    for wrong in ("0.3", 1.0, 0.0, float("nan"), 1, None):
        config.stark_threshold = wrong
        with pytest.raises(
            ValueError, match=r"stark_threshold in its configuration is .*, not a number between 0 and 1"
        ):
            problem_of(config)


def test_agreement_is_the_share_of_rows_with_the_same_labels():
    (first, _), (second, _) = rows(), rows(seed=1)
    second[:10] = first[:10]
    problem = MultiLabel(NAMES)
    same = [a == b for a, b in zip((first > 0).tolist(), (second > 0).tolist(), strict=True)]
    assert problem.same_predictions(first, second).tolist() == same
    assert problem.agreement(first, second) == pytest.approx(sum(same) / 40)


def test_a_stratum_is_the_rarest_label_of_a_row():
    labels = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    # toxic has 4 rows, insult 3, threat 2
    assert MultiLabel(NAMES).strata(labels).tolist() == [1, 0, 2, 3, 2, 1]


def test_calibration_is_that_of_all_labels_together():
    logits, labels = rows(200)
    expected = binary_calibration_error(logits.sigmoid().flatten(), labels.int().flatten(), n_bins=15)
    assert MultiLabel(NAMES).calibration_error(logits, labels, 15) == pytest.approx(float(expected))


def test_weights_multiply_the_loss_of_rows_that_have_the_label():
    logits, labels = rows()
    weights = torch.tensor([2.0, 0.5, 1.0])
    weighted = MultiLabel(NAMES).for_train(labels, weights.tolist())
    log_p, log_not = logits.sigmoid().log(), (1 - logits.sigmoid()).log()
    expected = -(weights * labels * log_p + (1 - labels) * log_not).mean(1)
    torch.testing.assert_close(weighted.task_loss(logits, labels, "none"), expected)
    assert weighted.note.endswith("toxic 2, insult 0.5, threat 1")


def test_balanced_weights_are_the_ratio_of_rows_up_to_ten():
    labels = torch.zeros(40, 3, dtype=torch.int8)
    labels[:10, 0], labels[0, 1] = 1, 1
    labels = torch.cat([labels, MultiLabel(NAMES).unlabelled_rows(5)])
    assert MultiLabel(NAMES).weights(labels, "balanced").tolist() == [3.0, 10.0, 1.0]
    assert MultiLabel(NAMES).for_train(labels).note == ""


def test_a_new_classifier_starts_at_the_share_of_rows_of_each_label():
    _, labels = rows()
    labels[:, 2] = 0
    marked = torch.cat([labels, MultiLabel(NAMES).unlabelled_rows(5)])
    start = torch.tensor(MultiLabel(NAMES).for_train(marked).start).sigmoid()
    assert start.tolist() == pytest.approx(labels.double().mean(0).tolist(), abs=0.02)
    problem = MultiLabel(NAMES)
    assert problem.for_train(problem.unlabelled_rows(3)) is problem


@pytest.mark.parametrize("wrong", [[1.0], [1.0, 0.0, 1.0], [1.0, float("inf"), 1.0], "equal"])
def test_wrong_weights_are_refused(wrong):
    with pytest.raises(ValueError, match=r"class_weights (are|is) "):
        MultiLabel(NAMES).for_train(rows()[1], wrong)
