"""Metrics of rows that may have several labels, or none."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softsign
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MultilabelAveragePrecision, MultilabelExactMatch, MultilabelF1Score
from torchmetrics.utilities import dim_zero_cat

from stark.errors import StarkError

__all__ = ["METRICS", "RANKED", "best_threshold", "build_label_metrics", "label_score_function"]

METRICS = ("micro_f1", "macro_f1", "accuracy", "mean_average_precision")
"""Names of the metrics."""

RANKED = ("mean_average_precision",)
"""Metrics of the order of the rows, on which a threshold has no effect."""

_USUAL = 0.5
_THRESHOLDS = tuple(hundredth / 100 for hundredth in range(1, 100))


class _F1(MultilabelF1Score):
    """F1 of the labels that lie above the threshold; over all labels together (micro), or their mean (macro)."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count rows."""
        super().update((preds > 0).int(), target.int())


class _Accuracy(MultilabelExactMatch):
    """The share of rows all of whose labels are right."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count rows."""
        super().update((preds > 0).int(), target.int())


class _AveragePrecision(MultilabelAveragePrecision):
    """The mean over the labels that have rows of their average precision; 0 where none has."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Keep rows, as numbers from 0 to 1, which torchmetrics wants. A sigmoid would make far logits equal."""
        super().update((softsign(preds.double()) + 1) / 2, target.int())

    def compute(self) -> Tensor:  # type: ignore[override]  # as its class has it, which derives from curves
        """Return the mean of all rows."""
        with warnings.catch_warnings():
            # Of labels without rows, which are left out.
            warnings.filterwarnings("ignore", "No positive samples found in target")
            each: Tensor = super().compute()
        has_rows = (dim_zero_cat(self.target) > 0).any(0)
        return each[has_rows].mean().float() if has_rows.any() else torch.zeros((), device=each.device)


def build_label_metrics(names: Sequence[str], num_labels: int) -> MetricCollection:
    """Build torchmetrics.

    Args:
        names: Names out of `METRICS`.
        num_labels: Number of labels.

    Returns:
        The collection. It is updated with how far the logits lie above the threshold, and with labels, both
        ``(batch, num_labels)``.

    Raises:
        StarkError: For an unknown name.

    Examples:
        >>> metrics = build_label_metrics(["accuracy", "micro_f1"], 2)
        >>> metrics.update(torch.tensor([[1.0, -1.0], [2.0, 3.0]]), torch.tensor([[1, 0], [1, 0]]))
        >>> {name: round(value.item(), 3) for name, value in metrics.compute().items()}
        {'accuracy': 0.5, 'micro_f1': 0.8}
    """
    known: dict[str, Callable[[], Metric]] = {
        "micro_f1": lambda: _F1(num_labels, average="micro", validate_args=False),
        "macro_f1": lambda: _F1(num_labels, average="macro", validate_args=False),
        "accuracy": lambda: _Accuracy(num_labels, validate_args=False),
        "mean_average_precision": lambda: _AveragePrecision(num_labels, average="none", validate_args=False),
    }
    for name in names:
        if name not in known:
            raise StarkError(f"unknown metric {name!r}: choose out of {', '.join(METRICS)}")
    return MetricCollection({name: known[name]() for name in names}, compute_groups=False)


def label_score_function(names: Sequence[str]) -> Callable[[Tensor, Tensor], float]:
    """The mean of metrics as a function that is fast enough for thousands of draws of a bootstrap.

    Args:
        names: Names out of `METRICS`.

    Returns:
        Function of how far the logits lie above the threshold, and of labels, both ``(rows, num_labels)``; the same as
        with `build_label_metrics`.
    """

    def score(above: Tensor, labels: Tensor) -> float:
        values = [_FORMULAS[name](above, labels > 0) for name in names]
        return float(sum(values)) / len(values)

    return score


def best_threshold(logits: Tensor, labels: Tensor, names: Sequence[str]) -> float:
    """The probability above which a label is predicted, so that the score is highest.

    It is one number for all labels. A threshold per label follows the noise of the rare ones: with a linear model on
    GoEmotions (28 labels) and 100 to 4,000 rows to choose by, micro F1 on other rows was 0.31 to 0.48 with a threshold
    per label and 0.45 to 0.50 with a single one; with 0.5 it was 0.31 and 0.40.

    Args:
        logits: ``(rows, num_labels)``, of rows that the model is not trained on.
        labels: ``(rows, num_labels)``.
        names: Names of the metrics that make the score; if none depends on a threshold, micro F1 is taken.

    Returns:
        A number of hundredths; of equally good ones the nearest to 0.5.

    Examples:
        >>> best_threshold(torch.tensor([[-1.0], [-2.0], [-3.0]]), torch.tensor([[1], [1], [0]]), ["micro_f1"])
        0.11
    """
    score = label_score_function([name for name in names if name not in RANKED] or METRICS[:1])
    found = {
        threshold: score(logits - _logit(threshold), labels)
        for threshold in sorted(_THRESHOLDS, key=lambda threshold: abs(threshold - _USUAL))
    }
    return max(found, key=lambda threshold: found[threshold])


def _logit(probability: float) -> float:
    return float(torch.tensor(probability, dtype=torch.float64).logit())


def _counts(above: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """For each label twice the right predictions, and the predictions and rows together."""
    # Sums of float32 are several times as fast as those of booleans, and exact up to 16 million rows.
    predicted, wanted = (above > 0).float(), labels.float()
    return 2 * (predicted * wanted).sum(0).double(), predicted.sum(0).double() + wanted.sum(0).double()


def _micro_f1(above: Tensor, labels: Tensor) -> float:
    right, both = _counts(above, labels)
    return float(right.sum() / both.sum().clamp(min=1))


def _macro_f1(above: Tensor, labels: Tensor) -> float:
    right, both = _counts(above, labels)
    return float((right / both.clamp(min=1)).mean())


def _accuracy(above: Tensor, labels: Tensor) -> float:
    return float(((above > 0) == labels).all(1).double().mean())


def _mean_average_precision(above: Tensor, labels: Tensor) -> float:
    r"""The mean over the labels that have rows of $\sum_n (R_n - R_{n-1}) P_n$, where n counts the distinct outputs.

    It is the mean over a label's rows of the precision at their outputs. NumPy sorts several times as fast as torch.
    """
    outputs, has = above.cpu().numpy(), labels.cpu().numpy()
    order = np.sort(outputs.T, axis=1)
    found = []
    for label in np.flatnonzero(has.any(0)):
        own = np.sort(outputs[has[:, label], label])
        right, predicted = (len(of) - np.searchsorted(of, own) for of in (own, order[label]))
        found.append((right / predicted).mean())
    return float(np.mean(found)) if found else 0.0


_FORMULAS = {
    "micro_f1": _micro_f1,
    "macro_f1": _macro_f1,
    "accuracy": _accuracy,
    "mean_average_precision": _mean_average_precision,
}
