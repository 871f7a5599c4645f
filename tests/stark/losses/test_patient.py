import numpy as np
import pytest
from sklearn.preprocessing import normalize

from stark.losses.patient import PatientKD
from tests.stark.losses.test_hidden_states import compared, states_of
from tests.tiny import tiny_batch, tiny_classifier


def test_it_compares_directions_of_first_tokens_below_the_last_layer():
    student, teacher, batch = tiny_classifier(layers=3, seed=1), tiny_classifier(layers=6), tiny_batch()
    loss = PatientKD()
    loss.prepare_(student, teacher)
    assert loss.pairs == [(1, 2), (2, 4)]
    own, others = states_of(student, batch), states_of(teacher, batch)
    expected = sum(
        ((normalize(own[m][:, 0].numpy()) - normalize(others[n][:, 0].numpy())) ** 2).sum(1) for m, n in loss.pairs
    )
    np.testing.assert_allclose(compared(loss, student, teacher, batch).detach().numpy(), expected, rtol=1e-5)


def test_a_narrow_student_has_a_projection():
    student, teacher, batch = tiny_classifier(hidden=16, heads=2), tiny_classifier(), tiny_batch()
    loss = PatientKD([-1])
    loss.prepare_(student, teacher)
    compared(loss, student, teacher, batch).mean().backward()
    assert loss.projection.weight.grad.abs().max() > 0


def test_a_student_with_a_single_layer_needs_layers():
    single, teacher = tiny_classifier(layers=1), tiny_classifier()
    with pytest.raises(ValueError, match="the student has a single layer: give layers"):
        PatientKD().prepare_(single, teacher)
    loss = PatientKD([1])
    loss.prepare_(single, teacher)
    assert loss.pairs == [(1, 1)]
