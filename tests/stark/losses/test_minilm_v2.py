import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from stark.encoders.cutting import shrink_
from stark.losses.minilm_v2 import MiniLMv2
from tests.stark.losses.test_hidden_states import compared, states_of
from tests.tiny import random_masks, tiny_batch, tiny_classifier


def relations(model, batch, layer, name, heads, row, length):
    linear = getattr(model.base_model.encoder.layer[layer - 1].attention.self, name)
    projected = (states_of(model, batch)[layer - 1][row, :length] @ linear.weight.T + linear.bias).detach().numpy()
    parts = np.split(projected, heads, axis=-1)
    return np.stack([scipy.special.softmax(part @ part.T / part.shape[1] ** 0.5, axis=-1) for part in parts])


def with_heads(*kept):
    """A student that kept some heads in its last layer."""
    student = tiny_classifier(seed=1)
    masks = random_masks(student)
    masks.heads[:] = [torch.ones(4), torch.tensor(kept)]
    return shrink_(student, masks)


@pytest.mark.parametrize(("relation_heads", "heads", "layer"), [(None, 8, -1), (4, 4, 2)])
def test_it_is_scipys_divergence_of_relations(relation_heads, heads, layer):
    student, teacher, batch = with_heads(1, 0, 1, 0), tiny_classifier(layers=3), tiny_batch()
    loss = MiniLMv2(relation_heads, layer)
    loss.prepare_(student, teacher)
    expected = np.zeros(3)
    for name in ("query", "key", "value"):
        for row, length in enumerate(batch["attention_mask"].sum(1).tolist()):
            q = relations(student, batch, 2, name, heads, row, length)
            p = relations(teacher, batch, {-1: 3}.get(layer, layer), name, heads, row, length)
            expected[row] += scipy.stats.entropy(p, q, axis=-1).mean()
    np.testing.assert_allclose(compared(loss, student, teacher, batch).detach().numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize(("kept", "relation_heads"), [((1, 0, 1, 1), 16), ((0, 0, 0, 0), None)])
def test_widths_that_cannot_be_divided_are_refused(kept, relation_heads):
    student, teacher = with_heads(*kept), tiny_classifier()
    with pytest.raises(
        ValueError, match=f"the queries are {8 * sum(kept)} wide in the last layer of the student and 32"
    ):
        MiniLMv2(relation_heads).prepare_(student, teacher)
    with pytest.raises(ValueError, match="set relation_heads to a divisor of both"):
        compared(MiniLMv2(relation_heads), student, teacher, tiny_batch())


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="relation_heads is 0"):
        MiniLMv2(0)
    with pytest.raises(ValueError, match=r"layers are \[5\], and the teacher has the layers 1 to 2"):
        MiniLMv2(layer=5).prepare_(tiny_classifier(), tiny_classifier())


def test_its_text_has_its_settings():
    assert repr(MiniLMv2(12, 3)) == "MiniLMv2(relation_heads=12, layer=3)"
