"""Weights of classes."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from stark.errors import StarkError
from stark.problems.class_weights import class_weights


def test_balanced_weights_are_those_of_scikit_learn():
    labels = torch.tensor([0] * 7 + [1] * 2 + [2] * 31)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    np.testing.assert_allclose(class_weights("balanced", labels, 3).numpy(), expected, rtol=1e-6)


def test_a_class_without_rows_does_not_count():
    found = class_weights("balanced", torch.tensor([0, 0, 0, 2]), 3)
    expected = compute_class_weight("balanced", classes=np.array([0, 2]), y=np.array([0, 0, 0, 2]))
    assert found.tolist() == pytest.approx([expected[0], 1, expected[1]])


def test_a_list_is_taken_as_it_is():
    assert class_weights([0.5, 2], torch.empty(0), 2).tolist() == [0.5, 2]
    assert class_weights("none", torch.tensor([0, 1]), 2) is None


@pytest.mark.parametrize("choice", [[1.0], [1.0, 0.0], [1.0, float("nan")], [1.0, float("inf")], "equal", []])
def test_what_is_refused(choice):
    with pytest.raises(StarkError, match="class_weights"):
        class_weights(choice, torch.tensor([0, 1]), 2)
