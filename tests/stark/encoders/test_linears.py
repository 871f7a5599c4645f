import torch
from torch import nn

from stark.encoders.linears import head_rows, select_inputs, select_outputs


def test_cut_linear_equals_linear_on_zeroed_units():
    torch.manual_seed(0)
    first, second = nn.Linear(5, 6).double(), nn.Linear(6, 4).double()
    x, kept = torch.randn(3, 5).double(), torch.tensor([0, 2, 5])
    mask = torch.zeros(6).double().index_fill(0, kept, 1.0)
    weight, bias = select_outputs(first.weight, first.bias, kept)
    hidden = nn.functional.linear(x, weight, bias)
    cut = nn.functional.linear(hidden, select_inputs(second.weight, kept), second.bias)
    torch.testing.assert_close(cut, second(first(x) * mask), rtol=0, atol=1e-14)


def test_nothing_left_gives_the_bias():
    none = torch.tensor([], dtype=torch.long)
    weight, bias = select_outputs(torch.ones(3, 2), torch.ones(3), none)
    assert weight.shape == (0, 2)
    assert bias.shape == (0,)
    out = nn.functional.linear(torch.ones(4, 0), select_inputs(torch.ones(2, 3), none), torch.tensor([5.0, 6.0]))
    assert out.tolist() == [[5.0, 6.0]] * 4


def test_results_are_new_tensors_and_bias_may_be_absent():
    weight = torch.ones(2, 2)
    cut, bias = select_outputs(weight, None, torch.tensor([0, 1]))
    cut.zero_()
    assert bias is None
    assert weight.sum() == 4


def test_head_rows_of_no_head():
    assert head_rows(torch.tensor([], dtype=torch.long), head_size=4).shape == (0,)
