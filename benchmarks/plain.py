"""The plain way, as in the released code: all rows are padded to max_length, everything is computed at every step.

Source: GeneZC/StarK `run_finetuning.py`, `run_distillation.py`, `run_pruning.py`, `run_sparsification.py`. The results
are those of this project: the tests check that logits, losses, scores and AdamW agree within rounding. Only the amount
of work differs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, get_linear_schedule_with_warmup

from datamodules import LazyDataLoader, PadCollator
from stark.budgets.sparsity import masks_at_sparsity
from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers
from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitMasks
from stark.forward.classifying import Batch, Outputs, classify
from stark.losses.soft_targets import SoftTargets
from stark.problems.problem import Problem
from stark.problems.table import problem_of
from stark.scores.importance import normalize_per_layer
from stark.scores.knowledgeableness import knowledgeableness

__all__ = [
    "LEVELS",
    "PlainAdamW",
    "accuracy",
    "as_released_",
    "check_levels",
    "distil_loss",
    "finetune_loss",
    "padded",
    "plain_masks",
    "plain_scores",
    "train_epoch",
    "training_tools",
]

LEVELS = tuple(level / 100 for level in range(0, 100, 10))
"""The sparsities at which the released code prunes and evaluates the model after scoring."""

Scores = list[Tensor]
BatchLoss = Callable[[PreTrainedModel, Batch], Tensor]


def as_released_(model: PreTrainedModel) -> PreTrainedModel:
    """Switch a model to attention without a fused kernel (softmax of all products), in place.

    Args:
        model: A classifier.

    Returns:
        The same model.
    """
    model.set_attn_implementation("eager")
    return model


def padded(loader: LazyDataLoader, batch_size: int, max_length: int = 128, *, shuffled: bool) -> DataLoader[Batch]:
    """Batches of a loader's rows, in random or in file order, each padded to `max_length`.

    Args:
        loader: A loader of this project that has the rows.
        batch_size: Rows per batch.
        max_length: The length of every batch.
        shuffled: Whether the order is random.

    Returns:
        A loader.
    """
    collator = PadCollator(0, pad_to_multiple_of=max_length)
    return DataLoader(loader.dataset, batch_size=batch_size, shuffle=shuffled, collate_fn=collator)  # type: ignore[arg-type]


class PlainAdamW(Optimizer):
    """AdamW as in transformers until 4.49, which updates one parameter after the other, in separate operations."""

    def __init__(self, groups: Iterable[dict[str, object]], lr: float, eps: float = 1e-6) -> None:
        """Create the optimizer for parameter groups with a ``weight_decay`` each."""
        super().__init__(groups, {"lr": lr, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # without a closure
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
                state["step"] += 1
                state["mean"].mul_(0.9).add_(parameter.grad, alpha=1 - 0.9)
                state["square"].mul_(0.999).addcmul_(parameter.grad, parameter.grad, value=1 - 0.999)
                size = group["lr"] * math.sqrt(1 - 0.999 ** state["step"]) / (1 - 0.9 ** state["step"])
                parameter.addcdiv_(state["mean"], state["square"].sqrt().add_(group["eps"]), value=-size)
                if group["weight_decay"] > 0:
                    parameter.add_(parameter, alpha=-group["lr"] * group["weight_decay"])


def training_tools(
    model: PreTrainedModel, steps: int, learning_rate: float = 3e-5
) -> tuple[PlainAdamW, torch.optim.lr_scheduler.LambdaLR]:
    """Optimizer without weight decay for vectors, and linear schedule with a tenth of the steps as warm-up.

    Args:
        model: The model that is trained.
        steps: Number of steps of the whole training.
        learning_rate: Highest learning rate.

    Returns:
        The optimizer and the schedule.
    """
    parameters = list(model.parameters())
    groups: list[dict[str, object]] = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.01},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = PlainAdamW(groups, learning_rate)
    return optimizer, get_linear_schedule_with_warmup(optimizer, int(steps * 0.1), steps)


def finetune_loss(model: PreTrainedModel, batch: Batch) -> Tensor:
    """The task loss of a batch."""
    return problem_of(model.config).task_loss(classify(model, batch), batch["labels"])


def distil_loss(teacher: PreTrainedModel) -> BatchLoss:
    """The distillation loss with a teacher that runs at every step.

    Args:
        teacher: The teacher in eval mode.

    Returns:
        A function of student and batch that returns the loss.
    """

    def loss(student: PreTrainedModel, batch: Batch) -> Tensor:
        with torch.no_grad():
            teacher_logits = classify(teacher, batch)
        outputs = Outputs(classify(student, batch))
        compared: Tensor = SoftTargets()(problem_of(student.config), outputs, Outputs(teacher_logits), batch)
        return compared

    return loss


def train_epoch(
    model: PreTrainedModel,
    batches: Iterable[Batch],
    loss: BatchLoss,
    tools: tuple[PlainAdamW, torch.optim.lr_scheduler.LambdaLR],
    clip: float = 1.0,
) -> float:
    """Train on all batches once.

    Args:
        model: The model that is trained.
        batches: The epoch's batches.
        loss: Function of model and batch that returns the loss.
        tools: Optimizer and schedule from `training_tools`.
        clip: Largest norm of the gradient.

    Returns:
        The mean of the batches' losses.
    """
    optimizer, schedule = tools
    model.train()
    losses = []
    for batch in batches:
        value = loss(model, batch)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(value.item())
    return sum(losses) / len(losses)


@torch.no_grad()
def accuracy(model: PreTrainedModel, batches: Iterable[Batch]) -> float:
    """Share of the rows that a model classifies correctly.

    Args:
        model: A classifier.
        batches: The rows in batches.

    Returns:
        The accuracy in [0, 1].
    """
    model.eval()
    right = [(classify(model, batch).argmax(-1) == batch["labels"]).float() for batch in batches]
    return float(torch.cat(right).mean())


def plain_scores(
    model: PreTrainedModel, batches: Iterable[Batch], student: PreTrainedModel | None = None
) -> tuple[dict[str, Scores], dict[str, Scores]]:
    """Expressiveness and, given a student, friendliness of all units; gradients of all weights are computed as well.

    Args:
        model: The model whose units are scored.
        batches: Batches in the file's order.
        student: The trial student, whose logits are constant; None for expressiveness alone.

    Returns:
        Raw scores of heads and of neurons by name of the score, summed over the batches.
    """
    model.eval().requires_grad_(True)
    layers = encoder_layers(model)
    sizes = [[layer.num_heads for layer in layers], [layer.num_neurons for layer in layers]]
    names = ("expressiveness",) if student is None else ("expressiveness", "friendliness")
    device = layers[0].attention_output.weight.device
    totals = [{name: [torch.zeros(n, device=device) for n in kind] for name in names} for kind in sizes]
    for batch in batches:
        masks = UnitMasks(*([torch.ones(n, device=device, requires_grad=True) for n in kind] for kind in sizes))
        with unit_masks(model, masks):
            logits = classify(model, batch)
        for name, loss in _losses(problem_of(model.config), logits, batch, student):
            loss.backward(retain_graph=name != names[-1])
            for total, kind in zip(totals, masks, strict=True):
                for layer, mask in zip(total[name], kind, strict=True):
                    assert mask.grad is not None
                    layer += mask.grad.abs()
                    mask.grad = None
            model.zero_grad()
    heads, neurons = totals
    return heads, neurons


def _losses(
    problem: Problem, logits: Tensor, batch: Batch, student: PreTrainedModel | None
) -> Iterator[tuple[str, Tensor]]:
    yield "expressiveness", problem.task_loss(logits, batch["labels"])
    if student is not None:
        with torch.no_grad():
            answers = classify(student.eval(), batch)
        yield "friendliness", SoftTargets()(problem, Outputs(answers), Outputs(logits), batch)


def plain_masks(scores: tuple[dict[str, Scores], dict[str, Scores]], sparsity: float, lam: float = 1.0) -> UnitMasks:
    """Masks of a sparsity from `plain_scores`.

    Args:
        scores: Raw scores of heads and of neurons.
        sparsity: Fraction to remove.
        lam: Weight of expressiveness; 1 if there is no friendliness.

    Returns:
        The masks.
    """
    heads, neurons = (
        masks_at_sparsity(
            knowledgeableness(
                normalize_per_layer(kind["expressiveness"]),
                normalize_per_layer(kind.get("friendliness", kind["expressiveness"])),
                lam,
            ),
            sparsity,
        )
        for kind in scores
    )
    return UnitMasks(heads, neurons)


def check_levels(
    model: PreTrainedModel,
    scores: tuple[dict[str, Scores], dict[str, Scores]],
    batches: Iterable[Batch],
    lam: float = 1.0,
) -> list[float]:
    """The released code's check after scoring: the model's accuracy at each of the ten sparsities, on all rows.

    Args:
        model: The model that was scored.
        scores: Its scores.
        batches: The rows in batches.
        lam: Weight of expressiveness.

    Returns:
        One accuracy per sparsity in `LEVELS`.
    """
    return [
        accuracy(as_released_(shrink_(copy.deepcopy(model), plain_masks(scores, level, lam))), batches)
        for level in LEVELS
    ]
