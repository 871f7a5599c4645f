"""Distillation: a student learns from a frozen teacher and from the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lightning_modules.base import ClassificationModule
from lightning_modules.resuming import refuse_changes
from lightning_modules.teacher_outputs import TeacherOutputs
from stark.choices import ClassWeights
from stark.encoders.cutting import shrink_
from stark.encoders.layers import kept_units
from stark.encoders.units import KeptUnits, UnitMasks
from stark.errors import StarkError
from stark.forward.classifying import Batch, Outputs, outputs_of
from stark.losses.loss import PROGRESS, Loss
from stark.losses.soft_targets import SoftTargets
from stark.model_folders.input_checks import HasInputs, check_inputs, check_tokens
from stark.model_folders.model_folder import load_classifier, load_tokenizer
from stark.storage import hash_tensors

__all__ = ["DistillationModule"]

# Names of the teacher's stored outputs among the inputs of a step.
_LOGITS, _HIDDEN = "teacher_logits", "teacher_hidden_states/"


class DistillationModule(ClassificationModule):
    r"""Distil a teacher into a student by $w T^2 \mathrm{SoftCE} + (1 - w) \mathrm{CE}$.

    The student is trained with dropout; the teacher is in eval mode. The teacher's outputs are computed at every step,
    or once for every row if the fit has a `TeacherCache`. The teacher is not a submodule: it needs no gradients, no
    optimizer state, no communication between processes and no copy in checkpoints. A checkpoint identifies it by its
    folder, a hash of its dense weights and the units that it kept; a resumed fit loads and shrinks it again. If it was
    refitted in the fit, the refitted weights are in the checkpoint, too.

    Source: the paper's section 3.1; GeneZC/StarK `run_distillation.py`.

    Args:
        teacher: Local folder or hub id of the finetuned teacher.
        student: Local folder or hub id of the student's initial weights (a pruned or layer-dropped model, or the
            teacher itself when a callback prunes it).
        label_names: Names of the classes; a single name means regression. The command line links them from the data.
        metrics: GLUE's metric names; linked from the data.
        learning_rate: Peak learning rate.
        weight_decay: Weight decay of the matrices.
        warmup_proportion: Fraction of the phase's steps in which the learning rate rises.
        loss: The distillation loss; None for `SoftTargets`.
        temperature: Temperature of `SoftTargets`, as an alternative to ``loss``.
        distillation_weight: Weight of `SoftTargets`, as an alternative to ``loss``.
        kind: Name of the kind of label, see `problem_for`; linked from the data.
        score_metrics: Names of the metrics whose mean is ``val/score``; None for all but errors. Linked from the data.
        class_weights: Weights of the classes in the task loss: ``none``, ``balanced`` (inversely proportional to their
            rows in train), or a list with one number per class.

    Raises:
        StarkError: If a model cannot be loaded, has other labels, or the tokenizers of the two differ.
    """

    def __init__(
        self,
        teacher: str,
        student: str,
        label_names: list[str],
        metrics: list[str],
        learning_rate: float = 3e-5,
        weight_decay: float = 0.01,
        warmup_proportion: float = 0.1,
        loss: Loss | None = None,
        temperature: float | None = None,
        distillation_weight: float | None = None,
        kind: str | None = None,
        score_metrics: list[str] | None = None,
        class_weights: ClassWeights = "none",
    ) -> None:
        """Load both models."""
        super().__init__(
            label_names, metrics, learning_rate, weight_decay, warmup_proportion, kind, score_metrics, class_weights
        )
        asked = {"temperature": temperature, "weight": distillation_weight}
        given = {name: value for name, value in asked.items() if value is not None}
        if loss is not None and given:
            raise StarkError("loss is given with temperature or distillation_weight: set them in loss.init_args")
        # The loss is a module and not a hyperparameter; checkpoints contain its description as text.
        self.save_hyperparameters(ignore=["loss"])
        #: The distillation loss.
        self.loss: Loss = SoftTargets(**given) if loss is None else loss
        # In a list, so that Lightning and DDP do not treat it as a submodule.
        dense = load_classifier(teacher, label_names=self.label_names, kind=kind, new_head=False)
        self._frozen = [dense.requires_grad_(False)]
        self._teacher_hash = hash_tensors(self.teacher.state_dict())
        self._refitted: dict[str, Tensor] = {}
        #: The teacher's outputs for every row of train; if None, they are computed at every step.
        self.teacher_outputs: TeacherOutputs | None = None
        #: Logits by row number that take the place of the teacher's, see `TeacherAnswers`; None for the teacher's own.
        self.teacher_answers: Tensor | None = None
        self.classifier = load_classifier(student, label_names=self.label_names, kind=kind)
        self.problem = self.problem.of_model(self.classifier.config)
        self.tokenizer = load_tokenizer(student)
        self._teacher_tokenizer = load_tokenizer(teacher) if student != teacher else self.tokenizer
        self._check_tokens(is_pair=False)

    def _check_tokens(self, *, is_pair: bool) -> None:
        if self._teacher_tokenizer is self.tokenizer:
            return
        try:
            check_tokens(self._teacher_tokenizer, self.tokenizer, is_pair=is_pair)
        except StarkError as error:
            raise StarkError(
                f"the student {self.hparams['student']} and the teacher {self.hparams['teacher']} {error}: "
                "distillation feeds both the same tokens, so choose a student cut from this teacher or from its family"
            ) from error

    def check_inputs(self, data: HasInputs) -> None:
        """Check that rows fit both encoders' embedding tables, and that the teacher gets tokens as in its training."""
        super().check_inputs(data)
        config, where = self.teacher.config, str(self.teacher.name_or_path)
        check_inputs(config, data.tokenizer, data.max_length, is_pair=data.is_pair, where=where)
        # A family without segments, such as DistilBERT, ignores them.
        self._check_tokens(is_pair=data.is_pair and getattr(config, "type_vocab_size", 1) > 1)

    @property
    def teacher(self) -> PreTrainedModel:
        """The frozen teacher, in eval mode."""
        return self._frozen[0]

    @property
    def student(self) -> PreTrainedModel:
        """The trained network."""
        return self.classifier

    def shrink_teacher(self, masks: UnitMasks) -> None:
        """Remove units of the teacher permanently.

        Args:
            masks: Masks over the units that the teacher has now; 1 keeps a unit.
        """
        self._frozen = [shrink_(self.teacher, masks)]
        self.teacher_outputs = None

    def keep_refitted(self, weights: Mapping[str, Tensor]) -> None:
        """Give the shrunk teacher refitted weights, which checkpoints then contain.

        Args:
            weights: Weights by their names in the teacher's state; see `output_projections`.
        """
        self._refitted = dict(weights)
        self.teacher.load_state_dict(self._refitted, strict=False)
        self.teacher_outputs = None

    def teacher_identity(self) -> dict[str, Any]:
        """Return hashes of the teacher's dense weights and of refitted ones, and the units that it kept."""
        refitted = {"refitted": hash_tensors(self._refitted)} if self._refitted else {}
        return {"hash": self._teacher_hash, "kept_units": kept_units(self.teacher).to_json(), **refitted}

    @torch.no_grad()
    def ask(self, batch: Batch) -> Outputs:
        """Return the teacher's outputs for a batch without gradient; stored outputs are looked up.

        Args:
            batch: The batch; it needs ``idx``.

        Returns:
            Logits, and the hidden states, queries, keys and values that the loss compares.
        """
        layers, stored = self.loss.teacher_layers, self.teacher_outputs
        answers = None if self.teacher_answers is None else self.teacher_answers[batch["idx"]]
        if answers is not None and not self.asks_encoder:
            return Outputs(answers)
        if stored is None:
            found = outputs_of(self.teacher, batch, layers, self.loss.teacher_projections)
        else:
            hidden = stored.hidden_states(batch["idx"], batch["input_ids"].shape[1]) if layers else {}
            found = Outputs(stored.logits(batch["idx"]), {layer: hidden[layer] for layer in layers})
        return found if answers is None else found._replace(logits=answers)

    @property
    def asks_encoder(self) -> bool:
        """Whether the loss compares something of the teacher that is computed inside its encoder."""
        return bool(self.loss.teacher_layers or self.loss.teacher_projections)

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the student and of the loss."""
        yield from super().trained_parameters()
        yield from self.loss.parameters()

    def setup(self, stage: str) -> None:
        """Prepare the loss after callbacks have given both models their shapes."""
        super().setup(stage)
        if stage == "fit":
            self.prepare_loss()

    def step_inputs(self, batch: Batch) -> Batch:
        """Return the batch with the teacher's stored outputs, if they are stored, and the progress of the fit."""
        if self.loss.needs_progress:
            batch = {**batch, PROGRESS: torch.full((), self.progress(), device=self.device)}
        if self.teacher_outputs is None and (self.teacher_answers is None or self.asks_encoder):
            return batch
        told = self.ask(batch)
        hidden = {f"{_HIDDEN}{layer}": states for layer, states in told.hidden_states.items()}
        return {**batch, _LOGITS: told.logits, **hidden}

    def loss_on(self, inputs: Batch) -> Tensor:
        """Return the mean distillation loss of a batch; a teacher without stored outputs is asked."""
        student = outputs_of(self.classifier, inputs, self.loss.student_layers, self.loss.student_projections)
        if _LOGITS in inputs:
            hidden = {layer: inputs[f"{_HIDDEN}{layer}"] for layer in self.loss.teacher_layers}
            teacher = Outputs(inputs[_LOGITS], hidden)
        else:
            teacher = self.ask(inputs)
        loss: Tensor = self.loss(self.train_problem, student, teacher, inputs)
        return loss

    def on_fit_start(self) -> None:
        """Move the teacher to the student's device; Lightning does not, as the teacher is not a submodule."""
        super().on_fit_start()
        nn.Module.to(self.teacher, self.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the identity of the teacher and the description of the loss."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["teacher"] = self.teacher_identity()
        if self._refitted:
            checkpoint["teacher"]["weights"] = self._refitted
        checkpoint["loss"] = repr(self.loss)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Bring the teacher into the checkpoint's shape.

        Raises:
            StarkError: If the teacher's weights are not those of the checkpoint.
        """
        super().on_load_checkpoint(checkpoint)
        saved = checkpoint["teacher"]
        if saved["hash"] != self._teacher_hash:
            raise StarkError(
                f"the teacher {self.hparams['teacher']} has changed since the checkpoint was made: restore it, or "
                "start a new fit without ckpt_path"
            )
        kept, current = KeptUnits.from_json(saved["kept_units"]), kept_units(self.teacher)
        if kept != current:
            self.shrink_teacher(kept.masks_within(current))
        if weights := saved.get("weights"):
            self.keep_refitted(weights)
        if self._trainer is not None and self.trainer.training:
            # Both models have their shapes only now: callbacks do not cut those of a resumed fit.
            self.prepare_loss()
            # Checkpoints of earlier versions have the settings of their only loss among the module's settings.
            refuse_changes({"loss": repr(self.loss)}, {"loss": checkpoint.get("loss", repr(self.loss))}, "model")

    def prepare_loss(self) -> None:
        """Prepare the loss for the two models as they are now, on the module's device."""
        self.loss.prepare_(self.student, self.teacher)
        nn.Module.to(self.loss, self.device)
