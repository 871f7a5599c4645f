"""A teacher's answers for the rows that are trained on, from files instead of a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from datamodules.settings import DataSettings
from datamodules.sources.answers import ANSWERS, read_answers
from datamodules.tokenised import TokenisedSplits
from datamodules.tokens.columns import TokenColumns
from datamodules.tokens.tokenization import tokenize_rows
from stark.errors import StarkError

__all__ = ["answers_for", "mean_answers"]

# Number of characters of a text that a message shows.
_MOST_SHOWN = 100


def answers_for(
    train: TokenColumns, files: Sequence[str], settings: DataSettings, splits: TokenisedSplits
) -> tuple[Tensor, Tensor]:
    """Read the answers for rows, which are found by their tokens.

    Args:
        train: Rows to train on.
        files: See `read_answers`.
        settings: Settings of the data module.
        splits: Its splits.

    Returns:
        Row numbers, and the answers: ``(rows, num_labels)``, float32; the mean of several answers for a row.

    Raises:
        StarkError: A file is wrong, or a row has no answer.
    """
    rows, values = read_answers(files, settings.task)
    if settings.changed_rows is not None:
        raise StarkError("data.changed_rows make rows that no file has answers for: leave them out")
    if rows.digest != settings.expected_content.get(ANSWERS, rows.digest):
        raise StarkError(f"{', '.join(files)}: changed while the run was working: give the same command again")
    answered = tokenize_rows(rows, splits.tokenizer, settings.max_length, settings.segment_ids)
    means, lacking = mean_answers(train, TokenColumns.from_tensors(answered), torch.tensor(values))
    if lacking:
        first = splits.tokenizer.decode(train[lacking[0]]["input_ids"], skip_special_tokens=True)[:_MOST_SHOWN]
        raise StarkError(
            f"{', '.join(files)}: no answer for {len(lacking):,} of {len(train):,} rows, such as {first!r}"
        )
    return train.fields["idx"], means


def mean_answers(rows: TokenColumns, answered: TokenColumns, answers: Tensor) -> tuple[Tensor, list[int]]:
    """Find the answers for rows by their tokens.

    Args:
        rows: The rows.
        answered: Rows that were answered; several may have the same tokens.
        answers: Their answers, ``(answered rows, values)``.

    Returns:
        The mean of the answers for each row, ``(rows, values)``, and the places of the rows without an answer, whose
        mean is NaN.
    """
    groups: dict[bytes, int] = {}
    group = torch.tensor([groups.setdefault(key, len(groups)) for key in answered.token_keys()])
    sums = torch.zeros(len(groups) + 1, answers.shape[1], dtype=torch.float64).index_add_(0, group, answers.double())
    counts = group.bincount(minlength=len(groups) + 1)
    places = torch.tensor([groups.get(key, len(groups)) for key in rows.token_keys()])
    means = (sums / counts[:, None])[places].to(answers.dtype)
    return means, (places == len(groups)).nonzero().flatten().tolist()
