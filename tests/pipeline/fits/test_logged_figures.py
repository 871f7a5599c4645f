import pytest

from pipeline.fits.logged_figures import mask_figures, score_figures
from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier
from stark.scores.unit_scores import UnitScores


def test_histograms_count_every_unit(pruned_run):
    losses = ("expressiveness", "friendliness")
    dense = load_classifier(pruned_run / "finetune/model")
    scores = UnitScores.load(pruned_run / "sparsify/teacher_scores.safetensors", dense, losses)
    figures = score_figures(scores)
    assert list(figures) == [f"{loss}_histogram" for loss in losses]
    heads, neurons = figures["friendliness_histogram"].axes
    assert len(heads.get_legend().get_texts()) == 4
    assert (heads.get_title(), neurons.get_xlabel()) == ("heads", "friendliness")


def test_masks_are_those_of_the_model(pruned_run):
    (figure,) = mask_figures(pruned_run / "prune/model", pruned_run / "finetune/model").values()
    units = kept_units(load_classifier(pruned_run / "prune/model"))
    for axes, layers in zip(figure.axes, (units.heads, units.neurons), strict=True):
        shown = axes.get_images()[0].get_array()
        assert [row.nonzero()[0].tolist() for row in shown] == [list(layer) for layer in layers]
    assert axes.get_title() == "neurons"
    with pytest.raises(ValueError, match="cannot load"):
        mask_figures(pruned_run / "none", pruned_run / "finetune/model")
