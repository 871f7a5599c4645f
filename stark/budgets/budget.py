"""The interface of a budget, and the budget that counts units."""

from __future__ import annotations

from abc import ABC, abstractmethod

from transformers import PreTrainedModel

from stark.budgets.sparsity import masks_at_sparsity
from stark.encoders.units import UnitMasks, UnitValues

__all__ = ["Budget", "Units"]


class Budget(ABC):
    """Defines what the sparsity is a fraction of, and how many units each layer loses.

    A new budget is a subclass in a separate file. The budgets of student and teacher are both chosen by ``class_path``
    and ``init_args``.
    """

    @abstractmethod
    def masks(self, values: UnitValues, model: PreTrainedModel, sparsity: float) -> UnitMasks:
        """Choose the units to keep.

        Args:
            values: Values by which the units are ranked.
            model: The model to which the units belong.
            sparsity: The fraction to remove, in [0, 1).

        Returns:
            Boolean masks; True keeps.
        """


class Units(Budget):
    """Counts units: the sparsity is a fraction of the heads, and of the neurons, over all layers together.

    Source: the paper; GeneZC/StarK `run_pruning.py`.

    Examples:
        >>> import torch
        >>> values = UnitValues([torch.tensor([0.3, 0.1])], [torch.tensor([0.2, 0.4, 0.1, 0.3])])
        >>> Units().masks(values, None, 0.5)
        UnitMasks(heads=[tensor([ True, False])], neurons=[tensor([False,  True, False,  True])])
    """

    def masks(self, values: UnitValues, model: PreTrainedModel, sparsity: float) -> UnitMasks:
        """Keep the heads and the neurons with the highest values.

        Args:
            values: Values by which the units are ranked.
            model: Not used.
            sparsity: The fraction to remove, in [0, 1).

        Returns:
            Boolean masks; True keeps.
        """
        return UnitMasks(masks_at_sparsity(values.heads, sparsity), masks_at_sparsity(values.neurons, sparsity))
