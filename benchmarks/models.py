"""Random models of common sizes, and students cut from them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, BertConfig, BertTokenizer, PreTrainedModel

from benchmarks.data import vocabulary
from stark.budgets.sparsity import masks_at_sparsity, round_masks
from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers
from stark.encoders.units import UnitMasks
from stark.model_folders.model_folder import save_classifier

__all__ = ["SIZES", "random_classifier", "tokenizer", "uneven_masks", "uneven_student", "write_models"]

SIZES: dict[str, dict[str, Any]] = {
    "mini": {"num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024},
    "minilm": {"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536},
    "base": {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
}
MAX_LENGTH = 128
# Widths are multiples of the processor's vector size: with others, a 70 % student can be slower than its FLOPs suggest.
ROUND_TO = 8


def random_classifier(size: str, *, label_names: tuple[str, ...] = ("0", "1"), seed: int = 0) -> PreTrainedModel:
    """A BERT classifier with random weights, in eval mode.

    Args:
        size: A key of `SIZES`.
        label_names: Names of the task's labels.
        seed: Seed of the weights.

    Returns:
        The classifier.
    """
    names = dict(enumerate(label_names))
    config = BertConfig(
        vocab_size=len(vocabulary()),
        max_position_embeddings=512,
        id2label=names,
        label2id={name: number for number, name in names.items()},
        **SIZES[size],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    model.eval()
    return model


def tokenizer() -> BertTokenizer:
    """A tokenizer with the generated vocabulary."""
    return BertTokenizer(
        vocab={token: number for number, token in enumerate(vocabulary())}, model_max_length=MAX_LENGTH
    )


def uneven_masks(model: PreTrainedModel, sparsity: float, seed: int = 1) -> UnitMasks:
    """Masks like those of real scores: layers keep different numbers of units, at irregular positions.

    Args:
        model: The dense model.
        sparsity: Fraction of heads and of neurons to remove.
        seed: Seed of the random scores.

    Returns:
        The masks.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = encoder_layers(model)

    def scores(sizes: list[int]) -> list[Tensor]:
        # The layers' levels differ only a little, so that no layer loses all heads; with this seed none does at 70 %.
        return [torch.rand(n, generator=generator) * (0.85 + 0.3 * torch.rand(1, generator=generator)) for n in sizes]

    heads = masks_at_sparsity(scores([layer.num_heads for layer in layers]), sparsity)
    of_neurons = scores([layer.num_neurons for layer in layers])
    return UnitMasks(heads, round_masks(masks_at_sparsity(of_neurons, sparsity), of_neurons, ROUND_TO))


def uneven_student(model: PreTrainedModel, sparsity: float, seed: int = 1) -> PreTrainedModel:
    """A copy of a model without a fraction of its units.

    Args:
        model: The dense model.
        sparsity: Fraction of heads and of neurons to remove.
        seed: Seed of the random scores that choose the units.

    Returns:
        The student.
    """
    return shrink_(copy.deepcopy(model), uneven_masks(model, sparsity, seed))


def write_models(
    folder: Path, label_names: tuple[str, ...], *, size: str = "mini", sparsity: float = 0.7
) -> tuple[Path, Path]:
    """Write a dense teacher and a student cut from it, with a tokenizer, as model folders.

    Args:
        folder: Folder in which ``teacher`` and ``student`` are written.
        label_names: Names of the task's labels.
        size: A key of `SIZES`.
        sparsity: Sparsity of the student.

    Returns:
        Both folders.
    """
    teacher = random_classifier(size, label_names=label_names)
    student = uneven_student(teacher, sparsity)
    return tuple(  # type: ignore[return-value]  # of two
        save_classifier(model, folder / name, tokenizer())
        for name, model in (("teacher", teacher), ("student", student))
    )
