"""The common part of finetuning and distillation: classifier, optimizer, GLUE's metrics, and exact resuming."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.enums import GradClipAlgorithmType
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MetricCollection
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    get_linear_schedule_with_warmup,
)

from lightning_modules.checkpoints import bring_home
from lightning_modules.resuming import (
    batches_done,
    loss_weight,
    partial_gradients,
    random_states,
    redo_validation,
    refuse_changes,
    restore_gradients_,
    restore_random_states,
    start_epoch,
    validation_is_due,
)
from lightning_modules.strategies import check_strategy, reset_random_streams, settle_buckets_
from lightning_modules.validated import Validated
from lightning_modules.whole_steps import WholeSteps
from stark.choices import ClassWeights
from stark.encoders.token_table import token_table
from stark.errors import StarkError
from stark.forward.classifying import Batch, classify
from stark.forward.lean_training import HasTokenIds, UsedRows, cheap_dropout_, follow_, plain_, use_rows_
from stark.forward.scaled_head import plain_head_, scale_head_
from stark.model_folders.input_checks import HasInputs, check_inputs, check_tokenizer_limit
from stark.model_folders.model_folder import labels_of
from stark.problems.metrics import computed, score_of
from stark.problems.problem import HasTrainLabels, Problem
from stark.problems.score_names import score_names
from stark.problems.table import problem_for
from stark.processes import all_gather_object
from stark.telling import warn_once

__all__ = ["ClassificationModule"]


_HPARAMS = LightningModule.CHECKPOINT_HYPER_PARAMS_KEY
# Paths of models may change: models are compared by their content, or their weights come from the checkpoint.
_PATHS = ("model_name_or_path", "student", "teacher")


class ClassificationModule(LightningModule):
    """A Hugging Face sequence classifier with the training that finetuning and distillation have in common.

    Optimizer: AdamW (eps 1e-6, fused where possible) without decay on biases and LayerNorm; a linear warm-up and decay
    over the steps of the *phase*, which is the whole fit unless a callback changes it. Validation logs each metric
    of the task as ``val/<metric>`` and their mean as ``val/score`` (``test/...`` in testing).

    During a fit only the embedding rows of tokens in train are parameters (the other rows get the weight decay that
    AdamW would apply), and dropout on a CPU draws few random numbers; see `lean_training`.

    Each update's gradient is the mean over all of its rows, for any number of processes and accumulated batches.

    A checkpoint holds the classifier's configuration and weights, so that a pruned student resumes in its pruned
    shape. It also holds the random states and the gradients of an unfinished update, so that it resumes bit for bit.

    Args:
        label_names: Names of the classes; a single name means regression. The command line links them from the data.
        metrics: GLUE's metric names; linked from the data.
        learning_rate: Peak learning rate.
        weight_decay: Weight decay of the matrices.
        warmup_proportion: Fraction of the phase's steps in which the learning rate rises.
        kind: Name of the kind of label, see `problem_for`; linked from the data.
        score_metrics: Names of the metrics whose mean is ``val/score``; None for all but errors. Linked from the data.
        class_weights: Weights of the classes in the task loss; see `class_weights`.
    """

    #: The trained network; in distillation the student.
    classifier: PreTrainedModel
    #: The classifier's tokenizer, which is saved with it.
    tokenizer: PreTrainedTokenizerFast

    def __init__(
        self,
        label_names: list[str],
        metrics: list[str],
        learning_rate: float = 3e-5,
        weight_decay: float = 0.01,
        warmup_proportion: float = 0.1,
        kind: str | None = None,
        score_metrics: list[str] | None = None,
        class_weights: ClassWeights = "none",
    ) -> None:
        """Store the settings; subclasses load the classifier."""
        super().__init__()
        if not 0 <= warmup_proportion <= 1:
            raise StarkError(f"warmup_proportion is {warmup_proportion}: give a fraction of the steps in [0, 1]")
        for name, value in (("learning_rate", learning_rate), ("weight_decay", weight_decay)):
            if not 0 <= value < math.inf:  # nan is refused, too
                raise StarkError(f"{name} is {value}: choose a number of at least 0")
        self.label_names = list(label_names)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_proportion = warmup_proportion
        #: The kind of label.
        self.problem = problem_for(self.label_names, kind)
        self.class_weights = class_weights
        if class_weights != "balanced":  # which is checked when train is known
            self.problem.for_train(self.problem.unlabelled_rows(0), class_weights)
        self._train_problem: Problem | None = None
        #: Runs whole steps, if a callback installed it; else Lightning runs their parts.
        self.whole_steps: WholeSteps | None = None
        self.score_metrics = score_names(metrics) if score_metrics is None else list(score_metrics)
        self.val_metrics = self.problem.build_metrics(metrics)
        self.test_metrics = self.val_metrics.clone()
        # The logits of a validation, of which a kind of label may find what its predictions need.
        self._validated = Validated() if self.problem.is_tuned else None
        #: First epoch of the current phase, and the epoch after its last one (None: the end of the fit).
        self.phase: tuple[int, int | None] = (0, None)
        #: Epoch number and ``val/score`` of each validation so far.
        self.val_scores: list[tuple[int, float]] = []
        self._steps = 1
        self._resumed_random_states: dict[str, Any] | None = None
        self._resumed_gradients: dict[str, Tensor] = {}
        self._resumed_metrics: dict[str, float] = {}
        self._resumed_should_stop = False

    def prepare_data(self) -> None:
        """Check that the rows fit the encoder's embedding tables, before a callback scores units or the fit begins.

        Raises:
            StarkError: If a row may have a token, position or segment that the encoder lacks.
        """
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, HasInputs):
            self.check_inputs(data)

    def check_inputs(self, data: HasInputs) -> None:
        """Check that the rows of a data module fit the encoder's embedding tables.

        Args:
            data: The data module.

        Raises:
            StarkError: If they do not fit.
        """
        where = str(self.classifier.name_or_path)
        check_inputs(self.classifier.config, data.tokenizer, data.max_length, is_pair=data.is_pair, where=where)
        check_tokenizer_limit(self.classifier.config, data.tokenizer, data.max_length, where)

    def setup(self, stage: str) -> None:
        """Check that the trainer keeps the weights whole; for a fit, train only embedding rows of tokens in train.

        Raises:
            StarkError: If the trainer's strategy splits the weights.
        """
        check_strategy(self.trainer.strategy)
        if stage == "fit":
            self._train_problem = None  # of an earlier fit
            self._adapt_classifier()
            if self.train_problem.note:
                warn_once(self.train_problem.note)

    def teardown(self, stage: str) -> None:
        """Restore the classifier's ordinary embeddings, head and dropout after a fit."""
        if stage == "fit":
            plain_(self.classifier)
            plain_head_(self.classifier)

    @property
    def train_problem(self) -> Problem:
        """The kind of label with losses that are adapted to the labels of train, if the data module knows them."""
        if self._train_problem is None:
            data = None if self._trainer is None else getattr(self.trainer, "datamodule", None)
            labels = data.train_labels() if isinstance(data, HasTrainLabels) else self.problem.unlabelled_rows(0)
            self._train_problem = self.problem.for_train(labels, self.class_weights)
        return self._train_problem

    def _adapt_classifier(self) -> None:
        data = getattr(self.trainer, "datamodule", None)
        # A recorded step would not tell the other rows how often they decay.
        if isinstance(data, HasTokenIds) and self.whole_steps is None:
            use_rows_(self.classifier, data.train_token_ids())
        unit, start = self.train_problem.unit, self.train_problem.start
        if (unit, start) != (1, 0):
            scale_head_(self.classifier, unit, start)

    # Steps

    def step_inputs(self, batch: Batch) -> Batch:
        """Everything that the loss of a step is computed from.

        Args:
            batch: The batch.

        Returns:
            The same batch, or one with further tensors.
        """
        return batch

    @abstractmethod
    def loss_on(self, inputs: Batch) -> Tensor:
        """The mean loss of a training step.

        Args:
            inputs: Result of `step_inputs`.

        Returns:
            A scalar.
        """

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one training step; with `whole_steps` the weights have been updated as well."""
        inputs = self.step_inputs(batch)
        loss = self.loss_on(inputs) if self.whole_steps is None else self.whole_steps(inputs, batch_idx)
        return self.log_loss(loss, batch_idx)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Lightning's signature
        """Compute gradients, unless the whole step has done that."""
        if self.whole_steps is None:
            super().backward(loss, *args, **kwargs)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Remove gradients, unless the whole step does that."""
        if self.whole_steps is None:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Do the optimizer's step; a whole step does it in the closure, which runs `training_step`."""
        if self.whole_steps is None or optimizer_closure is None:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        else:
            optimizer_closure()

    def forward(self, batch: Batch) -> Tensor:
        """Classify a batch.

        Args:
            batch: With ``input_ids``, ``attention_mask`` and, where the encoder has them, ``token_type_ids``.

        Returns:
            Logits ``(batch, num_labels)`` in float32 or wider, even under autocast.
        """
        return classify(self.classifier, batch)

    def log_loss(self, loss: Tensor, batch_idx: int) -> Tensor:
        """Log a batch's mean loss as ``train/loss`` (of process 0), and weight it for the backward pass.

        Args:
            loss: Mean loss over the batch's rows, a scalar.
            batch_idx: Number of the batch in the epoch.

        Returns:
            The weighted loss, which `training_step` returns; see `loss_weight`.
        """
        self.log("train/loss", loss)
        return loss * loss_weight(self._trainer, batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the metrics ``val/...`` with a batch, or keep its logits until the kind of label is tuned on all."""
        if self._validated is not None:
            self._validated.update(self.predict_step(batch, batch_idx)["logits"], batch["labels"])
        else:
            self._count(batch, self.val_metrics)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the metrics ``test/...`` with a batch."""
        self._count(batch, self.test_metrics)

    def _count(self, batch: Batch, metrics: MetricCollection) -> None:
        if len(batch["labels"]):  # a process may have no row
            metrics.update(self.problem.for_metrics(self(batch)), batch["labels"])

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """Predict a batch: ``idx``, ``predictions`` and ``logits``."""
        # A process may have no row, and some encoders fail on an empty batch.
        logits = self(batch) if len(batch["idx"]) else torch.empty(0, self.problem.num_labels, device=self.device)
        return {"idx": batch["idx"], "predictions": self.problem.predictions(logits), "logits": logits}

    def on_validation_epoch_end(self) -> None:
        """Log ``val/<metric>`` and ``val/score``; in a fit, tune the kind of label on this validation first."""
        if self._validated is not None:
            logits, labels = self._validated.compute()
            if self.trainer.state.fn == "fit":
                self.problem = self.problem.tuned(logits, labels, self.score_metrics)
                self.problem.write_(self.classifier.config)
            own = self._validated.own()  # the rows of this process, as the metrics are shared later
            if len(own.labels):
                self.val_metrics.update(self.problem.for_metrics(own.logits), own.labels)
            self._validated.reset()
        score = self._log_metrics("val", self.val_metrics)
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.val_scores.append((self.current_epoch, float(score)))

    def on_test_epoch_end(self) -> None:
        """Log ``test/<metric>`` and ``test/score``."""
        self._log_metrics("test", self.test_metrics)

    def _log_metrics(self, prefix: str, metrics: MetricCollection) -> Tensor:
        values = computed(metrics)
        metrics.reset()
        # All processes have the same values already. Lightning wants a reduction: the maximum does not round.
        same: dict[str, Any] = {"sync_dist": True, "reduce_fx": "max"}
        self.log_dict({f"{prefix}/{name}": value for name, value in values.items()}, **same)
        self.log(f"{prefix}/score", score := score_of(values, self.score_metrics), prog_bar=True, **same)
        return score

    def take_tuned(self, checkpoint: Mapping[str, Any]) -> None:
        """Take what was tuned on the weights of a checkpoint, such as a threshold.

        Args:
            checkpoint: A checkpoint of this module.
        """
        if self.problem.is_tuned:
            self.problem = self.problem.of_model(_config_of(checkpoint["classifier_config"]))
            self.problem.write_(self.classifier.config)

    # Optimization

    def steps_of_phase(self) -> int:
        """Number of optimizer steps of the current phase."""
        try:
            limit = self.trainer.estimated_stepping_batches  # also sets up the loader, for num_training_batches below
        except ValueError as error:  # a wrong setting: a validation interval that is longer than an epoch
            raise StarkError(f"trainer: {error}") from error
        first, end = self.phase
        epochs = (self.trainer.max_epochs if end is None else end) or 0
        if epochs < 0 or math.isinf(self.trainer.num_training_batches):
            return int(limit)
        steps = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches) * (epochs - first)
        return min(steps, self.trainer.max_steps) if self.trainer.max_steps >= 0 else steps

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """Yield all parameters that are trained, clipped and averaged over the processes."""
        yield from self.classifier.parameters()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW and its linear schedule over the steps of the phase."""
        parameters = [parameter for parameter in self.trained_parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": self.weight_decay},
            # Vectors are the biases and LayerNorm weights.
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        # A fused step unscales the gradients itself; Lightning's clipping under a gradient scaler does not allow that.
        fused = self.trainer.precision != "16-mixed"
        if self.whole_steps is None:
            optimizer = AdamW(groups, lr=self.learning_rate, eps=1e-6, fused=fused)
        else:  # a recorded step reads the learning rate from the device
            rate = torch.tensor(self.learning_rate, device=self.device)
            optimizer = AdamW(groups, lr=rate, eps=1e-6, fused=fused, capturable=self.device.type == "cuda")
        if isinstance(rows := token_table(self.classifier), UsedRows):
            follow_(rows, optimizer)
        self._steps = steps = max(self.steps_of_phase(), 1)
        scheduler = get_linear_schedule_with_warmup(optimizer, int(steps * self.warmup_proportion), steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def steps(self) -> tuple[int, int]:
        """Number of the phase's optimizer steps that are done, and of all; known from `configure_optimizers` on."""
        # Counted by the learning rate's schedule, which begins with a phase and is restored from a checkpoint.
        schedule = self.lr_schedulers()
        assert isinstance(schedule, LRScheduler)
        return schedule.last_epoch, self._steps

    def progress(self) -> float:
        """The fraction of the phase's optimizer steps that are done, in [0, 1]: 0 in the first step, 1 in the last."""
        done, steps = self.steps()
        return min(done / max(steps - 1, 1), 1.0)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm here: Lightning refuses to clip for a fused optimizer under mixed precision."""
        if gradient_clip_algorithm not in (None, "norm"):
            raise StarkError(
                f"trainer.gradient_clip_algorithm is '{GradClipAlgorithmType(gradient_clip_algorithm).value}': only "
                "'norm' is supported"
            )
        if gradient_clip_val:
            nn.utils.clip_grad_norm_(list(self.trained_parameters()), gradient_clip_val)

    # Phases and resuming

    def start_phase(self, first_epoch: int, end_epoch: int | None) -> None:
        """Begin a phase; its random numbers, batch order and schedule are those of a separate fit.

        Args:
            first_epoch: First epoch of the phase.
            end_epoch: The epoch after the phase's last one, or None for the end of the fit.
        """
        self.phase = (first_epoch, end_epoch)
        # The state from a checkpoint of the previous phase is no longer valid.
        self._resumed_random_states = None
        self._resumed_gradients = {}
        self._resumed_should_stop = False
        reset_random_streams(self.global_rank)

    def on_fit_start(self) -> None:
        """Switch dropout on: from_pretrained returns the model in eval mode, and Lightning keeps that mode."""
        self.classifier.train()
        cheap_dropout_(self.classifier)

    def on_train_start(self) -> None:
        """Start the random streams and the data, or continue them where the checkpoint left off."""
        if self.trainer.global_step > 0:  # before random states and gradients are restored, since it changes them
            inputs = {name: tensor.to(self.device) for name, tensor in self.classifier.dummy_inputs.items()}
            if isinstance(rows := token_table(self.classifier), UsedRows):
                inputs["input_ids"] = torch.full_like(inputs["input_ids"], rows.known_id)
            settle_buckets_(self.trainer.strategy.model, inputs, self.trained_parameters())
        if self._resumed_random_states is None:
            reset_random_streams(self.global_rank)
        else:
            restore_random_states(self._resumed_random_states)
            self._resumed_random_states = None
        if self.whole_steps is not None:
            for optimizer in self.trainer.optimizers:  # a checkpoint's numbers are on the CPU
                for group in optimizer.param_groups:
                    group["lr"] = torch.as_tensor(group["lr"], device=self.device)
        restore_gradients_(self, self._resumed_gradients)
        self._resumed_gradients = {}
        self.trainer.should_stop = self._resumed_should_stop
        # The last scores: callbacks read them again at the end of the interrupted epoch.
        metrics = {name: torch.tensor(value, device=self.device) for name, value in self._resumed_metrics.items()}
        self.trainer.callback_metrics.update(metrics)
        start_epoch(self.trainer, self.trainer.current_epoch - self.phase[0], batches_done(self.trainer))

    def on_train_epoch_start(self) -> None:
        """Set the loader to this epoch of the phase."""
        start_epoch(self.trainer, self.trainer.current_epoch - self.phase[0], 0)

    def fit_settings(self) -> dict[str, Any]:
        """Return the trainer's settings that affect the weights; a resumed fit must not change them."""
        trainer = self.trainer
        names = ("max_epochs", "max_steps", "accumulate_grad_batches", "gradient_clip_val", "precision", "world_size")
        return {name: getattr(trainer, name) for name in names}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the classifier's shape, the phase, all processes' random states, gradients and the trainer's settings."""
        checkpoint["classifier_config"] = self.classifier.config.to_json_string(use_diff=False)
        checkpoint["phase"] = list(self.phase)
        checkpoint["random_states"] = all_gather_object(random_states())
        checkpoint["partial_gradients"] = partial_gradients(self.trainer, self)
        checkpoint["validation_is_due"] = validation_is_due(self.trainer)
        checkpoint["val_scores"] = [list(entry) for entry in self.val_scores]
        checkpoint["should_stop"] = self.trainer.should_stop
        checkpoint["callback_metrics"] = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        checkpoint["fit_settings"] = self.fit_settings()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Bring the classifier into the checkpoint's shape before its weights are loaded.

        Raises:
            StarkError: If a fit resumes with other settings than the checkpoint's, or its classifier has other labels.
        """
        if self._trainer is not None and self.trainer.training:
            # Keys that start with an underscore are LightningCLI's internal entries.
            # Checkpoints of earlier versions have no class weights.
            kept = (self.hparams, {"class_weights": "none", **checkpoint[_HPARAMS]})
            now, then = ({k: v for k, v in d.items() if k[0] != "_" and k not in _PATHS} for d in kept)
            refuse_changes(now, then, "model")
            refuse_changes(self.fit_settings(), checkpoint["fit_settings"], "trainer")
            self._resumed_random_states = checkpoint["random_states"][self.global_rank]
            self._resumed_gradients = checkpoint["partial_gradients"]
            self.val_scores = [(epoch, score) for epoch, score in checkpoint["val_scores"]]
            self._resumed_metrics = checkpoint["callback_metrics"]
            self._resumed_should_stop = checkpoint["should_stop"]
            if checkpoint["validation_is_due"]:
                redo_validation(checkpoint["loops"])
            for callback in self.trainer.checkpoint_callbacks:
                if isinstance(callback, ModelCheckpoint) and callback.state_key in checkpoint["callbacks"]:
                    bring_home(checkpoint["callbacks"][callback.state_key], str(callback.dirpath))
        first, end = checkpoint["phase"]
        self.phase = (first, end)
        self.take_tuned(checkpoint)
        if checkpoint["classifier_config"] != self.classifier.config.to_json_string(use_diff=False):
            classifier = classifier_from_config(checkpoint["classifier_config"])
            names = labels_of(classifier.config)
            if names != self.label_names:
                raise StarkError(
                    f"the checkpoint's classifier has the labels {names}, the task has {self.label_names}: take a "
                    "checkpoint of this task, or name the task's labels in the checkpoint's order"
                )
            self.classifier = classifier
            nn.Module.to(self.classifier, self.device)
            if self._trainer is not None and self.trainer.training:
                self._adapt_classifier()


def classifier_from_config(config: str) -> PreTrainedModel:
    """Build an untrained classifier from the JSON text of its configuration.

    Args:
        config: Output of ``model.config.to_json_string(use_diff=False)``.

    Returns:
        The classifier with random weights.
    """
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(_config_of(config))
    return model


def _config_of(config: str) -> PreTrainedConfig:
    values = json.loads(config)
    found: PreTrainedConfig = AutoConfig.for_model(values.pop("model_type"), **values)
    return found
