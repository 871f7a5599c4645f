"""Factorised embeddings, compared with numpy's SVD and with the model that has their product."""

import copy
import json
from collections import Counter

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from stark.encoders.cutting import shrink_
from stark.encoders.layer_dropping import drop_layers
from stark.encoders.layers import kept_units
from stark.encoders.token_table import FactorisedEmbedding
from stark.errors import StarkError
from stark.forward.lean_training import plain_, use_rows_
from stark.model_folders.model_folder import load_classifier, save_classifier
from stark.vocabulary.factorizing import count_tokens, factorise, factorise_embeddings_, kept_share
from stark.vocabulary.trimming import trim_embeddings_
from tests.stark.vocabulary.kinds import sentences, wordpiece
from tests.tiny import FAMILIES, logits, random_masks, tiny_batch, tiny_classifier

COUNTS = torch.arange(120).double()
MATRIX = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([5, 4, 3, 2, 1, 0.5])


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_factors_are_numpys_truncated_svd_of_the_weighted_rows(rank):
    counts = torch.arange(1, 41).flip(0)
    roots = counts.double().sqrt().numpy()[:, None]
    u, s, vt = np.linalg.svd(roots * MATRIX.double().numpy(), full_matrices=False)
    best = (u[:, :rank] * s[:rank]) @ vt[:rank] / roots
    table, projection = factorise(MATRIX, rank, counts)
    np.testing.assert_allclose((table @ projection.T).numpy(), best, atol=1e-5)
    torch.testing.assert_close(projection.T @ projection, torch.eye(rank), atol=1e-5, rtol=0)
    share = (s[:rank] ** 2).sum() / (s**2).sum()
    assert kept_share(MATRIX, table, projection, counts) == pytest.approx(share, abs=1e-6)


def test_tokens_that_never_occur_have_factors_and_do_not_change_the_others():
    counts = (torch.arange(40) < 20).double()
    table, projection = factorise(MATRIX, 3, counts)
    seen, same = factorise(MATRIX[:20], 3, counts[:20])
    torch.testing.assert_close(same, projection)
    torch.testing.assert_close(table, torch.cat([seen, MATRIX[20:] @ projection]))


def test_tokens_are_counted_as_one_text_after_the_other():
    tokenizer, texts = wordpiece(), sentences(3, 30)
    expected = Counter(token for text in texts for token in tokenizer(text)["input_ids"])
    counts = count_tokens(tokenizer, texts, 200)
    assert {token: int(count) for token, count in enumerate(counts) if count} == expected
    assert counts.shape == (200,)


@pytest.mark.parametrize(("family", "is_shrunk"), [("bert", False), *((family, True) for family in FAMILIES)])
def test_the_model_computes_with_the_product_and_is_saved(family, is_shrunk, tmp_path):
    model = tiny_classifier(family)
    if is_shrunk:
        shrink_(model, random_masks(model))
    expected, units = copy.deepcopy(model), kept_units(model)
    embeddings = expected.get_input_embeddings()
    table, projection = factorise(embeddings.weight, 4, COUNTS)
    embeddings.weight.data = table @ projection.T
    share = factorise_embeddings_(model, 4, COUNTS)
    assert 0 < share < 1
    torch.testing.assert_close(logits(model), logits(expected), rtol=0, atol=1e-4)
    assert kept_units(model) == units
    saved = save_classifier(model, tmp_path / "model")
    assert json.loads((saved / "config.json").read_text())["embedding_rank"] == 4
    for loaded in (load_classifier(saved), AutoModelForSequenceClassification.from_pretrained(saved).eval()):
        assert torch.equal(logits(loaded), logits(model))
        assert isinstance(loaded.get_input_embeddings(), FactorisedEmbedding)
    assert loaded.num_parameters() == expected.num_parameters() - embeddings.weight.numel() + 4 * sum(
        table.shape[:1]
    ) + (projection.numel())


def test_a_factorised_model_is_cut_dropped_and_trimmed():
    model = tiny_classifier(layers=3)
    factorise_embeddings_(model, 4, COUNTS)
    shrink_(model, random_masks(model))
    drop_layers(model, 2)
    before, batch = logits(model), tiny_batch()
    keep = sorted({0, *batch["input_ids"].flatten().tolist()})
    trim_embeddings_(model, keep)
    assert model.get_input_embeddings().table.weight.shape == (len(keep), 4)
    new = batch | {"input_ids": torch.searchsorted(torch.tensor(keep), batch["input_ids"])}
    assert torch.equal(logits(model, new), before)
    assert (model.config.embedding_rank, model.config.num_hidden_layers) == (4, 2)


def test_only_rows_of_training_tokens_are_trained():
    model = tiny_classifier()
    factorise_embeddings_(model, 4, COUNTS)
    before, batch = logits(model), tiny_batch()
    rows = use_rows_(model, batch["input_ids"].unique())
    assert rows is not None
    assert model.get_input_embeddings().table.weight.shape == (len(batch["input_ids"].unique()), 4)
    assert torch.equal(logits(model), before)
    plain_(model)
    assert model.get_input_embeddings().table.weight.shape == (120, 4)
    assert torch.equal(logits(model), before)


def test_ranks_that_save_nothing_and_second_factors_are_refused():
    model = tiny_classifier()
    for rank in (0, 26, 32):
        with pytest.raises(StarkError, match=f"rank {rank} does not make the 120 token embeddings of width 32 smaller"):
            factorise_embeddings_(model, rank, COUNTS)
    factorise_embeddings_(model, 25, COUNTS)  # 25 * (120 + 32) < 120 * 32 < 26 * (120 + 32)
    with pytest.raises(StarkError, match="have the rank 25 already"):
        factorise_embeddings_(model, 4, COUNTS)


@pytest.mark.parametrize("rank", [10**9, -1, "four"])
def test_a_rank_that_does_not_fit_the_weights_is_refused(rank, tmp_path):
    model = tiny_classifier()
    factorise_embeddings_(model, 4, COUNTS)
    folder = save_classifier(model, tmp_path / "model")
    (folder / "SHA256SUMS").unlink()
    config = json.loads((folder / "config.json").read_text()) | {"embedding_rank": rank}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(StarkError, match="cannot load") as error:
        load_classifier(folder)
    assert "\n" not in str(error.value)
