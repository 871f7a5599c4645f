import copy
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.encoders.families.table import FAMILIES as SUPPORTED
from stark.encoders.layer_dropping import drop_layers_
from stark.encoders.layers import encoder_layers
from stark.forward.classifying import classify, outputs_of
from stark.forward.lean_attention import lean_attention
from tests.tiny import FAMILIES, LEAN, random_masks, tiny_batch, tiny_classifier


def barely_dropping(model):
    """Set a model to training with dropout that runs fully but drops only one of 65,536 million elements."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 1e-9
    return model.train()


def logits_and_gradients(model, logits):
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(logits.square().sum(), parameters, allow_unused=True)
    return logits, dict(zip(names, gradients, strict=True))


@pytest.mark.parametrize("cut", ["dense", "shrunk", "no heads in the last layer", "no neurons in the last layer"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("family", LEAN)
def test_logits_and_gradients_are_those_of_the_whole_model(family, training, cut):
    model = tiny_classifier(family, layers=3).double()
    if cut != "dense":
        empty = {f"empty_{word}": 2 for word in ("heads", "neurons") if f"no {word}" in cut}
        shrink_(model, random_masks(model, **empty))
    if training:
        barely_dropping(model)
    batch = tiny_batch()
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    wanted, expected = logits_and_gradients(model, model(**inputs).logits)
    found, gradients = logits_and_gradients(model, classify(model, batch))
    torch.testing.assert_close(found, wanted)
    for name, gradient in gradients.items():
        if expected[name] is None:
            assert gradient is None
        else:
            torch.testing.assert_close(gradient, expected[name], msg=name)


@pytest.mark.parametrize("family", LEAN)
def test_the_last_layer_computes_one_token(family):
    model, batch = tiny_classifier(family, layers=3), tiny_batch()
    seen = []
    for layer in encoder_layers(model):
        for linear in (*layer.query_key_value_linears()[:2], layer.attention_output, layer.ffn_out):
            linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    classify(model, batch)
    assert seen == [10] * 8 + [1, 10, 1, 1]
    seen.clear()
    states = outputs_of(model, batch, (-1,)).hidden_states
    assert seen == [10] * 12
    assert states[-1].shape[1] == 10


def drop(attention, p):
    name = "attention_dropout" if hasattr(attention, "attention_dropout") else "dropout"
    if isinstance(module := getattr(attention, name), torch.nn.Dropout):
        module.p = p
    else:
        setattr(attention, name, p)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_dropped_out_in_training_only(family):
    model, batch = tiny_classifier(family), tiny_batch()
    attentions = [layer.module.get_submodule(SUPPORTED[family].attention) for layer in encoder_layers(model)]
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for number, attention in enumerate(attentions):
        drop(attention, 0.5)
        assert torch.equal(classify(model.eval(), batch), classify(model, batch))
        assert not torch.equal(classify(model.train(), batch), classify(model, batch)), f"layer {number}"
        drop(attention, 0.0)


def test_it_is_undone_even_after_an_error():
    model, batch = tiny_classifier(), tiny_batch()
    with pytest.raises(RuntimeError, match="on purpose"), lean_attention(model):
        raise RuntimeError("on purpose")
    assert model.base_model(input_ids=batch["input_ids"]).last_hidden_state.shape == (3, 10, 32)


@pytest.mark.parametrize("family", LEAN)
def test_models_that_were_called_once_are_the_same_as_before(family):
    model, batch = tiny_classifier(family).eval(), tiny_batch()
    shown = {"output_hidden_states": True, "output_attentions": True}
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    untouched = copy.deepcopy(model)
    untouched.set_attn_implementation("eager")
    wanted = untouched(**inputs, **shown)
    names = list(model.state_dict())
    logits = classify(model, batch)
    for _ in range(2):
        classify(model.train(), batch)
    assert list(model.eval().state_dict()) == names
    copies = [model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for number, one in enumerate(copies):
        assert torch.equal(classify(one, batch), logits)
        one.set_attn_implementation("eager")
        found = one(**inputs, **shown)
        torch.testing.assert_close(found.logits, wanted.logits)
        torch.testing.assert_close(found.hidden_states, wanted.hidden_states)
        torch.testing.assert_close(found.attentions, wanted.attentions)
        one.set_attn_implementation("sdpa")
        if number:
            with torch.no_grad():
                encoder_layers(one)[-1].into_heads[0].linear.weight.zero_()
            assert not torch.equal(classify(one, batch), logits)  # the copy computes with its own weights
    assert torch.equal(classify(model, batch), logits)


def test_another_last_layer_and_a_lost_one():
    model, batch = tiny_classifier(layers=3).eval(), tiny_batch()
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    for change in (
        lambda: drop_layers_(model, [0, 1]),
        lambda: shrink_(model, random_masks(model)),
        lambda: shrink_(model, random_masks(model, empty_heads=1)),
    ):
        classify(model, batch)
        change()
        torch.testing.assert_close(classify(model, batch), model(**inputs, output_hidden_states=True).logits)


def test_threads_share_a_model():
    model, batch = tiny_classifier(layers=3).eval(), tiny_batch()
    states_wanted, logits_wanted = model.base_model(batch["input_ids"]).last_hidden_state, classify(model, batch)

    def ask(number):
        with torch.no_grad():
            if number % 2:
                return torch.equal(classify(model, batch), logits_wanted)
            return torch.equal(model.base_model(batch["input_ids"]).last_hidden_state, states_wanted)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(200)))


def test_threads_may_be_the_first_to_call_a_model():
    batch = tiny_batch()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            for seed in range(20):
                model = tiny_classifier(layers=3, seed=seed).eval()
                wanted = classify(copy.deepcopy(model), batch)
                together = threading.Barrier(8, timeout=20)

                def ask(_, model=model, wanted=wanted, together=together):
                    together.wait()
                    with torch.no_grad():
                        return torch.equal(classify(model, batch), wanted)

                assert all(pool.map(ask, range(8)))
                hooks = [hook for module in model.modules() for hook in module._forward_pre_hooks.values()]
                assert len(hooks) == 1
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable:FutureWarning")  # newer versions have another name
def test_checkpointed_activations_are_recomputed_in_the_same_form():
    model, batch = barely_dropping(tiny_classifier().double()), tiny_batch()
    wanted = logits_and_gradients(model, classify(model, batch))
    model.gradient_checkpointing_enable({"use_reentrant": False})
    found = logits_and_gradients(model, classify(model, batch))
    torch.testing.assert_close(found, wanted)
