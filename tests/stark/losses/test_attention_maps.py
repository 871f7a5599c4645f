import numpy as np
import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.errors import StarkError
from stark.losses.attention_maps import AttentionMaps
from stark.losses.minilm import MiniLM
from tests.stark.losses.test_hidden_states import compared, states_of
from tests.tiny import random_masks, tiny_batch, tiny_classifier


def scores_of(model, batch, layer):
    """The attention scores of a BERT layer, from its input and its weights: ``(batch, heads, length, length)``."""
    attention = model.base_model.encoder.layer[layer - 1].attention.self
    states = states_of(model, batch)[layer - 1]
    query, key = (
        (states @ linear.weight.T + linear.bias).detach().unflatten(-1, (-1, attention.attention_head_size)).numpy()
        for linear in (attention.query, attention.key)
    )
    return np.einsum("bihd,bjhd->bhij", query, key) / attention.attention_head_size**0.5


def test_it_is_the_error_of_scores_over_pairs_of_real_tokens():
    student, teacher, batch = tiny_classifier(layers=2, seed=1), tiny_classifier(layers=4), tiny_batch()
    loss = AttentionMaps()
    loss.prepare_(student, teacher)
    lengths = batch["attention_mask"].sum(1).tolist()
    expected = sum(
        np.array(
            [
                ((scores_of(student, batch, m)[r] - scores_of(teacher, batch, n)[r])[:, :length, :length] ** 2).mean()
                for r, length in enumerate(lengths)
            ]
        )
        for m, n in [(1, 2), (2, 4)]
    )
    np.testing.assert_allclose(compared(loss, student, teacher, batch).detach().numpy(), expected, rtol=1e-4)


def test_heads_of_another_size_are_compared():
    student, teacher, batch = tiny_classifier(hidden=16, heads=4, seed=1), tiny_classifier(), tiny_batch()
    loss = AttentionMaps()
    loss.prepare_(student, teacher)
    assert compared(loss, student, teacher, batch).isfinite().all()


def test_a_student_that_lost_heads_is_refused():
    teacher, student = tiny_classifier(), tiny_classifier()
    masks = random_masks(student)
    masks.heads[:] = [torch.tensor([1, 1, 1, 1]), torch.tensor([1, 0, 1, 0])]
    shrink_(student, masks)
    with pytest.raises(
        ValueError, match=r"layer 2 of the student has 2 heads and layer 2 of the teacher 4: choose stark"
    ):
        AttentionMaps().prepare_(student, teacher)
    AttentionMaps([1]).prepare_(student, teacher)


@pytest.mark.parametrize("loss", [AttentionMaps(), MiniLM()])
def test_scores_that_depend_on_positions_are_refused(loss):
    model = tiny_classifier("mpnet")
    message = f"{type(loss).__name__} compares attention scores, which in mpnet are not products of queries and keys"
    with pytest.raises(StarkError, match=message):
        loss.prepare_(model, model)
