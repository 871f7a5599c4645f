"""The interface of a budget, and the budget that counts units."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor
from transformers import PreTrainedModel

from stark.budgets.sparsity import masks_at_sparsity
from stark.encoders.units import UnitMasks, UnitValues
from stark.errors import StarkError

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

    Args:
        per_layer: Whether each layer loses this fraction, instead of all layers together.
        floor: Fraction of its heads, and of its neurons, that each layer keeps at least; before neurons are rounded.

    Raises:
        StarkError: If the floor lies outside [0, 1).

    Examples:
        >>> import torch
        >>> values = UnitValues([torch.tensor([0.3, 0.1])], [torch.tensor([0.2, 0.4, 0.1, 0.3])])
        >>> Units().masks(values, None, 0.5)
        UnitMasks(heads=[tensor([ True, False])], neurons=[tensor([False,  True, False,  True])])
    """

    def __init__(self, per_layer: bool = False, floor: float = 0.0) -> None:
        """Check the floor."""
        if not 0 <= floor < 1:
            raise StarkError(f"floor is {floor:g}: give the fraction that each layer keeps, at least 0 and below 1")
        self.per_layer, self.floor = per_layer, floor

    def masks(self, values: UnitValues, model: PreTrainedModel, sparsity: float) -> UnitMasks:
        """Keep the heads and the neurons with the highest values.

        Args:
            values: Values by which the units are ranked.
            model: Not used.
            sparsity: The fraction to remove, in [0, 1).

        Returns:
            Boolean masks; True keeps.

        Raises:
            StarkError: If the floor leaves more than the sparsity allows.
        """
        return UnitMasks(*(self._of_kind(kind, sparsity) for kind in values))

    def _of_kind(self, values: list[Tensor], sparsity: float) -> list[Tensor]:
        if not self.per_layer:
            return masks_at_sparsity(values, sparsity, self.floor)
        return [masks_at_sparsity([layer], sparsity, self.floor)[0] for layer in values]
