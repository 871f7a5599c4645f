"""Movement: how far finetuning moved a unit's weights away from zero."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from stark.encoders.layers import kept_units
from stark.encoders.units import UnitValues
from stark.errors import StarkError
from stark.model_folders.model_folder import labels_of, load_classifier
from stark.scores.importance import normalize_per_layer
from stark.scores.magnitude import magnitudes
from stark.scores.score import Score
from stark.scores.unit_scores import UnitScores

__all__ = ["Movement"]


class Movement(Score):
    r"""How far finetuning moved a unit's weights away from zero: $(\lVert W \rVert^2 - \lVert W_0 \rVert^2) / 2$.

    $W$ are the unit's weights (those of `magnitudes`), and $W_0$ those of the encoder before finetuning. It needs no
    data, and is negative for units whose weights shrank.

    Source: Sanh et al., 2020, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", whose score is
    $-\alpha \sum_t W_t \, \partial L / \partial W_t$ over the steps $t$ of finetuning. Deviation: for gradient descent
    with a small learning rate $\alpha$ that sum is the difference above, which is computed from the two models; weight
    decay and adaptive optimizers are in it, too.

    Args:
        before: Folder or hub id of the encoder that was finetuned.
    """

    def __init__(self, before: str) -> None:
        """Keep the path."""
        self.before = before

    def values(self, model: PreTrainedModel, scores: UnitScores) -> UnitValues:
        """The differences, each layer divided by its norm.

        Args:
            model: The finetuned model, shrunk or not.
            scores: Not used.

        Returns:
            The values.

        Raises:
            StarkError: If the encoder cannot be loaded, or has other units than the finetuned model.
        """
        with torch.random.fork_rng(devices=[]):  # a new classifier is drawn, which nothing here depends on
            original = load_classifier(self.before, label_names=labels_of(model.config))
        try:
            left = kept_units(model).masks_within(kept_units(original))
        except ValueError as error:
            raise StarkError(
                f"Movement.before is {self.before}, whose units are not those of the model ({error}): name the encoder "
                "that was finetuned"
            ) from error
        now, then = magnitudes(model), magnitudes(original)
        differences = (
            [(w.square() - w0[there].square()) / 2 for w, w0, there in zip(*layers, strict=True)]
            for layers in zip(now, then, left, strict=True)
        )
        return UnitValues(*(normalize_per_layer(kind) for kind in differences))
