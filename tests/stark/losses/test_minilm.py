import numpy as np
import pytest
import scipy.special
import scipy.stats

from stark.encoders.cutting import shrink_
from stark.losses.minilm import MiniLM
from tests.stark.losses.test_attention_maps import scores_of
from tests.stark.losses.test_hidden_states import compared, states_of
from tests.tiny import random_masks, tiny_batch, tiny_classifier


def value_products(model, batch, layer):
    attention = model.base_model.encoder.layer[layer - 1].attention.self
    value = (states_of(model, batch)[layer - 1] @ attention.value.weight.T + attention.value.bias).detach()
    heads = value.unflatten(-1, (-1, attention.attention_head_size)).numpy()
    return np.einsum("bihd,bjhd->bhij", heads, heads) / attention.attention_head_size**0.5


@pytest.mark.parametrize("hidden", [32, 16])
def test_it_is_scipys_divergence_of_attention_and_of_value_relations(hidden):
    student, teacher, batch = tiny_classifier(layers=2, hidden=hidden, seed=1), tiny_classifier(layers=3), tiny_batch()
    loss = MiniLM()
    loss.prepare_(student, teacher)
    expected = np.zeros(3)
    for products in (scores_of, value_products):
        own, other = products(student, batch, 2), products(teacher, batch, 3)
        for row, length in enumerate(batch["attention_mask"].sum(1).tolist()):
            q, p = (scipy.special.softmax(one[row][:, :length, :length], axis=-1) for one in (own, other))
            expected[row] += scipy.stats.entropy(p, q, axis=-1).mean()
    np.testing.assert_allclose(compared(loss, student, teacher, batch).detach().numpy(), expected, rtol=1e-4)


def test_a_student_that_lost_heads_is_refused_before_and_in_use():
    teacher, student = tiny_classifier(), tiny_classifier()
    shrink_(student, random_masks(student, keep=0.4))
    with pytest.raises(ValueError, match="MiniLM compares attention head by head, but layer 2 of the student"):
        MiniLM().prepare_(student, teacher)
    with pytest.raises(ValueError, match=r"choose stark\.MiniLMv2"):
        compared(MiniLM(), student, teacher, tiny_batch())
