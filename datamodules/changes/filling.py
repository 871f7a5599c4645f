"""Filling masked places of rows with tokens that a masked language model predicts."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from datamodules.batches.grouping import evaluation_batches
from datamodules.changes.row import MASKED
from datamodules.tokens.columns import TokenColumns
from stark.errors import StarkError
from stark.model_folders.input_checks import check_inputs
from stark.model_folders.masked_language_model import load_masked_language_model
from stark.model_folders.model_folder import load_tokenizer

__all__ = ["MOST_PROBABLE", "fill_masked", "open_filler"]

MOST_PROBABLE = 10
"""Number of the most probable tokens of a place, one of which is drawn."""

# Rows of a batch, which have similar lengths.
_BATCH_SIZE = 32


def open_filler(path: str, tokenizer: PreTrainedTokenizerFast, max_length: int, *, is_pair: bool) -> PreTrainedModel:
    """Load the masked language model that fills rows, and check that it can read them.

    Args:
        path: Its folder or its id on the hub.
        tokenizer: Tokenizer of the rows.
        max_length: Maximum number of tokens of a row.
        is_pair: Whether rows have two texts.

    Raises:
        StarkError: It is no masked language model, or does not read the rows' tokens.
    """
    try:
        model = load_masked_language_model(path)
        if load_tokenizer(path).get_vocab() != tokenizer.get_vocab():
            raise StarkError(f"{path} has another vocabulary than {tokenizer.name_or_path}")
        if tokenizer.mask_token_id is None:
            raise StarkError(f"the tokenizer of {path} has no token for a masked place")
    except StarkError as error:
        raise StarkError(
            f"{str(error).rstrip('.')}; data.changes name masked_lm: give a masked language model with the encoder's "
            "vocabulary by data.masked_language_model, or leave masked_lm out"
        ) from error
    check_inputs(model.config, tokenizer, max_length, is_pair=is_pair, where=path)
    return model


@torch.inference_mode()
def fill_masked(
    rows: TokenColumns, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, generator: torch.Generator
) -> Tensor:
    """Put a token into each masked place, drawn in proportion to the probabilities of the 10 most probable ones.

    The model sees a row with all of its masked places. Special tokens are never drawn; the masked token itself may be.

    Args:
        rows: Whole rows of a split, with `MASKED` in some places of ``input_ids``.
        model: A masked language model that reads these rows, in eval mode.
        tokenizer: Tokenizer of the rows.
        generator: Source of random numbers.

    Returns:
        ``input_ids`` of all rows, concatenated; in all other places they are unchanged.
    """
    ids = rows.tokens["input_ids"].clone()
    ordinary = set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids)
    never = torch.ones(int(model.config.vocab_size), dtype=torch.bool)
    never[sorted(ordinary)] = False
    count = min(MOST_PROBABLE, len(ordinary))
    # A row without a masked place needs no prediction.
    sums = torch.cat([torch.zeros(1, dtype=torch.int64), (ids == MASKED).cumsum(0)])
    some = rows.select((sums[rows.starts + rows.lengths] > sums[rows.starts]).nonzero().flatten())
    fills = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
    for batch in evaluation_batches(some.lengths, _BATCH_SIZE):
        part = some.select(batch)
        inputs = part.padded(fills, int(part.lengths.max()))
        places = inputs["input_ids"] == MASKED
        inputs["input_ids"][places] = tokenizer.mask_token_id
        best = _logits(model, inputs, places).masked_fill_(never, -torch.inf).topk(count)
        drawn = best.indices.gather(1, best.values.softmax(-1).multinomial(1, generator=generator)).flatten()
        row, column = places.nonzero(as_tuple=True)
        ids[part.starts[row] + column] = drawn.to(ids.dtype)
    return ids


def _logits(model: PreTrainedModel, inputs: dict[str, Tensor], places: Tensor) -> Tensor:
    """Logits of some places, ``(places, vocabulary)``; for all places the head would take as long as the encoder."""

    def select(module: object, arguments: object, output: dict[str, Tensor]) -> dict[str, Tensor]:
        output["last_hidden_state"] = output["last_hidden_state"][places][None]
        return output

    hook = model.base_model.register_forward_hook(select)
    try:
        logits: Tensor = model(**inputs).logits[0]
    finally:
        hook.remove()
    return logits
