"""Tokens for masked places, compared with a plain forward pass of the whole model, row by row."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from datamodules.changes import filling
from datamodules.changes.filling import MOST_PROBABLE, fill_masked, open_filler
from datamodules.changes.row import MASKED
from tests.datamodules.columns import columns
from tests.tiny import FAMILIES, FURTHER

PAD, CLS, SEP, MASK = SPECIAL = (0, 1, 2, 3)
WORDS = 60
# The embedding has more rows than the tokenizer has tokens, as in many published models.
UNUSED = 4
TOKENIZER = SimpleNamespace(
    get_vocab=lambda: {f"token {number}": number for number in range(WORDS)},
    all_special_ids=list(SPECIAL),
    pad_token_id=PAD,
    pad_token_type_id=0,
    mask_token_id=MASK,
)
ROWS = [
    [CLS, 10, MASKED, 12, SEP],
    [CLS, 20, 21, SEP],
    [CLS, MASKED, MASKED, 12, 13, 14, MASKED, SEP],
    [CLS, MASKED, SEP],
]


def tiny(family):
    sizes = {"vocab_size": WORDS + UNUSED, "max_position_embeddings": 40, "pad_token_id": PAD}
    if family == "distilbert":
        sizes |= {"n_layers": 2, "dim": 32, "n_heads": 4, "hidden_dim": 64}
    else:
        sizes |= {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    sizes |= FURTHER.get(family, {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = AutoModelForMaskedLM.from_config(AutoConfig.for_model(family, initializer_range=0.25, **sizes))
        # What must never be drawn is what the model finds most probable.
        *_, bias = (values for name, values in model.named_parameters() if values.shape == (WORDS + UNUSED,))
        bias.data[[*SPECIAL, *range(WORDS, WORDS + UNUSED)]] = 100.0
    return model.eval()


def fill(rows, model, seed=0):
    found = columns(rows)
    ids = fill_masked(found, model, TOKENIZER, torch.Generator().manual_seed(seed))
    return [part.tolist() for part in ids.split(found.lengths.tolist())]


@torch.no_grad()
def expected(model, row):
    """For each masked place the tokens that may be drawn and their probabilities."""
    ids = torch.tensor([[MASK if token == MASKED else token for token in row]])
    logits = model(ids).logits[0, [place for place, token in enumerate(row) if token == MASKED]].double()
    allowed = [token for token in range(WORDS) if token not in SPECIAL]
    places = []
    for line in logits.tolist():
        best = sorted(allowed, key=lambda token: -line[token])[:MOST_PROBABLE]
        weights = torch.tensor([line[token] for token in best]).softmax(0).tolist()
        places.append(dict(zip(best, weights, strict=True)))
    return places


@pytest.mark.parametrize("family", FAMILIES)
def test_only_masked_places_get_one_of_the_most_probable_tokens(family, monkeypatch):
    monkeypatch.setattr(filling, "_BATCH_SIZE", 2)
    model = tiny(family)
    seen = [set() for row in ROWS for token in row if token == MASKED]
    for seed in range(40):
        filled, drawn = fill(ROWS, model, seed), []
        for row, new in zip(ROWS, filled, strict=True):
            assert len(new) == len(row)
            assert [token for token, old in zip(new, row, strict=True) if old != MASKED] == [
                token for token in row if token != MASKED
            ]
            drawn += [token for token, old in zip(new, row, strict=True) if old == MASKED]
        for tokens, token in zip(seen, drawn, strict=True):
            tokens.add(token)
    allowed = [set(place) for row in ROWS for place in expected(model, row)]
    assert all(found <= tokens for found, tokens in zip(seen, allowed, strict=True))
    assert fill(ROWS, model, 1) == fill(ROWS, model, 1) != fill(ROWS, model, 2)


def test_tokens_are_drawn_in_proportion_to_their_probabilities():
    model = tiny("bert")
    model.get_output_embeddings().weight.data.mul_(0.3)  # else one token has nearly all
    row, count = ROWS[0], 6000
    [probabilities] = expected(model, row)
    counts = Counter(new[2] for new in fill([row] * count, model))
    for token, probability in probabilities.items():
        spread = (count * probability * (1 - probability)) ** 0.5
        assert abs(counts[token] - count * probability) < 4 * spread


def test_rows_that_were_selected_are_filled_in_their_places():
    """`columns` start at 0; the rows of a batch of the filled ones are somewhere else."""
    model = tiny("bert")
    assert fill([ROWS[1], ROWS[3]], model)[0] == ROWS[1]
    assert fill([ROWS[1]], model) == [ROWS[1]]


def test_models_that_cannot_fill(tiny_task, masked_language_model, tokenizer_dir, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    assert not open_filler(str(masked_language_model), tokenizer, 64, is_pair=True).training
    advice = "; data.changes name masked_lm: give a masked language model with the encoder's vocabulary by data"
    lacking = f"^cannot load {tiny_task.encoder}: it is no masked language model: 6 weights are missing, such as cls.pr"
    with pytest.raises(ValueError, match=rf"{lacking}.*{advice}"):
        open_filler(str(tiny_task.encoder), tokenizer, 64, is_pair=False)
    other = AutoTokenizer.from_pretrained(tokenizer_dir)
    other.add_tokens(["zzz"])
    with pytest.raises(ValueError, match=rf"^{masked_language_model} has another vocabulary than .*{advice}"):
        open_filler(str(masked_language_model), other, 64, is_pair=False)
    without = AutoTokenizer.from_pretrained(tokenizer_dir)
    without.mask_token = None
    with pytest.raises(ValueError, match=rf"^the tokenizer of .* has no token for a masked place{advice}"):
        open_filler(str(masked_language_model), without, 64, is_pair=False)
    with pytest.raises(ValueError, match=r"^max_length is 513 but .* has positions for 512 tokens: give --data"):
        open_filler(str(masked_language_model), tokenizer, 513, is_pair=False)
