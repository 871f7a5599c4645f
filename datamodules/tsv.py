"""Reading GLUE's original files, which are tab-separated but never quoted."""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from datamodules.tasks import GLUETask, Layout

__all__ = [
    "Rows",
    "empty_texts_note",
    "find_file",
    "find_folder",
    "is_score",
    "parse_label",
    "parse_rows",
    "spelling",
    "warn_of_empty_texts",
]

_log = logging.getLogger(__name__)

# The lines that a note names.
_MOST_LINES = 5
# A float32's: 24 bits of ones.
_LARGEST_SCORE = (2 - 2**-23) * 2.0**127


class Rows(NamedTuple):
    """The rows of a split, column by column.

    Attributes:
        text_a: the first texts.
        text_b: the second texts, None for tasks of single texts.
        labels: label ids, or scores for regression; None where the split is unlabelled.
        idx: the test file's index, or the row number from 0 where there is none.
        digest: of the content that they were read from, as `Source.digest` gives it; empty for rows from elsewhere.
    """

    text_a: list[str]
    text_b: list[str] | None
    labels: list[int] | list[float] | None
    idx: list[int]
    digest: str = ""


def spelling(name: str) -> str:
    """Return a name as names are compared: in lower case and without punctuation.

    Examples:
        >>> spelling("SST-2") == spelling("sst2")
        True
    """
    return "".join(character for character in name.lower() if character.isalnum())


def find_folder(data_dir: Path, task: GLUETask) -> Path:
    """Return the folder of a task: ``data_dir`` itself or one in it, in any spelling.

    Args:
        data_dir: the task's own folder, or a folder of such folders.
        task: whose folder.

    Returns:
        The folder; whether a certain split is in it is not checked.

    Raises:
        FileNotFoundError: ``data_dir`` is no folder, or neither holds the task's files nor a folder of its name.
    """
    if not data_dir.is_dir():
        raise FileNotFoundError(f"{data_dir}: no such folder (data of task {task.name!r})")
    names = {layout.file for layout in task.layouts.values()}
    for name, path in _entries(data_dir):
        if name in names and path.is_file():
            return data_dir
    folders: dict[str, Path] = {}
    for _, path in _entries(data_dir):
        if path.is_dir():
            folders.setdefault(spelling(path.name), path)
    for wanted in task.folders:
        if wanted in folders:
            return folders[wanted]
    raise FileNotFoundError(
        f"{data_dir}: neither {' nor '.join(sorted(names))} nor a folder named {' or '.join(task.folders)} "
        f"in it (data of task {task.name!r})"
    )


def find_file(folder: Path, task: GLUETask, split: str) -> Path:
    """Return the file of a split, found in any case.

    Args:
        folder: the task's folder.
        task: whose file.
        split: "train", "dev" or "test".

    Returns:
        Path of the file.

    Raises:
        FileNotFoundError: there is no such file, or the task has no such split.
    """
    if split not in task.layouts:
        raise FileNotFoundError(f"task {task.name!r} has no {split} split, only {', '.join(task.layouts)}")
    wanted = task.layouts[split].file
    for name, path in _entries(folder):
        if name == wanted and path.is_file():
            return path
    raise FileNotFoundError(f"{folder / wanted}: no such file (the {split} split of task {task.name!r})")


def parse_rows(data: bytes, task: GLUETask, split: str, path: Path) -> Rows:
    r"""Read the bytes of an original file.

    Nothing is unquoted or stripped: quotes in these files are plain characters, and csv's default would merge rows.

    Args:
        data: the file's bytes.
        task: decides on the columns and the labels.
        split: "train", "dev" or "test".
        path: named in errors.

    Returns:
        The rows.

    Raises:
        ValueError: a line does not fit; the message names file and line.

    Examples:
        >>> from datamodules.tasks import find_task
        >>> rows = parse_rows(b'sentence\tlabel\nso "good" \t1\n', find_task("sst2"), "dev", Path("dev.tsv"))
        >>> rows.text_a, rows.labels
        (['so "good" '], [1])
    """
    layout = task.layouts[split]
    text_a: list[str] = []
    text_b: list[str] = []
    labels: list[float] = []
    idx: list[int] = []
    empty: list[int] = []
    ids = {word: label for label, word in enumerate(task.label_spelling)}
    for number, columns in _cells(data, layout, task, path):
        text_a.append(columns[layout.text_a])
        if layout.text_b is not None:
            text_b.append(columns[layout.text_b])
        if not all(columns[place].strip() for place in (layout.text_a, layout.text_b) if place is not None):
            empty.append(number)
        if layout.label is not None:
            try:
                labels.append(parse_label(columns[layout.label], ids))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
        idx.append(len(idx) if layout.idx is None else _index(columns[layout.idx], path, number))
    if not text_a:
        raise ValueError(f"{path}: no rows in it (the {split} split of task {task.name!r})")
    warn_of_empty_texts(str(path), empty)
    return Rows(text_a, text_b if task.is_pair else None, labels if layout.label is not None else None, idx)


def parse_label(text: str, ids: Mapping[str, int]) -> float:
    """Return a label's id, or a score.

    Args:
        text: as it stands in a file.
        ids: of the labels, by their spelling; empty where a finite score is expected.

    Raises:
        ValueError: it is neither; where it stands is for the caller to say.

    Examples:
        >>> parse_label("good", {"bad": 0, "good": 1}), parse_label("2.5", {})
        (1, 2.5)
    """
    if ids:
        if text not in ids:
            around = text.strip(" \t'\"") in ids
            hint = ", because of what stands around it: write labels as they are in the file" if around else ""
            raise ValueError(f"label {text!r} is not one of {', '.join(ids)}{hint}")
        return ids[text]
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not is_score(score) or "_" in text:  # which Python allows between digits
        raise ValueError(f"score {text!r} is not a number, or not one that a float32 holds")
    return score


def is_score(score: float | None) -> bool:
    """Whether a number can be learned as a score, which is a float32 then.

    Examples:
        >>> is_score(1e38), is_score(1e39), is_score(None)
        (True, False, False)
    """
    return score is not None and math.isfinite(score) and abs(score) <= _LARGEST_SCORE


def empty_texts_note(numbers: Sequence[int], unit: str = "line") -> str:
    """Return a sentence on rows with an empty or blank text, which are rows like any other.

    Args:
        numbers: numbers of these rows or of their lines; at least one.
        unit: what is numbered.

    Examples:
        >>> empty_texts_note([3, 7])
        '2 rows have an empty text (lines 3, 7) and are used as they are'
    """
    first = ", ".join(map(str, numbers[:_MOST_LINES])) + (", ..." if len(numbers) > _MOST_LINES else "")
    if len(numbers) == 1:
        return f"1 row has an empty text ({unit} {first}) and is used as it is"
    return f"{len(numbers)} rows have an empty text ({unit}s {first}) and are used as they are"


def warn_of_empty_texts(where: str, numbers: Sequence[int], unit: str = "line") -> None:
    """Log a warning if there are rows with an empty or blank text.

    Args:
        where: the file.
        numbers: as in `empty_texts_note`, but there may be none.
        unit: as in `empty_texts_note`.
    """
    if numbers:
        _log.warning("%s: %s", where, empty_texts_note(numbers, unit))


def _entries(folder: Path) -> Iterable[tuple[str, Path]]:
    """Return a folder's entries with their names in lower case, in an order that does not depend on the disk."""
    return [(path.name.lower(), path) for path in sorted(folder.iterdir())]


def _cells(data: bytes, layout: Layout, task: GLUETask, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and columns of each row."""
    # Not splitlines(): it also splits at characters that occur within texts. Decoding line by line tells which is bad.
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            text = line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}, line {number}: not UTF-8 ({error.reason} at byte {error.start})") from error
        if number == 1 and layout.header:
            continue
        columns = text.split("\t")
        if len(columns) < layout.columns:
            raise ValueError(
                f"{path}, line {number}: {len(columns)} columns, {task.name} needs at least {layout.columns}"
            )
        yield number, columns


def _index(text: str, path: Path, number: int) -> int:
    """Return a test index."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{path}, line {number}: index {text!r} is not a whole number")
    return int(text)
