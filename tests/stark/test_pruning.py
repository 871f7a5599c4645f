"""Pruned models, compared with the released code."""

import copy

import pytest
import torch

from callbacks.scoring import scoring_batches
from stark.encoders.cutting import shrink_
from stark.encoders.layers import kept_units
from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitValues
from stark.model_folders.model_folder import load_classifier
from stark.pruning import choose_units, prune_
from stark.scores.expressiveness import Expressiveness
from stark.scores.score import Score
from stark.scores.scoring import score_units
from tests.tiny import GOLDEN_CASES, golden, golden_masks, tiny_classifier


def pruned_by_hand(task, sparsity, split="selection", reduction="example", round_to=8):
    data, model = task.data(), load_classifier(task.teacher)
    data.setup("fit")
    batches = scoring_batches(data, split, reduction, torch.device("cpu"))
    scores = score_units(model, batches, [Expressiveness()], reduction=reduction)
    return prune_(model, Expressiveness(), scores, sparsity, round_to=round_to)


@pytest.mark.parametrize("level", ["10", "50", "70", "90"])
@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_pruned_models_keep_the_units_that_the_released_code_keeps(name, level):
    case = golden(name)
    masked, masks = copy.deepcopy(case.teacher), golden_masks(case, level, rounded=False)
    scores = score_units(case.teacher, case.batches, [Expressiveness()], reduction="batch")
    student = prune_(case.teacher, Expressiveness(), scores, int(level) / 100, round_to=1)
    assert [len(kept) for kept in kept_units(student).heads] == [int(mask.sum()) for mask in masks[0]]
    assert kept_units(student) == kept_units(shrink_(copy.deepcopy(masked), masks))
    inputs = {name: tensor for name, tensor in case.batches[0].items() if name != "labels"}
    with torch.no_grad(), unit_masks(masked, masks):
        torch.testing.assert_close(student(**inputs).logits, masked(**inputs).logits, rtol=0, atol=1e-12)


class Fixed(Score):
    """Gives each unit of the original model a value that never changes."""

    def __init__(self, of):
        draw = torch.Generator().manual_seed(3)
        self.drawn = [[torch.rand(len(units), generator=draw) for units in side] for side in (of.heads, of.neurons)]

    def values(self, model, scores):
        kept = kept_units(model)
        return UnitValues(*(
            [values[list(units)] for values, units in zip(side, layers, strict=True)]
            for side, layers in zip(self.drawn, (kept.heads, kept.neurons), strict=True)
        ))  # fmt: skip


@pytest.mark.parametrize("steps", [[0.2, 0.7], [0.5, 0.6, 0.9], [0.3, 0.3]])
@pytest.mark.parametrize("round_to", [1, 8])
def test_cuts_one_after_the_other_leave_what_one_cut_leaves(steps, round_to):
    original = tiny_classifier(layers=3)
    score = Fixed(kept_units(original))
    cut, at_once = copy.deepcopy(original), copy.deepcopy(original)
    for sparsity in steps:
        shrink_(cut, choose_units(cut, score, None, sparsity, round_to=round_to, original=original))
    shrink_(at_once, choose_units(at_once, score, None, steps[-1], round_to=round_to))
    assert kept_units(cut) == kept_units(at_once)
