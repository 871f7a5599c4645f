"""The simple alternatives by name: training, saving and opening them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from pipeline.alternatives.features import Encoder, Features, Texts
from pipeline.alternatives.linear import Linear, Target, fit_linear
from pipeline.parsing.extras import needs_extra
from pipeline.run_folder import MAJORITY
from stark.storage import write_json

__all__ = ["ALTERNATIVES", "Alternative", "open_alternative", "train_alternative", "why_left_out"]


class _Kind(NamedTuple):
    """An alternative.

    Args:
        title: Name that is shown.
        features: Name of the class of its features, in the module of the alternative's name.
    """

    title: str
    features: str


_FIT = "fit.json"
ALTERNATIVES = {
    MAJORITY: _Kind("constant answer", "Majority"),
    "tfidf": _Kind("TF-IDF", "Tfidf"),
    "embeddings": _Kind("mean embeddings", "Embeddings"),
    "frozen": _Kind("frozen encoder", "Frozen"),
}
"""The alternatives by the names of their folders and modules, the simplest first."""


@dataclass(frozen=True)
class Alternative:
    """A trained alternative.

    Args:
        features: What it turns texts into.
        linear: The linear model on these features.
        rows: Number of rows that it was trained on.
        strength: Strength of the fit that was chosen, see `fit_linear`; None if there was no choice.
    """

    features: Features
    linear: Linear
    rows: int
    strength: float | None = None

    def __call__(self, texts: Texts) -> NDArray[Any]:
        """Class ids or scores, ``(rows,)``; outputs of all classes where a row may have several."""
        return self.linear.predictions(self.features(texts))

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        self.features.save(folder)
        self.linear.save(folder)
        several = {"several": True} if self.linear.several else {}
        write_json(folder / _FIT, {"rows": self.rows, "strength": self.strength, **several})


def why_left_out() -> str:
    """Why the alternatives cannot be computed.

    Returns:
        One line; empty if they can be.
    """
    if find_spec("sklearn") is not None:
        return ""
    return f"no simple alternatives are computed: {needs_extra('--baselines simple', 'baselines', 'scikit-learn')}"


def train_alternative(
    name: str,
    texts: Texts,
    target: Target,
    encoder: Encoder,
    held_out: Texts,
    score: Callable[[NDArray[Any]], float],
    shift: Callable[[NDArray[Any]], float] = lambda outputs: 0.0,
) -> Alternative:
    """Train an alternative.

    Args:
        name: Its name in `ALTERNATIVES`.
        texts: Texts of the rows that are trained on.
        target: Their labels.
        encoder: The run's encoder.
        held_out: Texts of the selection part.
        score: The score of predictions for the selection part, by which the strength of the fit is chosen.
        shift: The threshold for outputs for the selection part, where a row may have several classes.

    Returns:
        The alternative.
    """
    features = _class_of(name).learn(texts, encoder)
    seen = features(held_out)

    def tuned(model: Linear) -> Linear:
        return replace(model, bias=model.bias - shift(model(seen))) if target.several else model

    linear, strength = fit_linear(features(texts), target, lambda model: score(tuned(model).predictions(seen)))
    linear = tuned(linear)
    return Alternative(features, linear, len(target.labels), strength)


def open_alternative(folder: Path) -> Alternative:
    """Open a trained alternative; only the libraries that this one needs are imported.

    Args:
        folder: A folder that `Alternative.save` wrote; its name is that of the alternative.

    Returns:
        The alternative, on the CPU.
    """
    fit = json.loads((folder / _FIT).read_bytes())
    linear = Linear.load(folder, several=fit.pop("several", False))
    return Alternative(_class_of(folder.name).load(folder), linear, **fit)


def _class_of(name: str) -> type[Features]:
    found: type[Features] = getattr(import_module(f"pipeline.alternatives.{name}"), ALTERNATIVES[name].features)
    return found
