"""A model without dropout for a while."""

import pytest
import torch

from stark.forward.evaluating import evaluating
from tests.tiny import logits, tiny_classifier


@pytest.mark.parametrize("training", [True, False])
def test_a_model_has_no_dropout_meanwhile_and_is_restored_even_after_an_error(training):
    model = tiny_classifier()
    expected = logits(model)
    model.train(training)
    with evaluating(model):
        assert torch.equal(logits(model), expected)
    assert model.training == training
    with pytest.raises(ValueError, match="unpack"), evaluating(model):
        logits(model, {"input_ids": torch.zeros(1, dtype=torch.int64)})
    assert model.training == training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_frozen_parameters_are_constants_meanwhile_and_those_that_were_before_stay_so():
    model = tiny_classifier()
    model.classifier.bias.requires_grad_(False)
    with evaluating(model, frozen=True):
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert [name for name, parameter in model.named_parameters() if not parameter.requires_grad] == ["classifier.bias"]
