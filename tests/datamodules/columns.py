"""Rows of given tokens."""

import torch

from datamodules.tokens.columns import TokenColumns


def columns(rows, labels=None):
    flat = {"input_ids": torch.tensor([token for row in rows for token in row], dtype=torch.int32)}
    fields = {"idx": torch.arange(len(rows)), **({} if labels is None else {"labels": labels})}
    return TokenColumns.from_tensors({**flat, "lengths": torch.tensor([len(row) for row in rows]), **fields})
