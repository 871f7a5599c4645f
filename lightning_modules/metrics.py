"""GLUE's metrics, and the score of a task, by which everything is chosen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    BinaryF1Score,
    MulticlassAccuracy,
    MulticlassMatthewsCorrCoef,
)
from torchmetrics.functional import pearson_corrcoef, spearman_corrcoef
from torchmetrics.functional.classification import binary_f1_score, multiclass_matthews_corrcoef
from torchmetrics.regression import PearsonCorrCoef, SpearmanCorrCoef

__all__ = ["build_metrics", "computed", "score_function", "score_of"]


def build_metrics(names: list[str], num_labels: int) -> MetricCollection:
    """Build torchmetrics under GLUE's names.

    Args:
        names: Out of accuracy, f1, matthews_corrcoef, pearson, spearmanr.
        num_labels: Number of label names; 1 means regression.

    Returns:
        The collection; each is updated with predictions and labels of shape ``(batch,)``.

    Raises:
        ValueError: For an unknown name.

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
        "matthews_corrcoef": lambda: MulticlassMatthewsCorrCoef(num_classes=classes),
        "pearson": PearsonCorrCoef,
        "spearmanr": SpearmanCorrCoef,
    }
    for name in names:
        if name not in known:
            raise ValueError(f"unknown metric {name!r}: choose out of {', '.join(sorted(known))}")
    with warnings.catch_warnings():
        # Spearman keeps all predictions, which an evaluation set's worth of floats allows.
        warnings.filterwarnings("ignore", message="Metric `SpearmanCorrcoef` will save all targets")
        # No compute groups: accuracy and F1 keep different states.
        return MetricCollection({name: known[name]() for name in names}, compute_groups=False)


def computed(metrics: MetricCollection) -> dict[str, Tensor]:
    """The values of metrics by their names.

    Args:
        metrics: Of `build_metrics`.

    Returns:
        The values. The correlation of constant predictions is undefined; it is 0, since a NaN would never be beaten.
    """
    return {name: torch.nan_to_num(value) for name, value in metrics.compute().items()}


def score_of(values: Mapping[str, Tensor]) -> Tensor:
    """The score of a task, by which everything is chosen: the mean of its metrics.

    Args:
        values: Of `computed`.

    Returns:
        A scalar.
    """
    return torch.stack(list(values.values())).mean()


def score_function(names: Sequence[str], num_labels: int) -> Callable[[Tensor, Tensor], float]:
    """The score of a task as a function, which thousands of draws of a bootstrap can call.

    Args:
        names: GLUE's metric names.
        num_labels: 1 means regression.

    Returns:
        From predictions and labels to the mean of the metrics, the same as that of `build_metrics`.
    """
    known: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "accuracy": lambda predicted, labels: (predicted == labels).double().mean(),
        "f1": partial(binary_f1_score, validate_args=False),
        "matthews_corrcoef": partial(multiclass_matthews_corrcoef, num_classes=max(num_labels, 2), validate_args=False),
        "pearson": pearson_corrcoef,
        "spearmanr": spearman_corrcoef,
    }

    def score(predicted: Tensor, labels: Tensor) -> float:
        values = [float(torch.nan_to_num(known[name](predicted, labels))) for name in names]
        return sum(values) / len(values)

    return score
