"""Submission: writes the predictions of the test split as GLUE's submission file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch.distributed
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info

from datamodules import TextDataModule, write_submission
from datamodules.submission import check_submission
from stark.errors import StarkTypeError

__all__ = ["SubmissionWriter"]


class SubmissionWriter(Callback):
    """Writes GLUE's submission file, such as ``RTE.tsv``, under ``trainer.default_root_dir`` after `predict`."""

    def __init__(self) -> None:
        """Start without predictions."""
        self._predicted: list[tuple[int, int | float]] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse, before anything is predicted, to replace a file that is no submission."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, TextDataModule):
            check_submission(Path(trainer.default_root_dir) / data.task.submission_file)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401 - Lightning's signature
        batch: Any,  # noqa: ANN401
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch's predictions."""
        self._predicted.extend(zip(outputs["idx"].tolist(), outputs["predictions"].tolist(), strict=True))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the processes' predictions and write the file."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, TextDataModule):
            raise StarkTypeError(f"SubmissionWriter needs a TextDataModule, got {type(data).__name__}")
        shards: list[Any] = [self._predicted]
        if trainer.world_size > 1:
            shards = [None] * trainer.world_size
            torch.distributed.all_gather_object(shards, self._predicted)
        self._predicted = []
        if trainer.is_global_zero:
            idx, predictions = zip(*sorted(row for shard in shards for row in shard), strict=True)
            path = Path(trainer.default_root_dir) / data.task.submission_file
            write_submission(data.task, list(idx), list(predictions), path)
            rank_zero_info(f"Wrote the predictions to {path}")
