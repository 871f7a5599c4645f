"""Fisher information: how much the model's likelihood depends on a unit, to second order."""

from __future__ import annotations

from stark.scores.expressiveness import Expressiveness

__all__ = ["Fisher"]


class Fisher(Expressiveness):
    r"""Squared gradients of the task loss of each example: $\sum_b (\partial L_b / \partial m)^2$.

    This is the diagonal of the empirical Fisher information of the masks, which approximates the Hessian of the loss at
    a minimum, and so how much the loss grows if a unit is removed.

    Source: Kwon et al., 2022, "A Fast Post-Training Pruning Framework for Transformers", equation 5. Deviation: the
    units of all layers are compared after each layer is divided by its norm, as for the other scores.
    """

    reduction = "squared"
