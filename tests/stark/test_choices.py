"""Every choice that a setting offers works."""

from typing import get_args

import pytest
import torch

from stark.choices import LayerChoice, ScoreReduction, ScoringSplit
from stark.encoders.layer_dropping import layers_to_keep
from stark.scores.importance import batch_importance


def test_layers():
    assert {choice: layers_to_keep(4, 2, choice) for choice in get_args(LayerChoice)} == {
        "first": [0, 1],
        "last": [2, 3],
        "alternate": [0, 2],
    }
    with pytest.raises(ValueError, match="middle"):
        layers_to_keep(4, 2, "middle")


def test_reductions():
    gradients = torch.tensor([[1.0], [-3.0]])
    found = {choice: batch_importance(gradients, choice).tolist() for choice in get_args(ScoreReduction)}
    assert found == {"example": [4.0], "batch": [1.0]}


@pytest.mark.parametrize("split", get_args(ScoringSplit))
def test_splits(tiny_task, split):
    assert len(tiny_task.data().scoring_dataloader(split))
