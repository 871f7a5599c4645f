"""Opening a task by its name, and its source of rows: original files, the hub's data set, or a user's files."""

from pathlib import Path

from datamodules.sources.found_labels import found_labels
from datamodules.sources.glue_files import TSVSource
from datamodules.sources.glue_tsv import find_folder
from datamodules.sources.hub import HubSource, SavedSource, saved_folder
from datamodules.sources.own import OwnSource
from datamodules.sources.source import Source
from datamodules.tasks.description import Description, is_description, read_description
from datamodules.tasks.glue import GLUETask, find_task
from datamodules.tasks.own import OwnTask, own_task
from datamodules.tasks.task import Task

__all__ = ["open_source", "open_task", "read_own_task"]


def open_task(name: str, data_dir: str | None = None) -> Task:
    """Return GLUE's task of a name, or the one that a YAML file describes.

    Args:
        name: Such as ``mrpc`` or ``reviews.yaml``.
        data_dir: Folder of the files that the YAML names; None for the YAML's folder.

    Raises:
        StarkError: There is no such task, or the file is wrong.
    """
    return read_own_task(Path(name), data_dir) if is_description(name) else find_task(name)


def read_own_task(path: Path, data_dir: str | None = None) -> OwnTask:
    """Read the description of a task.

    The YAML file has these keys:

    - ``train``, ``dev`` and optionally ``test``: files, which are .csv, .tsv, .jsonl or .parquet, or compressed,
      such as .csv.gz.
    - optionally ``dataset``: folder or hub id of a Hugging Face data set, and ``config``, its configuration. ``train``,
      ``dev`` and ``test`` then name its splits. Without ``labels``, a column of classes has the data set's names.
    - ``split`` instead of ``dev``, of ``test`` or of both: parts of train by their sizes, such as
      ``{dev: 0.1, test: 200}``. A fraction is that of train's rows with a label, an integer is a number of rows. Rows
      with the same texts stay together, each label keeps its share, and the division is the same for every seed.
    - optionally ``unlabelled``: a list of files of rows without labels, on which students are distilled; their columns
      of the texts have the same names.
    - ``text`` and optionally ``text_pair``: columns of the texts.
    - optionally ``group``: column whose value is the same in rows that belong together, such as those of a customer or
      a document; ``split`` and the selection part do not divide them. For rankings it is the query or its id, and the
      column ``text`` without this key.
    - ``label``: column of the label; a list of columns of 1 and 0, one per label, where a row may have several.
    - optionally ``label_separator``: what is between the labels of a row in their column, where they are not a list.
    - optionally ``labels``: the values of the label column, in the order of the ids; a single value is the name of a
      score. A mapping names coded labels: ``{0: ham, 1: spam}``. Without this key, the labels are the distinct values
      of the column in train, in the order of their numbers if all are integers, else sorted as texts.
    - optionally ``kind``: the kind of label, which is classification, regression, multi_label, ranking, or a registered
      one. Scores and rankings need no ``labels`` then.
    - optionally ``metrics``: some of accuracy, f1 (of the second of two labels), macro_f1, weighted_f1,
      balanced_accuracy and matthews_corrcoef; for scores pearson and spearmanr, and the errors mae and rmse;
      for several labels a row micro_f1, macro_f1, mean_average_precision and accuracy; for rankings ndcg and mrr.

    The format of the files is found from their endings and content. If that is not right, set ``delimiter`` (a
    character), ``quoting`` (none: quotation marks are text, and each line is a row; standard: a quoted field may span
    lines), ``encoding`` (such as latin-1; default: UTF-8, or UTF-16 with its byte order mark) or ``header: false`` (the
    first line is a row; the columns are then called 0, 1, ...).

    All values are read as text, exactly as they are written: ``no`` is no, ``01`` is 01, ``1.10`` is 1.10. JSON's true
    and 1.0 are the texts true and 1.0.

    Args:
        path: Path of the YAML file; the task's name is the file's name without the ending.
        data_dir: Folder of the files; None for the YAML's folder.

    Returns:
        The task. No file of rows is read, except for train if the labels are not named.

    Raises:
        StarkError: The file is not a valid description; the message names file and line. Or the labels are not found.

    Examples:
        >>> import tempfile
        >>> text = "{train: a.csv, dev: b.csv, text: body, label: stars, labels: [no, yes]}"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "reviews.yaml").write_text(text)
        ...     task = read_own_task(Path(folder, "reviews.yaml"))
        >>> task.name, task.texts, task.label_names, task.metrics, task.splits
        ('reviews', ('body',), ('no', 'yes'), ('accuracy',), ('train', 'dev'))
    """
    description = read_description(path, data_dir)
    if description.labels is not None:
        return own_task(description, description.labels)
    labels = _name_of_score(description) or found_labels(description)
    return own_task(description, dict(zip(labels, labels, strict=True)))


def _name_of_score(description: Description) -> tuple[str, ...]:
    """Return the label's column as the name of what a kind of label without classes predicts; else nothing."""
    if description.kind is None or not isinstance(description.label, str):
        return ()
    # Imported here because it imports torch, which is not needed to read a command's options.
    from stark.problems.table import PROBLEMS

    kind = PROBLEMS.get(description.kind)
    return () if kind is None or kind.has_classes else (description.label,)


def open_source(task: Task, data_dir: str | None) -> Source:
    """Return the source of a task's rows.

    Args:
        task: The task whose rows are read.
        data_dir: A folder of original files or one written by ``save_to_disk``, or a folder that contains such a folder
            under the task's name; None for the hub's data set. A user-defined task names its files itself.

    Returns:
        The source; it reads nothing yet.

    Raises:
        StarkFileNotFoundError: ``data_dir`` has no data of this task.
    """
    if isinstance(task, OwnTask):
        return OwnSource(task)
    assert isinstance(task, GLUETask)  # there is no third kind
    if data_dir is None:
        return HubSource(task)
    folder = Path(data_dir).expanduser()
    if saved := saved_folder(folder, task):
        return SavedSource(task, saved)
    return TSVSource(task, find_folder(folder, task))
