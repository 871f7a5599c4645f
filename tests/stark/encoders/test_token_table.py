"""The table of token embeddings, whole and factorised."""

import pytest
import torch
from torch import nn

from stark.encoders.token_table import FactorisedEmbedding, set_token_table_, token_table
from tests.tiny import logits, tiny_classifier


def test_a_factorised_embedding_looks_up_rows_of_the_product():
    embeddings = FactorisedEmbedding(tokens=9, rank=2, width=5, padding_idx=0)
    ids = torch.tensor([[1, 4], [8, 0]])
    product = embeddings.table.weight @ embeddings.projection.weight.T
    torch.testing.assert_close(embeddings(ids), product[ids])
    torch.testing.assert_close(embeddings.weight, product)
    assert embeddings(torch.tensor([0])).abs().sum() == 0


@pytest.mark.parametrize("is_factorised", [False, True])
def test_the_table_has_a_row_per_token_and_can_be_replaced(is_factorised):
    model = tiny_classifier()
    if is_factorised:
        model.set_input_embeddings(FactorisedEmbedding(120, 4, 32, 0))
    before, table = logits(model), token_table(model)
    assert table.weight.shape == (120, 4 if is_factorised else 32)
    set_token_table_(model, nn.Embedding(120, table.embedding_dim, _weight=2 * table.weight.detach()))
    assert token_table(model) is not table
    assert isinstance(model.get_input_embeddings(), FactorisedEmbedding) == is_factorised
    assert not torch.equal(logits(model), before)
