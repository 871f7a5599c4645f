"""The teacher's answers, computed in one pass instead of at every step."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from callbacks.scoring import scoring_batches
from lightning_modules.distillation import DistillationModule
from lightning_modules.teacher_outputs import TeacherOutputs, ask_teacher
from stark.choices import ScoringSplit
from stark.errors import StarkTypeError
from stark.storage import is_file

__all__ = ["TeacherCache"]

_log = logging.getLogger(__name__)


@runtime_checkable
class _KnownData(Protocol):
    def fingerprint(self, split: ScoringSplit) -> str: ...


class TeacherCache(Callback):
    """Asks the teacher about each row of train once, and lets the distillation look the answers up.

    The teacher is frozen and answers without dropout, so at every epoch it would say the same. Its logits take
    ``4 * num_labels`` bytes a row.

    Lifecycle: at the first batch that has no answers, which is the first of the fit and the first after the teacher was
    sparsified. The order of callbacks does not matter. The pass has fixed batches, so that a resumed fit gets the same
    bits.

    Args:
        folder: Where answers are kept in safetensors files, for other fits with the same teacher and data (of other
            candidates, seeds, students or temperatures, and of all processes of a machine, which map the file). None
            keeps them in memory, for this fit alone. A file is known by the teacher's weights, the rows, the
            tokenisation, the batches and the precision.
        hidden_states: Numbers of layers whose hidden states are kept as well, counted as by transformers (0 is the
            embeddings, -1 the last layer), in addition to those that the module's loss compares. They take
            ``4 * hidden_size`` bytes per token and layer.

    Raises:
        StarkTypeError: If the module has no teacher, or the data module cannot name its rows.

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

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that there is a teacher."""
        if stage == "fit" and not isinstance(pl_module, DistillationModule):
            raise StarkTypeError(f"TeacherCache needs a DistillationModule, {type(pl_module).__name__} is none")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the answers of an earlier fit, which may be of other rows."""
        assert isinstance(pl_module, DistillationModule)  # checked in setup
        pl_module.teacher_outputs = None

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401 - Lightning's signature
        batch_idx: int,
    ) -> None:
        """Get the answers when there are none."""
        assert isinstance(pl_module, DistillationModule)  # checked in setup
        if pl_module.teacher_outputs is None:
            pl_module.teacher_outputs = self._answers(trainer, pl_module).to(pl_module.device)

    def _answers(self, trainer: Trainer, module: DistillationModule) -> TeacherOutputs:
        key = self._key(trainer, module)
        path = None if self.folder is None else Path(self.folder) / f"{key[:32]}.safetensors"
        stored = None if path is None else _load(path, key)
        # All processes have to agree, or some would wait for the others in the pass.
        if trainer.strategy.reduce_boolean_decision(stored is not None, all=True) and stored is not None:
            return stored
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
        batches = scoring_batches(data, "train", "example", module.device)
        with trainer.precision_plugin.val_step_context():
            outputs = ask_teacher(nn.Module.to(module.teacher, module.device), batches, key, self._layers(module))
        # Nobody needs it now; what scores it brings it back.
        nn.Module.to(module.teacher, "cpu")
        if path is not None and trainer.is_global_zero:
            outputs.save(path)
        return outputs

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
    """The answers of a file; None if there is none that is intact and of this teacher and these rows."""
    if not is_file(path):
        return None
    try:
        return TeacherOutputs.load(path, key)
    except ValueError as error:  # damaged, or of something else
        _log.warning("%s: the teacher is asked again", error)
        return None
