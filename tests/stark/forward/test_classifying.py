import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_passes
from stark.forward.classifying import classify, outputs_of
from tests.tiny import FAMILIES, LEAN, SDPA, random_masks, tiny_batch, tiny_classifier

NORM_BEFORE_ATTENTION = {"modernbert": "attn_norm", "roberta-prelayernorm": "attention.LayerNorm"}


class Waits(TorchDispatchMode):
    """Records operations that synchronise with a GPU, because Python reads the values of tensors."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if any(name in str(function) for name in ("_local_scalar_dense", "nonzero", "is_nonzero", "equal.default")):
            self.found.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("family", "attention"), [*((family, "sdpa") for family in SDPA), *((family, "eager") for family in FAMILIES)]
)
def test_logits_are_those_of_the_model(family, attention):
    model = tiny_classifier(family).eval()
    model.set_attn_implementation(attention)
    batch = {**tiny_batch(), "idx": torch.arange(3)}
    assert not batch["attention_mask"].all()
    inputs = {name: tensor for name, tensor in batch.items() if name not in ("labels", "idx")}
    torch.testing.assert_close(classify(model, batch), model(**inputs).logits)
    outputs = outputs_of(model, batch, (0, 1, -1))
    expected = model(**inputs, output_hidden_states=True)
    torch.testing.assert_close(outputs.logits, expected.logits)
    assert outputs.hidden_states.keys() == {0, 1, -1}
    for layer, found in outputs.hidden_states.items():
        torch.testing.assert_close(found, expected.hidden_states[layer])
    assert outputs_of(model, batch).hidden_states == {}


@pytest.mark.parametrize("family", LEAN)
def test_nothing_is_waited_for(family):
    model, batch = tiny_classifier(family).train(), tiny_batch()
    with Waits() as waits:
        model(**batch)
    assert waits.found  # transformers checks whether anything is masked
    with Waits() as waits:
        classify(model, batch).sum().backward()
    assert waits.found == []


@pytest.mark.parametrize("family", FAMILIES)
def test_projections_are_those_of_a_layers_input(family):
    model, batch = tiny_classifier(family, layers=3).train(False), tiny_batch()
    masks = random_masks(model)
    masks.heads[:] = [torch.tensor([1, 0, 1, 1]), torch.ones(4), torch.zeros(4)][: len(masks.heads)]
    for shrunk in (False, True):
        if shrunk:
            shrink_(model, masks)
        plain = outputs_of(model, batch, (0, 1, 2, 3))
        outputs = outputs_of(model, batch, (), (1, 2, -1))
        torch.testing.assert_close(outputs.logits, plain.logits)
        assert outputs.hidden_states == {}
        for layer, found in outputs.projections.items():
            view = encoder_passes(model)[layer - 1 if layer > 0 else layer]
            states = plain.hidden_states[layer - 1 if layer > 0 else 2]
            if family in NORM_BEFORE_ATTENTION:
                states = view.module.get_submodule(NORM_BEFORE_ATTENTION[family])(states)
            linears = view.query_key_value_linears()
            expected = torch.cat([linear(states) for linear in linears], -1).chunk(3, -1)
            torch.testing.assert_close(found[:3], expected)
            assert found.of_heads(found.query).shape == (3, view.num_heads, 10, 8)
        assert outputs.projections.keys() == {1, 2, -1}
        assert not any(linear._forward_hooks for linear in model.modules() if isinstance(linear, torch.nn.Linear))


def test_a_compiled_model_gives_no_projections():
    model = tiny_classifier()
    model._compiled_call_impl = model.forward
    with pytest.raises(ValueError, match=r"leave out callbacks\.Compilation"):
        outputs_of(model, tiny_batch(), (), (-1,))
