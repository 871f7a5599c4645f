import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from stark.forward.attention import attention


def inputs(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 2, 4, 8), (3, 2, 6, 8), (3, 2, 6, 8))
    query, key, value = (torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes)
    mask = (torch.arange(6) < torch.tensor([[6], [1], [4]]))[:, None, None]
    return query, key, value, mask


@pytest.mark.parametrize("p", [0.0, 1e-9])  # without dropout, and with dropout that runs but drops nothing
def test_it_is_torchs(p):
    query, key, value, mask = inputs()
    for given in (mask, None):
        found = attention(query, key, value, given, p)
        wanted = scaled_dot_product_attention(query, key, value, given)
        torch.testing.assert_close(found, wanted)
        gradients = (torch.autograd.grad(out.square().sum(), (query, key, value)) for out in (found, wanted))
        torch.testing.assert_close(*gradients)


def test_the_expected_value_is_that_without_dropout():
    query, key, value, mask = (tensor.detach() for tensor in inputs())
    torch.manual_seed(0)
    draws = torch.stack([attention(query, key, value, mask, 0.3) for _ in range(4000)])
    errors = draws.mean(0) - attention(query, key, value, mask)
    assert draws.std(0).min() > 0
    assert (errors.abs() < 5 * draws.std(0) / 4000**0.5).all()


def test_under_autocast_the_softmax_is_float32():
    query, key, value, mask = inputs(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = attention(query, key, value, mask, 1e-9)
    assert found.dtype == torch.bfloat16
    wanted = scaled_dot_product_attention(query.double(), key.double(), value.double(), mask)
    torch.testing.assert_close(found.double(), wanted, rtol=0.02, atol=0.02)
