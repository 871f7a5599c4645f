import pytest
import torch
from torch import nn

from lightning_modules.encoders import shrink_
from lightning_modules.graph_form import graph_form
from tests.tiny import FAMILIES, random_masks, tiny_batch, tiny_classifier


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_stay_and_no_matrix_without_inputs_is_left(family):
    model = tiny_classifier(family)
    shrink_(model, *random_masks(model, empty_heads=0, empty_neurons=1))

    def without_inputs(made):
        return [
            name for name, module in made.named_modules() if isinstance(module, nn.Linear) and not module.in_features
        ]

    assert len(without_inputs(model)) == 2
    made = graph_form(model)
    assert without_inputs(made) == []
    with torch.no_grad():
        assert torch.equal(made(**tiny_batch()).logits, model(**tiny_batch()).logits)
    assert len(without_inputs(model)) == 2  # the model itself is as it was
