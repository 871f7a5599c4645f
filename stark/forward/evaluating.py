"""Run a model without dropout while a context is open."""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel

__all__ = ["evaluating"]


@contextmanager
def evaluating(model: PreTrainedModel, *, frozen: bool = False) -> Iterator[None]:
    """Switch a model to eval mode while the context is open, and with ``frozen`` its parameters to constants.

    Args:
        model: The model.
        frozen: Whether no parameter requires a gradient meanwhile.

    Yields:
        Nothing.
    """
    was_training = model.training
    learning = [parameter for parameter in model.parameters() if frozen and parameter.requires_grad]
    model.eval()
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        yield
    finally:
        model.train(was_training)
        for parameter in learning:
            parameter.requires_grad_(True)
