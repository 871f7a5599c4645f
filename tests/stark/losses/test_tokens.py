import numpy as np
import pytest
import sklearn.metrics
import torch

from stark.losses.tokens import squared_distances, token_means


def rows(seed=0):
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, 3, 6, 4, generator=generator)
    return first, second, (torch.arange(6) < torch.tensor([[6], [2], [4]])).long()


def test_means_are_numpys_over_real_tokens():
    values, _, mask = rows()
    found = token_means(values[..., 0], mask)
    for row, length in enumerate((6, 2, 4)):
        assert found[row].item() == pytest.approx(values[row, :length, 0].numpy().mean(), rel=1e-5)


def test_distances_are_sklearns_and_padding_has_no_effect_and_no_gradient():
    first, second, mask = rows()
    first.requires_grad_()
    found = squared_distances(first, second, mask)
    for row, length in enumerate((6, 2, 4)):
        expected = sklearn.metrics.mean_squared_error(first[row, :length].detach(), second[row, :length])
        assert found[row].item() == pytest.approx(expected, rel=1e-5)
    found.sum().backward()
    assert not first.grad[mask == 0].any()
    assert (first.grad[mask == 1] != 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    first, second, mask = rows()
    found = squared_distances(first.to(dtype), second.to(dtype), mask)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, squared_distances(first, second, mask), rtol=0.05)
