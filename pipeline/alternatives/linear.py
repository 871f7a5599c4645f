"""The linear model on the features of a simple alternative."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy import sparse

from pipeline.alternatives.features import Matrix

__all__ = ["Linear", "Target", "candidates", "constant", "fit_linear"]

_WEIGHTS = "linear.safetensors"
# Strengths of the fit, weak ones first: C of classifiers; of ridge regression 1 / alpha.
_OF_SPARSE, _OF_DENSE = (0.1, 1.0, 10.0), (0.001, 0.01, 0.1, 1.0, 10.0)
# The output of a class without a row in training.
_NEVER = -1e9
_LEAST_SHARE = 1e-6

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Args:
        labels: Class ids or scores of the rows that are trained on, ``(rows,)``; where a row may have several classes,
            1 or 0 for each, ``(rows, classes)``.
        classes: Number of classes; 0 for scores.
        weights: Weight of each class in the loss, or of the rows that have it where a row may have several; None for
            equal ones.
    """

    labels: NDArray[Any]
    classes: int
    weights: dict[int, float] | None = None

    @property
    def several(self) -> bool:
        """Whether a row may have several classes."""
        return self.labels.ndim == 2


@dataclass(frozen=True)
class Linear:
    """A linear model, ``features @ weights + bias``.

    Args:
        weights: ``(features, outputs)``; one output per class, or one for a score.
        bias: ``(outputs,)``.
        several: Whether a row may have several classes: those whose outputs are above 0.
    """

    weights: Numbers
    bias: Numbers
    several: bool = False

    def __call__(self, features: Matrix) -> Numbers:
        """The outputs, ``(rows, outputs)``."""
        return np.asarray(features @ self.weights + self.bias, dtype=np.float32)

    def predictions(self, features: Matrix) -> NDArray[Any]:
        """Class ids with the largest output, or the scores, ``(rows,)``; where a row may have several, the outputs."""
        outputs = self(features)
        if self.several:
            return outputs
        return outputs.argmax(1) if outputs.shape[1] > 1 else outputs[:, 0]

    def save(self, folder: Path) -> None:
        """Write the weights into an existing folder."""
        save_file({"weights": np.ascontiguousarray(self.weights), "bias": self.bias}, folder / _WEIGHTS)

    @classmethod
    def load(cls, folder: Path, *, several: bool = False) -> Self:
        """Read what `save` wrote."""
        return cls(**load_file(folder / _WEIGHTS), several=several)


def fit_linear(features: Matrix, target: Target, score: Callable[[Linear], float]) -> tuple[Linear, float | None]:
    """Train a linear model with each strength, and choose the one with the highest score.

    Args:
        features: Features of the rows that are trained on.
        target: What is predicted.
        score: The score of a model on the selection part.

    Returns:
        The model, and the strength it was trained with (C; of ridge regression 1 / alpha); of equally good ones the
        weakest. Without features, or with a single class, `constant` and None.
    """
    if features.shape[1] == 0 or (target.classes and not target.several and len(np.unique(target.labels)) < 2):
        return constant(features.shape[1], target), None
    # max returns the first of equal ones.
    return max(candidates(features, target), key=lambda candidate: score(candidate[0]))


def constant(width: int, target: Target) -> Linear:
    """The model that gives every row the most frequent class, or the mean score.

    Args:
        width: Number of features, whose weights are 0.
        target: What is predicted.

    Returns:
        The model; the outputs of classes are their shares of the rows, or the logits of these where a row may have
        several classes.

    Examples:
        >>> constant(0, Target(np.array([1, 1, 0, 1]), classes=2)).bias.tolist()
        [0.25, 0.75]
    """
    if target.several:
        bias = _logit(target.labels.mean(0))
    elif target.classes:
        bias = np.bincount(target.labels, minlength=target.classes) / len(target.labels)
    else:
        bias = np.array([target.labels.mean()])
    return Linear(np.zeros((width, len(bias)), np.float32), bias.astype(np.float32), target.several)


def candidates(features: Matrix, target: Target) -> Iterator[tuple[Linear, float]]:
    """Train with each strength.

    Classes: linear support vector machines, one against the rest, on sparse features; logistic regression on an array.
    Several classes a row: logistic regression for each class. Scores: ridge regression. The features of an array are
    standardised for the fit.

    Args:
        features: Features of the rows that are trained on.
        target: What is predicted.

    Yields:
        The models with their strengths, the weakest first.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.svm import LinearSVC

    is_sparse = sparse.issparse(features)
    mean, scale = (0.0, 1.0) if is_sparse else _moments(features)
    given = features if is_sparse else (features - mean) / scale
    for strength in _OF_SPARSE if is_sparse else _OF_DENSE:
        model: Any
        if target.several:
            model = _OneByOne(strength, target.weights or {})
        elif not target.classes:
            model = Ridge(alpha=1 / strength)
        elif is_sparse:
            model = LinearSVC(C=strength, class_weight=target.weights, random_state=0)
        else:
            model = LogisticRegression(C=strength, class_weight=target.weights, max_iter=200)
        with warnings.catch_warnings():
            # A fit that ends early is a candidate like the others: the selection part decides.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(given, target.labels)
        weights, bias = (np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_))
        if target.classes and not target.several:
            weights, bias = _of_all_classes(weights, bias, model.classes_, target.classes)
        weights = weights / np.reshape(scale, (-1, 1))
        bias = bias - (mean @ weights if not is_sparse else 0)
        yield Linear(weights.astype(np.float32), bias.astype(np.float32), target.several), strength


class _OneByOne:
    """Logistic regression for each class; one that all rows have, or none, gets the logit of its share."""

    def __init__(self, strength: float, weights: dict[int, float]) -> None:
        self._strength, self._weights = strength, weights

    def fit(self, features: Any, labels: NDArray[Any]) -> None:  # noqa: ANN401 - a matrix of scikit-learn
        from sklearn.linear_model import LogisticRegression

        self.coef_ = np.zeros((labels.shape[1], features.shape[1]))
        self.intercept_ = _logit(labels.mean(0))
        for place in np.flatnonzero(labels.min(0) != labels.max(0)):
            weights = {0: 1.0, 1: self._weights.get(int(place), 1.0)}
            solver = "liblinear" if sparse.issparse(features) else "lbfgs"
            model = LogisticRegression(
                C=self._strength, class_weight=weights, solver=solver, max_iter=200, random_state=0
            )
            model.fit(features, labels[:, place])
            self.coef_[place], self.intercept_[place] = model.coef_[0], model.intercept_[0]


def _logit(shares: Any) -> Any:  # noqa: ANN401 - an array
    known = np.clip(shares, _LEAST_SHARE, 1 - _LEAST_SHARE)
    return np.log(known / (1 - known))


def _moments(features: Any) -> tuple[Any, Any]:  # noqa: ANN401 - an array
    spread = features.std(0, dtype=np.float64)
    return features.mean(0, dtype=np.float64), np.where(spread > 0, spread, 1.0)


def _of_all_classes(weights: Any, bias: Any, known: Any, classes: int) -> tuple[Any, Any]:  # noqa: ANN401 - arrays
    """One output per class, in their order; scikit-learn has one for two classes, and none for absent ones."""
    if weights.shape[1] == 1:
        weights, bias = np.hstack([-weights, weights]), np.concatenate([-bias, bias])
    all_weights, all_bias = np.zeros((len(weights), classes)), np.full(classes, _NEVER)
    all_weights[:, known], all_bias[known] = weights, bias
    return all_weights, all_bias
