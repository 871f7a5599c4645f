"""The mixture of two scores."""

import math

import pytest

from stark.scores.knowledgeableness import Knowledgeableness, knowledgeableness
from tests.stark.scores.test_importance import random_layers


@pytest.mark.parametrize("lam", [0, 0.25, 0.5, 1])
def test_lam_is_the_weight_of_expressiveness(lam):
    expressive, friendly = random_layers(4, 2, seed=1), random_layers(4, 2, seed=2)
    mixed = knowledgeableness(expressive, friendly, lam)
    for layer, scores in enumerate(mixed):
        for unit, score in enumerate(scores):
            expected = lam * float(expressive[layer][unit]) + (1 - lam) * float(friendly[layer][unit])
            assert float(score) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("lam", [-0.1, 1.1, 50, math.nan])
def test_lam_outside_its_range_is_refused(lam):
    with pytest.raises(ValueError, match=r"choose a weight of expressiveness in \[0, 1\]"):
        Knowledgeableness(lam)
