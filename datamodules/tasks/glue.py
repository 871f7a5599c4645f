"""The table of GLUE's tasks: the layout of their files, the meaning of their labels, and their metrics."""

from dataclasses import dataclass

from datamodules.tasks.task import SPLITS, Task
from stark.errors import StarkError

__all__ = ["TASKS", "GLUETask", "Layout", "find_task"]


@dataclass(frozen=True)
class Layout:
    """One original file: its name and the columns, counted from 0, that hold the parts of a row.

    Attributes:
        file: Name of the file in the task's folder.
        columns: Minimum number of columns of a row.
        text_a: Column of the first text.
        text_b: Column of the second text, None for single texts.
        label: Column of the label, -1 for the last one, None in unlabelled files.
        idx: Column of the test index that a submission must contain; None if rows are counted instead.
        header: Whether the first line names the columns.
    """

    file: str
    columns: int
    text_a: int
    text_b: int | None = None
    label: int | None = None
    idx: int | None = None
    header: bool = True


@dataclass(frozen=True, kw_only=True)
class GLUETask(Task):
    """One task of GLUE; ``texts`` are the hub's columns, ``submission_file`` is the name that GLUE's server expects.

    Attributes:
        folders: Accepted folder names, in order of preference; compared in lower case and without punctuation.
        layouts: The original file of each split that exists.
        hub_config: Configuration of the hub's ``glue`` data set.
        hub_splits: The hub's name of each split that exists.
        label_spelling: Spelling of the labels in the original files, in the order of their ids; empty for regression.
    """

    folders: tuple[str, ...]
    layouts: dict[str, Layout]
    hub_config: str
    hub_splits: dict[str, str]
    label_spelling: tuple[str, ...]


_HUB_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
_ENTAILMENT = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")


def _mnli(name: str, folders: tuple[str, ...], half: str, submission_file: str) -> GLUETask:
    """Return one of the two MNLI tasks, which share everything but dev and test."""
    return GLUETask(
        name=name,
        folders=folders,
        splits=SPLITS,
        layouts={
            # before the gold label dev has five annotators' labels and train has one: 16 and 12 columns
            "train": Layout("train.tsv", 12, 8, 9, label=-1),
            "dev": Layout(f"dev_{half}.tsv", 16, 8, 9, label=-1),
            "test": Layout(f"test_{half}.tsv", 10, 8, 9, idx=0),
        },
        hub_config="mnli",
        hub_splits={"train": "train", "dev": f"validation_{half}", "test": f"test_{half}"},
        texts=("premise", "hypothesis"),
        label_names=_NLI,
        label_spelling=_NLI,
        metrics=("accuracy",),
        submission_file=submission_file,
        submission_words=True,
    )


_ALL = (
    GLUETask(
        name="rte",
        folders=("rte",),
        splits=SPLITS,
        layouts={
            "train": Layout("train.tsv", 4, 1, 2, label=-1),
            "dev": Layout("dev.tsv", 4, 1, 2, label=-1),
            "test": Layout("test.tsv", 3, 1, 2, idx=0),
        },
        hub_config="rte",
        hub_splits=_HUB_SPLITS,
        texts=("sentence1", "sentence2"),
        label_names=_ENTAILMENT,
        label_spelling=_ENTAILMENT,
        metrics=("accuracy",),
        submission_file="RTE.tsv",
        submission_words=True,
    ),
    GLUETask(
        name="mrpc",
        folders=("mrpc",),
        splits=SPLITS,
        layouts={
            "train": Layout("train.tsv", 5, 3, 4, label=0),
            "dev": Layout("dev.tsv", 5, 3, 4, label=0),
            "test": Layout("test.tsv", 5, 3, 4, idx=0),
        },
        hub_config="mrpc",
        hub_splits=_HUB_SPLITS,
        texts=("sentence1", "sentence2"),
        label_names=("not_equivalent", "equivalent"),
        label_spelling=("0", "1"),
        metrics=("accuracy", "f1"),
        submission_file="MRPC.tsv",
        submission_words=False,
    ),
    GLUETask(
        name="stsb",
        folders=("stsb",),
        splits=SPLITS,
        layouts={
            "train": Layout("train.tsv", 10, 7, 8, label=-1),
            "dev": Layout("dev.tsv", 10, 7, 8, label=-1),
            "test": Layout("test.tsv", 9, 7, 8, idx=0),
        },
        hub_config="stsb",
        hub_splits=_HUB_SPLITS,
        texts=("sentence1", "sentence2"),
        label_names=("similarity",),
        label_spelling=(),
        metrics=("pearson", "spearmanr"),
        submission_file="STS-B.tsv",
        submission_words=False,
        score_range=(0.0, 5.0),
    ),
    GLUETask(
        name="sst2",
        folders=("sst2",),
        splits=SPLITS,
        layouts={
            "train": Layout("train.tsv", 2, 0, label=1),
            "dev": Layout("dev.tsv", 2, 0, label=1),
            "test": Layout("test.tsv", 2, 1, idx=0),
        },
        hub_config="sst2",
        hub_splits=_HUB_SPLITS,
        texts=("sentence",),
        label_names=("negative", "positive"),
        label_spelling=("0", "1"),
        metrics=("accuracy",),
        submission_file="SST-2.tsv",
        submission_words=False,
    ),
    GLUETask(
        name="qnli",
        folders=("qnli",),
        splits=SPLITS,
        layouts={
            "train": Layout("train.tsv", 4, 1, 2, label=-1),
            "dev": Layout("dev.tsv", 4, 1, 2, label=-1),
            "test": Layout("test.tsv", 3, 1, 2, idx=0),
        },
        hub_config="qnli",
        hub_splits=_HUB_SPLITS,
        texts=("question", "sentence"),
        label_names=_ENTAILMENT,
        label_spelling=_ENTAILMENT,
        metrics=("accuracy",),
        submission_file="QNLI.tsv",
        submission_words=True,
    ),
    GLUETask(
        name="qqp",
        folders=("qqp",),
        splits=SPLITS,
        layouts={
            "train": Layout("train.tsv", 6, 3, 4, label=5),
            "dev": Layout("dev.tsv", 6, 3, 4, label=5),
            "test": Layout("test.tsv", 3, 1, 2, idx=0),
        },
        hub_config="qqp",
        hub_splits=_HUB_SPLITS,
        texts=("question1", "question2"),
        label_names=("not_duplicate", "duplicate"),
        label_spelling=("0", "1"),
        metrics=("accuracy", "f1"),
        submission_file="QQP.tsv",
        submission_words=False,
    ),
    _mnli("mnli", ("mnli",), "matched", "MNLI-m.tsv"),
    _mnli("mnlimm", ("mnlimm", "mnli"), "mismatched", "MNLI-mm.tsv"),
    GLUETask(
        name="cola",
        folders=("cola",),
        splits=SPLITS,
        layouts={
            "train": Layout("train.tsv", 4, 3, label=1, header=False),
            "dev": Layout("dev.tsv", 4, 3, label=1, header=False),
            "test": Layout("test.tsv", 2, 1, idx=0),
        },
        hub_config="cola",
        hub_splits=_HUB_SPLITS,
        texts=("sentence",),
        label_names=("unacceptable", "acceptable"),
        label_spelling=("0", "1"),
        metrics=("matthews_corrcoef",),
        submission_file="CoLA.tsv",
        submission_words=False,
    ),
    GLUETask(
        name="wnli",
        folders=("wnli",),
        splits=SPLITS,
        layouts={
            "train": Layout("train.tsv", 4, 1, 2, label=-1),
            "dev": Layout("dev.tsv", 4, 1, 2, label=-1),
            "test": Layout("test.tsv", 3, 1, 2, idx=0),
        },
        hub_config="wnli",
        hub_splits=_HUB_SPLITS,
        texts=("sentence1", "sentence2"),
        # in the reverse order of RTE and QNLI, as in the hub's data set
        label_names=("not_entailment", "entailment"),
        label_spelling=("0", "1"),
        metrics=("accuracy",),
        submission_file="WNLI.tsv",
        submission_words=False,
    ),
    GLUETask(
        name="ax",
        folders=("ax", "diagnostic", "diagnostics"),
        splits=("test",),
        layouts={"test": Layout("diagnostic.tsv", 3, 1, 2, idx=0)},
        hub_config="ax",
        hub_splits={"test": "test"},
        texts=("premise", "hypothesis"),
        label_names=_NLI,
        label_spelling=_NLI,
        metrics=("accuracy",),
        submission_file="AX.tsv",
        submission_words=True,
    ),
)

TASKS: dict[str, GLUETask] = {task.name: task for task in _ALL}


def find_task(name: str) -> GLUETask:
    """Return GLUE's task of this name.

    Args:
        name: One of ``TASKS``.

    Returns:
        Its entry in the table.

    Raises:
        StarkError: There is no such task.

    Examples:
        >>> find_task("mrpc").label_names
        ('not_equivalent', 'equivalent')
        >>> find_task("mprc")
        Traceback (most recent call last):
        stark.errors.StarkError: unknown task 'mprc': choose one of ax, cola, mnli, mnlimm, mrpc, qnli, qqp, rte, ...
    """
    if name not in TASKS:
        raise StarkError(
            f"unknown task {name!r}: choose one of {', '.join(sorted(TASKS))}, or give a YAML that describes your "
            "rows; stark run also takes a file of rows, the folder of a data set, or an id of the hub: SetFit/subj"
        )
    return TASKS[name]
