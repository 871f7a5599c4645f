"""Units in random order."""

import torch

from stark.scores.random import Random
from tests.tiny import tiny_classifier


def test_the_order_is_by_the_seed():
    model = tiny_classifier(layers=3)
    first, again, other = (Random(seed).values(model, None) for seed in (1, 1, 2))
    assert [len(layer) for layer in first.heads] == [4] * 3
    assert [len(layer) for layer in first.neurons] == [64] * 3
    assert torch.equal(torch.cat(first.neurons), torch.cat(again.neurons))
    assert not torch.equal(torch.cat(first.neurons), torch.cat(other.neurons))
    drawn = torch.cat([*first.heads, *first.neurons])
    assert len(drawn.unique()) > 200
