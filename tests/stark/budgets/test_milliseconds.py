"""The budget of measured time; what is measured is replaced by formulas."""

import json

import pytest
import torch

from stark.budgets import milliseconds
from stark.budgets.milliseconds import LatencyTable, Milliseconds, latency_table, measure_table
from stark.encoders.layers import encoder_layers
from stark.errors import StarkError
from stark.pruning import prune_
from stark.scores.random import Random
from stark.scores.unit_scores import UnitScores
from tests.tiny import tiny_classifier

# Attention is slow already with a single head, and the last neurons cost nothing.
TABLE = LatencyTable([0, 1, 4], [0.0, 3.0, 4.0], [0, 32, 64], [0.0, 2.0, 2.0])


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """The tables that were measured."""
    monkeypatch.setenv("STARK_CACHE", str(tmp_path))
    shapes = []

    def measure(model, rows, length):
        shapes.append((rows, length, [layer.num_neurons for layer in encoder_layers(model)]))
        return TABLE

    monkeypatch.setattr(milliseconds, "measure_table", measure)
    return shapes


def time_of(masks):
    kinds = zip(masks.heads, masks.neurons, strict=True)
    return sum(TABLE(int(heads.sum()), int(neurons.sum())) for heads, neurons in kinds)


@pytest.mark.parametrize("sparsity", [0.1, 0.4, 0.7])
def test_what_is_kept_takes_the_time_that_is_left_and_no_unit_less_would(sparsity, measured):
    model = tiny_classifier(layers=3)
    values = Random(2).values(model, None)
    masks = Milliseconds(length=8).masks(values, model, sparsity)
    allowed = (1 - sparsity) * 3 * 6.0
    assert time_of(masks) <= allowed
    # One step fewer, of as many as there are neurons: the units that would go first take too long.
    removed = sum(int((~mask).sum()) for mask in masks.neurons) - 1
    neurons = sum(mask.numel() for mask in masks.neurons)
    fewer = milliseconds.CostBudget.masks(Fixed(), values, model, removed / neurons)
    assert time_of(fewer) > allowed


class Fixed(Milliseconds):
    """Costs a unit for each neuron, so that a sparsity is a fraction of them."""

    def layer_costs(self, model):
        return [lambda heads, neurons: float(neurons)] * len(encoder_layers(model))


def test_a_shape_is_measured_once_and_damage_is_noticed(measured, tmp_path, caplog):
    model = tiny_classifier(layers=2)
    assert [latency_table(model, 1, 8) for _ in range(2)] == [TABLE, TABLE]
    assert len(measured) == 1
    latency_table(model, 2, 8)
    latency_table(prune_(tiny_classifier(layers=2), Random(1), UnitScores({}, {}, ""), 0.5), 2, 8)
    assert [(rows, length) for rows, length, _ in measured] == [(1, 8), (2, 8), (2, 8)]
    for path in tmp_path.glob("latency-*.json"):
        path.write_text(path.read_text()[:50])
    assert latency_table(model, 1, 8) == TABLE
    assert len(measured) == 4
    assert "latencies are measured again" in caplog.text
    (first,) = (path for path in tmp_path.glob("latency-*.json") if path.read_text().count("}") > 1)
    first.write_text(json.dumps({**json.loads(first.read_text()), "of": {}}))  # of another machine
    latency_table(model, 1, 8)
    assert len(measured) == 5


def test_whole_ffns_are_kept(measured):
    model = tiny_classifier(layers=3)
    values = Random(2).values(model, None)
    masks = Milliseconds(length=8, whole_ffns=[0, -1]).masks(values, model, 0.15)
    assert [bool(mask.all()) for mask in masks.neurons] == [True, False, True]
    assert time_of(masks) <= 0.85 * 18
    with pytest.raises(StarkError, match=r"for which neurons of the layers \[0, 2\] would have to go"):
        Milliseconds(length=8, whole_ffns=[0, -1]).masks(values, model, 0.9)
    with pytest.raises(StarkError, match="whole_ffns names the layer 3: the model has the layers 0 to 2"):
        Milliseconds(length=8, whole_ffns=[3]).masks(values, model, 0.4)


def test_a_layers_part_is_what_a_model_takes_more_than_without(monkeypatch):
    times = {}

    def fastest(models, device, rows, length):
        for name in models:
            kind, width = name.split()
            heads, neurons = (float(width), 64) if kind == "heads" else (4, float(width))
            times[name] = 7.0 + 3 * (2.0 * heads + 0.5 * neurons)
        return times

    monkeypatch.setattr(milliseconds, "fastest_calls", fastest)
    model = tiny_classifier(layers=3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    table = measure_table(model, 1, 8)
    assert table.heads[0] == table.neurons[0] == 0
    assert table.heads[-1] == encoder_layers(model)[0].num_heads
    assert table.of_heads == pytest.approx([2.0 * heads for heads in table.heads])
    assert table.of_neurons == pytest.approx([0.5 * neurons for neurons in table.neurons])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_noise_does_not_make_more_units_cheaper(monkeypatch):
    noisy = iter([5.0, 9.0, 6.0, 8.0, 7.0, 7.5, 12.0, 11.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0])
    monkeypatch.setattr(milliseconds, "fastest_calls", lambda models, *_: {name: next(noisy) for name in models})
    table = measure_table(tiny_classifier(layers=3), 1, 8)
    for times in (table.of_heads, table.of_neurons):
        assert times == sorted(times)
        assert times[0] == 0


def test_a_real_model_is_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("STARK_CACHE", str(tmp_path))
    model = tiny_classifier(layers=2)
    masks = Milliseconds(length=8).masks(Random(2).values(model, None), model, 0.5)
    assert sum(int(mask.sum()) for mask in masks.neurons) < sum(mask.numel() for mask in masks.neurons)
    with pytest.raises(StarkError, match="length is 4000 but the encoder has positions for"):
        Milliseconds(length=4000).masks(Random(2).values(model, None), model, 0.5)
    with pytest.raises(StarkError, match="rows is 0: give a whole number"):
        Milliseconds(rows=0)
