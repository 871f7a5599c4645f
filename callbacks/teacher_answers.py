"""Answers of another teacher, from files, in the place of the teacher's logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.restoring import TeacherRestoring
from callbacks.sparsification import TeacherSparsification
from lightning_modules.distillation import DistillationModule
from stark.errors import StarkError, StarkTypeError
from stark.storage import hash_tensors

__all__ = ["TeacherAnswers"]


@runtime_checkable
class _AnsweredData(Protocol):
    def train_answers(self, files: Sequence[str]) -> tuple[Tensor, Tensor]: ...


class TeacherAnswers(Callback):
    """Takes the teacher's logits from files: answers of a large language model, an ensemble, another framework.

    The module's own teacher is then asked only for what a loss compares inside the encoder, such as hidden states.
    Probabilities become logits by `Problem.logits_of`. Several teachers are several files: the mean of a row's
    probabilities is taken.

    Args:
        files: CSV, TSV or JSON lines files with the columns of the task's texts and a column ``probability_LABEL`` for
            each label (for scores a column ``predicted``), as `stark predict-file` writes them. Each row that is
            trained on must be in at least one of them.

    Raises:
        StarkTypeError: If the module has no teacher, or the data module has no ``train_answers(files)``.
        StarkError: If a file is wrong, a row has no answer, or a callback changes the teacher.

    Examples:
        ```yaml
        trainer:
          callbacks+:
            class_path: callbacks.TeacherAnswers
            init_args: {files: [answers.jsonl]}
        ```
    """

    def __init__(self, files: list[str]) -> None:
        """Keep the names."""
        if not files:
            raise StarkError("TeacherAnswers: name at least one file")
        self.files = list(files)
        self._hash: str | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check module and data."""
        if stage != "fit":
            return
        if not isinstance(pl_module, DistillationModule):
            raise StarkTypeError(f"TeacherAnswers needs a DistillationModule, got {type(pl_module).__name__}")
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
        if not isinstance(data, _AnsweredData):
            raise StarkTypeError(f"{type(data).__name__} has no train_answers(files), which TeacherAnswers needs")
        for other in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(other, TeacherSparsification | TeacherRestoring):
                raise StarkError(
                    f"{type(other).__name__} changes a teacher whose answers come from files ({self.files[0]}): leave "
                    "out one of both"
                )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the answers; a resumed fit must have the same."""
        assert isinstance(pl_module, DistillationModule)  # checked in setup
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
        idx, values = data.train_answers(self.files)
        found = hash_tensors({"idx": idx, "values": values})
        if self._hash not in (None, found):
            raise StarkError(
                f"{', '.join(self.files)}: the teacher's answers are not those that the checkpoint was made with: "
                "restore the files, or start a new fit without ckpt_path"
            )
        self._hash = found
        logits = pl_module.problem.logits_of(values)
        # Indexed by row number, so that a look-up does not wait for a GPU.
        answers = torch.full((int(idx.max()) + 1, logits.shape[1]), torch.nan)
        answers[idx] = logits
        pl_module.teacher_answers = answers.to(pl_module.device)

    def state_dict(self) -> dict[str, Any]:
        """The hash of the answers."""
        return {"hash": self._hash}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the hash, with which the answers are compared."""
        self._hash = state_dict["hash"]
