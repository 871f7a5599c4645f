"""Expected model: a fit that loaded another model than it was begun for is refused."""

from __future__ import annotations

import hashlib
import json

from pytorch_lightning import Callback, LightningModule, Trainer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lightning_modules import ClassificationModule
from stark.errors import StarkError
from stark.storage import hash_tensors

__all__ = ["ExpectedModel", "loaded_digest"]


class ExpectedModel(Callback):
    """Compares what a fit loaded with what its run began with, whatever lies in the model's folder by now.

    `stark run` puts it on its finetuning, whose encoder comes from outside of the run.

    Lifecycle: at the start of a fit, before a checkpoint is read or anything is trained.

    Args:
        digest: What `loaded_digest` gave.
        with_head: Whether the classifier's head came with the model; a new one is drawn, and differs each time.

    Raises:
        StarkError: If another model, or another tokenizer, was loaded.
    """

    def __init__(self, digest: str, with_head: bool) -> None:
        """Keep the settings."""
        self.digest = digest
        self.with_head = with_head

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compare."""
        if stage != "fit":
            return
        assert isinstance(pl_module, ClassificationModule)
        own, of_data = pl_module.tokenizer, trainer.datamodule.tokenizer  # type: ignore[attr-defined]
        found = loaded_digest(pl_module.classifier, own, with_head=self.with_head)
        if found != self.digest or _text(own) != _text(of_data):
            raise StarkError(
                f"{pl_module.classifier.name_or_path} changed while the run was working: nothing was trained from the "
                "other model; give the same command again, for the model that is there then"
            )


def loaded_digest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, with_head: bool) -> str:
    """Identify a model by what was loaded: weights, configuration and tokenizer.

    Args:
        model: A model that `load_classifier` returned.
        tokenizer: Its tokenizer; padding and truncation are switched off, as each of its calls sets them.
        with_head: Whether the head belongs to it.

    Returns:
        SHA-256, hexadecimal.
    """
    weights = hash_tensors((model if with_head else model.base_model).state_dict())
    known = [weights, model.config.to_dict(), _text(tokenizer)]
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()


def _text(tokenizer: PreTrainedTokenizerFast) -> str:
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    text: str = backend.to_str()
    return text
