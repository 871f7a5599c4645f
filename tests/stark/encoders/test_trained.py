"""Cutting a model in training, compared with training that never had the removed units."""

import copy

import pytest
import torch
from torch.optim import SGD, AdamW

from stark.encoders.cutting import shrink_
from stark.encoders.masking import unit_masks
from stark.encoders.trained import shrink_trained_
from stark.forward.lean_training import use_rows_
from tests.tiny import FAMILIES, random_masks, tiny_batch, tiny_classifier


def optimizer_of(model, kind=AdamW):
    matrices, vectors = ([p for p in model.parameters() if (p.ndim >= 2) is is_matrix] for is_matrix in (True, False))
    settings = {"lr": 1e-2, "foreach": False} if kind is AdamW else {"lr": 1e-2, "momentum": 0.9}
    return kind([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], **settings)


def step(model, optimizer, batch, masks=None):
    optimizer.zero_grad()
    if masks is None:
        model(**batch).loss.backward()
    else:
        with unit_masks(model, masks):
            model(**batch).loss.backward()
    optimizer.step()


@pytest.mark.parametrize("kind", [AdamW, SGD])
@pytest.mark.parametrize("family", FAMILIES)
def test_training_goes_on_as_if_the_units_had_never_been_there(family, kind):
    # With masks from the first step on, removed units have no influence; so cutting them later changes nothing.
    whole = tiny_classifier(family, seed=1).double()  # Adam enlarges the rounding of tiny gradients
    masks, batch = random_masks(whole), tiny_batch(seed=2)
    batch = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    small = shrink_(copy.deepcopy(whole), masks)
    floats = masks.to("cpu", whole.dtype)
    first, second = optimizer_of(whole, kind), optimizer_of(small, kind)
    for _ in range(3):
        step(whole, first, batch, floats)
        step(small, second, batch)
    shrink_trained_(whole, masks, first)
    assert len(first.state) == len(second.state) == len(list(whole.parameters()))
    for _ in range(2):
        step(whole, first, batch)
        step(small, second, batch)
    expected = dict(small.named_parameters())
    for name, weight in whole.named_parameters():
        torch.testing.assert_close(
            weight, expected[name], rtol=1e-6, atol=1e-8, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_other_parameters_rates_and_hooks_stay():
    model, other = tiny_classifier("bert", seed=1), torch.nn.Parameter(torch.ones(3))
    optimizer = optimizer_of(model)
    optimizer.add_param_group({"params": [other], "weight_decay": 0.0})
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    batch = {name: tensor for name, tensor in tiny_batch(seed=2).items() if name != "idx"}
    other.grad = torch.ones(3)
    step(model, optimizer, batch)
    state, schedule = optimizer.state[other], torch.optim.lr_scheduler.StepLR(optimizer, 1)
    shrink_trained_(model, random_masks(model), optimizer)
    assert optimizer.param_groups[2]["params"][0] is other
    assert optimizer.state[other] is state
    assert schedule.optimizer is optimizer
    trained = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    assert trained == {*model.parameters(), other}
    assert set(optimizer.state) <= trained
    step(model, optimizer, batch)
    assert len(calls) == 2


def test_rows_that_are_trained_stay_the_trained_ones():
    model = tiny_classifier("bert", seed=1)
    batch = {name: tensor for name, tensor in tiny_batch(seed=2).items() if name != "idx"}
    rows = use_rows_(model, batch["input_ids"].unique())
    optimizer = optimizer_of(model)
    step(model, optimizer, batch)
    moments = optimizer.state[rows.weight]["exp_avg"].clone()
    shrink_trained_(model, random_masks(model), optimizer)
    assert model.get_input_embeddings() is rows
    assert torch.equal(optimizer.state[rows.weight]["exp_avg"], moments)
