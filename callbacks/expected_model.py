"""Expected model: refuses a fit whose loaded model is not the one that its run began with."""

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
    """Refuses a fit that loaded another model than its run began with, because the model's folder was changed.

    `stark run` adds it to its finetuning stage, because the encoder of that stage comes from outside the run.

    Lifecycle: checks at the start of a fit, before a checkpoint is read or anything is trained.

    Args:
        digest: Digest of the model that the run began with, from `loaded_digest`.
        with_head: Whether the classification head is compared, too. A new head is random, so it is not compared.

    Raises:
        StarkError: If another model, or another tokenizer, was loaded.
    """

    def __init__(self, digest: str, with_head: bool) -> None:
        """Keep the settings."""
        self.digest = digest
        self.with_head = with_head

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compare the loaded model and tokenizer with the expected ones."""
        if stage != "fit":
            return
        assert isinstance(pl_module, ClassificationModule)
        own, of_data = pl_module.tokenizer, trainer.datamodule.tokenizer  # type: ignore[attr-defined]
        found = loaded_digest(pl_module.classifier, own, with_head=self.with_head)
        if found != self.digest or _text(own) != _text(of_data):
            raise StarkError(
                f"{pl_module.classifier.name_or_path} changed while the run was working: the changed model was not "
                "trained; give the same command again to start with it"
            )


def loaded_digest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, with_head: bool) -> str:
    """Identify a loaded model by its weights, configuration and tokenizer.

    Args:
        model: A model that `load_classifier` returned.
        tokenizer: The model's tokenizer. Its padding and truncation are switched off; each call of it sets them again.
        with_head: Whether the digest includes the head.

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
