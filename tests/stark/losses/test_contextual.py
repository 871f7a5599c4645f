"""Contextual distillation, compared with slow loops over pairs and triples of vectors."""

import itertools

import numpy as np
import pytest
import torch

from stark.losses.contextual import ContextualKD, angles
from tests.stark.losses.test_hidden_states import compared, states_of
from tests.tiny import tiny_batch, tiny_classifier


def cosine(first, second):
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    return first @ second / lengths if lengths > 0 else 0.0


def angle(points, i, vertex, k):
    return 0.0 if vertex in (i, k) else cosine(points[i] - points[vertex], points[k] - points[vertex])


def errors(own, other, triples):
    """Mean squared errors of the cosines of all pairs, and of the angles of some triples, of two lists of vectors."""
    pairs = list(itertools.product(range(len(own)), repeat=2))
    of_pairs = np.mean([(cosine(own[i], own[k]) - cosine(other[i], other[k])) ** 2 for i, k in pairs])
    return of_pairs + np.mean([(angle(own, *triple) - angle(other, *triple)) ** 2 for triple in triples])


def triples_of(count, window):
    near = [[k for k in range(count) if abs(k - j) <= window] for j in range(count)]
    return [(i, j, k) for j in range(count) for i in near[j] for k in near[j]]


@pytest.mark.parametrize("window", [1, 2, 50])
def test_it_is_the_sum_of_word_and_layer_relations(window):
    student, teacher = (
        tiny_classifier(layers=layers, hidden=hidden, seed=layers).double() for layers, hidden in ((3, 16), (6, 32))
    )
    batch = tiny_batch()
    loss = ContextualKD(window=window, layer_weight=0.5)
    loss.prepare_(student, teacher)
    own = [states.numpy() for states in states_of(student, batch)[1:]]
    other = [states_of(teacher, batch)[layer].numpy() for layer in (2, 4, 6)]
    expected = np.zeros(3)
    for row, length in enumerate(batch["attention_mask"].sum(1).tolist()):
        for first, second in zip(own, other, strict=True):
            expected[row] += errors(first[row, :length], second[row, :length], triples_of(length, window))
        of_words = [
            errors([one[row, word] for one in own], [one[row, word] for one in other], triples_of(3, 3))
            for word in range(length)
        ]
        expected[row] += 0.5 * np.mean(of_words)
    np.testing.assert_allclose(compared(loss, student, teacher, batch).detach().numpy(), expected, rtol=1e-9)
    found = compared(loss, student.float(), teacher.float(), batch)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-3)


def test_points_in_one_place_have_no_angle_and_finite_gradients():
    points = torch.ones(4, 3, requires_grad=True)
    found = angles(points @ points.mT, vertex=1)
    found.sum().backward()
    assert not found.any()
    assert points.grad.isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"), [({"window": 0}, "window is 0"), ({"layer_weight": -1}, "layer_weight is -1")]
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ContextualKD(**settings)


def test_its_text_has_its_settings():
    assert repr(ContextualKD()) == "ContextualKD(layers=None, window=10, layer_weight=1.0)"
