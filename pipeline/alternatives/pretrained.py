"""Loads the encoder as a run gets it, before it is finetuned."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from stark.model_folders.model_folder import load_classifier, stored_labels

__all__ = ["pretrained"]


def pretrained(path: str) -> PreTrainedModel:
    """Load an encoder, always with the same bits: a new classifier on top of it, which is not used, is not random.

    A given classifier keeps its own, of whatever labels.

    Args:
        path: Its folder, or its id on the hub.

    Returns:
        A classifier in eval mode, on the CPU.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return load_classifier(path, label_names=stored_labels(path))
