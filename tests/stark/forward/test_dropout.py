import pytest
import torch
from scipy import stats

from stark.forward.dropout import dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.93])
def test_elements_go_with_the_probability_and_the_others_are_scaled(p):
    torch.manual_seed(0)
    hidden = torch.randn(37, 5, 101)
    dropped = dropout(hidden, p)
    gone = dropped == 0
    assert stats.binomtest(int(gone.sum()), hidden.numel(), p).pvalue > 1e-3
    torch.testing.assert_close(dropped[~gone], hidden[~gone] / (1 - p), rtol=2e-4, atol=0)


def test_neighbours_are_independent():
    torch.manual_seed(1)
    kept = (dropout(torch.ones(400_000), 0.3) != 0).double()
    for lag in (1, 2, 4, 8, 64):  # several elements share a random word
        assert abs(float(torch.corrcoef(torch.stack([kept[:-lag], kept[lag:]]))[0, 1])) < 4 / 400_000**0.5


def test_the_gradient_has_the_same_mask():
    hidden = torch.randn(50, 7, dtype=torch.bfloat16).float().requires_grad_()
    dropped = dropout(hidden, 0.4)
    (gradient,) = torch.autograd.grad(dropped.sum(), hidden)
    torch.testing.assert_close(gradient * hidden, dropped)


def test_it_draws_from_torchs_generator():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(dropout(torch.ones(99), 0.5))
    assert torch.equal(*states)
    assert not torch.equal(states[0], dropout(torch.ones(99), 0.5))


def test_edges():
    hidden = torch.randn(3, 0)
    assert dropout(hidden, 0.5).shape == (3, 0)
    assert torch.equal(dropout(torch.ones(4), 0.0), torch.ones(4))
    assert torch.equal(dropout(torch.ones(4), 1.0), torch.zeros(4))
    assert dropout(torch.ones(4, dtype=torch.bfloat16), 0.5).dtype == torch.bfloat16
    with pytest.raises(ValueError, match=r"p is 1.5: give a probability"):
        dropout(hidden, 1.5)
