"""Figures for loggers: histograms of units' scores, and the units that a model kept."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier
from stark.scores.unit_scores import UnitScores

__all__ = ["mask_figures", "score_figures"]

_KINDS = ("heads", "neurons")


def score_figures(scores: UnitScores) -> dict[str, Figure]:
    """Draw histograms of the normalised scores, with a line for each layer.

    Args:
        scores: Scores of a model's units.

    Returns:
        A figure for each loss, with heads on the left and neurons on the right.
    """
    found = {}
    for loss in scores.heads:
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        for axes, kind, layers in zip(figure.subplots(1, 2), _KINDS, scores.normalized(loss), strict=True):
            for number, layer in enumerate(layers):
                axes.hist(layer.numpy(), bins=30, histtype="step", label=f"layer {number}")
            axes.set(title=kind, xlabel=loss, ylabel="units")
            axes.legend(fontsize="small")
        found[f"{loss}_histogram"] = figure
    return found


def mask_figures(folder: Path, dense: Path) -> dict[str, Figure]:
    """Draw the units of the dense model that a model kept, layer by layer.

    Args:
        folder: Folder of the model.
        dense: Folder of the dense model.

    Returns:
        A figure ``kept_units``; empty if layers were dropped.
    """
    units, original = (kept_units(load_classifier(place)) for place in (folder, dense))
    if len(units.heads) != len(original.heads):
        return {}
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(units.heads)), layout="constrained")
    for axes, kind, masks in zip(figure.subplots(1, 2), _KINDS, units.masks_within(original), strict=True):
        axes.imshow([mask.tolist() for mask in masks], aspect="auto", interpolation="nearest", vmin=0, vmax=1)
        axes.set(title=kind, xlabel="unit", ylabel="layer", yticks=range(len(masks)))
    return {"kept_units": figure}
