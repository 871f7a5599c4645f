"""The attributes under which families have the parts of a layer."""

import pytest
from torch import nn

from stark.encoders.families.table import FAMILIES as SUPPORTED
from tests.tiny import FAMILIES, tiny_classifier


@pytest.mark.parametrize("family", FAMILIES)
def test_every_path_leads_to_its_part(family):
    adapter, model = SUPPORTED[family], tiny_classifier(family)
    for layer in adapter.layer_list(model):
        for name in ("query", "key", "value", "attention_output", "ffn_in", "ffn_out"):
            assert isinstance(layer.get_submodule(getattr(adapter, name)), nn.Linear)
        assert isinstance(layer.get_submodule(adapter.attention_norm), nn.LayerNorm)
        for attribute in (adapter.num_heads_attribute, adapter.heads_width_attribute, adapter.head_size_attribute):
            assert attribute is None or getattr(layer.get_submodule(adapter.attention), attribute) > 0
