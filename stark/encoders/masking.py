"""Mask heads and FFN neurons while a context is open."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from transformers import PreTrainedModel

from stark.encoders.families.table import family_of
from stark.encoders.layers import encoder_layers
from stark.encoders.units import UnitMasks

__all__ = ["unit_masks"]


@contextmanager
def unit_masks(model: PreTrainedModel, masks: UnitMasks) -> Iterator[PreTrainedModel]:
    """Multiply every head's context and every FFN neuron's activation by a mask while the context is open.

    The masks may require gradients. A mask of zeros gives the output of the model without those units.

    Args:
        model: A classifier; it may be shrunk.
        masks: A mask for each unit that the model has now, the same for all examples or one per example.

    Yields:
        The model.

    Raises:
        ValueError: If the number or a size of the masks does not fit the model.

    Source: the paper's mask variables; GeneZC/StarK modeling_sparsebert.py multiplies at the same two places.
    """
    layers = encoder_layers(model)
    for kind, of_kind, sizes in (
        ("head", masks.heads, [layer.num_heads for layer in layers]),
        ("neuron", masks.neurons, [layer.num_neurons for layer in layers]),
    ):
        if len(of_kind) != len(layers):
            raise ValueError(f"{len(of_kind)} {kind} masks for {len(layers)} layers")
        for number, (mask, size) in enumerate(zip(of_kind, sizes, strict=True)):
            if mask.dim() not in (1, 2) or mask.shape[-1] != size:
                shape = tuple(mask.shape)
                raise ValueError(f"{kind} mask of layer {number} has shape {shape}, not ({size},) or (batch, {size})")
    family = family_of(model)
    with ExitStack() as hooks:
        for layer, heads, neurons in zip(layers, masks.heads, masks.neurons, strict=True):
            for handle in family.mask_layer(layer.module, heads, neurons):
                hooks.callback(handle.remove)
        yield model
