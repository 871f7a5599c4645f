"""The teacher's outputs, computed in one pass instead of at every step."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info
from torch import nn

from callbacks.scoring import scoring_batches
from lightning_modules.distillation import DistillationModule
from lightning_modules.teacher_outputs import TeacherOutputs, ask_teacher
from stark.choices import ScoringSplit
from stark.errors import StarkTypeError
from stark.storage import is_file
from stark.storage.space import free_disk, free_memory, gigabytes
from stark.telling import warn_once

__all__ = ["TeacherCache"]

_log = logging.getLogger(__name__)


@runtime_checkable
class _KnownData(Protocol):
    def fingerprint(self, split: ScoringSplit) -> str: ...


class TeacherCache(Callback):
    """Computes the teacher's outputs for each training row once; the distillation then looks them up.

    The teacher is frozen and runs without dropout, so its outputs would be the same in every epoch. Its logits take
    ``4 * num_labels`` bytes per row.

    Lifecycle: the pass runs at the first batch for which there are no outputs: the first batch of the fit, and the
    first batch after the teacher was sparsified. A loss that compares queries, keys or values asks the teacher at every
    step, which is told once. The order of callbacks does not matter. The pass has fixed batches, so
    that a resumed fit gets the same bits.

    Args:
        folder: Folder for the outputs, as safetensors files, for other fits with the same teacher and data (of other
            candidates, seeds, students or temperatures, and of all processes of a machine, which map the file). None
            keeps the outputs in memory, for this fit alone. A file is identified by the teacher's weights, the rows,
            the tokenisation, the batches and the precision.
        hidden_states: Numbers of layers whose hidden states are stored as well, counted as in transformers (0 is the
            embeddings, -1 the last layer), in addition to those that the module's loss compares. They are stored in
            bfloat16 and take ``2 * hidden_size`` bytes per token and layer; a line tells their size before they are
            computed. If memory or disk have no room for them, the teacher is asked at every step, and that is told.

    Raises:
        StarkTypeError: If the module has no teacher, or the data module has no ``fingerprint(split)``.

    Examples:
        ```yaml
        trainer:
          callbacks+:
            class_path: callbacks.TeacherCache
            init_args: {folder: runs/teacher_outputs}
        ```
    """

    def __init__(self, folder: str | None = None, hidden_states: Sequence[int] = ()) -> None:
        """Keep the settings."""
        self.folder = folder
        self.hidden_states = list(hidden_states)
        self._has_room = True

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that there is a teacher."""
        if stage == "fit" and not isinstance(pl_module, DistillationModule):
            raise StarkTypeError(f"TeacherCache needs a DistillationModule, got {type(pl_module).__name__}")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Discard the outputs of an earlier fit, which may belong to other rows."""
        assert isinstance(pl_module, DistillationModule)  # checked in setup
        pl_module.teacher_outputs = None
        self._has_room = True

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401 - Lightning's signature
        batch_idx: int,
    ) -> None:
        """Read or compute the outputs if there are none."""
        assert isinstance(pl_module, DistillationModule)  # checked in setup
        if pl_module.teacher_answers is not None and not pl_module.asks_encoder:
            return  # nothing of the teacher itself is compared
        if pl_module.loss.teacher_projections:
            warn_once(
                "TeacherCache does not store queries, keys and values, which the loss compares: the teacher is asked "
                "at every step"
            )
        elif pl_module.teacher_outputs is None and self._has_room:
            outputs = self._answers(trainer, pl_module)
            self._has_room = outputs is not None
            pl_module.teacher_outputs = outputs if outputs is None else outputs.to(pl_module.device)

    def _answers(self, trainer: Trainer, module: DistillationModule) -> TeacherOutputs | None:
        """The stored outputs, or those of a pass; None if there is no room for them."""
        key = self._key(trainer, module)
        path = None if self.folder is None else Path(self.folder) / f"{key[:32]}.safetensors"
        stored = None if path is None else _load(path, key)
        # All processes must agree; otherwise some would wait for the others in the pass.
        if trainer.strategy.reduce_boolean_decision(stored is not None, all=True) and stored is not None:
            return stored
        if not trainer.strategy.reduce_boolean_decision(self._fits(trainer, module), all=True):
            return None
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
        batches = scoring_batches(data, "train", "example", module.device)
        with trainer.precision_plugin.val_step_context():
            outputs = ask_teacher(nn.Module.to(module.teacher, module.device), batches, key, self._layers(module))
        # Frees device memory; scoring moves the teacher back to the device.
        nn.Module.to(module.teacher, "cpu")
        if path is None:
            return outputs
        if trainer.is_global_zero:
            outputs.save(path)
        trainer.strategy.barrier()
        # Hidden states are read from the file when they are needed, and the memory of the pass is freed. A process on
        # another machine may not see the file.
        return (_load(path, key) if self._layers(module) else None) or outputs

    def _fits(self, trainer: Trainer, module: DistillationModule) -> bool:
        """Whether there is room for the hidden states; their size is told, and that there is no room."""
        if not (layers := self._layers(module)):
            return True
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
        batches = scoring_batches(data, "train", "example", torch.device("cpu"))
        tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
        size = 2 * tokens * len(layers) * int(module.teacher.config.hidden_size)
        rank_zero_info(f"TeacherCache: the teacher's hidden states of {len(layers)} layers take {gigabytes(size)}")
        # The pass has them in memory twice, batch by batch and as a whole.
        rooms = [("memory", free_memory(), 2 * size)]
        if self.folder is not None:
            rooms.append((f"the disk of {self.folder}", free_disk(Path(self.folder)), size))
        for name, free, needed in rooms:
            if needed > free:
                warn_once(
                    f"TeacherCache needs {gigabytes(needed)} for hidden states and {name} has {gigabytes(free)} free: "
                    "the teacher is asked at every step"
                )
                return False
        return True

    def _layers(self, module: DistillationModule) -> list[int]:
        return list(dict.fromkeys([*self.hidden_states, *module.loss.teacher_layers]))

    def _key(self, trainer: Trainer, module: DistillationModule) -> str:
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
        if not isinstance(data, _KnownData):
            raise StarkTypeError(f"{type(data).__name__} has no fingerprint(split), which TeacherCache needs")
        known = {
            "teacher": module.teacher_identity(),
            "rows": data.fingerprint("train"),
            "precision": trainer.precision,
            "hidden_states": self._layers(module),
        }
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _load(path: Path, key: str) -> TeacherOutputs | None:
    """The outputs in a file; None if the file is missing, damaged, or belongs to another teacher or other rows."""
    if not is_file(path):
        return None
    try:
        return TeacherOutputs.load(path, key)
    except ValueError as error:  # damaged, or another teacher's or other rows'
        _log.warning("%s: the teacher's outputs are computed again", error)
        return None
