"""Finetuning: an encoder and a classifier head are trained on the labels."""

from __future__ import annotations

from torch import Tensor

from lightning_modules.base import ClassificationModule
from stark.choices import ClassWeights
from stark.forward.classifying import Batch
from stark.model_folders.model_folder import load_classifier, load_tokenizer
from stark.problems.problem import Reduction

__all__ = ["FinetuningModule"]


class FinetuningModule(ClassificationModule):
    """Finetune an encoder on a task: cross-entropy, or squared error when there is a single label name.

    Source: the paper's dense teacher; GeneZC/StarK `run_finetuning.py`.

    Args:
        model_name_or_path: Local folder or hub id of an encoder or a classifier; a missing head is created.
        label_names: Names of the classes; a single name means regression. The command line links them from the data.
        metrics: GLUE's metric names; linked from the data.
        learning_rate: Peak learning rate.
        weight_decay: Weight decay of the matrices.
        warmup_proportion: Fraction of the steps in which the learning rate rises.
        kind: Name of the kind of label, see `problem_for`; linked from the data.
        score_metrics: Names of the metrics whose mean is ``val/score``; None for all but errors. Linked from the data.
        class_weights: Weights of the classes in the task loss: ``none``, ``balanced`` (inversely proportional to their
            rows in train), or a list with one number per class.

    Raises:
        StarkError: If the model cannot be loaded, or has other labels.
    """

    def __init__(
        self,
        model_name_or_path: str,
        label_names: list[str],
        metrics: list[str],
        learning_rate: float = 3e-5,
        weight_decay: float = 0.01,
        warmup_proportion: float = 0.1,
        kind: str | None = None,
        score_metrics: list[str] | None = None,
        class_weights: ClassWeights = "none",
    ) -> None:
        """Load the model."""
        super().__init__(
            label_names, metrics, learning_rate, weight_decay, warmup_proportion, kind, score_metrics, class_weights
        )
        self.save_hyperparameters()
        self.classifier = load_classifier(model_name_or_path, label_names=self.label_names, kind=kind)
        self.problem = self.problem.of_model(self.classifier.config)
        self.tokenizer = load_tokenizer(model_name_or_path)

    def task_loss(self, logits: Tensor, batch: Batch, reduction: Reduction = "mean") -> Tensor:
        """Return the loss on the batch's labels; see `Problem.task_loss`."""
        return self.train_problem.task_loss(logits, batch["labels"], reduction)

    def loss_on(self, inputs: Batch) -> Tensor:
        """Return the mean loss of a batch on its labels."""
        return self.task_loss(self(inputs), inputs)
