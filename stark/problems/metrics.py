"""GLUE's metrics, and the score of a task, by which checkpoints and candidates are chosen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import BinaryF1Score, MulticlassAccuracy, MulticlassConfusionMatrix
from torchmetrics.functional.classification import binary_f1_score, multiclass_confusion_matrix
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError, SpearmanCorrCoef
from torchmetrics.utilities import dim_zero_cat

from stark.errors import StarkError
from stark.problems.score_names import score_names

__all__ = ["build_metrics", "computed", "correlation", "score_function", "score_of"]


class _OfConfusion(MulticlassConfusionMatrix):
    """A metric that is a function of the confusion matrix."""

    def __init__(self, formula: Callable[[Tensor], Tensor], num_classes: int) -> None:
        super().__init__(num_classes=num_classes)
        self._formula = formula

    def compute(self) -> Tensor:
        """Return the metric of all rows."""
        return self._formula(self.confmat).to(self.confmat.device, torch.float32)


class _Spearman(SpearmanCorrCoef):
    """Spearman's correlation; torchmetrics' version ranks a NaN like a number and adds ranks as 32-bit integers."""

    def compute(self) -> Tensor:
        """Return the correlation of all rows."""
        predicted, labels = dim_zero_cat(self.preds), dim_zero_cat(self.target)
        return self._correlation(predicted, labels).to(predicted.device, torch.float32)

    def _correlation(self, predicted: Tensor, labels: Tensor) -> Tensor:
        return _rank_correlation(predicted, labels)


class _Pearson(_Spearman):
    """Pearson's correlation; torchmetrics' version is NaN if one number is far from thousands of others."""

    def _correlation(self, predicted: Tensor, labels: Tensor) -> Tensor:
        return correlation(predicted, labels)


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation, computed in float64 on the CPU.

    Args:
        first: Numbers, ``(rows,)``.
        second: Other numbers of the same rows.

    Returns:
        A scalar; 0 if the correlation is undefined: if there is a single row, if all numbers of one side are equal, or
        if one is NaN or infinite.

    Examples:
        >>> correlation(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0])).item()
        1.0
        >>> correlation(torch.tensor([1.0, 2.0, float("nan")]), torch.tensor([2.0, 4.0, 6.0])).item()
        0.0
    """
    both = torch.stack([first.detach().cpu().double(), second.detach().cpu().double()])
    # Equality is tested on the numbers, because the mean is rounded and equal numbers can get a variance above 0.
    if both.shape[1] < 2 or not both.isfinite().all() or (both.amin(1) == both.amax(1)).any():
        return torch.zeros((), dtype=torch.float64)
    return both.corrcoef()[0, 1]


def _rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's correlation: Pearson's correlation of the ranks, where equal numbers have their mean rank.

    Args:
        first: See `correlation`.
        second: See `correlation`.

    Returns:
        See `correlation`.
    """
    if not (first.isfinite().all() and second.isfinite().all()):
        return torch.zeros((), dtype=torch.float64)  # a NaN would get a rank
    return correlation(_ranks(first), _ranks(second))


def _matthews(confusion: Tensor) -> Tensor:
    """Matthews' correlation.

    Args:
        confusion: Number of rows by label and prediction, ``(classes, classes)``.

    Returns:
        A scalar on the CPU; 0 if all predictions or all labels are equal, as in scikit-learn.

    Source: Gorodkin, 2004, "Comparing two K-category assignments by a K-category correlation coefficient".

    Examples:
        >>> _matthews(torch.tensor([[2, 0], [0, 3]])).item(), _matthews(torch.tensor([[2, 0], [3, 0]])).item()
        (1.0, 0.0)
    """
    counts = confusion.cpu().double()
    labels, predicted, rows = counts.sum(1), counts.sum(0), counts.sum()
    spread = (rows**2 - labels.square().sum()) * (rows**2 - predicted.square().sum())
    if spread == 0:
        return torch.zeros((), dtype=torch.float64)
    return (counts.trace() * rows - labels @ predicted) / spread.sqrt()


def _f1_by_class(confusion: Tensor) -> tuple[Tensor, Tensor]:
    """F1 of each class, and its number of rows, of the classes that occur among labels or predictions."""
    counts = confusion.cpu().double()
    rows, predicted = counts.sum(1), counts.sum(0)
    occurs = rows + predicted > 0
    return (2 * counts.diagonal()[occurs] / (rows + predicted)[occurs]), rows[occurs]


def _macro_f1(confusion: Tensor) -> Tensor:
    """The mean over classes of F1, as in scikit-learn.

    Examples:
        >>> _macro_f1(torch.tensor([[2, 0], [1, 1]])).item()  # (4/5 + 2/3) / 2
        0.7333333333333334
    """
    return _f1_by_class(confusion)[0].mean()


def _weighted_f1(confusion: Tensor) -> Tensor:
    """The mean over rows of their class's F1, as in scikit-learn.

    Examples:
        >>> _weighted_f1(torch.tensor([[2, 0], [1, 1]])).item()
        0.7333333333333334
    """
    scores, rows = _f1_by_class(confusion)
    return scores @ rows / rows.sum()


def _balanced_accuracy(confusion: Tensor) -> Tensor:
    """The mean over classes of recall, of the classes that occur among labels, as in scikit-learn.

    Examples:
        >>> _balanced_accuracy(torch.tensor([[2, 0], [1, 1]])).item()  # (1 + 1/2) / 2
        0.75
    """
    counts = confusion.cpu().double()
    rows = counts.sum(1)
    return (counts.diagonal()[rows > 0] / rows[rows > 0]).mean()


_OF_CONFUSION = {
    "matthews_corrcoef": _matthews,
    "macro_f1": _macro_f1,
    "weighted_f1": _weighted_f1,
    "balanced_accuracy": _balanced_accuracy,
}


def _ranks(values: Tensor) -> Tensor:
    _, places, counts = values.unique(return_inverse=True, return_counts=True)
    mean: Tensor = counts.cumsum(0) - (counts - 1) / 2
    return mean[places]


def build_metrics(names: list[str], num_labels: int) -> MetricCollection:
    """Build torchmetrics under GLUE's names.

    Args:
        names: Names out of accuracy, f1, matthews_corrcoef, macro_f1, weighted_f1, balanced_accuracy; pearson,
            spearmanr, mae, rmse.
        num_labels: Number of label names; 1 means regression.

    Returns:
        The collection; each is updated with predictions and labels of shape ``(batch,)``.

    Raises:
        StarkError: For an unknown name.

    Examples:
        >>> metrics = build_metrics(["accuracy", "f1"], num_labels=2)
        >>> metrics.update(torch.tensor([1, 1, 0]), torch.tensor([1, 0, 0]))
        >>> {name: round(value.item(), 3) for name, value in metrics.compute().items()}
        {'accuracy': 0.667, 'f1': 0.667}
    """
    classes = max(num_labels, 2)
    known: dict[str, Callable[[], Metric]] = {
        "accuracy": lambda: MulticlassAccuracy(num_classes=classes, average="micro"),
        "f1": BinaryF1Score,  # GLUE's F1 is that of class 1
        **{name: partial(_OfConfusion, formula, classes) for name, formula in _OF_CONFUSION.items()},
        "pearson": _Pearson,
        "spearmanr": _Spearman,
        "mae": MeanAbsoluteError,
        "rmse": partial(MeanSquaredError, squared=False),
    }
    for name in names:
        if name not in known:
            raise StarkError(f"unknown metric {name!r}: choose out of {', '.join(sorted(known))}")
    with warnings.catch_warnings():
        # The correlations keep all predictions in memory; those of an evaluation set are few enough.
        warnings.filterwarnings("ignore", message="Metric `SpearmanCorrcoef` will save all targets")
        # No compute groups: accuracy and F1 keep different states.
        return MetricCollection({name: known[name]() for name in names}, compute_groups=False)


def computed(metrics: MetricCollection) -> dict[str, Tensor]:
    """The values of metrics by their names.

    Args:
        metrics: A collection that `build_metrics` returned.

    Returns:
        The values. An undefined correlation is 0, because no later value would count as better than a NaN; see
        `correlation`.
    """
    return dict(metrics.compute())


def score_of(values: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """The score of a task: the mean of some of its metrics.

    Args:
        values: Values that `computed` returned.
        names: Names that `score_names` returned.

    Returns:
        A scalar.
    """
    return torch.stack([values[name] for name in names]).mean()


def score_function(names: Sequence[str], num_labels: int) -> Callable[[Tensor, Tensor], float]:
    """The score of a task as a function that is fast enough for thousands of draws of a bootstrap.

    Args:
        names: GLUE's metric names.
        num_labels: Number of label names; 1 means regression.

    Returns:
        Function of predictions and labels that returns the mean of the metrics, the same as with `build_metrics`.
    """
    confusion = partial(multiclass_confusion_matrix, num_classes=max(num_labels, 2), validate_args=False)
    known: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "accuracy": lambda predicted, labels: (predicted == labels).double().mean(),
        "f1": partial(binary_f1_score, validate_args=False),
        **{
            name: lambda predicted, labels, formula=formula: formula(confusion(predicted, labels))  # type: ignore[misc]
            for name, formula in _OF_CONFUSION.items()
        },
        "pearson": correlation,
        "spearmanr": _rank_correlation,
    }

    chosen = score_names(names)

    def score(predicted: Tensor, labels: Tensor) -> float:
        values = [float(known[name](predicted, labels)) for name in chosen]
        return sum(values) / len(values)

    return score
