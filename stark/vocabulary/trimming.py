"""Tokenizers and models without the tokens that are not needed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from stark.encoders.cutting import own_config_
from stark.encoders.families.table import family_of
from stark.encoders.token_table import token_table
from stark.errors import StarkError
from stark.model_folders.model_folder import load_tokenizer

__all__ = ["count_changed", "trim_embeddings_", "trim_tokenizer"]

_FILE = "tokenizer.json"
_BATCH = 1000


def trim_tokenizer(tokenizer: PreTrainedTokenizerFast, keep: Sequence[int]) -> PreTrainedTokenizerFast:
    """A tokenizer with some of the tokens, which get new ids in the same order.

    Merges of byte pair encoding are kept if their parts and their result are.

    Args:
        tokenizer: A fast tokenizer; it is not changed.
        keep: Ids of the tokens to keep, ascending, such as those from `needed_tokens`.

    Returns:
        The new tokenizer: token ``keep[i]`` of the old one has the id i.

    Raises:
        StarkError: If ``keep`` lacks a special or added token.
    """
    new = {old: number for number, old in enumerate(keep)}
    needed = {*tokenizer.all_special_ids, *tokenizer.backend_tokenizer.get_added_tokens_decoder()}
    if missing := sorted(needed - set(new)):
        raise StarkError(f"cannot remove {tokenizer.convert_ids_to_tokens(missing[0])!r}: it is a special token")
    with tempfile.TemporaryDirectory() as folder:
        # The file is the tokenizer's complete description, which transformers reads back.
        tokenizer.save_pretrained(folder)
        path = Path(folder, _FILE)
        described = json.loads(path.read_text(encoding="utf-8"))
        _trim_model_(described["model"], new)
        for added in described["added_tokens"]:
            added["id"] = new[added["id"]]
        if described.get("padding"):
            described["padding"]["pad_id"] = new[described["padding"]["pad_id"]]
        described["post_processor"] = _renumbered(described.get("post_processor"), new)
        path.write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
        trimmed = load_tokenizer(folder)
    trimmed.name_or_path = tokenizer.name_or_path
    return trimmed


def trim_embeddings_(model: PreTrainedModel, keep: Sequence[int]) -> PreTrainedModel:
    """Remove tokens from a model's embeddings, in place.

    For the tokens that are kept, the model with the new ids computes the same logits, bit for bit.

    Args:
        model: A classifier; it may be shrunk.
        keep: Ids of the tokens to keep, ascending.

    Returns:
        The same model.

    Raises:
        StarkError: If the embeddings lack one of the tokens, or positions would change, which depend on the padding
            token's id in some families.
    """
    embeddings = token_table(model)
    if keep[-1] >= embeddings.num_embeddings:
        raise StarkError(
            f"token {keep[-1]} has no embedding, of which there are {embeddings.num_embeddings}: give the tokenizer "
            "that belongs to the model"
        )
    new = {old: number for number, old in enumerate(keep)}
    padding = model.config.pad_token_id
    if family_of(model).positions_after_padding and new.get(padding) != padding:
        raise StarkError(f"the padding token's id {padding} must not change: keep all tokens before it")
    rows = torch.tensor(list(keep), device=embeddings.weight.device)
    weight = embeddings.weight
    embeddings.weight = nn.Parameter(weight.detach().index_select(0, rows), requires_grad=weight.requires_grad)
    embeddings.num_embeddings = len(keep)
    if embeddings.padding_idx is not None:
        embeddings.padding_idx = new.get(embeddings.padding_idx)
    config = own_config_(model, type(model.config))
    config.vocab_size = len(keep)
    for name, value in list(vars(config).items()):
        if name.endswith("_token_id") and isinstance(value, int):
            setattr(config, name, new.get(value))
    return model


def count_changed(
    tokenizer: PreTrainedTokenizerFast,
    trimmed: PreTrainedTokenizerFast,
    keep: Sequence[int],
    texts: Sequence[str],
) -> int:
    """The number of texts that a trimmed tokenizer splits into other tokens.

    Args:
        tokenizer: The tokenizer with all tokens.
        trimmed: The tokenizer with some of them.
        keep: Their ids.
        texts: The texts.

    Returns:
        A number of texts; 0 for the corpus that the tokens were chosen for.
    """
    changed = 0
    for start in range(0, len(texts), _BATCH):
        before, after = (
            one(list(texts[start : start + _BATCH]), truncation=False)["input_ids"] for one in (tokenizer, trimmed)
        )
        changed += sum(old != [keep[number] for number in new] for old, new in zip(before, after, strict=True))
    return changed


def _trim_model_(spec: dict[str, Any], new: Mapping[int, int]) -> None:
    if spec["type"] == "Unigram":
        spec["vocab"] = [spec["vocab"][old] for old in new if old < len(spec["vocab"])]
        if spec.get("unk_id") is not None:
            spec["unk_id"] = new[spec["unk_id"]]
        return
    spec["vocab"] = {token: new[old] for token, old in spec["vocab"].items() if old in new}
    if "merges" in spec:
        pairs = ((merge, merge if isinstance(merge, list) else merge.split(" ")) for merge in spec["merges"])
        kept = spec["vocab"]
        spec["merges"] = [
            merge for merge, (left, right) in pairs if left in kept and right in kept and left + right in kept
        ]


def _renumbered(described: Any, new: Mapping[int, int]) -> Any:  # noqa: ANN401 - JSON
    """A post-processor with new ids: in a template's ``ids``, and in the pairs ``sep`` and ``cls`` of other kinds."""
    if isinstance(described, list):
        return [_renumbered(one, new) for one in described]
    if not isinstance(described, dict):
        return described
    return {
        key: [new[old] for old in value]
        if key == "ids"
        else [value[0], new[value[1]]]
        if key in ("sep", "cls") and isinstance(value, list)
        else _renumbered(value, new)
        for key, value in described.items()
    }
