"""Ridge regression of a linear layer, from sums over batches."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LeastSquares"]


class LeastSquares:
    r"""The linear layer that fits targets best, from sums in float64 over any number of batches.

    $$\min_{W, b} \sum_i \lVert W x_i + b - y_i \rVert^2 + \lambda \lVert W - W_0 \rVert^2$$

    $\lambda$ is ``ridge`` times the mean variance of the inputs times the number of rows. The bias is not penalised.
    Without a bias, b is 0 and the variance is the mean square. Only the sums are kept, so that the memory does not
    depend on the number of rows.

    Args:
        inputs: Number of inputs; 0 leaves only the bias.
        outputs: Number of outputs.
        device: Device of the sums, which must have float64.
        bias: Whether the layer has a bias.

    Examples:
        >>> fit = LeastSquares(1, 1)
        >>> fit.add(torch.tensor([[0.0], [1.0]]), targets=torch.tensor([[3.0], [5.0]]))
        >>> weight, bias = fit.solve(torch.zeros(1, 1), ridge=0.0)
        >>> round(weight.item(), 6), round(bias.item(), 6)
        (2.0, 3.0)
    """

    def __init__(self, inputs: int, outputs: int, device: torch.device | str = "cpu", *, bias: bool = True) -> None:
        """Start without rows."""
        self._rows, self._bias = 0, bias
        # The last row and column belong to a further input that is always 1.
        self._products = torch.zeros(inputs + 1, inputs + 1, dtype=torch.float64, device=device)
        self._targets = torch.zeros(inputs + 1, outputs, dtype=torch.float64, device=device)

    def add(self, inputs: Tensor, *, targets: Tensor) -> None:
        """Add rows.

        Args:
            inputs: Inputs, ``(rows, inputs)``.
            targets: Targets, ``(rows, outputs)``.
        """
        device = self._products.device
        wide = torch.nn.functional.pad(inputs.to(device, torch.float64), (0, 1), value=1.0)
        self._rows += len(wide)
        self._products += wide.T @ wide
        self._targets += wide.T @ targets.to(device, torch.float64)

    def solve(self, weight: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
        """Solve for the layer.

        Args:
            weight: $W_0$, ``(outputs, inputs)``. Where the rows say nothing, such as on an input that is always 0, the
                result equals it.
            ridge: The penalty, relative to the mean variance of the inputs; more than 0 if an input may depend linearly
                on the others.

        Returns:
            Weight ``(outputs, inputs)`` and bias ``(outputs,)``, zeros for a layer without one; both in float64 on the
            device of the sums.
        """
        start = weight.to(self._products)
        count = max(self._rows, 1)
        input_mean, target_mean = self._products[-1, :-1] / count, self._targets[-1] / count
        if not self._bias:
            input_mean, target_mean = torch.zeros_like(input_mean), torch.zeros_like(target_mean)
        spread = self._products[:-1, :-1] - count * torch.outer(input_mean, input_mean)
        if start.shape[1] and (scale := spread.diagonal().mean()) > 0:
            shared = self._targets[:-1] - count * torch.outer(input_mean, target_mean)
            penalty = ridge * scale * torch.eye(len(spread)).to(spread)
            # The change of the weight is solved for, so that weights about which the rows say nothing stay the same.
            factor = torch.linalg.cholesky(spread + penalty)
            start = start + torch.cholesky_solve(shared - spread @ start.T, factor).T
        return start, target_mean - start @ input_mean
