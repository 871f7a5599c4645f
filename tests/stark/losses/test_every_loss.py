"""What holds for every loss of models: rows, padding, gradients of student and teacher, and no waiting for a GPU."""

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.losses.attention_maps import AttentionMaps
from stark.losses.contextual import ContextualKD
from stark.losses.decoupled import DecoupledKD
from stark.losses.dist import DIST
from stark.losses.hidden_states import HiddenStates
from stark.losses.jensen_shannon import JensenShannon
from stark.losses.logit_mse import LogitMSE
from stark.losses.minilm import MiniLM
from stark.losses.minilm_v2 import MiniLMv2
from stark.losses.patient import PatientKD
from stark.losses.reverse_kl import ReverseKL
from stark.losses.soft_targets import SoftTargets
from stark.losses.standardized import StandardizedLogits
from stark.losses.symmetric_kl import SymmetricKL
from stark.losses.weighted import WeightedSum
from stark.scores.friendliness import Friendliness
from stark.scores.score import Distilled
from stark.scores.scoring import score_units
from tests.stark.forward.test_classifying import Waits
from tests.stark.losses.test_hidden_states import compared
from tests.tiny import random_masks, tiny_batch, tiny_classifier

LOGITS = {
    kind.__name__: kind
    for kind in (SoftTargets, ReverseKL, SymmetricKL, JensenShannon, LogitMSE, DecoupledKD, DIST, StandardizedLogits)
}
LAYERS = {
    "HiddenStates": HiddenStates,
    "dynamic": lambda: HiddenStates(match="dynamic"),
    "PatientKD": PatientKD,
    "AttentionMaps": AttentionMaps,
    "MiniLM": MiniLM,
    "MiniLMv2": MiniLMv2,
    "ContextualKD": ContextualKD,
}
MADE = {**LOGITS, **LAYERS}
KEEP_HEADS = ("AttentionMaps", "MiniLM")
FAMILIES = ["bert", "roberta", "distilbert"]


def three_classes(**settings):
    return tiny_classifier(num_labels=3, layers=4, **settings)


def pruned(name, family="bert"):
    student = three_classes(family=family, seed=1)
    masks = random_masks(student, keep=0.5)
    if name in KEEP_HEADS:
        masks.heads[:] = [torch.ones(4)] * 4
    return shrink_(student, masks)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", MADE)
def test_a_pruned_student_learns_from_real_tokens(name, family):
    student, teacher, batch, loss = (
        pruned(name, family),
        three_classes(family=family),
        tiny_batch(num_labels=3),
        MADE[name](),
    )
    loss.prepare_(student, teacher)
    rows = compared(loss, student, teacher, batch)
    torch.testing.assert_close(compared(loss, student, teacher, batch, "mean"), rows.mean())
    rows.sum().backward()
    assert rows.shape == (3,)
    assert all(p.grad.isfinite().all() for p in student.parameters() if p.grad is not None)
    assert student.get_input_embeddings().weight.grad.abs().max() > 0
    wider = {
        key: torch.cat([value, torch.zeros(3, 4, dtype=torch.int64)], 1) if value.dim() == 2 else value
        for key, value in batch.items()
    }
    torch.testing.assert_close(compared(loss, student, teacher, wider), rows, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_a_row_does_not_depend_on_the_others(name):
    student, teacher, batch, loss = pruned(name), three_classes(), tiny_batch(num_labels=3), LAYERS[name]()
    loss.prepare_(student, teacher)
    if name == "dynamic":  # which chooses the layers for the batch
        return
    rows = compared(loss, student, teacher, batch)
    for row in range(3):
        single = {key: value[row : row + 1] for key, value in batch.items()}
        torch.testing.assert_close(compared(loss, student, teacher, single)[0], rows[row], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", MADE)
def test_a_student_with_fewer_layers_learns(name):
    student, teacher, loss = tiny_classifier(num_labels=3, layers=2, seed=1), three_classes(), MADE[name]()
    loss.prepare_(student, teacher)
    value = compared(loss, student, teacher, tiny_batch(num_labels=3), "mean")
    value.backward()
    assert value > 0
    assert student.get_input_embeddings().weight.grad.abs().max() > 0


@pytest.mark.parametrize("name", MADE)
def test_nothing_is_waited_for(name):
    student, teacher, batch, loss = pruned(name).train(), three_classes(), tiny_batch(num_labels=3), MADE[name]()
    loss.prepare_(student, teacher)
    with Waits() as waits:
        compared(loss, student, teacher, batch, "mean").backward()
    assert waits.found == []


@pytest.mark.parametrize("name", MADE)
def test_it_can_be_computed_in_half_precision(name):
    student, teacher, batch, loss = pruned(name), three_classes(), tiny_batch(num_labels=3), MADE[name]()
    loss.prepare_(student, teacher)
    exact = compared(loss, student, teacher, batch, "mean")
    with torch.autocast("cpu", torch.bfloat16):
        found = compared(loss, student, teacher, batch, "mean")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=0.2, atol=0.02)


@pytest.mark.parametrize("name", MADE)
def test_the_teachers_units_can_be_scored_with_it(name):
    student, teacher, loss = pruned(name), three_classes(), WeightedSum([SoftTargets(), MADE[name]()], [1.0, 2.0])
    loss.prepare_(student, teacher)
    batches = [tiny_batch(num_labels=3, seed=seed) for seed in (0, 1)]
    scores = score_units(teacher, batches, [Friendliness()], Distilled(student, loss))
    alone = score_units(teacher, batches, [Friendliness()], Distilled(student, SoftTargets()))
    values = [value for side in (scores.heads, scores.neurons) for value in side["friendliness"]]
    others = [value for side in (alone.heads, alone.neurons) for value in side["friendliness"]]
    assert all(value.isfinite().all() for value in values)
    assert any(not torch.allclose(value, other) for value, other in zip(values, others, strict=True))
