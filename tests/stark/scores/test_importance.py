import math

import pytest
import torch

from stark.scores.importance import batch_importance, normalize_per_layer


def random_layers(*sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(size, generator=generator, dtype=torch.float64) for size in sizes]


@pytest.mark.parametrize("reduction", ["example", "batch"])
def test_importance_of_a_batch_is_the_loop_over_examples_and_units(reduction):
    generator = torch.Generator().manual_seed(0)
    for size in (4, 1):
        gradients = torch.randn(size, 5, generator=generator, dtype=torch.float64)
        expected = []
        for unit in range(5):
            values = [float(gradient) for gradient in gradients[:, unit]]
            if reduction == "example":
                expected.append(math.fsum(abs(value) for value in values))
            else:
                expected.append(abs(math.fsum(values) / len(values)))
        found = batch_importance(gradients, reduction)
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-14)


@pytest.mark.parametrize("reduction", ["example", "batch"])
def test_importance_is_a_new_tensor_in_float64(reduction):
    gradients = -torch.ones(1, 2, dtype=torch.float64)
    assert batch_importance(gradients, reduction).tolist() == [1, 1]
    assert gradients.tolist() == [[-1, -1]]
    assert batch_importance(gradients.float(), reduction).dtype == torch.float64


def test_small_gradients_are_not_lost_beside_large_ones():
    gradients = torch.tensor([[2.0**24], [1.0]])
    assert batch_importance(gradients).item() == 2**24 + 1  # float32 would stay at 2**24


@pytest.mark.parametrize("reduction", ["example", "batch"])
def test_a_layer_without_units_keeps_none(reduction):
    assert batch_importance(torch.zeros(3, 0), reduction).shape == (0,)


def test_each_layer_is_divided_by_its_own_norm():
    layers = random_layers(3, 7, 1, 0)
    for layer, normalized in zip(layers, normalize_per_layer(layers), strict=True):
        norm = math.sqrt(math.fsum(float(score) ** 2 for score in layer))
        expected = [float(score) / (norm + 1e-7) for score in layer]
        torch.testing.assert_close(normalized, torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=0)


def test_a_layer_of_negligible_scores_stays_negligible():
    assert normalize_per_layer([torch.full((4,), 1e-12).double()])[0].max() < 1e-4
    assert normalize_per_layer([torch.zeros(4)])[0].tolist() == [0, 0, 0, 0]
