"""The rows that distillations have besides those of train: rows of files without labels, and changed rows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch

from datamodules.changes.changed import changed_rows
from datamodules.parts import seed_of_rows
from datamodules.settings import DataSettings
from datamodules.tasks.task import Task
from datamodules.tokenised import TokenisedSplits
from datamodules.tokens.cache import CacheFile
from datamodules.tokens.columns import TokenColumns
from stark.errors import StarkError
from stark.model_folders.model_folder import model_digest
from stark.telling import warn_once

__all__ = ["MASKED_LANGUAGE_MODEL", "AddedRows", "add_unlabelled"]

MASKED_LANGUAGE_MODEL = "the masked language model"
"""Name of this content among those that a data module expects."""

# Part of the key of stored rows: increase it whenever the same input would give other changed rows.
_FORMAT = 1
# With more rows without a label per row with one, changed rows add nothing.
_ENOUGH = 3


class AddedRows:
    """Adds rows without labels to those of train, except for those that models are chosen or measured on.

    Args:
        settings: Settings of the data module.
        splits: Its splits.
    """

    def __init__(self, settings: DataSettings, splits: TokenisedSplits) -> None:
        """Store the settings; nothing is read yet."""
        self._settings = settings
        self._splits = splits

    def reads(self) -> list[str]:
        """Return the splits that decide which rows are added; none if no rows are."""
        if not self._settings.adds_rows:
            return []
        return [*self._held_out(), *(["unlabelled"] if self._settings.unlabelled_files else [])]

    def contents(self) -> dict[str, str]:
        """Return the digests of all content that decides which rows are added."""
        found = {split: self._splits.digest(split) for split in self.reads()}
        return {**found, **({MASKED_LANGUAGE_MODEL: self.model_digest} if self._settings.fills_rows else {})}

    @cached_property
    def model_digest(self) -> str:
        """Digest of the masked language model's content. Computing it reads all of its files."""
        return model_digest(self._model)

    def identity(self, train: TokenColumns) -> dict[str, Any]:
        """Return what decides about the added rows, except for the rows of train and those that are left out.

        Args:
            train: The rows to train on, with the added ones.
        """
        settings = self._settings
        found: dict[str, Any] = {}
        if settings.unlabelled_files:
            found["unlabelled"] = self._splits.digest("unlabelled")
        if settings.changed_rows is not None:
            found["changed"] = [settings.changed_rows, settings.changes, seed_of_rows(settings)]
        if settings.fills_rows:
            # Predictions are rounded in other ways by other machines and numbers of threads, which may change a token.
            found["tokens"] = train.digest()
        return found

    def added_to(self, train: TokenColumns, selection: TokenColumns | None, first: int) -> TokenColumns:
        """Return the rows to train on with those of the files and changed ones.

        Args:
            train: Rows to train on.
            selection: The selection part, if it was cut off train.
            first: The number of the first added row, larger than those of train.

        Returns:
            The rows of train and then the added ones, which have the label that marks an unlabelled row.

        Raises:
            StarkError: All rows of the files, or all changed rows, are among those that are left out.
        """
        settings, task = self._settings, self._settings.task
        held_out = {name: self._splits.rows(name) for name in self._held_out()}
        if selection is not None:
            held_out["the selection part"] = selection
        if settings.unlabelled_files:
            more = self._splits.rows("unlabelled")
            train, first = add_unlabelled(train, more, held_out, task, first), first + len(more)
        if settings.changed_rows is None:
            return train
        labelled = int(task.problem.is_labelled(train.fields["labels"]).sum())
        if len(train) - labelled > _ENOUGH * labelled:
            warn_once(
                f"task {task.name!r}: no row is changed, because there are {len(train) - labelled:,} rows without a "
                f"label for {labelled:,} with one"
            )
            return train
        number = round(settings.changed_rows * len(train))
        changed = self._filled(train, number) if settings.fills_rows else self._changed(train, number)
        return add_unlabelled(train, changed, held_out, task, first, "changed rows")

    def _changed(self, train: TokenColumns, number: int, model: str | None = None) -> TokenColumns:
        settings, tokenizer = self._settings, self._splits.tokenizer
        changes, seed = settings.changes or ["swap"], seed_of_rows(settings)
        return changed_rows(train, number, changes, tokenizer, settings.max_length, seed, model)

    def _filled(self, train: TokenColumns, number: int) -> TokenColumns:
        """Return changed rows from the cache, as the model's predictions take long; they are made if it lacks them."""
        settings = self._settings
        self._check_model(self.model_digest)
        depends_on = {
            "format": _FORMAT,
            "rows": train.digest(),
            "number": number,
            "changes": settings.changes,
            "tokenizer": self._splits.tokenizer_digest,
            "model": self.model_digest,
            "max_length": settings.max_length,
            "seed": seed_of_rows(settings),
        }
        file = CacheFile.of(settings.cache_dir, f"{settings.task.name}-changed", depends_on)
        if (stored := file.read()) is not None:
            return stored
        warn_once(
            f"task {settings.task.name!r}: {number:,} changed rows are made with {self._model}, once; this may take "
            "minutes"
        )
        made = self._changed(train, number, self._model)
        self._check_model(model_digest(self._model))  # its files may have changed before they were loaded
        return file.write({**made.tokens, **made.fields, "lengths": made.lengths})

    def _check_model(self, digest: str) -> None:
        if digest != self._settings.expected_content.get(MASKED_LANGUAGE_MODEL, self.model_digest):
            raise StarkError(f"{self._model} changed while the run was working: give the same command again")

    @property
    def _model(self) -> str:
        return str(self._settings.masked_language_model)  # the settings refuse masked_lm without it

    def _held_out(self) -> list[str]:
        """Return the splits whose rows must not be trained on."""
        return [split for split in ("dev", "test") if split in self._settings.task.splits and self._splits.has(split)]


def add_unlabelled(
    train: TokenColumns,
    unlabelled: TokenColumns,
    held_out: Mapping[str, TokenColumns],
    task: Task,
    first: int,
    what: str = "rows without labels",
) -> TokenColumns:
    """Add rows without labels to the rows to train on, except for those that models are chosen or measured on.

    Args:
        train: Rows to train on.
        unlabelled: Rows without a label.
        held_out: Rows by the name of their part. A row that has the tokens of one of them is left out; the numbers of
            these rows are told once.
        task: The task.
        first: The number of the first added row, larger than those of train.
        what: What the added rows are, for messages.

    Returns:
        The rows of train and then the added ones, which have the label that marks an unlabelled row.

    Raises:
        StarkError: All rows are among the held-out ones.
    """
    keys, kept, found = unlabelled.token_keys(), torch.ones(len(unlabelled), dtype=torch.bool), []
    for name, rows in held_out.items():
        known = set(rows.token_keys())
        among = torch.tensor([key in known for key in keys])
        if (among & kept).any():
            found.append(f"{int((among & kept).sum()):,} in {name}")
        kept &= ~among
    if not kept.any():
        raise StarkError(f"task {task.name!r}: all {len(keys):,} {what} are held out: {', '.join(found)}")
    left_out = f"; {', '.join(found)} are left out" if found else ""
    warn_once(f"task {task.name!r}: {what} for distillation: {int(kept.sum()):,}{left_out}")
    added = unlabelled.select(kept.nonzero().flatten())
    labels = task.problem.unlabelled_rows(len(added)).to(train.fields["labels"].dtype)
    fields = {"idx": added.fields["idx"] + first, "labels": labels}
    return train.joined(TokenColumns(added.tokens, added.starts, added.lengths, fields, added.lost))
