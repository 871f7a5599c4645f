"""Reading GLUE's original files, which are tab-separated and never quoted."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from datamodules.sources.source import Rows, parse_label, warn_of_empty_texts
from datamodules.tasks.glue import GLUETask, Layout
from stark.errors import StarkError, StarkFileNotFoundError

__all__ = ["find_file", "find_folder", "parse_rows", "spelling"]


def spelling(name: str) -> str:
    """Return the form in which names are compared: in lower case and without punctuation.

    Examples:
        >>> spelling("SST-2") == spelling("sst2")
        True
    """
    return "".join(character for character in name.lower() if character.isalnum())


def find_folder(data_dir: Path, task: GLUETask) -> Path:
    """Return the folder of a task: ``data_dir`` itself or one in it, in any spelling.

    Args:
        data_dir: The task's own folder, or a folder of such folders.
        task: The task whose folder is looked for.

    Returns:
        The folder; it is not checked for a particular split.

    Raises:
        StarkFileNotFoundError: ``data_dir`` is not a folder, or contains neither the task's files nor its folder.
    """
    if not data_dir.is_dir():
        raise StarkFileNotFoundError(f"{data_dir}: no such folder (data of task {task.name!r})")
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
    raise StarkFileNotFoundError(
        f"{data_dir}: neither {' nor '.join(sorted(names))} nor a folder named {' or '.join(task.folders)} "
        f"in it (data of task {task.name!r})"
    )


def find_file(folder: Path, task: GLUETask, split: str) -> Path:
    """Return the file of a split; upper and lower case are not distinguished.

    Args:
        folder: The task's folder.
        task: The task whose file is looked for.
        split: "train", "dev" or "test".

    Returns:
        Path of the file.

    Raises:
        StarkFileNotFoundError: There is no such file, or the task has no such split.
    """
    if split not in task.layouts:
        raise StarkFileNotFoundError(f"task {task.name!r} has no {split} split, only {', '.join(task.layouts)}")
    wanted = task.layouts[split].file
    for name, path in _entries(folder):
        if name == wanted and path.is_file():
            return path
    raise StarkFileNotFoundError(f"{folder / wanted}: no such file (the {split} split of task {task.name!r})")


def parse_rows(data: bytes, task: GLUETask, split: str, path: Path) -> Rows:
    r"""Read the bytes of an original file.

    Nothing is unquoted or stripped: quotation marks in these files are plain characters, and the csv module's default
    would merge rows.

    Args:
        data: The file's bytes.
        task: The task; it determines the columns and the labels.
        split: "train", "dev" or "test".
        path: Path of the file, for error messages.

    Returns:
        The rows.

    Raises:
        StarkError: A line is invalid; the message names file and line.

    Examples:
        >>> from datamodules.tasks.glue import find_task
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
                raise StarkError(f"{path}, line {number}: {error}") from error
        idx.append(len(idx) if layout.idx is None else _index(columns[layout.idx], path, number))
    if not text_a:
        raise StarkError(f"{path}: no rows in it (the {split} split of task {task.name!r})")
    warn_of_empty_texts(str(path), empty)
    return Rows(text_a, text_b if task.is_pair else None, labels if layout.label is not None else None, idx)


def _entries(folder: Path) -> Iterable[tuple[str, Path]]:
    """Return a folder's entries with their names in lower case, in an order that does not depend on the file system."""
    return [(path.name.lower(), path) for path in sorted(folder.iterdir())]


def _cells(data: bytes, layout: Layout, task: GLUETask, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and columns of each row."""
    # Not splitlines(): it also splits at characters that occur within texts. Lines are decoded one by one so that an
    # error names the bad line.
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            text = line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise StarkError(f"{path}, line {number}: not UTF-8 ({error.reason} at byte {error.start})") from error
        if number == 1 and layout.header:
            continue
        columns = text.split("\t")
        if len(columns) < layout.columns:
            raise StarkError(
                f"{path}, line {number}: {len(columns)} columns, {task.name} needs at least {layout.columns}"
            )
        yield number, columns


def _index(text: str, path: Path, number: int) -> int:
    """Return a test index."""
    if not (text.isascii() and text.isdigit()):
        raise StarkError(f"{path}, line {number}: index {text!r} is not a whole number")
    return int(text)
