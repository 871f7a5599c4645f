"""First-order scores of the loss over all rows."""

import torch

from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitMasks
from stark.forward.classifying import classify
from stark.problems.table import problem_of
from stark.scores.scoring import score_units
from stark.scores.taylor import SignedExpressiveness, Taylor
from tests.stark.scores.gradients import mask_gradients
from tests.tiny import tiny_batch, tiny_classifier


def test_taylor_is_the_absolute_gradient_of_the_sum_over_all_batches():
    model, batch = tiny_classifier().double(), tiny_batch(6)
    parts = [{name: tensor[rows] for name, tensor in batch.items()} for rows in torch.arange(6).split(2)]
    expected = mask_gradients(model, batch).sum(0).abs()
    score = Taylor()
    heads = torch.cat(score.values(model, score_units(model, parts, [score])).heads)
    first = expected[:4] / torch.linalg.vector_norm(expected[:4])
    torch.testing.assert_close(heads[:4], first, rtol=1e-5, atol=1e-9)


def test_the_sign_is_that_of_the_growth_of_the_loss():
    model, batch = tiny_classifier().double(), tiny_batch(6)
    scores = score_units(model, [batch], [SignedExpressiveness()])
    found = scores.heads["signed_expressiveness"]
    problem, step = problem_of(model.config), 1e-5

    def loss(masks):
        with unit_masks(model, masks), torch.no_grad():
            return float(problem.task_loss(classify(model, batch).double(), batch["labels"], "none").sum())

    for unit in range(4):
        masks = UnitMasks([torch.ones(4).double() for _ in range(2)], [torch.ones(64).double() for _ in range(2)])
        before = loss(masks)
        masks.heads[0][unit] -= step
        assert abs((loss(masks) - before) / step - float(found[0][unit])) < 1e-3 * max(1, abs(float(found[0][unit])))
