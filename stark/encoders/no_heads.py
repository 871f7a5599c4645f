"""What an attention module becomes when its last head is removed."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["NoHeads"]


class NoHeads(nn.Module):
    """Replaces an attention module that lost all its heads; the keys of its state stay the same.

    Fused attention kernels do not support zero heads.

    Args:
        attention: The module that it replaces; its parts are taken over.
        projections: Names of the linears before the heads, which have no outputs any more.
        output: Names of the linears after the heads, if they are inside the module.
        head_size: Name of the attribute that has the size of a head, and its value.
    """

    def __init__(
        self, attention: nn.Module, projections: Sequence[str], output: Sequence[str], head_size: tuple[str, int]
    ) -> None:
        """Take the parts over."""
        super().__init__()
        for name, child in attention.named_children():
            self.add_module(name, child)
        setattr(self, *head_size)
        self._projections, self._output = tuple(projections), tuple(output)
        self.train(attention.training)

    def forward(self, hidden_states: Tensor, *args: object, **kwargs: object) -> tuple[Tensor, None]:
        """What attention without heads returns."""
        # Computed although they are empty, because distributed training waits for the gradient of every parameter.
        first, *others = (self.get_submodule(name)(hidden_states) for name in self._projections)
        context = sum(others, start=first)
        for name in self._output:
            context = self.get_submodule(name)(context)
        return context, None
