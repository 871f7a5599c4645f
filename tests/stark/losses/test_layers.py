import pytest
import torch

from stark.losses.hidden_states import HiddenStates
from stark.losses.layers import layer_numbers, uniform_pairs, width_projection
from tests.tiny import tiny_classifier


@pytest.mark.parametrize("depths", [(1, 12), (3, 12), (5, 12), (7, 12), (12, 12), (4, 6)])
def test_pairs_are_as_far_apart_as_whole_numbers_allow(depths):
    pairs = uniform_pairs(*depths)
    assert [own for own, _ in pairs] == list(range(1, depths[0] + 1))
    assert pairs[-1] == depths
    assert all(abs(other - own * depths[1] / depths[0]) <= 0.5 for own, other in pairs)
    assert len({other for _, other in pairs}) == depths[0]


@pytest.mark.parametrize("layers", [[], [3], [0], [-3], [1, 1], [1, -2]])
def test_layers_that_are_not_there_are_refused(layers):
    with pytest.raises(ValueError, match="the teacher has the layers 1 to 2"):
        layer_numbers(layers, 2)


def test_chosen_layers_teach_the_student_at_the_same_depth():
    loss = HiddenStates([0, 2, -1])
    loss.prepare_(tiny_classifier(layers=3), tiny_classifier(layers=6))
    assert loss.pairs == [(0, 0), (1, 2), (3, 6)]
    assert (loss.student_layers, loss.teacher_layers) == ((0, 1, 3), (0, 2, 6))


def test_only_other_widths_need_a_projection():
    assert list(width_projection(tiny_classifier(), tiny_classifier()).parameters()) == []
    narrow = tiny_classifier(hidden=16, heads=2)
    assert width_projection(narrow, tiny_classifier())(torch.zeros(1, 16)).shape == (1, 32)


def test_an_unprepared_loss_says_so():
    with pytest.raises(ValueError, match=r"HiddenStates compares layers: call prepare_\(student, teacher\)"):
        HiddenStates().prepared_pairs()
