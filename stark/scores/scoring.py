"""The pass over data that scores units, for several scores from one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from stark.choices import ScoreReduction
from stark.encoders.families.table import family_of
from stark.encoders.layers import encoder_layers
from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitMasks
from stark.errors import StarkError
from stark.forward.classifying import Batch, outputs_of
from stark.forward.evaluating import evaluating
from stark.problems.problem import Problem
from stark.problems.table import problem_of
from stark.processes import all_gather, processes
from stark.scores.importance import batch_importance
from stark.scores.score import ActivationScore, Compared, DataScore, Distilled, GradientScore, Score, Taught
from stark.scores.unit_scores import UnitScores
from stark.storage import hash_tensors

__all__ = ["score_units"]


def score_units(
    model: PreTrainedModel,
    batches: Iterable[Batch],
    scores: Sequence[Score],
    distilled: Compared | None = None,
    reduction: ScoreReduction = "example",
    *,
    problem: Problem | None = None,
) -> UnitScores:
    """Score every head and neuron by the parts of some scores, from one forward pass of each model.

    Gradient scores are computed with masks fixed at 1; no other gradients are computed. The models run in eval mode and
    are restored afterwards. If no score has parts, no batch is read.

    The processes of a run share the batches: each of n processes computes every n-th batch, and all add the results of
    all processes in the order of the batches. So the sums equal those of a single process, bit for bit. All processes
    must call this function, with the same models, batches and scores.

    Source: the paper's section 3.2; GeneZC/StarK `run_pruning.py`, `run_sparsification.py`.

    Args:
        model: The model whose units are scored.
        batches: Batches on the models' device, in a fixed order.
        scores: The scores. Parts that several of them share are computed once.
        distilled: The student that the model teaches, or the teacher of the model, and the loss, for scores that
            compare with it.
        reduction: Reduction of the gradients, see `batch_importance`; for parts that do not define one.
        problem: The kind of label, with the losses that the models were trained with, see `Problem.for_train`. None for
            that of the model's configuration.

    Returns:
        The raw sums in float64, by the names of the parts.

    Raises:
        StarkError: If a score compares with a student or a teacher and there is none, or if two different parts have
            one name.
    """
    parts = _parts_of(scores, distilled)
    views = encoder_layers(model)
    sizes = [layer.num_heads for layer in views] + [layer.num_neurons for layer in views]
    # A GPU adds up its batches itself, so that nothing waits for it; other devices may lack float64.
    device = model.device if model.device.type == "cuda" else torch.device("cpu")
    total = torch.zeros(len(parts) * sum(sizes), dtype=torch.float64, device=device)
    if parts:
        problem = problem_of(model.config) if problem is None else problem
        with ExitStack() as stack:
            stack.enter_context(evaluating(model, frozen=True))  # so that only the masks get gradients
            if distilled is not None:
                stack.enter_context(evaluating(distilled[0]))
            stack.enter_context(torch.enable_grad())
            total = _sum_in_order(
                total,
                batches,
                lambda batch: _score_batch(model, problem, batch, parts, distilled, reduction, sizes, device),
            )
    rows = total.cpu().view(len(parts), sum(sizes))
    by_name = {part.name: [sums.clone() for sums in row.split(sizes)] for part, row in zip(parts, rows, strict=True)}
    split = len(views)
    return UnitScores(
        heads={name: sums[:split] for name, sums in by_name.items()},
        neurons={name: sums[split:] for name, sums in by_name.items()},
        model=hash_tensors(model.state_dict()),
    )


def _parts_of(scores: Sequence[Score], distilled: Compared | None) -> list[DataScore]:
    """The parts of the scores, each of them once."""
    found: dict[str, DataScore] = {}
    for score in scores:
        for part in score.parts:
            if part.needs_student and not isinstance(distilled, Distilled):
                raise StarkError(f"{type(score).__name__} compares with a distilled student: give one")
            if part.needs_teacher and not isinstance(distilled, Taught):
                raise StarkError(f"{type(score).__name__} compares with a teacher: give one")
            if type(found.setdefault(part.name, part)) is not type(part):
                raise StarkError(f"two scores are called {part.name}: rename the class of one of them")
    return list(found.values())


def _sum_in_order(total: Tensor, batches: Iterable[Batch], compute: Callable[[Batch], Tensor]) -> Tensor:
    """The sum of the batches' results; the processes share the batches."""
    rank, world_size = processes()
    share, number = total, -1
    for number, batch in enumerate(batches):
        if number % world_size == rank:
            share = compute(batch)
        if number % world_size == world_size - 1:
            total = _add_one_by_one(total, all_gather(share))
    if unfinished := (number + 1) % world_size:
        total = _add_one_by_one(total, all_gather(share)[:unfinished])
    return total


def _add_one_by_one(total: Tensor, shares: Iterable[Tensor]) -> Tensor:
    for share in shares:  # another order would round differently
        total = total + share
    return total


def _asked(distilled: Compared | None) -> tuple[tuple[int, ...], ...]:
    """The layers of the scored model whose hidden states and projections the loss compares."""
    if distilled is None:
        return ()
    loss = distilled.loss
    if isinstance(distilled, Taught):
        return loss.student_layers, loss.student_projections
    return loss.teacher_layers, loss.teacher_projections


def _score_batch(
    model: PreTrainedModel,
    problem: Problem,
    batch: Batch,
    parts: Sequence[DataScore],
    distilled: Compared | None,
    reduction: ScoreReduction,
    sizes: list[int],
    device: torch.device,
) -> Tensor:
    """A batch's part of the sums of all parts and layers, concatenated, on a device: ``(parts * units,)``."""
    inputs = batch["input_ids"]
    gradient_parts = [part for part in parts if isinstance(part, GradientScore)]
    # A mask per example costs no time and separates the examples' gradients in one backward pass.
    masks = [
        torch.ones(len(inputs), n, device=inputs.device, dtype=model.dtype, requires_grad=bool(gradient_parts))
        for n in sizes
    ]
    split = len(sizes) // 2
    activation_parts = [part for part in parts if isinstance(part, ActivationScore)]
    with ExitStack() as stack:
        seen = stack.enter_context(_inputs_of_outputs(model)) if activation_parts else {}
        if gradient_parts:
            stack.enter_context(unit_masks(model, UnitMasks(masks[:split], masks[split:])))
        outputs = outputs_of(model, batch, *_asked(distilled))
    added: dict[str, list[Tensor]] = {}
    for number, part in enumerate(gradient_parts, start=1):
        loss = part.losses(problem, outputs, batch, distilled).sum()
        gradients = torch.autograd.grad(loss, masks, retain_graph=number < len(gradient_parts))
        added[part.name] = [
            batch_importance(gradient.to(device), part.reduction or reduction) for gradient in gradients
        ]
    for activation in activation_parts:
        added[activation.name] = _activation_sums(model, batch, activation, seen, sizes, device)
    return torch.cat([sums for part in parts for sums in added[part.name]])


@contextmanager
def _inputs_of_outputs(model: PreTrainedModel) -> Iterator[dict[nn.Module, list[Tensor]]]:
    """The inputs of all output projections in each pass, after the model was called inside the context."""
    seen: dict[nn.Module, list[Tensor]] = {}
    with ExitStack() as stack:
        for layer in encoder_layers(model):
            for output in (layer.attention_output, layer.ffn_out):
                hook = output.register_forward_pre_hook(
                    lambda module, inputs: seen.setdefault(module, []).append(inputs[0].detach())
                )
                stack.callback(hook.remove)
        yield seen


def _activation_sums(
    model: PreTrainedModel,
    batch: Batch,
    part: ActivationScore,
    seen: Mapping[nn.Module, Sequence[Tensor]],
    sizes: Sequence[int],
    device: torch.device,
) -> list[Tensor]:
    """The sums of a part over the tokens of a batch: of the heads of all layers, and of their neurons."""
    layers = encoder_layers(model)
    outputs = [(layer.attention_output, layer.head_size) for layer in layers] + [(layer.ffn_out, 1) for layer in layers]
    tokens = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()
    lasts = {layers[-1].attention_output, layers[-1].ffn_out} if family_of(model).lean_last_layer else set()
    sums = []
    for (output, width), size in zip(outputs, sizes, strict=True):
        length = 1 if output in lasts else tokens.shape[1]
        # What a layer computes in several passes counts like further tokens.
        passes = [inputs[:, :length][tokens[:, :length]] for inputs in seen[output]]
        inputs = torch.cat(passes).to(device, torch.float64)
        sums.append(part.importances(inputs, output).to(device, torch.float64).view(size, width).sum(-1))
    return sums
