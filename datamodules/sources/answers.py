"""A teacher's answers for texts, from a user's files: probabilities of the labels, or scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from datamodules.sources.cells import in_file, label_of, texts_of
from datamodules.sources.hashing import hashed_records
from datamodules.sources.records import BadRecord, Record
from datamodules.sources.source import Rows, is_score
from datamodules.tasks.record_format import record_format
from datamodules.tasks.task import Task
from stark.errors import StarkError, StarkFileNotFoundError
from stark.storage import file_digest
from stark.telling import warn_once

__all__ = ["ANSWERS", "Answers", "answer_columns", "digest_of_answers", "read_answers"]

ANSWERS = "the teacher's answers"
"""Name of this content among those that a data module expects."""

# Probabilities that were rounded for a file do not add up to 1 exactly.
_ROUNDED = 0.01


class Answers(NamedTuple):
    """Answers of one or more teachers.

    Attributes:
        rows: The texts that were answered, without labels; a text occurs once per answer.
        values: The answer for each of them: a probability for each label, or one score.
    """

    rows: Rows
    values: list[list[float]]


def answer_columns(task: Task) -> list[str]:
    """Return the names of the columns of an answer, which are those of the output of `stark predict-file`.

    Args:
        task: The task.

    Examples:
        >>> from datamodules.tasks.glue import find_task
        >>> answer_columns(find_task("sst2")), answer_columns(find_task("stsb"))
        (['probability_negative', 'probability_positive'], ['predicted'])
    """
    if not task.problem.has_classes:
        return ["predicted"]
    return [f"probability_{label}" for label in task.label_names]


def digest_of_answers(files: Sequence[str]) -> str:
    """Return the digest of files of answers, as `read_answers` gives it with the rows.

    Args:
        files: The files.

    Raises:
        StarkFileNotFoundError: A file does not exist.
    """
    return " ".join(file_digest(_existing(Path(path))) for path in files)


def read_answers(files: Sequence[str], task: Task) -> Answers:
    """Read the answers of all files.

    Args:
        files: CSV, TSV or JSON lines files with the columns of the task's texts and those of `answer_columns`; all
            other columns are ignored.
        task: The task.

    Returns:
        The answers, and the digest of all files with the rows.

    Raises:
        StarkFileNotFoundError: A file does not exist.
        StarkError: A row cannot be read, or is no answer; the message names file and line.
    """
    columns, texts = answer_columns(task), [list[str]() for _ in task.texts]
    values: list[list[float]] = []
    digests = []
    for path in map(Path, files):
        with in_file(_existing(path)), hashed_records(path, record_format(str(path))) as (records, hashing):
            records.check_columns(*task.texts, *columns)
            for row in records:
                for text, known in zip(texts_of(row, task.texts), texts, strict=True):
                    known.append(text)
                values.append(_answer(row, columns, add_up=not task.problem.several))
            notes = records.notes
            digests.append(hashing.digest())
        for note in notes:
            warn_once(f"{path}: {note}")
    pair = texts[1] if task.is_pair else None
    return Answers(Rows(texts[0], pair, None, list(range(len(values))), " ".join(digests)), values)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise StarkFileNotFoundError(f"{path}: no such file (a teacher's answers)")
    return path


def _answer(row: Record | BadRecord, columns: Sequence[str], *, add_up: bool) -> list[float]:
    found = []
    for column in columns:
        cell = label_of(row, column)
        try:
            number = math.nan if cell is None else float(cell)
        except ValueError:
            number = math.nan
        if not is_score(number):
            raise StarkError(f"line {row.line}: {column} is {cell!r}, not a number")
        found.append(number)
    if not add_up and not all(0 <= number <= 1 for number in found):
        raise StarkError(f"line {row.line}: the probability {min(found):g} or {max(found):g} is not between 0 and 1")
    if add_up and len(columns) > 1 and (min(found) < 0 or abs(sum(found) - 1) > _ROUNDED):
        told = ", ".join(f"{number:g}" for number in found[:5])
        raise StarkError(f"line {row.line}: the probabilities {told} must be at least 0 and add up to 1")
    return found
