"""User-defined tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from datamodules.tasks.description import Description
from datamodules.tasks.record_format import RecordFormat
from datamodules.tasks.task import Task
from stark.errors import StarkError
from stark.problems.score_names import score_names

__all__ = ["OwnTask", "own_task"]


@dataclass(frozen=True, kw_only=True)
class OwnTask(Task):
    """A task that a file describes; ``texts`` are the columns of its files.

    Attributes:
        description: Path of the YAML file that describes it.
        files: File of each split that exists; of a part of train it is train's.
        formats: Format of each of these files.
        unlabelled: Files of rows without labels, with their formats.
        sizes: Size of dev and of test where they are parts of train, see `Description`.
        label: Column of the label, or one column of 1 and 0 for each label, see `Description`.
        group: Column whose value is the same in rows that belong together; None if there is none.
        separator: What separates the labels of a row in their column, see `Description`.
        codes: Values of that column, or the columns, in the order of the ids.
    """

    description: Path
    files: Mapping[str, Path]
    formats: Mapping[str, RecordFormat]
    unlabelled: tuple[tuple[Path, RecordFormat], ...]
    sizes: Mapping[str, float]
    label: str | tuple[str, ...]
    group: str | None
    separator: str | None
    codes: tuple[str, ...]

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns of the labels."""
        return self.label if isinstance(self.label, tuple) else (self.label,)


def own_task(description: Description, labels: Mapping[str, str]) -> OwnTask:
    """Return the task that a file describes.

    Args:
        description: The content of the file.
        labels: Name of each value of the label column, in the order of the ids: the description's, or those found.

    Returns:
        The task; no file of rows is read yet.

    Raises:
        StarkError: There is no such kind of label, a metric is not defined for it, or it needs groups.
    """
    # Imported here because it imports torch, which is not needed to read a command's options.
    from stark.problems.table import problem_for

    codes, names = tuple(labels), tuple(labels.values())
    try:
        problem = problem_for(names, description.kind)
    except StarkError as error:
        raise description.error("kind", error) from error
    metrics = description.metrics or problem.default_metrics
    for metric in metrics:
        if metric not in problem.metrics:
            raise description.error(
                "metrics",
                f"metric {metric!r} is not for {len(names)} labels, choose out of {', '.join(problem.metrics)}",
            )
    try:
        score_names(metrics)
    except StarkError as error:
        raise description.error("metrics", error) from error
    return OwnTask(
        name=description.path.stem,
        splits=tuple(description.files),
        texts=description.texts,
        label_names=names,
        kind=description.kind,
        metrics=metrics,
        submission_file=f"{description.path.stem}.tsv",
        submission_words=True,
        description=description.path,
        files=description.files,
        formats=description.formats,
        unlabelled=description.unlabelled,
        sizes=description.sizes,
        label=description.label,
        group=_group(description) if problem.by_group else description.group,
        separator=description.separator,
        codes=codes,
    )


def _group(description: Description) -> str:
    """Return the column of the groups of a kind of label that needs them: the first text of a pair is a query."""
    if description.group is None and len(description.texts) == 1:
        raise description.error(
            "kind",
            f"kind {description.kind} compares rows of a group: name the column of the query (or of its id) by group, "
            "or as text, with text_pair for the documents",
        )
    return description.group or description.texts[0]
