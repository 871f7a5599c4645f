"""Attention without heads."""

import torch
from torch import nn

from stark.encoders.no_heads import NoHeads


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.o, self.width = nn.Linear(3, 1), nn.Linear(1, 3), 8
        self.q.weight, self.q.bias = nn.Parameter(torch.empty(0, 3)), nn.Parameter(torch.empty(0))
        self.o.weight = nn.Parameter(torch.empty(3, 0))


def test_it_gives_the_output_bias_and_every_parameter_a_gradient():
    torch.manual_seed(0)
    attention = Attention().eval()
    empty = NoHeads(attention, ["q"], ["o"], ("width", 8))
    assert (empty.width, empty.training) == (8, False)
    assert empty.state_dict().keys() == attention.state_dict().keys()
    context, weights = empty(torch.randn(2, 5, 3), None, position_bias=None)
    assert weights is None
    assert torch.equal(context, attention.o.bias.expand(2, 5, 3))
    context.sum().backward()
    assert all(parameter.grad is not None for parameter in empty.parameters())
