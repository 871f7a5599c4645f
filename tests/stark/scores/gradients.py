"""Gradients of masks by a loop over single examples, an independent formula for scores."""

import torch
from torch.nn import functional as F

from stark.encoders.layers import encoder_layers
from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitMasks


def mask_gradients(model, batch):
    """Gradients of each example's cross-entropy, ``(examples, heads of all layers + neurons of all layers)``."""
    layers = encoder_layers(model)
    sizes = [layer.num_heads for layer in layers] + [layer.num_neurons for layer in layers]
    rows = []
    for number in range(len(batch["labels"])):
        example = {name: tensor[number : number + 1] for name, tensor in batch.items()}
        masks = [torch.ones(size, dtype=model.dtype, requires_grad=True) for size in sizes]
        with unit_masks(model, UnitMasks(masks[: len(layers)], masks[len(layers) :])):
            logits = model(input_ids=example["input_ids"], attention_mask=example["attention_mask"]).logits
        gradients = torch.autograd.grad(F.cross_entropy(logits, example["labels"]), masks)
        rows.append(torch.cat(gradients).double())
    return torch.stack(rows)
