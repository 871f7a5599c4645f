"""Expressiveness, compared with the released code."""

import pytest
import torch

from stark.budgets.sparsity import masks_at_sparsity
from stark.scores.scoring import score_units
from tests.stark.scores.test_scoring import SCORES
from tests.tiny import GOLDEN_CASES, golden


@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_expressiveness_is_the_released_codes(name):
    case = golden(name)
    scores = score_units(case.teacher, case.batches, SCORES, reduction="batch")
    for kind, raw, normalized in zip(
        ("head", "neuron"),
        (scores.heads["expressiveness"], scores.neurons["expressiveness"]),
        scores.normalized("expressiveness"),
        strict=True,
    ):
        for found, key in ((raw, "raw"), (normalized, "score")):
            torch.testing.assert_close(torch.stack(found), case.tensors[f"prune/{kind}_{key}"], rtol=0, atol=1e-12)
        order = torch.stack([torch.argsort(score, descending=True, stable=True) for score in normalized])
        assert torch.equal(order, case.tensors[f"prune/{kind}_indices"])
        for level, dropped in case.expected["prune"]["sparsity_map"].items():
            counts = [int((~mask).sum()) for mask in masks_at_sparsity(normalized, int(level) / 100)]
            assert counts == [dropped[kind].get(str(layer), 0) for layer in range(len(counts))], (kind, level)
