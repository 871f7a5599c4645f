"""Writing predictions in the format that GLUE's server expects."""

import math
from collections.abc import Sequence
from pathlib import Path

from datamodules.tasks.task import Task
from stark.errors import StarkError, StarkFileExistsError
from stark.storage import write_text

__all__ = ["check_submission", "write_submission"]

_HEADER = "index\tprediction\n"


def check_submission(path: Path) -> None:
    """Refuse to replace a file that is not a submission.

    Args:
        path: Path of the file to write; it need not exist.

    Raises:
        StarkFileExistsError: Something else exists at this path.
    """
    if path.exists() and not (path.is_file() and path.read_bytes().startswith(_HEADER.encode())):
        raise StarkFileExistsError(f"{path} exists and is no submission: move it, or choose another folder to write to")


def write_submission(task: Task, idx: Sequence[int], predictions: Sequence[int] | Sequence[float], path: Path) -> Path:
    r"""Write a test file's predictions, ordered by index.

    Args:
        task: The task; it determines whether label words, label ids or scores are written: STS-B's within 0 and 5 and
            with three decimals, as the server expects, others with six digits.
        idx: The test file's index of each prediction; 0 to n - 1 in any order.
        predictions: Label ids, or scores for regression.
        path: Path of the file to write. An existing submission is replaced atomically.

    Returns:
        The path.

    Raises:
        StarkError: An index is missing or occurs twice, or a prediction is not a label of the task.
        StarkFileExistsError: The path is a file that is not a submission.

    Examples:
        >>> import tempfile
        >>> from datamodules.tasks.glue import find_task
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_submission(find_task("rte"), [1, 0], [0, 1], Path(folder, "RTE.tsv")).read_text()
        'index\tprediction\n0\tnot_entailment\n1\tentailment\n'
    """
    if len(idx) != len(predictions):
        raise StarkError(f"{path.name}: {len(idx)} indices but {len(predictions)} predictions")
    by_idx = dict(zip(idx, predictions, strict=True))
    if len(by_idx) < len(idx):
        seen: set[int] = set()
        twice = next(i for i in idx if i in seen or seen.add(i))  # type: ignore[func-returns-value]
        raise StarkError(f"{path.name}: index {twice} has more than one prediction")
    for expected in range(len(by_idx)):
        if expected not in by_idx:
            raise StarkError(f"{path.name}: no prediction for index {expected} ({len(by_idx)} predictions given)")
    lines = [f"{i}\t{_spelt(task, by_idx[i], i, path)}\n" for i in range(len(by_idx))]
    check_submission(path)
    write_text(path, "".join([_HEADER, *lines]))
    return path


def _spelt(task: Task, prediction: float, idx: int, path: Path) -> str:
    """Return a prediction in the format that the server expects."""
    if task.problem.several:
        raise StarkError(
            f"{path.name}: rows of kind {task.problem.kind} have several labels, and such a file has one: use stark "
            "predict-file"
        )
    if not task.problem.has_classes:
        if not math.isfinite(prediction):
            raise StarkError(f"{path.name}: the prediction for index {idx} is {prediction}")
        if task.score_range is None:
            return f"{float(prediction):.6g}"
        least, greatest = task.score_range
        return f"{min(max(float(prediction), least), greatest):.3f}"
    if prediction not in range(task.num_labels):
        raise StarkError(f"{path.name}: the prediction for index {idx} is {prediction}, not 0 to {task.num_labels - 1}")
    return task.label_names[int(prediction)] if task.submission_words else str(int(prediction))
