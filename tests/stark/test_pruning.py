"""Pruned models, compared with the released code."""

import copy

import pytest
import torch

from callbacks.scoring import scoring_batches
from stark.encoders.cutting import shrink_
from stark.encoders.layers import kept_units
from stark.encoders.masking import unit_masks
from stark.model_folders.model_folder import load_classifier
from stark.pruning import prune_
from stark.scores.expressiveness import Expressiveness
from stark.scores.scoring import score_units
from tests.tiny import GOLDEN_CASES, golden, golden_masks


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
