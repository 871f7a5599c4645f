"""The table of families."""

import pytest

from stark.encoders.families.table import FAMILIES as SUPPORTED
from stark.encoders.layers import encoder_layers
from tests.tiny import CLONES, FAMILIES, tiny_classifier


def test_every_family_is_tested():
    assert {*FAMILIES, *CLONES} == set(SUPPORTED)


def test_unknown_family_is_refused():
    model = tiny_classifier()
    model.config.model_type = "t5"
    message = r"no family for model type 't5': one of bert, .* is supported \(stark/encoders/families\)"
    with pytest.raises(ValueError, match=message):
        encoder_layers(model)
