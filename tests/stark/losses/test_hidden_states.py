"""Hidden states, compared with slow loops over transformers' own hidden states."""

import numpy as np
import pytest
import torch

from stark.forward.classifying import outputs_of
from stark.losses.hidden_states import HiddenStates, nearest_in_order
from tests.tiny import problem, tiny_batch, tiny_classifier


def compared(loss, student, teacher, batch, reduction="none"):
    """A loss of two models for a batch, with what it asks for."""
    own = outputs_of(student, batch, loss.student_layers, loss.student_projections)
    other = outputs_of(teacher, batch, loss.teacher_layers, loss.teacher_projections)
    return loss(problem(own.logits.shape[-1]), own, other, batch, reduction)


def states_of(model, batch):
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    return [states.detach() for states in model(**inputs, output_hidden_states=True).hidden_states]


def row_error(first, second, length):
    return ((first[:length] - second[:length]) ** 2).mean().item()


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_it_is_the_sum_over_layers_of_each_rows_mean(family):
    student, teacher = tiny_classifier(family, layers=2, seed=1), tiny_classifier(family, layers=4)
    batch, loss = tiny_batch(), HiddenStates()
    loss.prepare_(student, teacher)
    own, others = states_of(student, batch), states_of(teacher, batch)
    lengths = batch["attention_mask"].sum(1).tolist()
    assert min(lengths) < max(lengths)
    expected = [
        row_error(own[1][row], others[2][row], length) + row_error(own[2][row], others[4][row], length)
        for row, length in enumerate(lengths)
    ]
    np.testing.assert_allclose(compared(loss, student, teacher, batch).detach().numpy(), expected, rtol=1e-5)


def test_a_narrow_student_has_a_projection_that_learns():
    student, teacher, batch = tiny_classifier(hidden=16, heads=2, seed=1), tiny_classifier(), tiny_batch()
    loss = HiddenStates([-1])
    loss.prepare_(student, teacher)
    found = compared(loss, student, teacher, batch)
    own = states_of(student, batch)[2] @ loss.projection.weight.detach().T
    expected = [
        row_error(own[row], states_of(teacher, batch)[2][row], batch["attention_mask"].sum(1)[row]) for row in range(3)
    ]
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4)
    found.mean().backward()
    assert loss.projection.weight.grad.abs().max() > 0


def cofi(distances):
    """The loop of CoFi's code."""
    last, chosen = distances.shape[1], []
    for row in distances.flip(0):
        below = [index for index in row.sort()[1].tolist() if index < last]
        last = below[0] if below else last
        chosen.append(last)
    return chosen[::-1]


def test_the_dynamic_match_is_cofis():
    for seed in range(50):
        distances = torch.rand(4, 6, generator=torch.Generator().manual_seed(seed))
        assert nearest_in_order(distances).tolist() == cofi(distances)
    assert nearest_in_order(torch.tensor([[9.0, 1.0], [0.0, 1.0]])).tolist() == [0, 0]


def test_dynamically_matched_layers_are_summed():
    student, teacher, batch = tiny_classifier(layers=3, seed=1), tiny_classifier(layers=8), tiny_batch()
    loss = HiddenStates(match="dynamic")
    loss.prepare_(student, teacher)
    assert (loss.student_layers, loss.teacher_layers) == ((1, 2, 3), (2, 4, 6, 8))
    own, others = states_of(student, batch), states_of(teacher, batch)
    lengths = batch["attention_mask"].sum(1).tolist()
    every = torch.tensor(
        [[[row_error(own[m][r], others[n][r], lengths[r]) for r in range(3)] for m in (1, 2, 3)] for n in (2, 4, 6, 8)]
    )
    chosen = cofi(every.mean(-1))
    expected = sum(every[number, index] for number, index in enumerate(chosen))
    torch.testing.assert_close(compared(loss, student, teacher, batch).detach(), expected, rtol=1e-5, atol=0)


def test_a_student_that_is_the_teacher_has_no_error():
    model, batch = tiny_classifier(layers=4), tiny_batch()
    for match in ("uniform", "dynamic"):
        loss = HiddenStates(match=match)
        loss.prepare_(model, model)
        assert compared(loss, model, model, batch).abs().max() == 0


def test_another_match_is_refused():
    with pytest.raises(ValueError, match="match is 'best': choose uniform or dynamic"):
        HiddenStates(match="best")


def test_its_text_has_its_settings():
    assert "layers=[1], match=dynamic" in repr(HiddenStates([1], "dynamic"))
