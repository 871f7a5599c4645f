import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch.nn import functional as F

from stark.forward.classifying import Outputs
from stark.losses.decoupled import DecoupledKD
from stark.losses.dist import DIST
from stark.losses.jensen_shannon import JensenShannon
from stark.losses.kl_divergence import KLDivergence, kl_divergence
from stark.losses.reverse_kl import ReverseKL
from stark.losses.soft_targets import SoftTargets, soft_cross_entropy
from stark.losses.standardized import StandardizedLogits
from stark.losses.symmetric_kl import SymmetricKL
from stark.problems.table import problem_for
from tests.tiny import GOLDEN_CASES, distillation_loss, golden, problem

TEMPERATURES = [0.5, 1.0, 2.0, 10.0]


def random_logits(classes=3, batch=5, seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (scale * torch.randn(batch, classes, generator=generator).double() for _ in range(2))
    labels = torch.rand(batch, generator=generator) * 5
    return student, teacher, labels if classes == 1 else torch.randint(classes, (batch,), generator=generator)


def probabilities(logits, temperature=1.0):
    return scipy.special.softmax(logits.numpy() / temperature, axis=1)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_soft_cross_entropy_is_kl_plus_the_teachers_entropy(temperature):
    student, teacher, _ = random_logits()
    p, q = probabilities(teacher, temperature), probabilities(student, temperature)
    found = soft_cross_entropy(
        problem(3), student_logits=student / temperature, teacher_logits=teacher / temperature, reduction="none"
    )
    expected = scipy.stats.entropy(p, q, axis=1) + scipy.stats.entropy(p, axis=1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_soft_cross_entropy_and_kl_differ_in_the_teachers_gradient_only():
    gradients = []
    for loss in (soft_cross_entropy, kl_divergence):
        student, teacher, _ = (tensor.requires_grad_(tensor.is_floating_point()) for tensor in random_logits())
        loss(problem(3), student_logits=student / 2, teacher_logits=teacher / 2).backward()
        gradients.append((student.grad, teacher.grad))
    torch.testing.assert_close(gradients[0][0], gradients[1][0], rtol=0, atol=1e-14)
    assert (gradients[0][1] - gradients[1][1]).abs().max() > 1e-2


def test_soft_cross_entropy_with_a_certain_teacher_is_the_task_loss():
    student, _, labels = random_logits()
    certain = torch.nn.functional.one_hot(labels, 3).double() * 1e4
    found = soft_cross_entropy(problem(3), student_logits=student, teacher_logits=certain)
    torch.testing.assert_close(found, problem(3).task_loss(student, labels))


@pytest.mark.parametrize("classes", [1, 3])
def test_rows_without_a_label_learn_from_the_teacher_alone(classes):
    student, teacher, labels = random_logits(classes=classes)
    student.requires_grad_()
    hidden = labels.clone()
    hidden[1::2] = float("nan") if classes == 1 else -100
    mixed = distillation_loss(student_logits=student, teacher_logits=teacher, labels=hidden, weight=0.25)
    rows = [
        distillation_loss(
            student_logits=student[row : row + 1],
            teacher_logits=teacher[row : row + 1],
            labels=labels[row : row + 1],
            weight=weight,
        )
        # The teacher's part alone, with its weight.
        * (0.25 if weight == 1 else 1)
        for row, weight in enumerate([0.25, 1.0] * len(labels))
        if row < len(labels)
    ]
    expected = sum(rows) / len(labels)
    torch.testing.assert_close(mixed, expected)
    torch.testing.assert_close(
        torch.autograd.grad(mixed, student, retain_graph=True), torch.autograd.grad(expected, student)
    )


def test_regression_is_squared_error():
    student, teacher, labels = random_logits(classes=1)
    squared = [(float(s) - float(y)) ** 2 for s, y in zip(student, labels, strict=True)]
    np.testing.assert_allclose(problem(1).task_loss(student, labels, "none").numpy(), squared, rtol=1e-12)
    to_teacher = [(float(s) - float(t)) ** 2 for s, t in zip(student, teacher, strict=True)]
    found = distillation_loss(
        student_logits=student, teacher_logits=teacher, labels=labels, weight=0.25, reduction="none"
    )
    expected = [0.25 * soft + 0.75 * hard for soft, hard in zip(to_teacher, squared, strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_distillation_loss_is_the_paper_s_formula(temperature, weight):
    student, teacher, labels = random_logits()
    p, q = probabilities(teacher, temperature), probabilities(student, temperature)
    soft = -(p * np.log(q)).sum(1) * temperature**2
    hard = -np.log(probabilities(student))[np.arange(5), labels.numpy()]
    found = distillation_loss(
        student_logits=student,
        teacher_logits=teacher,
        labels=labels,
        temperature=temperature,
        weight=weight,
        reduction="none",
    )
    np.testing.assert_allclose(found.numpy(), weight * soft + (1 - weight) * hard, rtol=1e-9)


@pytest.mark.parametrize("classes", [1, 3])
def test_mean_is_the_mean_of_the_examples(classes):
    student, teacher, labels = random_logits(classes)
    arguments = {"student_logits": student, "teacher_logits": teacher}
    mean, single = (distillation_loss(**arguments, labels=labels, reduction=kind) for kind in ("mean", "none"))
    assert single.shape == (5,)
    torch.testing.assert_close(mean, single.mean(), rtol=1e-14, atol=0)


def test_extreme_logits_stay_finite():
    student, teacher, labels = random_logits(scale=1e4)
    for loss in (soft_cross_entropy, kl_divergence):
        assert loss(problem(3), student_logits=student, teacher_logits=teacher).isfinite()
    assert distillation_loss(student_logits=student, teacher_logits=teacher, labels=labels).isfinite()


def test_swapped_logits_cannot_be_passed_by_position():
    student, teacher, _ = random_logits()
    for loss in (soft_cross_entropy, kl_divergence):
        with pytest.raises(TypeError):
            loss(problem(3), student, teacher)


@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_losses_and_logit_gradients_are_the_released_codes(name):
    case = golden(name)
    for number, batch in enumerate(case.batches):
        teacher, student = (case.tensors[f"{who}_logits/{number}"] for who in ("teacher", "student"))
        torch.testing.assert_close(
            problem(teacher.shape[-1]).task_loss(teacher, batch["labels"]),
            case.tensors[f"ft_loss/{number}"],
            rtol=0,
            atol=1e-12,
        )
        teacher, student = (logits.clone().requires_grad_() for logits in (teacher, student))
        loss = distillation_loss(student_logits=student, teacher_logits=teacher, labels=batch["labels"])
        loss.backward()
        key = f"kd_logit_grads/{number}"
        for found, expected in (
            (loss, f"kd_loss/{number}"),
            (loss, f"{key}/loss"),
            (student, f"{key}/s_logit"),
            (teacher, f"{key}/t_logit"),
            (student.grad, f"{key}/d_s"),
            (teacher.grad, f"{key}/d_t"),
        ):
            torch.testing.assert_close(found.detach(), case.tensors[expected], rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", [soft_cross_entropy, kl_divergence])
def test_scores_have_no_distributions(loss):
    with pytest.raises(ValueError, match="regression has no distributions"):
        loss(problem(1), student_logits=torch.zeros(2, 1), teacher_logits=torch.zeros(2, 1))


def test_the_divergence_in_the_mixture_moves_the_loss_by_the_teachers_entropy():
    student, teacher, labels = random_logits()
    mixed, divergence = (
        distillation_loss(student_logits=student, teacher_logits=teacher, labels=labels, reduction="none", loss=loss)
        for loss in (SoftTargets(3.0, 0.7), KLDivergence(3.0, 0.7))
    )
    entropy = scipy.stats.entropy(probabilities(teacher, 3.0), axis=1)
    np.testing.assert_allclose((mixed - divergence).numpy(), 0.7 * 9 * entropy, rtol=1e-9)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_several_labels_a_row_have_the_mean_of_their_binary_cross_entropies(temperature):
    student, teacher, _ = random_logits()
    labels = (torch.arange(15).view(5, 3) % 2).to(torch.int8)
    found = SoftTargets(temperature, 0.3)(
        problem_for(["a", "b", "c"], "multi_label"),
        *(Outputs(logits) for logits in (student, teacher)),
        {"labels": labels},
        "none",
    )
    p, q = (scipy.special.expit(logits.numpy() / temperature) for logits in (teacher, student))
    soft = -(p * np.log(q) + (1 - p) * np.log(1 - q)).mean(1) * temperature**2
    hard = F.binary_cross_entropy_with_logits(student, labels.double(), reduction="none").mean(1).numpy()
    np.testing.assert_allclose(found.numpy(), 0.3 * soft + 0.7 * hard, rtol=1e-9)


@pytest.mark.parametrize("loss", [KLDivergence, ReverseKL, SymmetricKL, JensenShannon])
def test_divergences_of_several_labels_a_row_are_the_means_of_those_of_each(loss):
    student, teacher, _ = random_logits()
    labels = torch.zeros(5, 3, dtype=torch.int8)

    def value(kind, s, t, y):
        made = loss(temperature=2.0, weight=1.0)
        return made(kind, Outputs(s), Outputs(t), {"labels": y}, "none")

    # A label that applies or not is two classes, whose logits are 0 and the label's.
    pairs = [
        [torch.stack([torch.zeros(5, dtype=torch.float64), logits[:, label]], 1) for logits in (student, teacher)]
        for label in range(3)
    ]
    each = [value(problem(2), *pair, torch.zeros(5, dtype=torch.int64)) for pair in pairs]
    found = value(problem_for(["a", "b", "c"], "multi_label"), student, teacher, labels)
    torch.testing.assert_close(found, torch.stack(each).mean(0))


@pytest.mark.parametrize("loss", [DecoupledKD, DIST, StandardizedLogits])
def test_losses_of_one_class_a_row_refuse_several(loss):
    student, teacher, _ = random_logits()
    with pytest.raises(ValueError, match="needs one class per row, and the labels are of kind 'multi_label': choose"):
        loss()(
            problem_for(["a", "b", "c"], "multi_label"),
            Outputs(student),
            Outputs(teacher),
            {"labels": torch.zeros(5, 3)},
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, "temperature is 0"),
        ({"temperature": float("nan")}, "nan"),
        ({"weight": 1.1}, "weight is 1.1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SoftTargets(**settings)


def test_its_text_has_its_settings():
    assert repr(SoftTargets(3.0, 0.25)) == "SoftTargets(temperature=3.0, weight=0.25)"
