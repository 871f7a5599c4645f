"""Rows of a user's own files, or of a data set of Hugging Face."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.sources.cells import in_file, is_empty, label_of, texts_of
from datamodules.sources.groups import groups_of, same_text
from datamodules.sources.hashing import content_digest, hashed_records
from datamodules.sources.records import BadRecord, Record
from datamodules.sources.several_labels import marks_of
from datamodules.sources.source import Rows, parse_label, warn_of_empty_texts
from datamodules.sources.splitting import divide
from datamodules.tasks.own import OwnTask
from datamodules.tasks.record_format import RecordFormat
from stark.errors import StarkError, StarkFileNotFoundError
from stark.telling import warn_once

__all__ = ["OwnSource"]


@dataclass(frozen=True)
class OwnSource:
    """CSV, TSV, JSON lines or Parquet files, or splits of a data set.

    Attributes:
        task: The task whose files are read.
    """

    task: OwnTask

    def digest(self, split: str) -> str:
        """Return a digest of a split's content: the file, its format, and the meaning of its columns."""
        return self._identity(content_digest(self._file(split), self.task.formats[split]), split)

    def rows(self, split: str) -> Rows:
        """Return the rows of a split, without labels for test; warnings give the number of empty texts and labels.

        An empty label in train marks a row without a label. In dev it is an error. A part of train has the rows that
        `split_rows` gives it, numbered from 0 as in a file of its own.
        """
        if not self._is_divided(split):
            rows = self._read(split)
            return rows._replace(digest=self._identity(rows.digest, split))
        rows = self._read("train")
        part = rows.select(divide(rows, self.task)[split])
        return part._replace(
            labels=None if split == "test" else part.labels,
            idx=list(range(len(part.idx))),
            groups=part.groups if split == "train" else None,
            digest=self._identity(rows.digest, split),
        )

    def _read(self, split: str) -> Rows:
        """Return the rows of a split's file, with the digest of the file alone."""
        path, task, labelled = self._file(split), self.task, split != "test"
        ids = {code: number for number, code in enumerate(task.codes)} if task.problem.has_classes else {}
        texts: tuple[list[str], ...] = tuple([] for _ in task.texts)
        labels: list[Any] = []
        no_label = task.problem.unlabelled_rows(1)[0].tolist()
        empty: list[int] = []
        unlabelled = 0
        values: list[str | None] = []
        # dev has groups only where metrics compare their rows; test has no metrics.
        has_groups = split == "train" or (labelled and task.problem.by_group)
        of_group = (task.group,) if task.group is not None and has_groups else ()
        with in_file(path), hashed_records(path, task.formats[split]) as (records, hashing):
            records.check_columns(*task.texts, *(task.label_columns if labelled else []), *of_group)
            for row in records:
                read = texts_of(row, task.texts)
                for text, known in zip(read, texts, strict=True):
                    known.append(text)
                if not all(text.strip() for text in read):
                    empty.append(row.line)
                if labelled:
                    label = _label_of(row, task, ids, may_be_empty=split == "train")
                    unlabelled += label is None
                    labels.append(no_label if label is None else label)
                values += [_group_of(row, task, column) for column in of_group]
            notes, digest = records.notes, hashing.digest()
        if unlabelled == len(texts[0]) and labelled and texts[0]:
            columns = ", ".join(map(repr, task.label_columns))
            raise StarkError(f"{path}: no row has a label in its column {columns}")
        if unlabelled:
            warn_once(f"{path}: {unlabelled} of {len(labels)} rows have no label: only distillation uses them")
        if not texts[0]:
            raise StarkError(f"{path}: no rows in it (the {split} split of task {task.name!r})")
        for note in notes:
            warn_once(f"{path}: {note}")
        warn_of_empty_texts(str(path), empty)
        pair = texts[1] if task.is_pair else None
        numbers = list(range(len(texts[0])))
        if of_group and task.problem.by_group:
            numbered = {value: number for number, value in enumerate(dict.fromkeys(values))}
            labels = [
                label if label is no_label else [label, float(numbered[value])]
                for label, value in zip(labels, values, strict=True)
            ]
        groups = groups_of(list(zip(*texts, strict=True)), values) if of_group and split == "train" else None
        if without := values.count(None):
            warn_once(
                f"{path}: {without:,} of {len(values):,} rows have no {task.group}: each belongs only to rows with the "
                "same texts"
            )
        return Rows(texts[0], pair, labels if labelled else None, numbers, digest, groups)

    def _identity(self, file: str, split: str) -> str:
        """Return a digest of a file's content, its format, and the meaning of its columns."""
        meaning: tuple[object, ...] = (self.task.texts, self.task.label, self.task.label_names, self.task.metrics)
        if self.task.separator is not None:
            meaning = (*meaning, self.task.separator)
        if self.task.problem.several:  # which decides how labels are stored
            meaning = (*meaning, self.task.problem.kind)
        if self.task.group is not None:
            meaning = (*meaning, "group", self.task.group, self.task.problem.by_group)
        if self.task.codes != self.task.label_names:
            meaning = (*meaning, self.task.codes)
        if self._is_divided(split):
            meaning = (*meaning, split, *sorted(self.task.sizes.items()))
        form = self.task.formats[split]
        # CSV and JSON lines without format keys keep the digest that they had before these keys existed.
        if form not in (RecordFormat(), RecordFormat(json_lines=True)):
            meaning = (*meaning, form)
        return hashlib.sha256(f"{file} {meaning}".encode()).hexdigest()

    def _is_divided(self, split: str) -> bool:
        """Whether a split has some of the rows of train's file."""
        return split in self.task.sizes or (split == "train" and bool(self.task.sizes))

    def _file(self, split: str) -> Path:
        if split not in self.task.files:
            raise StarkFileNotFoundError(
                f"task {self.task.name!r} has no {split} split, only {', '.join(self.task.splits)}"
            )
        path = self.task.files[split]
        if self.task.formats[split].dataset is None and not path.is_file():
            raise StarkFileNotFoundError(f"{path}: no such file (the {split} split of task {self.task.name!r})")
        return path


def _label_of(
    row: Record | BadRecord, task: OwnTask, ids: Mapping[str, int], *, may_be_empty: bool
) -> float | list[int] | None:
    """Return the id of a row's label, its score, or its marks; None for a label that is empty and may be."""
    if task.problem.several:
        return marks_of(row, task, ids, may_be_empty=may_be_empty)
    (column,) = task.label_columns
    label = label_of(row, column)
    if may_be_empty and is_empty(label) and label not in ids:
        return None
    try:
        if label is None:
            raise StarkError(f"{column} is null, not a label")
        value = parse_label(label, ids)
        if value < task.problem.least_label:
            least = f"{task.problem.least_label:g}"
            raise StarkError(f"{column} is {label}, and the least label of kind {task.problem.kind} is {least}")
        return value
    except ValueError as error:
        raise StarkError(f"line {row.line}: {error}") from error


def _group_of(row: Record | BadRecord, task: OwnTask, column: str) -> str | None:
    """Return the value of a row's group; None for one that is empty, which only rows that are not compared may have.

    The group of rows that a text names, such as a query, does not depend on its case and white space.
    """
    value = label_of(row, column)
    if value is None or is_empty(value):
        if task.problem.by_group:
            raise StarkError(
                f"line {row.line}: {column} is empty, so that the row belongs to no group: give it a value"
            )
        return None
    return same_text(value) if column in task.texts else value
