"""ALBERT's layers, whose weights serve several passes."""

import copy

import pytest
import torch
from transformers import AlbertForSequenceClassification

from stark.budgets.flops import FLOPs
from stark.encoders.cutting import shrink_
from stark.encoders.families.albert import ALBERT
from stark.encoders.layer_dropping import drop_layers
from stark.encoders.layers import encoder_layers, encoder_passes, kept_units
from stark.errors import StarkError
from stark.forward.classifying import outputs_of
from stark.losses.attention_maps import AttentionMaps
from stark.losses.hidden_states import HiddenStates
from stark.losses.minilm import MiniLM
from stark.model_folders.model_folder import load_classifier, save_classifier
from stark.problems.table import problem_for
from stark.refitting import refit_
from stark.scores.scoring import score_units
from stark.scores.wanda import Wanda
from tests.tiny import logits, random_masks, tiny_batch, tiny_classifier

SHAPES = [
    {"layers": 4},  # as in all published models: one layer with weights
    {"layers": 3, "further": {"num_hidden_groups": 2}},
    {"layers": 3, "further": {"num_hidden_groups": 2, "inner_group_num": 2}},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_passes_are_the_calls_of_transformers(shape):
    model = tiny_classifier("albert", **shape)
    layers, called = ALBERT.layer_list(model), []
    for layer in layers:
        layer.register_forward_hook(lambda layer, *_: called.append(layer))
    with torch.no_grad():
        states = model(**tiny_batch(), output_hidden_states=True).hidden_states
    assert [layers[number] for number in ALBERT.passes(model)] == called
    assert len(states) == len(encoder_passes(model)) + 1 == len(called) + 1


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_cut_and_saved(shape, tmp_path):
    model = tiny_classifier("albert", **shape)
    shrink_(model, random_masks(model, empty_heads=0, empty_neurons=len(encoder_layers(model)) - 1))
    loaded = load_classifier(save_classifier(model, tmp_path / "model"))
    assert torch.equal(logits(loaded), logits(model))
    assert kept_units(loaded) == kept_units(model)


@pytest.mark.parametrize("which", ["first", "last", "alternate"])
@pytest.mark.parametrize("is_shrunk", [False, True])
def test_dropping_layers_computes_fewer_passes_with_the_same_weights(is_shrunk, which):
    model = tiny_classifier("albert", layers=4)
    if is_shrunk:
        shrink_(model, random_masks(model))
    config, state, units = copy.deepcopy(model.config), copy.deepcopy(model.state_dict()), kept_units(model)
    config.num_hidden_layers = 2
    expected = type(model)(config).eval()
    expected.load_state_dict(state)
    drop_layers(model, 2, which)
    assert torch.equal(logits(model), logits(expected))
    assert type(model) is type(expected)
    assert isinstance(model, AlbertForSequenceClassification)
    assert model.config.num_hidden_layers == len(encoder_passes(model)) == 2
    assert kept_units(model) == units


def test_several_layers_with_weights_are_not_dropped():
    with pytest.raises(StarkError, match="this albert encoder has 2 layers with weights"):
        drop_layers(tiny_classifier("albert", **SHAPES[1]), 2)


def test_it_is_not_refitted():
    dense = tiny_classifier("albert")
    cut = shrink_(copy.deepcopy(dense), random_masks(dense))
    with pytest.raises(StarkError, match="cannot refit this albert encoder: a projection is solved for one pass"):
        refit_(cut, dense, [tiny_batch()])


def test_flops_count_each_pass_and_other_costs_each_layer():
    model = tiny_classifier("albert", **SHAPES[1])
    first, second = FLOPs(16).layer_costs(model)
    assert ALBERT.passes(model) == (0, 0, 1)
    assert (first.head, first.neuron) == (2 * second.head, 2 * second.neuron)


def test_activations_of_all_passes_are_scored():
    model, batch = tiny_classifier("albert", layers=3).double(), tiny_batch(4)
    (layer,), seen = encoder_layers(model), []
    layer.ffn_out.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    scores = score_units(model, [batch], [Wanda()])
    tokens, norms = batch["attention_mask"].bool(), layer.ffn_out.weight.detach().square().sum(0)
    assert len(seen) == 3
    expected = sum(one[tokens].square().sum(0) for one in seen) * norms
    torch.testing.assert_close(scores.neurons["wanda"][0], expected)


def test_losses_compare_passes():
    student, teacher = tiny_classifier("albert", layers=2, seed=1), tiny_classifier("albert", layers=4, seed=2)
    hidden, maps = HiddenStates(), AttentionMaps()
    for loss in (hidden, maps):
        loss.prepare_(student, teacher)
        assert [pair for pair in loss.pairs if pair != (0, 0)] == [(1, 2), (2, 4)]
    batch = tiny_batch()
    for loss in (maps, MiniLM()):
        loss.prepare_(student, teacher)
        own = outputs_of(student, batch, loss.student_layers, loss.student_projections)
        with torch.no_grad():
            other = outputs_of(teacher, batch, loss.teacher_layers, loss.teacher_projections)
        value = loss(problem_for(["a", "b"]), own, other, batch)
        value.backward()
        assert value > 0
        assert encoder_layers(student)[0].query_key_value_linears()[0].weight.grad.abs().sum() > 0
