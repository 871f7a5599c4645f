"""Refitted models, compared with numpy's least squares and with properties."""

import copy

import numpy as np
import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers
from stark.encoders.units import UnitMasks
from stark.errors import StarkError
from stark.refitting import output_projections, refit_
from tests.tiny import OWN_LAYERS, logits, random_masks, tiny_batch, tiny_classifier

# Parts that get the sum of attention and residual, in families whose norms lie before the blocks.
MIDDLE = {"modernbert": "mlp_norm", "roberta-prelayernorm": "intermediate"}


def batches(count=4, **options):
    return [tiny_batch(8, 12, seed=seed, **options) for seed in range(count)]


def inputs_of(batch):
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def seen(model, batch, choose):
    """Input and output of a linear of each layer."""
    found = []
    handles = [
        choose(layer).register_forward_hook(lambda _, inputs, output: found.append((inputs[0], output)))
        for layer in encoder_layers(model)
    ]
    with torch.no_grad():
        model(**inputs_of(batch), output_hidden_states=True)  # a shrunk model skips most of its last layer otherwise
    for handle in handles:
        handle.remove()
    return found


def duplicated(family, kept_heads=2, kept_neurons=8, layers=2):
    """A model in which each unit is a copy of another one, except for its output weights; masks that keep one of each.

    The output weights differ, so that cutting the copies alone changes what the model computes.
    """
    model = tiny_classifier(family, layers=layers, hidden=32, heads=4, neurons=16)
    with torch.no_grad():
        for layer in encoder_layers(model):
            for one, half in (
                *((one, 16) for one in layer.into_heads),
                *((one, 8) for one in layer.into_neurons),
            ):
                for parameter in one.linear.parameters():
                    for block in one.split(parameter, 0):
                        block[half:] = block[:half]
        for name, parameter in model.named_parameters():
            if "relative_attention_bias" in name:  # a column for each head
                parameter[:, 2:] = parameter[:, :2]
    keep = UnitMasks([torch.arange(4) < kept_heads] * layers, [torch.arange(16) < kept_neurons] * layers)
    return model, keep


@pytest.mark.parametrize("family", OWN_LAYERS)
def test_removed_copies_of_kept_units_are_made_up_for(family):
    dense, keep = duplicated(family)
    cut = shrink_(copy.deepcopy(dense), keep)
    new = inputs_of(tiny_batch(5, 9, seed=99))
    assert (logits(cut, new) - logits(dense, new)).abs().max() > 0.1
    refit_(cut, dense, batches(), ridge=1e-9)
    torch.testing.assert_close(logits(cut, new), logits(dense, new), rtol=0, atol=1e-4)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("family", OWN_LAYERS)
def test_projections_are_numpys_least_squares_towards_the_uncut_models_hidden_states(family, layer):
    """A layer's attention and FFN, from forward passes of both models over real tokens after all were refitted."""
    dense = tiny_classifier(family)
    cut = shrink_(copy.deepcopy(dense), random_masks(dense))
    before, data = copy.deepcopy(cut), batches()
    refit_(cut, dense, data, ridge=1e-12)

    def rows(choose_inputs, choose_outputs, model):
        """Inputs of the layer's projection, what it is to give, and what it gives, at real tokens."""
        found = ([], [], [])
        for batch in data:
            tokens = batch["attention_mask"].bool()
            x, given = seen(model, batch, choose_outputs)[layer]
            _, wanted = seen(dense, batch, choose_outputs)[layer]
            h, theirs = (seen(some, batch, choose_inputs)[layer][0] for some in (model, dense))
            for part, values in zip(found, (x, theirs + wanted - h, given), strict=True):
                part.append(values[tokens].double())
        return [torch.cat(part).numpy() for part in found]

    def middle(layer):
        return layer.module.get_submodule(MIDDLE[family]) if family in MIDDLE else layer.into_neurons[0].linear

    for inputs, outputs in (
        (lambda layer: layer.module, lambda layer: layer.attention_output),
        (middle, lambda layer: layer.ffn_out),
    ):
        x, wanted, given = rows(inputs, outputs, cut)
        wide = x if family == "modernbert" else np.c_[x, np.ones(len(x))]
        best, *_ = np.linalg.lstsq(wide, wanted, rcond=None)
        np.testing.assert_allclose(given, wide @ best, atol=2e-4)
        _, old_wanted, old_given = rows(inputs, outputs, before)
        assert ((given - wanted) ** 2).mean() < ((old_given - old_wanted) ** 2).mean()


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("empty", [{"empty_heads": 0}, {"empty_neurons": 1}, {"empty_heads": 1, "empty_neurons": 1}])
def test_an_empty_block_gets_the_mean_of_what_it_is_to_give(family, empty):
    dense = tiny_classifier(family)
    cut = refit_(shrink_(copy.deepcopy(dense), random_masks(dense, **empty)), dense, data := batches())
    if "empty_heads" in empty and empty["empty_heads"] == 0:
        wanted = torch.cat(
            [
                seen(dense, batch, lambda layer: layer.attention_output)[0][1][batch["attention_mask"].bool()]
                for batch in data
            ]
        )
        torch.testing.assert_close(encoder_layers(cut)[0].attention_output.bias, wanted.mean(0), rtol=0, atol=1e-5)
    assert torch.isfinite(logits(cut)).all()


def test_an_uncut_model_is_not_changed():
    dense = tiny_classifier()
    refitted = refit_(copy.deepcopy(dense), dense, batches())
    torch.testing.assert_close(logits(refitted), logits(dense), rtol=0, atol=1e-5)


def test_padding_changes_nothing():
    dense = tiny_classifier().double()
    masks = random_masks(dense)
    padded = [
        {name: torch.nn.functional.pad(batch[name], (0, 6)) for name in ("input_ids", "attention_mask")}
        for batch in batches()
    ]
    plain, wide = (refit_(shrink_(copy.deepcopy(dense), masks), dense, data) for data in (batches(), padded))
    torch.testing.assert_close(output_projections(wide), output_projections(plain), rtol=0, atol=1e-9)


def count_hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_modes_gradients_and_hooks_are_restored_and_only_projections_change():
    dense = tiny_classifier().train()
    cut = shrink_(copy.deepcopy(dense), random_masks(dense)).train()
    before = {name: values.clone() for name, values in cut.state_dict().items()}
    original = copy.deepcopy(dense.state_dict())
    refit_(cut, dense, batches())
    hooks = count_hooks(cut)
    refit_(copied := copy.deepcopy(cut), dense, batches())
    assert count_hooks(copied) == hooks  # transformers leaves some of its own
    assert cut.training
    assert dense.training
    changed = {name for name, values in cut.state_dict().items() if not torch.equal(values, before[name])}
    assert changed == set(output_projections(cut))
    assert len(changed) == 8
    assert all(parameter.requires_grad for parameter in cut.parameters())
    assert all(torch.equal(values, original[name]) for name, values in dense.state_dict().items())


def test_a_model_that_lost_layers_and_no_rows_are_refused():
    with pytest.raises(StarkError, match="cannot refit 2 layers to 3: refit a model that lost no layer"):
        refit_(tiny_classifier(), tiny_classifier(layers=3), batches())
    with pytest.raises(StarkError, match="cannot refit a model without rows"):
        refit_(tiny_classifier(), tiny_classifier(), [])
