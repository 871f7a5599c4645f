"""Fisher information, compared with a loop over single examples."""

import torch

from stark.scores.fisher import Fisher
from stark.scores.scoring import score_units
from tests.stark.scores.gradients import mask_gradients
from tests.tiny import tiny_batch, tiny_classifier


def test_it_is_the_sum_of_squared_gradients_of_single_examples():
    model, batch = tiny_classifier().double(), tiny_batch(5)
    scores = score_units(model, [batch], [Fisher()])
    found = torch.cat([*scores.heads["fisher"], *scores.neurons["fisher"]])
    expected = mask_gradients(model, batch).square().sum(0)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)
    assert (found >= 0).all()


def test_it_does_not_depend_on_the_size_of_a_batch():
    model, batch = tiny_classifier().double(), tiny_batch(6)
    parts = [{name: tensor[rows] for name, tensor in batch.items()} for rows in torch.arange(6).split(2)]
    one, three = (score_units(model, batches, [Fisher()]).heads["fisher"] for batches in ([batch], parts))
    torch.testing.assert_close(one, three, rtol=1e-10, atol=1e-13)
