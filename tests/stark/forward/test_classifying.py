import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stark.forward.classifying import classify, outputs_of
from tests.tiny import FAMILIES, tiny_batch, tiny_classifier


class Waits(TorchDispatchMode):
    """Records operations that synchronise with a GPU, because Python reads the values of tensors."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if any(name in str(function) for name in ("_local_scalar_dense", "nonzero", "is_nonzero", "equal.default")):
            self.found.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
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


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_waited_for(family):
    model, batch = tiny_classifier(family).train(), tiny_batch()
    with Waits() as waits:
        model(**batch)
    assert waits.found  # transformers checks whether anything is masked
    with Waits() as waits:
        classify(model, batch).sum().backward()
    assert waits.found == []
