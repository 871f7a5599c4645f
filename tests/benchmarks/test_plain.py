import copy

import pytest
import torch

from benchmarks.flops import flops_of_batches
from benchmarks.plain import PlainAdamW, as_released_, check_levels, distil_loss, plain_masks, plain_scores
from pipeline.results.measure import count_flops
from stark.losses.soft_targets import SoftTargets
from tests.tiny import distillation_loss, lowest_masks, scores_against, tiny_batch, tiny_classifier


def batches():
    return [tiny_batch(seed=seed) for seed in range(3)]


def test_adamw_is_torchs():
    weights = [torch.nn.Parameter(torch.linspace(-1, 1, 12)) for _ in range(2)]
    optimizers = (
        PlainAdamW([{"params": weights[:1], "weight_decay": 0.1}], lr=0.01),
        torch.optim.AdamW(weights[1:], lr=0.01, eps=1e-6, weight_decay=0.1),
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        gradient = torch.randn(12, generator=generator)
        for weight, optimizer in zip(weights, optimizers, strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    # The plain optimizer decays after the update instead of before it; the difference is lr² wd.
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=1e-4)


def test_scores_and_masks_are_ours():
    teacher, student = tiny_classifier(), tiny_classifier(layers=1, seed=1)
    ours = scores_against(teacher, student, batches(), SoftTargets(), "batch")
    heads, neurons = plain_scores(as_released_(copy.deepcopy(teacher)), batches(), student)
    for loss in ("expressiveness", "friendliness"):
        for found, wanted in ((heads, ours.heads), (neurons, ours.neurons)):
            for a, b in zip(found[loss], wanted[loss], strict=True):
                torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-7)
    for found, wanted in zip(plain_masks((heads, neurons), 0.5, 0.3), lowest_masks(ours, 0.3, 0.5), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_distillation_loss_is_ours():
    teacher, student = tiny_classifier(), tiny_classifier(seed=1)
    batch = tiny_batch()
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    wanted = distillation_loss(
        student_logits=student(**inputs).logits, teacher_logits=teacher(**inputs).logits, labels=batch["labels"]
    )
    torch.testing.assert_close(distil_loss(as_released_(teacher))(as_released_(student), batch), wanted)


def test_levels_are_looked_at():
    model = tiny_classifier()
    found = check_levels(model, plain_scores(model, batches()), batches())
    assert len(found) == 10
    assert all(0 <= value <= 1 for value in found)


@pytest.mark.parametrize("training", [False, True])
def test_flops_of_any_length(training):
    model = tiny_classifier()
    counted = count_flops(model, 3, 20, training=training) + count_flops(model, 2, 11, training=training)
    assert flops_of_batches(model, [(3, 20), (2, 11)], training=training) == pytest.approx(counted)
