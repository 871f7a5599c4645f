"""Scores in memory and in a file."""

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.scores.scoring import score_units
from stark.scores.unit_scores import UnitScores
from tests.stark.scores.test_scoring import SCORES, flat
from tests.tiny import random_masks, tiny_batch, tiny_classifier


def test_scores_come_back_from_their_file_exactly(tmp_path):
    model = tiny_classifier()
    shrink_(model, random_masks(model, empty_heads=1))
    scores = score_units(model, [tiny_batch()], SCORES)
    path = tmp_path / "new" / "scores.safetensors"
    scores.save(path)
    loaded = UnitScores.load(path, model, ["expressiveness"])
    assert torch.equal(flat(loaded), flat(scores))
    assert [path.name for path in path.parent.iterdir()] == ["scores.safetensors"]


def test_scores_that_do_not_fit_say_why(tmp_path):
    model, path = tiny_classifier(), tmp_path / "scores.safetensors"
    score_units(model, [tiny_batch()], SCORES).save(path)

    def refused(other, losses, message, file=path):
        with pytest.raises(ValueError, match=message) as error:
            UnitScores.load(file, other, losses)
        assert str(file) in str(error.value)

    refused(model, ["friendliness"], r"scores friendliness are for \[\] heads per layer")
    refused(tiny_classifier(seed=1), ["expressiveness"], "of a model with other weights")
    refused(
        tiny_classifier(layers=3), ["expressiveness"], r"are for \[4, 4\] heads per layer, the model has \[4, 4, 4\]"
    )
    refused(tiny_classifier(layers=1), ["expressiveness"], r"are for \[4, 4\] heads per layer, the model has \[4\]")
    refused(
        tiny_classifier(neurons=32), ["expressiveness"], r"are for \[64, 64\] neurons per layer, the model has \[32, 32"
    )
    refused(tiny_classifier(heads=2), ["expressiveness"], r"are for \[4, 4\] heads per layer, the model has \[2, 2\]")
    refused(model, ["expressiveness"], "cannot be read", tmp_path / "missing")
    (tmp_path / "text").write_text("no tensors")
    refused(model, ["expressiveness"], "cannot be read", tmp_path / "text")


def test_scores_of_two_parts_add_up():
    model, batches = tiny_classifier(), [tiny_batch(seed=seed) for seed in range(3)]
    both = score_units(model, batches, SCORES)
    added = score_units(model, batches[:1], SCORES).plus(score_units(model, batches[1:], SCORES))
    torch.testing.assert_close(flat(added), flat(both))
    assert added.model == both.model
    other = tiny_classifier(seed=1)
    with pytest.raises(ValueError, match="scores of two models cannot be added"):
        both.plus(score_units(other, batches, SCORES))
