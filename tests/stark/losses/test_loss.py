"""A user's own loss gets the hidden states of the layers that it names."""

import torch

from stark.forward.classifying import outputs_of
from stark.losses.loss import Loss
from tests.tiny import problem, tiny_batch, tiny_classifier


class Asking(Loss):
    student_layers, teacher_layers = (-1,), (0, 2)

    def forward(self, problem, student, teacher, batch, reduction="mean"):
        assert (set(student.hidden_states), set(teacher.hidden_states)) == ({-1}, {0, 2})
        return student.hidden_states[-1].sum()


def test_hidden_states_are_those_of_the_layers_that_it_asks_for():
    model, batch, loss = tiny_classifier(), tiny_batch(), Asking()
    student, teacher = (outputs_of(model, batch, layers) for layers in (loss.student_layers, loss.teacher_layers))
    expected = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], output_hidden_states=True
    ).hidden_states
    torch.testing.assert_close(loss(problem(), student, teacher, batch), expected[-1].sum())
    for layer in (0, 2):
        torch.testing.assert_close(teacher.hidden_states[layer], expected[layer])


def test_it_needs_no_parameters():
    loss = Asking()
    loss.prepare_(tiny_classifier(), tiny_classifier())
    assert list(loss.parameters()) == []
