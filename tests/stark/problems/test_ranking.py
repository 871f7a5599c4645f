"""Rankings: one logit per row, which is compared with the other rows of its query."""

import math

import pytest
import torch
from torch.nn import functional as F
from transformers import BertConfig, BertForSequenceClassification

from stark.forward.classifying import Outputs
from stark.losses.decoupled import DecoupledKD
from stark.losses.logit_mse import LogitMSE
from stark.losses.soft_targets import SoftTargets
from stark.model_folders.model_folder import load_classifier, save_classifier
from stark.problems.ranking import Ranking
from stark.problems.table import problem_of, set_labels_
from tests.tiny import tiny_batch, tiny_classifier

TINY = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}


def rows(number=40, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(number, 1, generator=generator)
    relevance = (torch.rand(number, generator=generator) < 0.4).float()
    return logits, torch.stack([relevance, torch.arange(number) // 5], dim=-1)


def test_task_loss_is_that_of_transformers():
    config = BertConfig(**TINY, num_labels=1)
    set_labels_(config, ["relevance"], "ranking")
    torch.manual_seed(0)
    model, labels = BertForSequenceClassification(config).eval(), rows(4)[1]
    found = model(torch.arange(8).view(4, 2), labels=labels[:, :1])
    torch.testing.assert_close(problem_of(config).task_loss(found.logits, labels), found.loss)
    each = problem_of(config).task_loss(found.logits, labels, "none")
    torch.testing.assert_close(each.mean(), found.loss)


def test_graded_relevances_are_divided_by_the_largest_of_train():
    logits, labels = rows()
    graded = labels * torch.tensor([4.0, 1.0])
    problem = Ranking(["relevance"]).for_train(graded)
    assert (problem.largest, problem.note) == (
        4.0,
        "relevances are divided by 4, the largest of train, in the task loss",
    )
    plain = Ranking(["relevance"]).for_train(labels)
    torch.testing.assert_close(problem.task_loss(logits, graded), plain.task_loss(logits, labels))
    relevant = int(labels[:, 0].sum())
    assert problem.start == plain.start == pytest.approx(math.log((relevant + 0.5) / (40.5 - relevant)))
    assert plain.note == ""
    beyond = graded * torch.tensor([2.0, 1.0])  # another part may have a larger one
    torch.testing.assert_close(problem.task_loss(logits, beyond), plain.task_loss(logits, labels))


def test_a_row_without_a_label_has_no_loss_and_no_gradient():
    logits, labels = rows(4)
    problem = Ranking(["relevance"])
    labels[2] = problem.unlabelled_rows(1)[0]
    logits.requires_grad_()
    losses = problem.task_loss(logits, labels, "none")
    problem.task_loss(logits, labels).backward()
    assert losses[2] == logits.grad[2] == 0
    assert (logits.grad[[0, 1, 3]] != 0).all()
    assert problem.is_labelled(labels).tolist() == [True, True, False, True]
    assert problem.for_train(problem.unlabelled_rows(3)) is problem


def test_losses_of_distillation():
    (student, labels), (teacher, _) = rows(), rows(seed=1)
    problem = Ranking(["relevance"])
    given = (problem, Outputs(student), Outputs(teacher), {"labels": labels})
    soft = F.binary_cross_entropy_with_logits(student, teacher.sigmoid())
    torch.testing.assert_close(SoftTargets(temperature=1.0, weight=1.0)(*given), soft)
    torch.testing.assert_close(LogitMSE(weight=1.0)(*given), F.mse_loss(student, teacher))
    with pytest.raises(ValueError, match="DecoupledKD needs one class per row, and the labels are of kind 'ranking'"):
        DecoupledKD()(*given)


def test_distributions_are_those_of_bernoulli():
    logits, _ = rows()
    other = torch.distributions.Bernoulli(logits=logits)
    found = Ranking(["relevance"]).log_probabilities(logits)
    for outcome in (0, 1):
        torch.testing.assert_close(found[..., outcome], other.log_prob(torch.full_like(logits, outcome)))


def test_predictions_are_probabilities_and_metrics_see_logits():
    problem, far = Ranking(["relevance"]), torch.tensor([[200.0], [300.0]])
    assert problem.predictions(far).tolist() == problem.probabilities(far).flatten().tolist() == [1.0, 1.0]
    assert problem.score_function(["mrr"])(problem.for_metrics(far), torch.tensor([[0.0, 0.0], [1.0, 0.0]])) == 1
    torch.testing.assert_close(problem.logits_of(torch.tensor([[0.25]])), torch.tensor([[-math.log(3)]]))
    assert problem.logits_of(torch.tensor([[0.0], [1.0]])).isfinite().all()
    with pytest.raises(ValueError, match=r"are from -2 to 0\.5: give probabilities from 0 to 1"):
        problem.logits_of(torch.tensor([[-2.0], [0.5]]))


def test_right_answers_have_the_best_score():
    logits, labels = rows()
    labels[::5, 0] = 1  # a row of each query
    problem = Ranking(["relevance"])
    score = problem.score_function(problem.default_metrics)
    assert score(problem.right_answers(labels), labels) == pytest.approx(1)
    assert score(logits.squeeze(-1), labels) < 1
    assert problem.strata(labels).tolist() == labels[:, 0].tolist()
    assert problem.agreement(logits, 3 * logits - 1) == pytest.approx(1)


def test_queries_without_a_relevant_row_are_reported():
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 7.0], [0.0, 7.0]])
    problem = Ranking(["relevance"])
    assert problem.doubt(labels) == "1 of 2 queries without a relevant row, which its metrics leave out"
    assert problem.doubt(labels[:2]) == ""


def test_calibration_is_that_of_relevances_of_0_and_1():
    problem, labels = Ranking(["relevance"]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    logits = problem.logits_of(torch.tensor([[0.75], [0.75]]))
    assert problem.calibration_error(logits, labels, 10) == pytest.approx(0.25)
    assert problem.calibration_error(logits, 2 * labels, 10) is None


def test_what_a_ranking_cannot_have():
    with pytest.raises(ValueError, match="kind ranking has one relevance per row, not 2 labels"):
        Ranking(["no", "yes"])
    with pytest.raises(ValueError, match="class_weights are balanced, but ranking has none"):
        Ranking(["relevance"]).for_train(rows()[1], "balanced")


def test_a_cross_encoder_from_elsewhere_is_taken_as_one(tmp_path):
    cross_encoder, batch = tiny_classifier(num_labels=1), tiny_batch(num_labels=1)["input_ids"]
    cross_encoder.save_pretrained(tmp_path / "theirs")
    assert problem_of(cross_encoder.config).kind == "regression"  # nothing says more
    model = load_classifier(tmp_path / "theirs", label_names=["relevance"], kind="ranking", new_head=False)
    with torch.no_grad():
        assert torch.equal(model(batch).logits, cross_encoder(batch).logits)
    save_classifier(model, tmp_path / "ours")
    read = problem_of(load_classifier(tmp_path / "ours").config)
    assert (type(read), read.label_names) == (Ranking, ("relevance",))
